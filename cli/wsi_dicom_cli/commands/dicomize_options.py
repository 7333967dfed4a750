"""The options of `dicomize`, in the groups that --help shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from wsi_dicom_cli.command import Option
from wsi_dicom_cli.options import together
from wsi_dicom_cli.parameter_types import Color, Millimetres

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Given = Mapping[str, Any]
"""What click read from the command line, by parameter name."""

COMPRESSIONS = (
    "none",
    "jpeg",
    "jpeg2000",
    "jpeg2000-lossy",
    "htj2k",
    "htj2k-lossy",
    "jpeg-ls",
    "jpeg-xl",
    "jpeg-xl-recompress",
    "rle",
    "deflated",
)
SAMPLINGS = {"444": (1, 1), "422": (2, 1), "420": (2, 2)}
_FILE = click.Path(path_type=Path, dir_okay=False)


def _print_sample(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        from wsi_dicom.dicom.sample_dataset import sample_dataset

        click.echo(sample_dataset())
        ctx.exit()


def _note_openslide(_context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        click.echo("note: --openslide is ignored: OpenSlide comes with this program", err=True)


_input = partial(click.option, cls=Option, heading="Input")
_tiles = partial(click.option, cls=Option, heading="Levels and tiles")
_scale = partial(click.option, cls=Option, heading="Scale and place")
_metadata = partial(click.option, cls=Option, heading="Metadata")
_privacy = partial(click.option, cls=Option, heading="Privacy")
_output = partial(click.option, cls=Option, heading="Output")

source_options: Callable[[Decorated], Decorated] = together(
    _input(
        "--source",
        metavar="NAME",
        help="Read as this kind of input, whatever it looks like: svs, tiff, openslide and so on. A wrong name "
        "lists all.",
    ),
    _input("--force-openslide/--no-force-openslide", help="The same as --source openslide."),
    _input(
        "--openslide",
        metavar="PATH",
        callback=_note_openslide,
        expose_value=False,
        help="Ignored, with a note: OpenSlide comes with this program.",
    ),
    _input(
        "--padding",
        type=click.IntRange(1, 65535),
        metavar="PIXELS",
        default=1,
        show_default=True,
        help="Pad width and height of flat pictures and of striped TIFF to a multiple of this.",
    ),
    _input(
        "--on-bad-tile",
        type=click.Choice(["fail", "blank"]),
        default="fail",
        show_default=True,
        help="A tile that cannot be read ends the conversion, or becomes background and is listed.",
    ),
    _input("--safety/--no-safety", help="Decode every tile that is copied, to be sure that it is whole."),
    _input("--cytomine-url", metavar="URL", help="Import from this Cytomine server; needs the next three too."),
    _input("--cytomine-image", metavar="NUMBER", help="The image instance in Cytomine."),
    _input(
        "--cytomine-public-key",
        metavar="KEY",
        envvar="WSI_DICOM_CYTOMINE_PUBLIC_KEY",
        help="Public key of your Cytomine account. [env: WSI_DICOM_CYTOMINE_PUBLIC_KEY]",
    ),
    _input(
        "--cytomine-private-key",
        metavar="KEY",
        envvar="WSI_DICOM_CYTOMINE_PRIVATE_KEY",
        help="Private key of your Cytomine account: better not on a command line, which other users of this machine "
        "see. [env: WSI_DICOM_CYTOMINE_PRIVATE_KEY]",
    ),
    _input(
        "--cytomine-compression",
        type=click.Choice(["jpeg", "png"]),
        default="jpeg",
        show_default=True,
        help="What to ask the Cytomine server for.",
    ),
)

tile_options: Callable[[Decorated], Decorated] = together(
    _tiles("--pyramid/--no-pyramid", help="Build new levels below the finest, down to one tile."),
    _tiles(
        "--smooth/--no-smooth", help="With --pyramid: a 5x5 Gaussian before each halving, not the plain 2x2 average."
    ),
    _tiles("--levels", type=click.IntRange(1, 64), metavar="NUMBER", help="Write so many levels at most."),
    _tiles("--reencode/--no-reencode", help="Encode every tile anew; copy none."),
    _tiles("--tile-width", type=int, metavar="PIXELS", help="16 to 4096. [default: the source's, or 512]"),
    _tiles("--tile-height", type=int, metavar="PIXELS", help="16 to 4096. [default: the source's, or 512]"),
    _tiles(
        "--compression",
        type=click.Choice(COMPRESSIONS),
        metavar="NAME",
        help=f"For tiles that cannot be copied, and new levels: {', '.join(COMPRESSIONS)}. "
        "[default: jpeg; jpeg2000, which is lossless, for lossless or 16-bit slides]",
    ),
    _tiles(
        "--quality",
        "--jpeg-quality",
        "quality",
        type=click.IntRange(1, 100),
        metavar="1..100",
        default=90,
        show_default=True,
        help="Quality of lossy new tiles.",
    ),
    _tiles(
        "--subsampling",
        type=click.Choice(list(SAMPLINGS)),
        help="Of the colours of new JPEG tiles. [default: the source's, or 420]",
    ),
    _tiles("--repaint/--no-repaint", help="Write absent tiles too, in the background's colour."),
    _tiles("--color", type=Color(), help="Background, 0 to 255 each; turns --repaint on. [default: 255,255,255]"),
    _tiles("--label/--no-label", default=True, help="Leave out the label."),
    _tiles("--overview/--no-overview", default=True, help="Leave out the overview (macro)."),
    _tiles("--thumbnail/--no-thumbnail", default=True, help="Leave out the thumbnail."),
)

scale_options: Callable[[Decorated], Decorated] = together(
    _scale("--spacing", type=Millimetres(), help="Millimetres per pixel of the finest level. [default: the slide's]"),
    _scale("--imaged-width", type=float, metavar="MM", help="Width of the whole picture, instead of --spacing."),
    _scale("--imaged-height", type=float, metavar="MM", help="Height of the whole picture, instead of --spacing."),
    _scale(
        "--require-spacing/--no-require-spacing",
        help="Fail when nobody tells the spacing, rather than assume a width of 15 mm.",
    ),
    _scale(
        "--imaged-depth",
        type=float,
        metavar="MM",
        help="Depth of the scanned volume. [default: that of the focal planes, or 0.001]",
    ),
    _scale(
        "--offset-x",
        type=float,
        metavar="MM",
        help="Where the scan begins, along the short side of the glass. [default: as the source tells, or 20]",
    ),
    _scale(
        "--offset-y",
        type=float,
        metavar="MM",
        help="Where the scan begins, along the long side of the glass. [default: as the source tells, or 40]",
    ),
)

metadata_options: Callable[[Decorated], Decorated] = together(
    _metadata("--dataset", type=_FILE, help="JSON file with patient, study, specimen and so on (docs/metadata.md)."),
    _metadata(
        "--sample-dataset/--no-sample-dataset",
        callback=_print_sample,
        is_eager=True,
        expose_value=False,
        help="Print a sample of such a file, and exit.",
    ),
    _metadata("--metadata-csv", type=_FILE, help="Table with a row for each file: its patient, study, specimen."),
    _metadata(
        "--encoding",
        metavar="NAME",
        default="utf8",
        show_default=True,
        help="Character set of the texts: utf8, latin1 and so on. A wrong name lists all.",
    ),
    _metadata("--objective-power", type=float, metavar="NUMBER", help="Nominal magnification, 40 for 40x."),
    _metadata(
        "--optical-path",
        type=click.Choice(["brightfield", "none"]),
        default="brightfield",
        show_default=True,
        help="What to say of the light when the slide does not tell.",
    ),
    _metadata("--icc-profile", type=_FILE, help="Colour profile of the pixels. [default: the slide's, or sRGB]"),
    _metadata("--study-uid", metavar="UID", help="StudyInstanceUID of a study to join. [default: a new one]"),
    _metadata("--series-uid", metavar="UID", help="SeriesInstanceUID to have. [default: a new one]"),
    _metadata(
        "--uids",
        type=click.Choice(["random", "deterministic"]),
        default="random",
        show_default=True,
        help="Deterministic: the same slide and options give the same UIDs.",
    ),
)

privacy_options: Callable[[Decorated], Decorated] = together(
    _privacy("--deidentify/--no-deidentify", help="Basic profile of DICOM PS3.15; no label, no overview."),
    _privacy(
        "--dates",
        type=click.Choice(["remove", "shift", "keep"]),
        default="remove",
        show_default=True,
        help="What --deidentify does to dates: shift moves all of a patient by the same number of days.",
    ),
    _privacy("--pseudonym/--no-pseudonym", help="Call the patient yymmdd-hhmm-xxxx."),
    _privacy(
        "--key",
        metavar="TEXT",
        envvar="WSI_DICOM_KEY",
        help="Secret of 16 bytes or more that --deidentify and --pseudonym hash with: the same key, the same UIDs. "
        "Other users of this machine see a command line: better set WSI_DICOM_KEY, or give --key-file. "
        "[default: a random one]",
    ),
    _privacy("--key-file", type=_FILE, help="File with that secret."),
)

destination_options: Callable[[Decorated], Decorated] = together(
    _output(
        "--folder",
        type=click.Path(path_type=Path),
        help="Write plain files into this folder, not into the store; of several slides, into a folder each below it.",
    ),
    _output(
        "--folder-pattern",
        metavar="PATTERN",
        default="wsi-%06d.dcm",
        show_default=True,
        help="Names of these files; the number counts from 0.",
    ),
    _output(
        "--max-size",
        type=click.IntRange(0),
        metavar="MB",
        default=0,
        show_default=True,
        help="Largest size of a file in millions of bytes: larger levels are split. 0 is no limit.",
    ),
    _output(
        "--skip-existing/--no-skip-existing",
        help="Leave a series that the store has already. Needs --uids deterministic.",
    ),
    _output("--dry-run/--no-dry-run", help="Print what would be done and how large it would be; write nothing."),
    _output(
        "--provenance",
        type=click.Path(path_type=Path),
        help="Write what came from what, and how, into this JSON file; of several slides, into this folder.",
    ),
)
