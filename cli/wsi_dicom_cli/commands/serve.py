"""`wsi-dicom serve`: the web server over the store."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from wsi_dicom_cli.command import Command, Option
from wsi_dicom_cli.configuration import PREFIX, config_option
from wsi_dicom_cli.log import show_log
from wsi_dicom_cli.options import Decorated, open_store, store_option, together, verbose_option

# What is None was not said: the defaults are those of ServerSettings.


def _option(heading: str, *names: str, **attributes: Any) -> Callable[[Decorated], Decorated]:
    return click.option(*names, cls=Option, heading=heading, **attributes)


def _number(heading: str, name: str, text: str) -> Callable[[Decorated], Decorated]:
    return _option(heading, name, type=int, metavar="N", help=text)


def _switch(heading: str, name: str, text: str, *, default: bool = False) -> Callable[[Decorated], Decorated]:
    return _option(heading, f"--{name}/--no-{name}", default=default, help=text)


_address_options = together(
    _option("Address", "--host", help="Address to listen on. [default: 127.0.0.1, this machine only]"),
    _option("Address", "--port", type=click.IntRange(0, 65535), help="0: any free one. [default: 8000]"),
    _option("Address", "--public-url", metavar="URL", help="Address that clients see, when a proxy stands before us."),
    _option(
        "Address",
        "--trusted-proxies",
        multiple=True,
        metavar="ADDRESS",
        help="Address or network of a proxy whose X-Forwarded-* or Forwarded is believed. May be repeated.",
    ),
    _number("Address", "--workers", "Processes that share the port. [default: 1]"),
)
_access_options = together(
    _switch("Access", "allow-anonymous", "Everybody may see all slides, from wherever they come."),
    _option("Access", "--user-header", metavar="NAME", help="Header in which a trusted proxy tells who the user is."),
    _option(
        "Access",
        "--cors-origin",
        "cors_origins",
        multiple=True,
        metavar="ORIGIN",
        help="Origin whose pages may ask with cookies. May be repeated.",
    ),
    _switch("Access", "hide-labels", "Serve neither labels nor overviews, which show them too."),
    _switch("Access", "hide-dates", "Pages and IIIF tell no dates."),
)
_offer_options = together(
    _option(
        "Pictures",
        "--colors",
        type=click.Choice(["srgb", "embed", "raw"]),
        help="What becomes of ICC profiles. [default: srgb]",
    ),
    _number("Pictures", "--jpeg-quality", "Of pictures that are made, 1 to 100. [default: 90]"),
    _number("Pictures", "--max-pixels", "Of the largest picture that is made. [default: 16777216]"),
    _option("Pictures", "--rights", metavar="URI", help="Licence or statement of rights of the pictures."),
    _option("Pictures", "--attribution", metavar="TEXT", help="What viewers must show beside the pictures."),
    _option("Pictures", "--provider", metavar="NAME", help="Who provides the pictures."),
    _option("Pictures", "--provider-url", metavar="URL", help="Web page of the provider."),
    _switch("Pictures", "powers-of-two", "IIIF offers no other scale factors."),
    _switch("Pictures", "iiif", "No IIIF manifests and collections.", default=True),
    _switch("Pictures", "mirador", "No page with Mirador.", default=True),
    _switch("Pictures", "openseadragon", "No page with OpenSeadragon.", default=True),
)
_upload_options = together(
    _switch("Uploads", "read-only", "Nobody may upload anything."),
    _number("Uploads", "--largest-upload", "Bytes. [default: 64 GiB]"),
    _number("Uploads", "--keep-free", "Bytes of the disk that uploads leave. [default: 2 GiB]"),
    _number("Uploads", "--jobs-at-once", "Conversions that run at the same time. [default: 1]"),
    _number("Uploads", "--waiting-jobs", "Uploads that wait or are converted. [default: 100]"),
)
_limit_options = together(
    _number("Limits of each worker", "--open-slides", "Series held open. [default: 64]"),
    _number("Limits of each worker", "--decoders", "Pictures made at once. [default: processors, at least 2]"),
    _number("Limits of each worker", "--decoded-bytes", "Decoded pixels kept, in bytes. [default: 128 MiB]"),
    _number("Limits of each worker", "--answer-bytes", "Pictures kept as they were sent, in bytes. [default: 64 MiB]"),
    _number(
        "Limits of each worker", "--unread-bytes", "Pictures not read by clients yet, in bytes. [default: 256 MiB]"
    ),
)


@click.command(cls=Command, context_settings={"auto_envvar_prefix": PREFIX})
@together(_address_options, _access_options, _offer_options, _upload_options, _limit_options)
@config_option
@store_option
@verbose_option
def serve(store: Path | None, read_only: bool, colors: str | None, **given: Any) -> None:
    """Serve the store: pages, tiles and IIIF.

    Every option is also taken from the environment (WSI_DICOM_PORT for --port) and from a TOML file.
    """
    from wsi_dicom.render import Colors
    from wsi_dicom_server.access.accounts import ACCESS_FILE
    from wsi_dicom_server.job_records import JOBS_FILE
    from wsi_dicom_server.serve import serve as run
    from wsi_dicom_server.settings import ServerSettings

    opened = open_store(store, create=True)

    def announce(address: str) -> None:
        click.echo(f"all slides    {address}")
        for newest in opened.search(limit=1):
            click.echo(f"newest slide  {address.rstrip('/')}/viewer/{newest.series_uid}")

    said = {name: value for name, value in given.items() if value is not None}
    if colors is not None:
        said["colors"] = Colors(colors)
    settings = ServerSettings(
        access_file=opened.root / ACCESS_FILE, jobs_file=None if read_only else opened.root / JOBS_FILE, **said
    )
    run(settings, opened, ready=announce, start_log=partial(_start_log, logging.getLogger().level))


def _start_log(level: int) -> None:
    """In the process of a worker, as in this one."""
    show_log()
    logging.getLogger().setLevel(level)
    warnings.filterwarnings("ignore", module="pydicom")
