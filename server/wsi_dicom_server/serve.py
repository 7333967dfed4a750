"""Running the application on a socket, in this process or in several that share it."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from wsi_dicom.errors import InvalidRequest, StoreError, WsiError
from wsi_dicom.stores import SeriesStore
from wsi_dicom.workers import end_with_parent
from wsi_dicom_server.access.policy import Access
from wsi_dicom_server.app import Application, create_app
from wsi_dicom_server.settings import ServerSettings
from wsi_dicom_server.tile_protocol import TileProtocol

logger = logging.getLogger(__name__)

_BACKLOG = 2048
_HEALTH_S = 60
"""Seconds that a worker may be silent, its imports included: on a busy machine 5, uvicorn's own, kill every new one."""
_KEEP_ALIVE_S = 75
"""Longer than proxies keep idle connections (nginx 60 s): who closes first must be who asks, or a request is lost."""


def serve(
    settings: ServerSettings,
    store: SeriesStore,
    *,
    ready: Callable[[str], None] | None = None,
    start_log: Callable[[], None] | None = None,
) -> None:
    """Serves until interrupted. `ready` is told the address of the list of slides once connections are taken.

    Port 0 takes any free one. Several workers are processes of their own that open the store again; `start_log`, which
    can be pickled, sets up the log in each. Raises InvalidRequest when the address cannot be had or the settings would
    let everybody in by mistake, StoreError when workers cannot start.
    """
    with _listen(settings.host, settings.port) as listener:
        address = settings.public_url or _address(settings.host, listener.getsockname()[1])
        if settings.workers == 1:
            config = uvicorn_config(partial(create_app, settings, store))
            config.load()
            if ready is not None:
                ready(address)
            with suppress(KeyboardInterrupt):  # uvicorn passes it on when it has finished the requests under way
                uvicorn.Server(config).run(sockets=[listener])
            return
        Access(settings)  # refused here, once, and not by every worker
        workers = Multiprocess(
            uvicorn_config(partial(_in_worker, settings, store.opener(), start_log), workers=settings.workers),
            [listener],
        )
        if ready is not None:
            ready(address)
        workers.run()
        if any(worker.exitcode == STARTUP_FAILURE for worker in workers.processes):
            raise StoreError("a worker could not start; the log has the details")


def uvicorn_config(application: Callable[[], Application], *, workers: int = 1) -> uvicorn.Config:
    """How the application is run: what tests run, too."""
    return uvicorn.Config(
        application,
        factory=True,
        workers=workers,
        loop="uvloop",
        http=TileProtocol,
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # it would take every program of this machine for a proxy, and hide who the peer is
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_worker_healthcheck=_HEALTH_S,
        timeout_graceful_shutdown=5,  # an upload may take hours
    )


def _in_worker(
    settings: ServerSettings, opener: Callable[[], SeriesStore], start_log: Callable[[], None] | None
) -> Application:
    if start_log is not None:
        start_log()
    end_with_parent(partial(os.kill, os.getpid(), signal.SIGTERM))  # uvicorn's workers would keep the port
    try:
        return create_app(settings, opener())
    except WsiError as error:
        logger.error("%s", error)  # noqa: TRY400 - its line says all
        raise SystemExit(STARTUP_FAILURE) from None  # any other end of a worker starts another one


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise InvalidRequest(
            f"cannot serve on {host} port {port}: {error.strerror or error}; choose another host or port"
        ) from error
    return listener


def _address(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - read here, never bound
    return f"http://{f'[{shown}]' if ':' in shown and not shown.startswith('[') else shown}:{port}/"
