"""`/wsi/app/...`: where Orthanc's whole-slide plugin has its pages; they lead to ours."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request
from starlette.routing import Route

from wsi_dicom.errors import InvalidRequest
from wsi_dicom_server.addresses import see_other
from wsi_dicom_server.replies import Reply

_IN_ADDRESS: Final = re.compile(
    r"/iiif/(?:(?:series|tiles)/(?P<series>[^/?#]+)|frames(?:-pyramids)?/(?P<id>[^/?#]+)/(?P<frame>[^/?#]+))"
    r"/(?:manifest|info)\.json$"
)


async def viewer(request: Request) -> Reply:
    """`?series=` shows a slide, `?instance=` with `&frame=` (from 0) a frame of any image."""
    asked = request.query_params
    if series := asked.get("series"):
        return see_other(request, f"/viewer/{_plain(series)}")
    if instance := asked.get("instance"):
        return see_other(request, f"/viewer/{_plain(instance)}?frame={_plain(asked.get('frame', '0'))}")
    raise InvalidRequest("which one? expected ?series= or ?instance=")


async def mirador(request: Request) -> Reply:
    """`?iiif-content=` is the address of one of our manifests."""
    return see_other(request, f"/mirador/{_shown(request, 'iiif-content')}")


async def openseadragon(request: Request) -> Reply:
    """`?image=` is the address of one of our `info.json`."""
    return see_other(request, f"/openseadragon/{_shown(request, 'image')}")


def _shown(request: Request, name: str) -> str:
    """A series, or an image and `?frame=`. Only ours: pages of this server show nothing from elsewhere.

    Raises InvalidRequest.
    """
    asked = request.query_params
    if series := asked.get("series"):
        return _plain(series)
    match = _IN_ADDRESS.search(asked.get(name, ""))
    if match is None:
        raise InvalidRequest(f"which one? expected ?series=, or in {name} an address of a series of this server")
    if match["series"]:
        return _plain(match["series"])
    return f"{_plain(match['id'])}?frame={_plain(match['frame'])}"


def _plain(word: str) -> str:
    """An identifier or number that stands in an address as it is; whether there is such a one the page tells."""
    if not re.fullmatch(r"[\w.:-]{1,64}", word, re.ASCII):
        raise InvalidRequest(f"{word[:20]!r} names nothing here")
    return word


routes = [
    Route("/app/viewer.html", viewer),
    Route("/app/mirador.html", mirador),
    Route("/app/openseadragon.html", openseadragon),
]
"""Below `/wsi` only: the plugin has them nowhere else."""
