"""The options of `dicom2tiff`, in the groups that --help shows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import click

from wsi_dicom_cli.command import Option
from wsi_dicom_cli.commands.dicom2tiff_picture import PICTURES
from wsi_dicom_cli.commands.dicomize_options import SAMPLINGS
from wsi_dicom_cli.options import Decorated, together
from wsi_dicom_cli.parameter_types import Color, PixelRegion

COMPRESSIONS = ("jpeg", "jpeg2000", "jpeg2000-lossy", "deflate", "zstd", "lzw", "webp", "none")

_part = partial(click.option, cls=Option, heading="What to export")
_tiles = partial(click.option, cls=Option, heading="Levels and tiles")
_output = partial(click.option, cls=Option, heading="Output")

part_options: Callable[[Decorated], Decorated] = together(
    _part(
        "--level",
        type=click.IntRange(0),
        default=0,
        metavar="NUMBER",
        help="From this level on, or a picture of it; 0 is the finest.",
    ),
    _part(
        "--region",
        type=PixelRegion(),
        help="Only this rectangle, in pixels of level 0, as --level shows it; no label, overview, thumbnail.",
    ),
    _part("--optical-path", metavar="ID", help="Only this optical path: its identifier, or its number from 1."),
    _part("--focal-plane", type=click.IntRange(1), metavar="NUMBER", help="Only this focal plane, counted from 1."),
    _part("--label/--no-label", default=True, help="Leave out the label."),
    _part("--overview/--no-overview", default=True, help="Leave out the overview (macro)."),
    _part("--thumbnail/--no-thumbnail", default=True, help="Leave out the thumbnail; SVS always has one."),
    _part(
        "--deidentify/--no-deidentify",
        help="No UIDs, dates and serial numbers in the descriptions; no label, no overview.",
    ),
    _part(
        "--on-bad-tile",
        type=click.Choice(["fail", "blank"]),
        default="fail",
        show_default=True,
        help="A tile that cannot be read ends the export, or becomes background and is listed.",
    ),
    _part("--safety/--no-safety", help="Decode every tile that is copied, to be sure that it is whole."),
)

tile_options: Callable[[Decorated], Decorated] = together(
    _tiles("--pyramid/--no-pyramid", help="Build new levels below the finest, down to one tile."),
    _tiles(
        "--smooth/--no-smooth", help="With --pyramid: a 5x5 Gaussian before each halving, not the plain 2x2 average."
    ),
    _tiles("--levels", type=click.IntRange(1, 64), metavar="NUMBER", help="Write so many levels at most."),
    _tiles(
        "--reencode/--no-reencode",
        help="Encode every tile anew, as JPEG unless --compression says otherwise; copy none.",
    ),
    _tiles(
        "--tile-size",
        type=click.IntRange(16, 4096),
        metavar="PIXELS",
        help="Width and height of tiles, a multiple of 16. [default: the series']",
    ),
    _tiles(
        "--compression",
        type=click.Choice(COMPRESSIONS),
        metavar="NAME",
        help=f"For tiles that cannot be copied, and new levels: {', '.join(COMPRESSIONS)}. "
        "[default: jpeg; deflate for lossless or 16-bit series]",
    ),
    _tiles(
        "--quality",
        "--jpeg-quality",
        "quality",
        type=click.IntRange(1, 100),
        metavar="1..100",
        default=90,
        show_default=True,
        help="Quality of lossy new tiles, of JPEG and of WebP pictures.",
    ),
    _tiles(
        "--subsampling",
        type=click.Choice(list(SAMPLINGS)),
        help="Of the colours of new JPEG tiles. [default: the series', or 420]",
    ),
    _tiles("--color", type=Color(), help="Of absent tiles, 0 to 255 each. [default: as the series tells, or white]"),
)

output_options: Callable[[Decorated], Decorated] = together(
    _output(
        "--to",
        type=click.Choice(PICTURES),
        help="A picture of one level or --region, not a TIFF. [default: by the name: .png, .jpg, .jpeg, .webp]",
    ),
    _output(
        "--flavor",
        type=click.Choice(["tiff", "ome", "svs"]),
        help="Plain TIFF; OME-TIFF, which alone holds several planes; or SVS as Aperio's scanners write it. "
        "[default: by the name: .ome.tif and .svs, else tiff]",
    ),
    _output(
        "--bigtiff",
        type=click.Choice(["auto", "yes", "no"]),
        default="auto",
        show_default=True,
        help="BigTIFF; auto: when the file may grow over 4 GiB.",
    ),
)
