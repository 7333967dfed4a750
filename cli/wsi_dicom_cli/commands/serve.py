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
@click.option("--read-only", is_flag=True, help="Nobody may upload anything.")
@click.option("--allow-anonymous", is_flag=True, help="Everybody may see all slides, from wherever they come.")
@click.option("--user-header", metavar="NAME", help="Header in which a trusted proxy tells who the user is.")
@click.option("--trusted-proxies", multiple=True, help="Address or network of a proxy to believe. May be repeated.")
@click.option(
    "--cors-origin", "cors_origins", multiple=True, help="Origin whose pages may ask with cookies. May be repeated."
)
@store_option
@verbose_option
def serve(
    host: str,
    port: int,
    public_url: str | None,
    read_only: bool,
    allow_anonymous: bool,
    user_header: str | None,
    trusted_proxies: tuple[str, ...],
    cors_origins: tuple[str, ...],
    store: Path | None,
) -> None:
    """Serve the store: pages, tiles and IIIF."""
    from wsi_dicom_server.access.accounts import ACCESS_FILE
    from wsi_dicom_server.app import serve as run
    from wsi_dicom_server.job_records import JOBS_FILE
    from wsi_dicom_server.settings import ServerSettings

    opened = open_store(store, create=True)

    def announce(address: str) -> None:
        click.echo(f"all slides    {address}")
        for newest in opened.search(limit=1):
            click.echo(f"newest slide  {address.rstrip('/')}/viewer/{newest.series_uid}")

    settings = ServerSettings(
        host=host,
        port=port,
        public_url=public_url,
        access_file=opened.root / ACCESS_FILE,
        jobs_file=None if read_only else opened.root / JOBS_FILE,
        allow_anonymous=allow_anonymous,
        user_header=user_header,
        trusted_proxies=trusted_proxies,
        cors_origins=cors_origins,
    )
    run(settings, opened, ready=announce)
