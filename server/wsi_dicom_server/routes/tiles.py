"""`/tiles/{series}/{z}/{x}/{y}`: one stored tile, as Orthanc's whole-slide plugin has it; z = 0 is the finest level.

A stored tile is read and sent right here in the event loop: two reads from the page cache take microseconds, while a
hop to a thread costs three quarters of the throughput. Nearly all of them do not even come here (tile_protocol.py).
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wsi_dicom.codecs.transfer_syntaxes import JPEG_2000, JPEG_2000_LOSSLESS, JPEG_BASELINE
from wsi_dicom.errors import NotFound, WsiError
from wsi_dicom.geometry import Level
from wsi_dicom.picture_file import PictureFormat, encode_picture
from wsi_dicom.render import TileAddress, jpeg_file
from wsi_dicom.slide import EncodedTile, Encoding, Slide
from wsi_dicom_server.negotiation import preferred
from wsi_dicom_server.replies import (
    BY_ACCEPT,
    Endpoint,
    Reply,
    entity_tag,
    header,
    not_modified,
    picture_headers,
    unchanged,
)
from wsi_dicom_server.site import Site, site_of
from wsi_dicom_server.slide_pool import ServedSlide
from wsi_dicom_server.unread import MadePicture, largest_file

JPEG, PNG, _JP2 = "image/jpeg", "image/png", "image/jp2"
_STORED_AS: Final = {JPEG_BASELINE: JPEG, JPEG_2000: _JP2, JPEG_2000_LOSSLESS: _JP2}
TILE_HEADERS: Final = (BY_ACCEPT,)
# JPEG 2000 is sent only to who asks for it: browsers do not show it.
_OFFERS: Final = {JPEG: (JPEG, PNG), _JP2: (PNG, JPEG, _JP2), None: (PNG, JPEG)}


async def tile(request: Request) -> Response:
    site, parameters = site_of(request), request.path_params
    level, column, row = tile_number(parameters["z"]), tile_number(parameters["x"]), tile_number(parameters["y"])
    served = await site.slides.get(parameters["series"])
    slide = served.slide
    encoding = slide.encoding(level)
    wanted = negotiated(request, _offers(encoding))
    etag = _tag(served, level, column, row, wanted)
    headers = picture_headers(wanted, *TILE_HEADERS, entity_tag(etag))
    if unchanged(request, etag):
        slide.pyramid.level(level).tile_index(column, row)
        return not_modified(headers)
    if encoding is not None:
        encoded = slide.encoded_tile(level, column, row)
        if encoded is None:
            grid = slide.pyramid.level(level)
            wanted = negotiated(request, (PNG, JPEG))
            missing = entity_tag(_tag(served, level, column, row, wanted, "missing-"))
            body = await site.decode(request, lambda: _missing(grid, wanted))
            return Reply(200, picture_headers(wanted, *TILE_HEADERS, missing), body)
        if wanted == _STORED_AS.get(encoding.transfer_syntax):
            return Reply(200, headers, _stored_body(slide, TileAddress(level, column, row), encoded, wanted))
    grid = slide.pyramid.level(level)
    return MadePicture(
        headers,
        largest_file(grid.tile_width, grid.tile_height),
        lambda: site.decode(request, lambda: decoded_tile(slide, level, column, row, wanted)),
        site.unread,
    )


class StoredTile(NamedTuple):
    """A picture file, as it is stored."""

    body: bytes
    media_type: str
    etag: str


def tile_at_once(site: Site, series: str, level: int, column: int, row: int, accept: str) -> StoredTile | None:
    """What `tile` would send; None wherever that is not simply a stored tile of an open slide. For `TileProtocol`."""
    served = site.slides.ready(series)
    if served is None:
        return None
    try:
        encoded = served.slide.encoded_tile(level, column, row)
        wanted = None if encoded is None else _stored_as(encoded.encoding.transfer_syntax, accept)
        if encoded is None or wanted is None:
            return None
        body = _stored_body(served.slide, TileAddress(level, column, row), encoded, wanted)
        return StoredTile(body, wanted, _tag(served, level, column, row, wanted))
    except WsiError:  # told by the route
        return None


@lru_cache
def _stored_as(transfer_syntax: str, accept: str) -> str | None:
    """The media type of what is stored, if it is the one that the client likes best."""
    stored = _STORED_AS.get(transfer_syntax)
    return stored if stored is not None and preferred(accept, _OFFERS[stored]) == stored else None


def _stored_body(slide: Slide, address: TileAddress, tile: EncodedTile, media_type: str) -> bytes:
    return jpeg_file(slide, address, tile) if media_type == JPEG else tile.data


def _tag(served: ServedSlide, level: int, column: int, row: int, media_type: str, kind: str = "") -> str:
    return f'"{served.tag}-{level}-{column}-{row}-{kind}{media_type[6:]}"'


def _offers(encoding: Encoding | None) -> tuple[str, ...]:
    return _OFFERS[_STORED_AS.get(encoding.transfer_syntax) if encoding is not None else None]


def tile_number(text: str) -> int:
    """Raises NotFound: also a negative or enormous number names no tile."""
    if text.isdigit() and text.isascii() and len(text) < 10:
        return int(text)
    raise NotFound(f"{text[:20]!r} is not the number of a level, column or row of tiles")


def negotiated(request: Request, offers: tuple[str, ...]) -> str:
    wanted = preferred(header(request, b"accept"), offers)
    if wanted is None:
        raise HTTPException(406, f"this tile can be sent as {', '.join(offers)}")
    return wanted


def decoded_tile(slide: Slide, level: int, column: int, row: int, media_type: str) -> bytes:
    picture_format = PictureFormat.PNG if media_type == PNG else PictureFormat.JPG
    return encode_picture(slide.tile(level, column, row), picture_format, window=slide.metadata.window_of(0))


def _missing(level: Level, media_type: str) -> bytes:
    """A tile that a sparse level leaves out: transparent where the format can say so, else white."""
    from PIL import Image

    if media_type == JPEG:
        return encode_picture(np.full((level.tile_height, level.tile_width, 3), 255, np.uint8), PictureFormat.JPG)
    buffer = io.BytesIO()
    Image.new("LA", (level.tile_width, level.tile_height), (255, 0)).save(buffer, "PNG")
    return buffer.getvalue()


routes = [Route("/tiles/{series}/{z}/{x}/{y}", Endpoint(tile), methods=["GET"])]
