"""The viewer, and our IIIF services in the viewers of others."""

from __future__ import annotations

from typing import Final

from anyio import to_thread
from starlette.requests import Request
from starlette.routing import Route

from wsi_dicom.errors import InvalidRequest, NotFound
from wsi_dicom_server import markup_iiif, markup_viewer
from wsi_dicom_server.addresses import home_url
from wsi_dicom_server.captions import slide_title
from wsi_dicom_server.markup import page_reply
from wsi_dicom_server.replies import Reply
from wsi_dicom_server.routes.frames import frame_number
from wsi_dicom_server.site import site_of
from wsi_dicom_server.slide_pool import stored_series
from wsi_dicom_server.views import shown_series

_MOST_WINDOWS: Final = 9


async def viewer(request: Request) -> Reply:
    """A slide, or with `?with=` another beside it; of other series, and of instances, the frames from `?frame=` on."""
    asked = request.query_params
    series = [await shown_series(request, request.path_params["series"], frame_number(asked.get("frame", "0")))]
    if "with" in asked:
        series.append(await shown_series(request, asked["with"]))
    return page_reply(markup_viewer.viewer_page(home_url(request), series))


async def mirador(request: Request) -> Reply:
    """The IIIF manifest in Mirador; each `?with=` opens another one beside it."""
    if not site_of(request).shows_mirador:
        raise NotFound("this server has no page of Mirador")
    names = [request.path_params["series"], *request.query_params.getlist("with")]
    if len(names) > _MOST_WINDOWS:
        raise InvalidRequest(f"Mirador is opened with at most {_MOST_WINDOWS} series here")
    titles = [await _title(request, name) for name in names]
    return page_reply(markup_iiif.mirador_page(home_url(request), titles, names), markup_iiif.MIRADOR_SECURITY)


async def openseadragon(request: Request) -> Reply:
    """The IIIF image in OpenSeadragon as it comes."""
    if not site_of(request).settings.openseadragon:
        raise NotFound("this server has no page of OpenSeadragon")
    series = request.path_params["series"]
    shown = await shown_series(request, series)
    image = f"{shown.shown['image']}/0" if shown.shown["frames"] else shown.shown["image"]
    return page_reply(markup_iiif.openseadragon_page(home_url(request), shown, image))


async def _title(request: Request, series: str) -> str:
    """Raises NotFound."""
    return slide_title(await to_thread.run_sync(stored_series, site_of(request).store, series))


routes = [
    Route("/viewer/{series}", viewer),
    Route("/mirador/{series}", mirador),
    Route("/openseadragon/{series}", openseadragon),
]
