"""`wsi-dicom list`: the series of the store."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from wsi_dicom_cli.command import Command
from wsi_dicom_cli.options import json_option, open_store, store_option


@click.command("list", cls=Command)
@click.option("--limit", type=click.IntRange(1), help="So many at most.")
@store_option
@json_option
def list_series(limit: int | None, store: Path | None, as_json: bool) -> None:
    """List the series of the store, newest first."""
    records = open_store(store).search(limit=limit)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(record) for record in records], default=str, indent=2))
        return
    for record in records:
        size = f"{record.width} x {record.height}" if record.width else f"{record.modality}, no whole slide"
        names = (record.patient_id, record.container_identifier, record.description)
        about = " ".join(name for name in names if name and name != "Unknown")
        added = f"{record.added.astimezone():%Y-%m-%d %H:%M}"
        click.echo(f"{record.series_uid}  {added}  {size}  {record.size / 1e6:.1f} MB  {about}".rstrip())
