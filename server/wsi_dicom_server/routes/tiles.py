"""`/tiles/{series}/{z}/{x}/{y}`: one stored tile, as Orthanc's whole-slide plugin has it; z = 0 is the finest level.

A stored tile is read and sent right here in the event loop: two reads from the page cache take microseconds, while a
hop to a thread costs three quarters of the throughput. Nearly all of them do not even come here (tile_protocol.py).
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wsi_dicom.geometry import FIRST_PLANE
from wsi_dicom.render import TileAddress
from wsi_dicom_server.addresses import tile_number
from wsi_dicom_server.image_identifiers import ServedImage
from wsi_dicom_server.replies import Endpoint, Reply, entity_tag, not_modified, picture_headers, unchanged
from wsi_dicom_server.site import site_of
from wsi_dicom_server.tiles import (
    MADE,
    TILE_HEADERS,
    made_tile,
    negotiated,
    offers,
    stored_file,
    stored_type,
    tile_tag,
    white_tile,
)


async def tile(request: Request) -> Response:
    """Raises NotFound, OutOfBounds, HTTPException (406), and what opening a slide or reading a tile raises."""
    parameters = request.path_params
    level, column, row = address = TileAddress(*(tile_number(parameters[axis]) for axis in "zxy"))
    served = await site_of(request).slides.get(parameters["series"])
    slide = served.slide
    encoding = slide.encoding(level)
    wanted = negotiated(request, offers(encoding))
    etag = tile_tag(served.tag, address, wanted)
    headers = picture_headers(wanted, *TILE_HEADERS, entity_tag(etag))
    if unchanged(request, etag):
        slide.pyramid.level(level).tile_index(column, row)
        return not_modified(headers)
    image = ServedImage(slide, FIRST_PLANE, served.tag, served)
    if encoding is not None:
        encoded = slide.encoded_tile(*address)
        if encoded is None:
            return await _missing(request, image, address)
        if wanted == stored_type(encoding):
            return Reply(200, headers, stored_file(slide, address, encoded))
    return made_tile(request, image, address, wanted, headers)


async def _missing(request: Request, image: ServedImage, address: TileAddress) -> Reply:
    """A tile that a sparse level leaves out: transparent where the format can say so, else white."""
    level, wanted = image.slide.pyramid.level(address.level), negotiated(request, MADE)
    etag = entity_tag(tile_tag(image.tag, address, wanted, "missing-"))
    body = await site_of(request).decode(request, lambda: white_tile(level, wanted, opacity=0))
    return Reply(200, picture_headers(wanted, *TILE_HEADERS, etag), body)


routes = [Route("/tiles/{series}/{z}/{x}/{y}", Endpoint(tile), methods=["GET"])]
