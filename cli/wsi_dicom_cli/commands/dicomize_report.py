"""What `dicomize` prints when it is done."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from wsi_dicom.batch import Outcome
    from wsi_dicom.convert import Dicomized, DryRun
    from wsi_dicom.errors import WsiError

_BAD_TILES_SHOWN: Final = 10
_WIDEST: Final = 10_000


def one(done: Dicomized, seconds: float, *, as_json: bool) -> None:
    """Of the only slide."""
    for warning in _warnings(done):
        click.echo(f"warning: {warning}", err=True)
    if as_json:
        click.echo(json.dumps(_as_json(done, seconds)))
        return
    series = done.series
    click.echo(f"series   {series.series_uid}")
    click.echo(f"orthanc  {series.orthanc_id}")
    click.echo(f"stored   {series.folder}")
    if done.plan is None:
        click.echo("was there already; nothing was converted")
        return
    click.echo(f"         {series.instance_count} files, {series.size / 1e6:.1f} MB, {seconds:.1f} s")
    click.echo(str(done.plan))


def batch(outcomes: Sequence[Outcome], *, as_json: bool) -> None:
    """A table of all slides; as JSON, an object a line."""
    for outcome in outcomes:
        if as_json:
            told = {"error": outcome.failure} if outcome.done is None else _as_json(outcome.done, outcome.seconds)
            click.echo(json.dumps({"slide": outcome.job.name, **told}))
            continue
        for warning in () if outcome.done is None else _warnings(outcome.done):
            click.echo(f"warning: {warning}", err=True)
    if not as_json:
        _print_table(outcomes)


def dry_run(name: str, planned: DryRun, *, as_json: bool) -> None:
    """The plan, with a size for each level."""
    for warning in planned.warnings:
        click.echo(f"warning: {warning}", err=True)
    levels = [
        {
            "action": str(level.action),
            "width": level.output.width,
            "height": level.output.height,
            "tiles": level.output.tile_count * len(planned.plan.planes),
            "tile_width": level.output.tile_width,
            "tile_height": level.output.tile_height,
            "transfer_syntax": level.encoding.transfer_syntax,
            "bytes": size,
        }
        for level, size in zip(planned.plan.levels, planned.expected_bytes, strict=True)
    ]
    if as_json:
        pictures = {flavor.lower(): str(plan.action) for flavor, plan in planned.plan.associated.items()}
        click.echo(json.dumps({"slide": name, "levels": levels, "associated": pictures}))
        return
    click.echo(name)
    lines = str(planned.plan).splitlines()
    for line, size in zip(lines, planned.expected_bytes, strict=False):
        click.echo(f"{line}, about {size / 1e6:.1f} MB")
    for line in lines[len(planned.expected_bytes) :]:
        click.echo(line)
    click.echo(f"about {sum(planned.expected_bytes) / 1e6:.1f} MB in all; nothing was written")


def no_plan(name: str, error: WsiError, *, as_json: bool) -> None:
    """Of one among several slides that cannot be converted."""
    if as_json:
        click.echo(json.dumps({"slide": name, "error": str(error)}))
    else:
        click.echo(f"{name}: FAILED: {error}", err=True)


def _warnings(done: Dicomized) -> list[str]:
    bad = done.bad_tiles
    shown = [f"blank: {tile.reason}" for tile in bad[:_BAD_TILES_SHOWN]]
    more = len(bad) - len(shown)
    return [*done.warnings, *shown, *([f"{more} more tiles are blank"] if more else [])]


def _as_json(done: Dicomized, seconds: float) -> dict[str, Any]:
    series = done.series
    return {
        "series": series.series_uid,
        "study": series.study_uid,
        "orthanc_id": series.orthanc_id,
        "location": str(series.folder),
        "instances": series.instance_count,
        "bytes": series.size,
        "skipped": done.plan is None,
        "seconds": round(seconds, 3),
        "warnings": list(done.warnings),
        "bad_tiles": [
            {
                "level": bad.level,
                "column": bad.column,
                "row": bad.row,
                "optical_path": bad.plane.optical_path,
                "focal_plane": bad.plane.focal_plane,
                "reason": bad.reason,
            }
            for bad in done.bad_tiles
        ],
    }


def _print_table(outcomes: Sequence[Outcome]) -> None:
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table

    table = Table()
    for name in ("slide", "result", "series, or why not"):
        table.add_column(name, overflow="fold")
    table.add_column("files", justify="right")
    table.add_column("MB", justify="right")
    table.add_column("s", justify="right")
    for outcome in outcomes:
        if outcome.done is None:
            table.add_row(outcome.job.name, "FAILED", outcome.failure, "", "", f"{outcome.seconds:.1f}")
            continue
        series = outcome.done.series
        result = "there already" if outcome.done.plan is None else "converted"
        size = f"{series.size / 1e6:.1f}"
        table.add_row(
            outcome.job.name, result, series.series_uid, str(series.instance_count), size, f"{outcome.seconds:.1f}"
        )
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:  # a file, or another program, has no width
        widest = console.options.update(max_width=_WIDEST)
        console = Console(markup=False, highlight=False, width=Measurement.get(console, widest, table).maximum)
    console.print(table)
    failed = sum(outcome.done is None for outcome in outcomes)
    click.echo(f"{len(outcomes) - failed} of {len(outcomes)} slides are in the destination, {failed} failed")
