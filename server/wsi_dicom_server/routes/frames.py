"""Frames of DICOM images of any kind: IIIF images of them, and pyramids and tiles as Orthanc's plugin has them.

`{id}` is an instance, or a series whose frames are counted through its instances; `{n}` is counted from 0. Grays are
shown as the image says, or as `?window=center,width` does, in the numbers of the modality.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.dicom.frame_slide import FrameSlide
from wsi_dicom.dicom.image import shows_label
from wsi_dicom.dicom.window import voi_window
from wsi_dicom.errors import InvalidRequest, NotFound, OutOfBounds
from wsi_dicom.geometry import FIRST_PLANE, Level
from wsi_dicom.metadata import Window
from wsi_dicom.picture_file import PictureFormat, encode_picture
from wsi_dicom.render import TileAddress, jpeg_file
from wsi_dicom_server.frame_pool import ServedFrame
from wsi_dicom_server.iiif_parameters import ImageApi
from wsi_dicom_server.images import ServedImage
from wsi_dicom_server.replies import BY_ACCEPT, Reply, document, entity_tag, not_modified, picture_headers, unchanged
from wsi_dicom_server.routes.iiif_image import ImageService
from wsi_dicom_server.routes.pyramids import orthanc_pyramid
from wsi_dicom_server.routes.tiles import JPEG, PNG, decoded_tile, negotiated, tile_number
from wsi_dicom_server.site import site_of
from wsi_dicom_server.unread import MadePicture, largest_file

_NUMBER = r"([+-]?\d{1,12}(?:\.\d{1,12})?)"
_WINDOW: Final = re.compile(f"{_NUMBER},{_NUMBER}(?:,(linear|linear-exact|sigmoid))?", re.ASCII)


async def served_frame(request: Request) -> ServedFrame:
    """Raises NotFound, OutOfBounds, and what opening an image raises."""
    site, parameters = site_of(request), request.path_params
    frame = await site.frames.get(parameters["id"], frame_number(parameters["n"]))
    if site.settings.hide_labels and shows_label(frame.image.instance):
        raise NotFound(f"{parameters['id']} has no picture that may be shown")
    return frame


async def frame_image(request: Request) -> ServedImage:
    """Raises as `served_frame`, and InvalidRequest."""
    site, frame = site_of(request), await served_frame(request)
    told = request.query_params.get("window")
    query = "" if told is None else f"?window={told}"
    tag = frame.tag + query
    slide = FrameSlide(frame.image, frame.frame, site.decoded, tag, None if told is None else _window(told))
    return ServedImage(slide, FIRST_PLANE, tag, frame, query)


async def frame_pyramid(request: Request) -> Reply:
    image, parameters = await frame_image(request), request.path_params
    content = orthanc_pyramid(parameters["id"], image.slide.pyramid)
    return document(request, content | {"FrameNumber": frame_number(parameters["n"])})


async def frame_tile(request: Request) -> Response:
    """Outside of a level all is white, as Orthanc has it. PNG, or JPEG if asked for, which may be as it is stored."""
    site, parameters = site_of(request), request.path_params
    level, column, row = (tile_number(parameters[axis]) for axis in "zxy")
    image = await frame_image(request)
    slide, wanted = image.slide, negotiated(request, (PNG, JPEG))
    etag = f'"{image.tag}-{level}-{column}-{row}-{wanted[6:]}"'
    headers = picture_headers(wanted, BY_ACCEPT, entity_tag(etag))
    if unchanged(request, etag):
        return not_modified(headers)
    try:
        grid = slide.pyramid.level(level)
        grid.tile_index(column, row)
    except OutOfBounds:
        return Reply(200, headers, await site.decode(request, lambda: _white(slide.pyramid.base, wanted)))
    stored = slide.encoded_tile(level, column, row) if wanted == JPEG else None
    if stored is not None and stored.encoding.transfer_syntax == JPEG_BASELINE:
        return Reply(200, headers, jpeg_file(slide, TileAddress(level, column, row), stored))
    return MadePicture(
        headers,
        largest_file(grid.tile_width, grid.tile_height),
        lambda: site.decode(request, lambda: decoded_tile(slide, level, column, row, wanted)),
        site.unread,
    )


def frame_number(text: str) -> int:
    """Raises NotFound."""
    if text.isdigit() and text.isascii() and len(text) <= 10:
        return int(text)
    raise NotFound(f"{text[:20]!r} is not the number of a frame, counted from 0")


def _window(text: str) -> Window:
    """As in `window` of DICOMweb (PS3.18 8.3.5.1.4). Raises InvalidRequest."""
    if match := _WINDOW.fullmatch(text):
        function = (match[3] or "linear").upper().replace("-", "_")
        if (window := voi_window(float(match[1]), float(match[2]), function)) is not None:
            return window
    raise InvalidRequest(f"window {text[:40]!r}: expected center,width as in 40,400; the width at least 1")


def _white(level: Level, media_type: str) -> bytes:
    picture_format = PictureFormat.PNG if media_type == PNG else PictureFormat.JPG
    return encode_picture(np.full((level.tile_height, level.tile_width, 1), 255, np.uint8), picture_format)


_PATHS: Final = ("frames/{id}/{n}", "frames-pyramids/{id}/{n}")

routes = [
    Route("/frames-tiles/{id}/{n}/{z}/{x}/{y}", frame_tile),
    Route("/frames-pyramids/{id}/{n}", frame_pyramid),
    *(route for path in _PATHS for route in ImageService(f"/iiif/{path}", frame_image).routes),
    *(route for path in _PATHS for route in ImageService(f"/iiif/2/{path}", frame_image, ImageApi.V2).routes),
]
