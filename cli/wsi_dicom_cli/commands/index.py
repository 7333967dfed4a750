"""`wsi-dicom index`: care of the store's index."""

from __future__ import annotations

from pathlib import Path

import click

from wsi_dicom_cli.command import Command, Group
from wsi_dicom_cli.options import open_store, store_option


@click.group(cls=Group)
def index() -> None:
    """Look after the index of the store."""


@index.command(cls=Command)
@store_option
def rebuild(store: Path | None) -> None:
    """Make the index anew from the DICOM files alone.

    A damaged one is kept beside it as index.sqlite.damaged.
    """
    count = open_store(store, replace_damaged=True).rebuild()
    click.echo(f"{count} series")
