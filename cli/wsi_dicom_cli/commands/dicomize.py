"""`dicomize`: a slide becomes a DICOM series."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from wsi_dicom.convert import Dicomized
    from wsi_dicom.stores import SeriesDestination


def _print_sample(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        from wsi_dicom.dicom.json_model import sample_dataset

        click.echo(sample_dataset())
        ctx.exit()


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("slide", type=click.Path(path_type=Path))
@click.option("--pyramid/--no-pyramid", help="Build new levels below the finest, down to one tile.")
@click.option("--smooth/--no-smooth", help="With --pyramid: a Gaussian before each halving.")
@click.option(
    "--compression",
    type=click.Choice(["jpeg", "jpeg2000", "none"]),
    help="For tiles that cannot be copied, and new levels. [default: jpeg; jpeg2000 (lossless) for lossless slides]",
)
@click.option("--jpeg-quality", type=click.IntRange(1, 100), default=90, show_default=True)
@click.option("--dataset", type=click.Path(path_type=Path), help="JSON file with patient, study, specimen and so on.")
@click.option(
    "--sample-dataset/--no-sample-dataset",
    callback=_print_sample,
    is_eager=True,
    expose_value=False,
    help="Print a sample of such a file, and exit.",
)
@click.option("--folder", type=click.Path(path_type=Path), help="Write plain files into this folder, not the store.")
@click.option("--folder-pattern", default="wsi-%06d.dcm", show_default=True, help="Names of these files.")
@click.option(
    "--uids",
    type=click.Choice(["random", "deterministic"]),
    default="random",
    show_default=True,
    help="Deterministic: the same slide and options give the same UIDs.",
)
@click.option(
    "--skip-existing/--no-skip-existing", help="Leave a series that the store has already. Takes --uids deterministic."
)
@store_option
@threads_option
@json_option
@verbose_option
@version_option
def dicomize(
    slide: Path,
    pyramid: bool,
    smooth: bool,
    compression: str | None,
    jpeg_quality: int,
    dataset: Path | None,
    folder: Path | None,
    folder_pattern: str,
    uids: str,
    skip_existing: bool,
    store: Path | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Convert SLIDE to a DICOM whole-slide series in the local store.

    Compressed tiles are copied as they are where DICOM allows it.
    """
    from wsi_dicom import convert
    from wsi_dicom.dicom.json_model import read_dataset
    from wsi_dicom.plan import Compression, PlanOptions

    if smooth and not pyramid:
        raise click.UsageError("--smooth is for the levels of --pyramid; give both")
    if skip_existing and (uids != "deterministic" or folder is not None):
        raise click.UsageError("--skip-existing needs --uids deterministic and a store")
    additions = None if dataset is None else read_dataset(dataset)
    if skip_existing and additions is not None and additions.get("SeriesInstanceUID"):
        raise click.UsageError("--skip-existing cannot tell slides apart whose SeriesInstanceUID the dataset gives")
    options = convert.DicomizeOptions(
        plan=PlanOptions(pyramid, smooth, None if compression is None else Compression(compression), jpeg_quality),
        uids=convert.UidChoice(uids),
        skip_existing=skip_existing,
        additions=additions,
        threads=threads or convert.usable_cores(),
    )
    begun = time.monotonic()
    destination = _destination(store, folder, folder_pattern)
    with shown_progress(slide.name, quiet=as_json) as observer:
        done = convert.dicomize(slide, destination, options, observer)
    _report(done, time.monotonic() - begun, as_json=as_json)


def _destination(store: Path | None, folder: Path | None, pattern: str) -> SeriesDestination:
    if folder is None:
        return open_store(store, create=True)
    from wsi_dicom.stores.folder import FolderStore

    return FolderStore(folder, pattern)


def _report(done: Dicomized, seconds: float, *, as_json: bool) -> None:
    series = done.series
    for warning in done.warnings:
        click.echo(f"warning: {warning}", err=True)
    if as_json:
        answer = {
            "series": series.series_uid,
            "study": series.study_uid,
            "orthanc_id": series.orthanc_id,
            "location": str(series.folder),
            "instances": series.instance_count,
            "bytes": series.size,
            "skipped": done.plan is None,
            "seconds": round(seconds, 3),
            "warnings": list(done.warnings),
        }
        click.echo(json.dumps(answer))
        return
    click.echo(f"series   {series.series_uid}")
    click.echo(f"orthanc  {series.orthanc_id}")
    click.echo(f"stored   {series.folder}")
    if done.plan is None:
        click.echo("was there already; nothing was converted")
        return
    click.echo(f"         {series.instance_count} files, {series.size / 1e6:.1f} MB, {seconds:.1f} s")
    click.echo(str(done.plan))
