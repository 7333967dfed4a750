"""Tiles as answers: as they are stored, or made, always in the colours that are stored."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from wsi_dicom.codecs.transfer_syntaxes import JPEG_2000, JPEG_2000_LOSSLESS, JPEG_BASELINE
from wsi_dicom.errors import WsiError
from wsi_dicom.geometry import Level
from wsi_dicom.picture_file import PictureFormat, encode_picture
from wsi_dicom.render import TileAddress, jpeg_file
from wsi_dicom.slide import EncodedTile, Encoding, Slide
from wsi_dicom_server.image_identifiers import ServedImage
from wsi_dicom_server.negotiation import preferred
from wsi_dicom_server.replies import BY_ACCEPT, Headers, header
from wsi_dicom_server.site import Site, site_of
from wsi_dicom_server.unread import MadePicture, largest_file

JPEG, PNG, _JP2 = "image/jpeg", "image/png", "image/jp2"
MADE: Final = (PNG, JPEG)
"""What decoded tiles are sent as; the first one unless the other is preferred."""
TILE_HEADERS: Final = (BY_ACCEPT,)
_STORED_AS: Final = {JPEG_BASELINE: JPEG, JPEG_2000: _JP2, JPEG_2000_LOSSLESS: _JP2}
# JPEG 2000 is sent only to who asks for it: browsers do not show it.
_OFFERS: Final = {JPEG: (JPEG, PNG), _JP2: (PNG, JPEG, _JP2), None: MADE}
_FORMATS: Final = {JPEG: PictureFormat.JPG, PNG: PictureFormat.PNG}


class StoredTile(NamedTuple):
    """A picture file, as it is stored."""

    body: bytes
    media_type: str
    etag: str


def tile_at_once(site: Site, series: str, level: int, column: int, row: int, accept: str) -> StoredTile | None:
    """What `/tiles` would send; None wherever that is not simply a stored tile of an open slide. For `TileProtocol`."""
    served = site.slides.ready(series)
    if served is None:
        return None
    try:
        address = TileAddress(level, column, row)
        encoded = served.slide.encoded_tile(*address)
        wanted = None if encoded is None else _stored_and_liked(encoded.encoding.transfer_syntax, accept)
        if encoded is None or wanted is None:
            return None
        body = stored_file(served.slide, address, encoded)
        return StoredTile(body, wanted, tile_tag(served.tag, address, wanted))
    except WsiError:  # told by the route
        return None


def stored_file(slide: Slide, address: TileAddress, tile: EncodedTile) -> bytes:
    """A stored tile as a file of its `stored_type`. Raises CodecError."""
    return jpeg_file(slide, address, tile) if tile.encoding.transfer_syntax == JPEG_BASELINE else tile.data


def stored_type(encoding: Encoding | None) -> str | None:
    """The media type of tiles as they are stored; None where they have to be decoded."""
    return _STORED_AS.get(encoding.transfer_syntax) if encoding is not None else None


def offers(encoding: Encoding | None) -> tuple[str, ...]:
    """The media types that tiles stored so can be sent as, the best one first."""
    return _OFFERS[stored_type(encoding)]


def negotiated(request: Request, offered: tuple[str, ...]) -> str:
    """The media type that the client likes best. Raises HTTPException (406) when it takes none."""
    wanted = preferred(header(request, b"accept"), offered)
    if wanted is None:
        raise HTTPException(406, f"this tile can be sent as {', '.join(offered)}")
    return wanted


def made_tile(
    request: Request, image: ServedImage, address: TileAddress, media_type: str, headers: Headers
) -> Response:
    """A tile that is decoded, once for all who ask.

    Its colours stay as they are: it is shown beside tiles that go out as stored. Raises OutOfBounds (no such level);
    the answer raises, once it is sent, as `Slide.tile` does.
    """
    site, slide = site_of(request), image.slide
    grid = slide.pyramid.level(address.level)

    def made() -> bytes:
        window, quality = slide.metadata.window_of(0), site.settings.jpeg_quality
        return encode_picture(slide.tile(*address), _FORMATS[media_type], jpeg_quality=quality, window=window)

    return MadePicture(
        headers,
        largest_file(grid.tile_width, grid.tile_height),
        lambda: site.answers.get((image.tag, address, media_type), lambda: site.decode(request, made)),
        site.unread,
    )


def white_tile(level: Level, media_type: str, opacity: int) -> bytes:
    """`opacity` is from 0 to 255, where the format knows transparency."""
    pixels = np.full((level.tile_height, level.tile_width, 2), (255, opacity), np.uint8)
    return encode_picture(pixels, _FORMATS[media_type])


def tile_tag(tag: str, address: TileAddress, media_type: str, kind: str = "") -> str:
    """The entity tag of a tile of what has this `tag`."""
    level, column, row = address
    return f'"{tag}-{level}-{column}-{row}-{kind}{media_type[6:]}"'


@lru_cache
def _stored_and_liked(transfer_syntax: str, accept: str) -> str | None:
    """The media type of what is stored, if it is the one that the client likes best."""
    stored = _STORED_AS.get(transfer_syntax)
    return stored if stored is not None and preferred(accept, _OFFERS[stored]) == stored else None
