"""`dicom2tiff`: a series becomes a TIFF, or a picture."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsi_dicom_cli.command import Command
from wsi_dicom_cli.commands import dicom2tiff_options as grouped
from wsi_dicom_cli.commands.dicom2tiff_picture import picture_options
from wsi_dicom_cli.commands.dicomize_options import SAMPLINGS, Given
from wsi_dicom_cli.options import (
    asked_for,
    json_option,
    store_option,
    store_root,
    threads_option,
    verbose_option,
    version_option,
)
from wsi_dicom_cli.progress import shown_progress
from wsi_dicom_cli.slide_argument import opened_slide

if TYPE_CHECKING:
    from wsi_dicom.checked import BadTile
    from wsi_dicom.convert import PictureWritten, TiffOptions, TiffWritten
    from wsi_dicom.part import PartOptions
    from wsi_dicom.plan import PlanOptions
    from wsi_dicom.tiff.flavors import Flavor

_BAD_TILES_SHOWN = 10


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("series")
@click.argument("output", type=click.Path(path_type=Path))
@grouped.part_options
@grouped.tile_options
@grouped.output_options
@store_option
@threads_option
@json_option
@verbose_option
@version_option
def dicom2tiff(series: str, output: Path, **given: Any) -> None:
    """Write SERIES as a tiled, pyramidal TIFF, or a part of it as a picture.

    SERIES is a SeriesInstanceUID or an Orthanc identifier of the local store (a unique beginning of either is enough),
    or a file, a folder or a zip archive. JPEG and JPEG 2000 tiles are copied as they are. OUTPUT appears only when it
    is complete.
    """
    from wsi_dicom import convert
    from wsi_dicom.stores.local import require_outside

    require_outside(output, store_root(given["store"]))
    part = _part(given)
    options = picture_options(output, given, part) or _options(output, given, part)
    begun = time.monotonic()
    blank = given["on_bad_tile"] == "blank"
    with (
        opened_slide(series, given["store"], color=given["color"], tolerant=blank) as slide,
        shown_progress(output.name, quiet=given["as_json"]) as observer,
    ):
        done: PictureWritten | TiffWritten
        if isinstance(options, convert.PictureOptions):
            done = convert.slide_to_picture(slide, output, options, observer)
        else:
            done = convert.dicom_to_tiff(slide, output, options, observer)
    seconds, size = time.monotonic() - begun, output.stat().st_size
    if given["as_json"]:
        told = {"output": str(output), "bytes": size, "seconds": round(seconds, 3)}
        bad = [{**bad._asdict(), "plane": bad.plane._asdict()} for bad in done.bad_tiles]
        click.echo(json.dumps({**told, "bad_tiles": bad}))
        return
    click.echo(f"{output}: {size / 1e6:.1f} MB, {seconds:.1f} s")
    click.echo(str(done))
    _tell_bad_tiles(done.bad_tiles)


def _tell_bad_tiles(bad_tiles: tuple[BadTile, ...]) -> None:
    for bad in bad_tiles[:_BAD_TILES_SHOWN]:
        click.echo(f"warning: made background: {bad.reason}", err=True)
    if (more := len(bad_tiles) - _BAD_TILES_SHOWN) > 0:
        click.echo(f"warning: and {more} more tiles; --json lists all", err=True)


def _options(output: Path, given: Given, part: PartOptions) -> TiffOptions:
    """Raises click.UsageError, InvalidRequest."""
    from wsi_dicom import convert
    from wsi_dicom.convert.to_tiff import BigTiff

    _refuse_contradictions(given)
    return convert.TiffOptions(
        plan=_plan(given),
        flavor=_flavor(output, given["flavor"]),
        big=BigTiff(given["bigtiff"]),
        part=part,
        deidentify=given["deidentify"],
        blank_bad_tiles=given["on_bad_tile"] == "blank",
        threads=given["threads"] or convert.usable_cores(),
    )


def _refuse_contradictions(given: Given) -> None:
    """Raises click.UsageError."""
    asked = asked_for(given)
    if given["smooth"] and not given["pyramid"]:
        raise click.UsageError("--smooth is for the levels of --pyramid; give both")
    for name, option in asked.items():
        if given["region"] and name in ("label", "overview", "thumbnail"):
            raise click.UsageError(f"{option} shows more than --region; give one of them")
        if given["deidentify"] and name in ("label", "overview"):
            raise click.UsageError(f"{option} may show who the patient is; give it or --deidentify")
    if "subsampling" in asked and given["compression"] not in (None, "jpeg"):
        raise click.UsageError(f"--subsampling is for JPEG, not for {given['compression']}")


def _plan(given: Given) -> PlanOptions:
    from wsi_dicom.codecs.compression import Compression
    from wsi_dicom.plan import PlanOptions
    from wsi_dicom.slide import ImageFlavor

    side: int | None = given["tile_size"]
    if side is not None and side % 16:
        raise click.BadParameter(f"{side} is no multiple of 16, as tiles of a TIFF are", param_hint="--tile-size")
    compression = given["compression"] or ("jpeg" if given["reencode"] else None)
    left_out = {flavor for flavor in ImageFlavor if flavor.lower() in given and not given[flavor.lower()]}
    return PlanOptions(
        pyramid=given["pyramid"],
        smooth=given["smooth"],
        compression=None if compression is None else Compression(compression),
        quality=given["quality"],
        sampling=None if given["subsampling"] is None else SAMPLINGS[given["subsampling"]],
        reencode=given["reencode"],
        tile_width=side,
        tile_height=side,
        levels=given["levels"],
        verify=given["safety"],
        left_out=frozenset(left_out),
    )


def _part(given: Given) -> PartOptions:
    from wsi_dicom.geometry import Region
    from wsi_dicom.part import PartOptions

    region = None if given["region"] is None else Region(*given["region"])
    return PartOptions(given["level"], region, given["optical_path"], given["focal_plane"])


def _flavor(output: Path, given: str | None) -> Flavor:
    from wsi_dicom.tiff.flavors import Flavor

    if given is not None:
        return Flavor(given)
    name = output.name.lower()
    if name.endswith((".ome.tif", ".ome.tiff", ".ome.tf2", ".ome.tf8", ".ome.btf")):
        return Flavor.OME
    return Flavor.SVS if name.endswith(".svs") else Flavor.TIFF
