"""`/pyramids/{series}`: the geometry of a slide, in the form of Orthanc's whole-slide plugin."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from wsi_dicom.geometry import Pyramid
from wsi_dicom_server.replies import Reply, document
from wsi_dicom_server.site import site_of


async def pyramid(request: Request) -> Reply:
    series = request.path_params["series"]
    served = await site_of(request).slides.get(series)
    return document(request, orthanc_pyramid(series, served.slide.pyramid))


def orthanc_pyramid(identifier: str, pyramid: Pyramid) -> dict[str, Any]:
    """Finest level first; pairs are [width, height]; `ImagedVolume*` in mm, left out when not known."""
    base, levels = pyramid.base, pyramid.levels
    content: dict[str, Any] = {"BackgroundColor": "#ffffff", "ID": identifier}
    if pyramid.spacing is not None:
        content["ImagedVolumeHeight"] = base.height * pyramid.spacing.y_mm
        content["ImagedVolumeWidth"] = base.width * pyramid.spacing.x_mm
    return content | {
        "Resolutions": [base.width / level.width for level in levels],
        "Sizes": [[level.width, level.height] for level in levels],
        "TileHeight": base.tile_height,
        "TileWidth": base.tile_width,
        "TilesCount": [[level.columns, level.rows] for level in levels],
        "TilesSizes": [[level.tile_width, level.tile_height] for level in levels],
        "TotalHeight": base.height,
        "TotalWidth": base.width,
    }


routes = [Route("/pyramids/{series}", pyramid)]
