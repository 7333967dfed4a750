"""The application: its routes in order, its errors, its middleware; and running it on a socket."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

from wsi_dicom.errors import InvalidRequest
from wsi_dicom.stores import SeriesStore
from wsi_dicom_server.errors import HANDLERS
from wsi_dicom_server.middleware import PathsAndPreflights
from wsi_dicom_server.routes import iiif_image, iiif_presentation, pages, pyramids, tiles
from wsi_dicom_server.settings import ServerSettings
from wsi_dicom_server.site import Site
from wsi_dicom_server.static_files import VIEWER_SCRIPT

logger = logging.getLogger(__name__)


class Application(Starlette):
    """Starlette with what its routes share."""

    site: Site


def create_app(settings: ServerSettings, store: SeriesStore) -> Application:
    """The ASGI application over a store. The store stays the caller's to close.

    The data routes exist twice: at the root, and under `/wsi` where Orthanc's plugin has them. Tiles come first,
    because Starlette tries its routes one after the other.
    """
    data_routes = [*tiles.routes, *iiif_image.routes, *pyramids.routes, *iiif_presentation.routes]
    app = Application(
        routes=[*data_routes, Mount("/wsi", routes=data_routes), *pages.routes],
        middleware=[Middleware(PathsAndPreflights)],
        exception_handlers=HANDLERS,
        lifespan=_lifespan,
    )
    app.router.redirect_slashes = False  # it would redirect to whatever host the client names
    app.site = Site(settings, store)
    if VIEWER_SCRIPT not in app.site.static:
        logger.warning("the viewer page will stay empty: its scripts are not built; run python build_assets.py")
    return app


def serve(settings: ServerSettings, store: SeriesStore, *, ready: Callable[[str], None] | None = None) -> None:
    """Serves until interrupted. `ready` is told the address of the list of slides once connections are taken.

    Port 0 takes any free one. Raises InvalidRequest when the address cannot be had.
    """
    import uvicorn

    with _listen(settings.host, settings.port) as listener:
        config = uvicorn.Config(
            create_app(settings, store),
            loop="uvloop",
            http="httptools",
            ws="none",
            access_log=False,
            log_level="warning",
            server_header=False,
            backlog=2048,
        )
        if ready is not None:
            ready(settings.public_url or _address(settings.host, listener.getsockname()[1]))
        with suppress(KeyboardInterrupt):  # uvicorn passes it on when it has finished the requests under way
            uvicorn.Server(config).run(sockets=[listener])


@asynccontextmanager
async def _lifespan(app: Application) -> AsyncIterator[None]:
    yield
    app.site.slides.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(2048)
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
