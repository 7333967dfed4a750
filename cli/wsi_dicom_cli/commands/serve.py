"""`wsi-dicom serve`: the web server over the store."""

from __future__ import annotations

from pathlib import Path

import click

from wsi_dicom_cli.command import Command
from wsi_dicom_cli.options import open_store, store_option, verbose_option


@click.command(cls=Command, context_settings={"auto_envvar_prefix": "WSI_DICOM"})
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; the default is this machine only."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any free port.")
@click.option("--public-url", help="Address that clients see, when a proxy stands before the server.")
@store_option
@verbose_option
def serve(host: str, port: int, public_url: str | None, store: Path | None) -> None:
    """Serve the store: pages, tiles and IIIF."""
    from wsi_dicom_server.app import serve as run
    from wsi_dicom_server.settings import ServerSettings

    opened = open_store(store, create=True)

    def announce(address: str) -> None:
        click.echo(f"all slides    {address}")
        for newest in opened.search(limit=1):
            click.echo(f"newest slide  {address.rstrip('/')}/viewer/{newest.series_uid}")

    run(ServerSettings(host=host, port=port, public_url=public_url), opened, ready=announce)
