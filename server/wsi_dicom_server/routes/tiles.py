"""`/tiles/{series}/{z}/{x}/{y}`: one stored tile, as Orthanc's whole-slide plugin has it; z = 0 is the finest level.

A stored tile is read and sent right here in the event loop: two reads from the page cache take microseconds, while a
hop to a thread costs three quarters of the throughput.
"""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from wsi_dicom.codecs.transfer_syntaxes import JPEG_2000, JPEG_2000_LOSSLESS, JPEG_BASELINE
from wsi_dicom.errors import NotFound, WsiError
from wsi_dicom.geometry import Level
from wsi_dicom.picture_file import PictureFormat, encode_picture
from wsi_dicom.render import jpeg_file
from wsi_dicom.slide import EncodedTile, Encoding, Slide
from wsi_dicom_server.addresses import own_path
from wsi_dicom_server.negotiation import preferred
from wsi_dicom_server.replies import BY_ACCEPT, Endpoint, Reply, header, not_modified, picture, unchanged
from wsi_dicom_server.site import Site, site_of
from wsi_dicom_server.slide_pool import ServedSlide

JPEG, PNG, _JP2 = "image/jpeg", "image/png", "image/jp2"
_STORED_AS: Final = {JPEG_BASELINE: JPEG, JPEG_2000: _JP2, JPEG_2000_LOSSLESS: _JP2}
# JPEG 2000 is sent only to who asks for it: browsers do not show it.
_OFFERS: Final = {JPEG: (JPEG, PNG), _JP2: (PNG, JPEG, _JP2), None: (PNG, JPEG)}


async def tile(request: Request) -> Reply:
    site, parameters = site_of(request), request.path_params
    level, column, row = tile_number(parameters["z"]), tile_number(parameters["x"]), tile_number(parameters["y"])
    served = await site.slides.get(parameters["series"])
    slide = served.slide
    encoding = slide.encoding(level)
    wanted = negotiated(request, _offers(encoding))
    etag = _tag(served, level, column, row, wanted)
    if unchanged(request, etag):
        slide.pyramid.level(level).tile_index(column, row)
        return not_modified(etag, BY_ACCEPT)
    if encoding is not None:
        encoded = slide.encoded_tile(level, column, row)
        if encoded is None:
            grid = slide.pyramid.level(level)
            wanted = negotiated(request, (PNG, JPEG))
            body = await site.decode(request, lambda: _missing(grid, wanted))
            return picture(body, wanted, _tag(served, level, column, row, wanted, "missing-"), BY_ACCEPT)
        if wanted == _STORED_AS.get(encoding.transfer_syntax):
            return _stored(encoded, wanted, etag)
    body = await site.decode(request, lambda: decoded_tile(slide, level, column, row, wanted))
    return picture(body, wanted, etag, BY_ACCEPT)


class StoredTiles:
    """Answers a request for a stored tile of an open slide by itself; all others go on to the routes: pure ASGI.

    The way through Starlette's routes takes as long as reading the tile and sending it (docs/performance.md).
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reply = _at_once(scope) if scope["type"] == "http" and scope["method"] == "GET" else None
        await (self.app if reply is None else reply)(scope, receive, send)


def _at_once(scope: Scope) -> Reply | None:
    """What `tile` would answer; None wherever that is not simply a stored tile."""
    parts = own_path(scope).removeprefix("/wsi").split("/")
    if len(parts) != 6 or parts[1] != "tiles":
        return None
    site: Site = scope["app"].site
    served = site.slides.ready(parts[2])
    if served is None:
        return None
    try:
        level, column, row = tile_number(parts[3]), tile_number(parts[4]), tile_number(parts[5])
        encoding = served.slide.encoding(level)
        accept = b""
        for name, value in scope["headers"]:
            if name == b"if-none-match":
                return None
            if name == b"accept":
                accept += b"," + value if accept else value
        wanted = preferred(accept.decode("latin-1"), _offers(encoding))
        if encoding is None or wanted is None or wanted != _STORED_AS.get(encoding.transfer_syntax):
            return None
        encoded = served.slide.encoded_tile(level, column, row)
        return None if encoded is None else _stored(encoded, wanted, _tag(served, level, column, row, wanted))
    except WsiError:  # told by the route
        return None


def _stored(tile: EncodedTile, media_type: str, etag: str) -> Reply:
    return picture(jpeg_file(tile) if media_type == JPEG else tile.data, media_type, etag, BY_ACCEPT)


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
    return encode_picture(slide.tile(level, column, row), picture_format, window=slide.metadata.window)


def _missing(level: Level, media_type: str) -> bytes:
    """A tile that a sparse level leaves out: transparent where the format can say so, else white."""
    from PIL import Image

    if media_type == JPEG:
        return encode_picture(np.full((level.tile_height, level.tile_width, 3), 255, np.uint8), PictureFormat.JPG)
    buffer = io.BytesIO()
    Image.new("LA", (level.tile_width, level.tile_height), (255, 0)).save(buffer, "PNG")
    return buffer.getvalue()


routes = [Route("/tiles/{series}/{z}/{x}/{y}", Endpoint(tile), methods=["GET"])]
