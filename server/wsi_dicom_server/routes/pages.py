"""The viewer, and our IIIF services in the viewers of others."""

from __future__ import annotations

from typing import Final

from anyio import to_thread
from starlette.requests import Request
from starlette.routing import Route

from wsi_dicom.errors import InvalidRequest, NotFound
from wsi_dicom_server import markup_iiif, markup_viewer
from wsi_dicom_server.addresses import frame_number, home_url
from wsi_dicom_server.captions import slide_title
from wsi_dicom_server.markup import page_reply
from wsi_dicom_server.presentation.subject import frame_manifest_path, manifest_path
from wsi_dicom_server.replies import Reply
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
    """The IIIF manifest in Mirador, or that of `?frame=` of it; each `?with=` opens another one beside it."""
    if not site_of(request).shows_mirador:
        raise NotFound("this server has no page of Mirador")
    names = [request.path_params["series"], *request.query_params.getlist("with")]
    if len(names) > _MOST_WINDOWS:
        raise InvalidRequest(f"Mirador is opened with at most {_MOST_WINDOWS} series here")
    windows = [await _window(request, names[0], request.query_params.get("frame"))]
    windows += [await _window(request, name, None) for name in names[1:]]
    return page_reply(markup_iiif.mirador_page(home_url(request), names[0], windows), markup_iiif.MIRADOR_SECURITY)


async def openseadragon(request: Request) -> Reply:
    """The IIIF image in OpenSeadragon as it comes; of what is no slide, and of instances, the frame `?frame=`."""
    if not site_of(request).settings.openseadragon:
        raise NotFound("this server has no page of OpenSeadragon")
    frame = frame_number(request.query_params.get("frame", "0"))
    shown = await shown_series(request, request.path_params["series"], frame)
    image = shown.shown.image if shown.shown.frames is None else f"{shown.shown.image}/{frame}"
    return page_reply(markup_iiif.openseadragon_page(home_url(request), shown, image))


async def _window(request: Request, name: str, frame: str | None) -> tuple[str, str]:
    """The title and the manifest of a series, or of a frame of it or of an instance. Raises NotFound, OutOfBounds."""
    site, root = site_of(request), home_url(request)
    if frame is None:
        record = await to_thread.run_sync(stored_series, site.store, name)
        return slide_title(record), f"{root}/iiif/{manifest_path(name)}"
    number = frame_number(frame)
    counted = await site.frames.counted(name)
    counted.require(number)
    return f"{slide_title(counted.record)}, frame {number + 1}", f"{root}/iiif/{frame_manifest_path(name, number)}"


routes = [
    Route("/viewer/{series}", viewer),
    Route("/mirador/{series}", mirador),
    Route("/openseadragon/{series}", openseadragon),
]
