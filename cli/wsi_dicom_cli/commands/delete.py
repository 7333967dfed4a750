"""`wsi-dicom delete`: removes a series from the store."""

from __future__ import annotations

from pathlib import Path

import click

from wsi_dicom_cli.command import Command
from wsi_dicom_cli.options import open_store, store_option


@click.command(cls=Command)
@click.argument("series")
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_option
def delete(series: str, yes: bool, store: Path | None) -> None:
    """Delete SERIES, its files and its entry in the index. There is no way back."""
    opened = open_store(store)
    record = opened.resolve(series)
    if not yes:
        click.confirm(f"delete {record.series_uid} ({record.size / 1e6:.1f} MB) from {record.folder}?", abort=True)
    opened.delete(record.series_uid)
    click.echo(f"deleted {record.series_uid}")
