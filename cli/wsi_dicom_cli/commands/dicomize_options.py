"""The options of `dicomize`, in the groups that the library takes them in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from wsi_dicom.convert import DicomizeOptions
    from wsi_dicom.dicom.character_sets import CharacterSet
    from wsi_dicom.dicom.deidentify import DeidentifyOptions
    from wsi_dicom.dicom.metadata_csv import MetadataTable
    from wsi_dicom.dicom.scale import ScaleOptions
    from wsi_dicom.dicom.settings import SeriesSettings
    from wsi_dicom.plan import PlanOptions
    from wsi_dicom.slide import SourceOptions

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
_SAMPLINGS = {"444": (1, 1), "422": (2, 1), "420": (2, 2)}
_FILE = click.Path(path_type=Path, dir_okay=False)


class Color(click.ParamType[tuple[int, int, int]]):
    """`R,G,B`, each 0 to 255."""

    name = "R,G,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int, int]:
        if isinstance(value, tuple):
            return value
        parts = str(value).split(",")
        if len(parts) != 3 or not all(part.strip().isdecimal() and int(part) <= 255 for part in parts):
            self.fail(f"{value!r} is no colour: three numbers from 0 to 255, as in 255,255,255", param, ctx)
        red, green, blue = (int(part) for part in parts)
        return red, green, blue


class Millimetres(click.ParamType[tuple[float, float]]):
    """`X` or `X,Y`, above 0."""

    name = "X[,Y]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        if isinstance(value, tuple):
            return value
        try:
            numbers = [float(part) for part in str(value).split(",")]
        except ValueError:
            numbers = []
        if len(numbers) not in (1, 2) or not all(0 < number < 1e6 for number in numbers):
            self.fail(f"{value!r} is no spacing: one or two numbers of millimetres, as in 0.00025", param, ctx)
        return numbers[0], numbers[-1]


def _print_sample(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        from wsi_dicom.dicom.sample_dataset import sample_dataset

        click.echo(sample_dataset())
        ctx.exit()


def _options(*options: Callable[[Decorated], Decorated]) -> Callable[[Decorated], Decorated]:
    def decorate(command: Decorated) -> Decorated:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


source_options: Callable[[Decorated], Decorated] = _options(
    click.option("--source", help="Read as this kind of input, whatever it looks like (svs, tiff, openslide, ...)."),
    click.option("--force-openslide/--no-force-openslide", help="The same as --source openslide."),
    click.option("--openslide", help="Taken and ignored: OpenSlide comes with this program."),
    click.option("--padding", type=click.IntRange(1, 65535), default=1, show_default=True, help="Pad flat pictures."),
    click.option("--on-bad-tile", type=click.Choice(["fail", "blank"]), default="fail", show_default=True),
    click.option("--safety/--no-safety", help="Decode every tile that is copied, to be sure that it is whole."),
    click.option("--cytomine-url", help="Import from this Cytomine server; takes the three options below too."),
    click.option("--cytomine-image", help="Number of the image instance in Cytomine."),
    click.option("--cytomine-public-key", envvar="WSI_DICOM_CYTOMINE_PUBLIC_KEY"),
    click.option("--cytomine-private-key", envvar="WSI_DICOM_CYTOMINE_PRIVATE_KEY"),
    click.option("--cytomine-compression", type=click.Choice(["jpeg", "png"]), default="jpeg", show_default=True),
)

tile_options: Callable[[Decorated], Decorated] = _options(
    click.option("--pyramid/--no-pyramid", help="Build new levels below the finest, down to one tile."),
    click.option("--smooth/--no-smooth", help="With --pyramid: a Gaussian before each halving."),
    click.option("--levels", type=click.IntRange(1, 64), help="Write so many levels at most."),
    click.option("--reencode/--no-reencode", help="Encode every tile anew; copy none."),
    click.option("--tile-width", type=int, help="[default: the source's, or 512]"),
    click.option("--tile-height", type=int, help="[default: the source's, or 512]"),
    click.option(
        "--compression",
        type=click.Choice(COMPRESSIONS),
        help="For tiles that cannot be copied, and new levels. "
        "[default: jpeg; jpeg2000 (lossless) for lossless slides]",
    ),
    click.option("--quality", "--jpeg-quality", "quality", type=click.IntRange(1, 100), default=90, show_default=True),
    click.option("--subsampling", type=click.Choice(list(_SAMPLINGS)), help="Chroma of new JPEG tiles."),
    click.option("--repaint/--no-repaint", help="Write absent tiles too, in the background's colour."),
    click.option("--color", type=Color(), help="Background. Turns --repaint on. [default: 255,255,255]"),
    click.option("--label/--no-label", default=True, help="Leave out the label."),
    click.option("--overview/--no-overview", default=True, help="Leave out the overview (macro)."),
    click.option("--thumbnail/--no-thumbnail", default=True, help="Leave out the thumbnail."),
)

scale_options: Callable[[Decorated], Decorated] = _options(
    click.option("--spacing", type=Millimetres(), help="Millimetres per pixel of the finest level."),
    click.option("--imaged-width", type=float, help="Width of the whole picture in mm."),
    click.option("--imaged-height", type=float, help="Height of the whole picture in mm."),
    click.option("--require-spacing/--no-require-spacing", help="Fail, rather than assume, when no one tells it."),
)

metadata_options: Callable[[Decorated], Decorated] = _options(
    click.option("--dataset", type=_FILE, help="JSON file with patient, study, specimen and so on."),
    click.option(
        "--sample-dataset/--no-sample-dataset",
        callback=_print_sample,
        is_eager=True,
        expose_value=False,
        help="Print a sample of such a file, and exit.",
    ),
    click.option("--metadata-csv", type=_FILE, help="Table with a row for each file: its patient, study, specimen."),
    click.option("--encoding", default="utf8", show_default=True, help="Character set of the texts (latin1, ...)."),
    click.option("--objective-power", type=float, help="Nominal magnification, 40 for 40x."),
    click.option("--imaged-depth", type=float, help="Depth of the scanned volume in mm. [default: 0.001]"),
    click.option("--offset-x", type=float, default=20.0, show_default=True, help="Where the scan begins, in mm."),
    click.option("--offset-y", type=float, default=40.0, show_default=True, help="Where the scan begins, in mm."),
    click.option("--optical-path", type=click.Choice(["brightfield", "none"]), default="brightfield"),
    click.option("--icc-profile", type=_FILE, help="Colour profile of the pixels. [default: the slide's, or sRGB]"),
    click.option("--study-uid", help="StudyInstanceUID to join."),
    click.option("--series-uid", help="SeriesInstanceUID to have."),
    click.option(
        "--uids",
        type=click.Choice(["random", "deterministic"]),
        default="random",
        show_default=True,
        help="Deterministic: the same slide and options give the same UIDs.",
    ),
)

privacy_options: Callable[[Decorated], Decorated] = _options(
    click.option("--deidentify/--no-deidentify", help="Basic profile of DICOM PS3.15; no label, no overview."),
    click.option("--dates", type=click.Choice(["remove", "shift", "keep"]), default="remove", show_default=True),
    click.option("--pseudonym/--no-pseudonym", help="Name the patient yymmdd-hhmm-xxxx."),
    click.option(
        "--key",
        envvar="WSI_DICOM_KEY",
        help="Secret that --deidentify and --pseudonym hash with: the same key, the same UIDs. Other users of this "
        "machine see a command line: better set WSI_DICOM_KEY, or give --key-file. [default: a random one]",
    ),
    click.option("--key-file", type=_FILE, help="File with that secret."),
)

destination_options: Callable[[Decorated], Decorated] = _options(
    click.option("--folder", type=click.Path(path_type=Path), help="Write plain files here, not into the store."),
    click.option("--folder-pattern", default="wsi-%06d.dcm", show_default=True, help="Names of these files."),
    click.option("--max-size", type=click.IntRange(0), default=0, show_default=True, help="MB per file; 0: no limit."),
    click.option(
        "--skip-existing/--no-skip-existing",
        help="Leave a series that the store has already. Takes --uids deterministic.",
    ),
    click.option("--dry-run/--no-dry-run", help="Print what would be done, and how large it would be."),
    click.option(
        "--provenance",
        type=click.Path(path_type=Path),
        help="Write what came from what, and how, into this JSON file; of several slides, into this folder.",
    ),
)


def source_key(given: Given) -> str | None:
    """The kind of input that the user insists on."""
    if given["force_openslide"]:
        if given["source"] not in (None, "openslide"):
            raise click.UsageError("--force-openslide and --source contradict each other")
        return "openslide"
    source: str | None = given["source"]
    return source


def reading(given: Given) -> SourceOptions:
    from wsi_dicom.slide import SourceOptions

    return SourceOptions(background=given["color"] or (255, 255, 255), padding=given["padding"])


def plan(given: Given) -> PlanOptions:
    """Raises InvalidRequest, click.UsageError."""
    from wsi_dicom.codecs.compression import Compression
    from wsi_dicom.plan import PlanOptions
    from wsi_dicom.slide import ImageFlavor

    if given["smooth"] and not given["pyramid"]:
        raise click.UsageError("--smooth is for the levels of --pyramid; give both")
    left_out = {flavor for flavor in ImageFlavor if flavor.lower() in given and not given[flavor.lower()]}
    return PlanOptions(
        pyramid=given["pyramid"],
        smooth=given["smooth"],
        compression=None if given["compression"] is None else Compression(given["compression"]),
        quality=given["quality"],
        sampling=None if given["subsampling"] is None else _SAMPLINGS[given["subsampling"]],
        reencode=given["reencode"],
        tile_width=given["tile_width"],
        tile_height=given["tile_height"],
        levels=given["levels"],
        repaint=given["repaint"] or given["color"] is not None,
        verify=given["safety"],
        left_out=frozenset(left_out),
    )


def scale(given: Given) -> ScaleOptions:
    """Raises InvalidRequest."""
    from wsi_dicom.dicom.scale import ScaleOptions
    from wsi_dicom.geometry import Spacing

    return ScaleOptions(
        spacing=None if given["spacing"] is None else Spacing(*given["spacing"]),
        imaged_width_mm=given["imaged_width"],
        imaged_height_mm=given["imaged_height"],
        required=given["require_spacing"],
    )


def settings(given: Given) -> SeriesSettings:
    """Raises InvalidRequest, NotFound."""
    from wsi_dicom.dicom.settings import OpticalPathChoice, SeriesSettings

    return SeriesSettings(
        offset_x_mm=given["offset_x"],
        offset_y_mm=given["offset_y"],
        imaged_depth_mm=given["imaged_depth"],
        objective_power=given["objective_power"],
        optical_path=OpticalPathChoice(given["optical_path"]),
        icc_profile=None if given["icc_profile"] is None else given["icc_profile"].read_bytes(),
        character_set=_character_set(given["encoding"]),
    )


def _character_set(name: str) -> CharacterSet:
    from wsi_dicom.dicom.character_sets import CharacterSet

    try:
        return CharacterSet(name)
    except ValueError:
        known = ", ".join(CharacterSet)
        raise click.BadParameter(f"{name!r} is none of {known}", param_hint="--encoding") from None


def conversion(given: Given) -> DicomizeOptions:
    """Everything but the attributes that a table gives to single slides. Raises InvalidRequest, click.UsageError."""
    from wsi_dicom import convert

    if given["skip_existing"] and (given["uids"] != "deterministic" or given["folder"] is not None):
        raise click.UsageError("--skip-existing needs --uids deterministic and a store")
    secret = given["key"] is not None or given["key_file"] is not None
    if given["skip_existing"] and given["deidentify"] and not secret:
        raise click.UsageError("--skip-existing with --deidentify takes a --key: without one no two runs are alike")
    key, additions = _key(given), _additions(given)
    if given["skip_existing"] and additions.get("SeriesInstanceUID"):
        raise click.UsageError("--skip-existing cannot tell slides apart whose SeriesInstanceUID is given")
    return convert.DicomizeOptions(
        plan=plan(given),
        source=source_key(given),
        reading=reading(given),
        scale=scale(given),
        settings=settings(given),
        uids=convert.UidChoice(given["uids"]),
        skip_existing=given["skip_existing"],
        additions=additions,
        deidentify=_deidentification(given, key),
        pseudonym_key=key if given["pseudonym"] else None,
        blank_bad_tiles=given["on_bad_tile"] == "blank",
        largest_instance=given["max_size"] * 1_000_000,
        threads=given["threads"] or convert.usable_cores(),
    )


def _additions(given: Given) -> Dataset:
    """What --dataset says, and the UIDs that have options of their own."""
    from pydicom.dataset import Dataset

    from wsi_dicom.dicom.json_model import dataset_of, read_dataset

    additions = Dataset() if given["dataset"] is None else read_dataset(given["dataset"])
    uids = {"StudyInstanceUID": given["study_uid"], "SeriesInstanceUID": given["series_uid"]}
    additions.update(dataset_of({keyword: uid for keyword, uid in uids.items() if uid is not None}, "command line"))
    return additions


def metadata_table(given: Given) -> MetadataTable | None:
    """What --metadata-csv says of each slide. Raises InvalidRequest, NotFound."""
    if given["metadata_csv"] is None:
        return None
    from wsi_dicom.dicom.metadata_csv import read_metadata_csv

    return read_metadata_csv(given["metadata_csv"])


def with_row(options: DicomizeOptions, table: MetadataTable | None, slide: Path) -> DicomizeOptions:
    """The options of one slide: what the table says of it goes over what is said of all. Raises InvalidRequest."""
    if table is None:
        return options
    from pydicom.dataset import Dataset

    from wsi_dicom.dicom.additions import merged

    return replace(options, additions=merged(options.additions or Dataset(), table.of_slide(slide)))


def _deidentification(given: Given, key: bytes) -> DeidentifyOptions | None:
    from wsi_dicom.dicom.deidentify import DatePolicy, DeidentifyOptions

    return DeidentifyOptions(key, DatePolicy(given["dates"])) if given["deidentify"] else None


def _key(given: Given) -> bytes:
    """Raises InvalidRequest, NotFound."""
    from wsi_dicom.dicom.deidentify import random_key, read_key, secret_key

    if given["key_file"] is not None:
        return read_key(given["key_file"])
    return random_key() if given["key"] is None else secret_key(given["key"])
