"""`dicom2tiff`: a series becomes a TIFF."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from wsi_dicom_cli.command import Command
from wsi_dicom_cli.options import (
    json_option,
    open_store,
    store_option,
    threads_option,
    verbose_option,
    version_option,
)
from wsi_dicom_cli.progress import shown_progress


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("series")
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--jpeg-quality",
    type=click.IntRange(1, 100),
    default=90,
    show_default=True,
    help="For tiles that cannot be copied.",
)
@store_option
@threads_option
@json_option
@verbose_option
@version_option
def dicom2tiff(
    series: str, output: Path, jpeg_quality: int, store: Path | None, threads: int | None, as_json: bool
) -> None:
    """Write SERIES of the local store as a tiled, pyramidal TIFF.

    SERIES is a SeriesInstanceUID or an Orthanc identifier; a unique beginning of either is enough.
    Compressed tiles are copied as they are. OUTPUT appears only when it is complete.
    """
    from wsi_dicom import convert
    from wsi_dicom.plan import PlanOptions

    options = convert.TiffOptions(PlanOptions(quality=jpeg_quality), threads or convert.usable_cores())
    begun = time.monotonic()
    opened = open_store(store)
    record = opened.resolve(series)
    if record.folder.resolve() in output.resolve().parents:
        raise click.UsageError(f"{output} lies among the files of the series itself; choose another place")
    with opened.open(record.series_uid) as slide, shown_progress(output.name, quiet=as_json) as observer:
        plan = convert.dicom_to_tiff(slide, output, options, observer)
    seconds, size = time.monotonic() - begun, output.stat().st_size
    if as_json:
        click.echo(json.dumps({"output": str(output), "bytes": size, "seconds": round(seconds, 3)}))
        return
    click.echo(f"{output}: {size / 1e6:.1f} MB, {seconds:.1f} s")
    click.echo(str(plan))
