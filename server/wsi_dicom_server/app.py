"""The application: its routes in order, its errors, its middleware."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

from wsi_dicom.opencv_threads import one_thread_in_opencv
from wsi_dicom.stores import SeriesStore
from wsi_dicom_server.access.control import AccessControl
from wsi_dicom_server.errors import HANDLERS
from wsi_dicom_server.forwarded import BehindProxy
from wsi_dicom_server.middleware import CrossOrigin, PathsAndPreflights
from wsi_dicom_server.peers import TrustedPeers
from wsi_dicom_server.routes import (
    accounts,
    archive,
    assets,
    associated,
    frames,
    iiif_collections,
    iiif_image,
    iiif_presentation,
    jobs,
    login,
    openapi,
    orthanc_pages,
    pages,
    pyramids,
    series_files,
    tiles,
    uploads,
)
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
    trusted = TrustedPeers(settings.trusted_proxies)
    data_routes = [
        *tiles.routes,
        *iiif_image.routes,
        *pyramids.routes,
        *frames.routes,
        *([*iiif_presentation.routes, *iiif_collections.routes] if settings.iiif else []),
        *series_files.routes,
    ]
    app = Application(
        routes=[
            *data_routes,
            Mount("/wsi", routes=[*data_routes, *orthanc_pages.routes]),
            *archive.routes,
            *pages.routes,
            *associated.routes,
            *assets.routes,
            *login.routes,
            *accounts.routes,
            *jobs.routes,
            *uploads.routes,
            *openapi.routes,
        ],
        middleware=[
            *([Middleware(CrossOrigin, origins=settings.cors_origins)] if settings.cors_origins else []),
            *([Middleware(BehindProxy, trusted=trusted)] if trusted else []),
            Middleware(PathsAndPreflights),
            Middleware(AccessControl),
        ],
        exception_handlers=HANDLERS,
        lifespan=_lifespan,
    )
    app.router.redirect_slashes = False  # it would redirect to whatever host the client names
    app.site = Site(settings, store)
    if VIEWER_SCRIPT not in app.site.static:
        logger.warning("the viewer page will stay empty: its scripts are not built; run python build_assets.py")
    return app


@asynccontextmanager
async def _lifespan(app: Application) -> AsyncIterator[None]:
    with one_thread_in_opencv:
        yield
    if app.site.jobs is not None:
        await to_thread.run_sync(app.site.jobs.close)
    app.site.slides.close()
    app.site.frames.close()
