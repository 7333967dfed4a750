"""Frames of DICOM images of any kind: IIIF images of them, and pyramids and tiles as Orthanc's plugin has them.

`{id}` is an instance, or a series whose frames are counted through its instances; `{n}` is counted from 0. Grays are
shown as the image says, or as `?window=center,width` does, in the numbers of the modality.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wsi_dicom.errors import OutOfBounds
from wsi_dicom.render import TileAddress
from wsi_dicom_server.addresses import frame_number, tile_number
from wsi_dicom_server.iiif_parameters import ImageApi
from wsi_dicom_server.image_identifiers import ServedImage, frame_image
from wsi_dicom_server.image_service import ImageService
from wsi_dicom_server.replies import Reply, document, entity_tag, not_modified, picture_headers, unchanged
from wsi_dicom_server.routes.pyramids import orthanc_pyramid
from wsi_dicom_server.site import site_of
from wsi_dicom_server.tiles import (
    JPEG,
    MADE,
    TILE_HEADERS,
    made_tile,
    negotiated,
    stored_file,
    stored_type,
    tile_tag,
    white_tile,
)


async def _image(request: Request) -> ServedImage:
    """Raises as `frame_image`."""
    parameters, window = request.path_params, request.query_params.get("window")
    return await frame_image(site_of(request), parameters["id"], frame_number(parameters["n"]), window)


async def frame_pyramid(request: Request) -> Reply:
    image, parameters = await _image(request), request.path_params
    content = orthanc_pyramid(parameters["id"], image.slide.pyramid)
    return document(request, content | {"FrameNumber": frame_number(parameters["n"])})


async def frame_tile(request: Request) -> Response:
    """Outside of a level all is white, as Orthanc has it. PNG, or JPEG if asked for, which may be as it is stored."""
    level, column, row = address = TileAddress(*(tile_number(request.path_params[axis]) for axis in "zxy"))
    image = await _image(request)
    slide, wanted = image.slide, negotiated(request, MADE)
    etag = tile_tag(image.tag, address, wanted)
    headers = picture_headers(wanted, *TILE_HEADERS, entity_tag(etag))
    if unchanged(request, etag):
        return not_modified(headers)
    try:
        slide.pyramid.level(level).tile_index(column, row)
    except OutOfBounds:
        base = slide.pyramid.base
        return Reply(200, headers, await site_of(request).decode(request, lambda: white_tile(base, wanted, 255)))
    if wanted == JPEG == stored_type(slide.encoding(level)):
        stored = slide.encoded_tile(*address)
        if stored is not None:
            return Reply(200, headers, stored_file(slide, address, stored))
    return made_tile(request, image, address, wanted, headers)


_PATHS: Final = ("frames/{id}/{n}", "frames-pyramids/{id}/{n}")

routes = [
    Route("/frames-tiles/{id}/{n}/{z}/{x}/{y}", frame_tile),
    Route("/frames-pyramids/{id}/{n}", frame_pyramid),
    *(route for path in _PATHS for route in ImageService(f"/iiif/{path}", _image).routes),
    *(route for path in _PATHS for route in ImageService(f"/iiif/2/{path}", _image, ImageApi.V2).routes),
]
