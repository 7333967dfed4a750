"""Whether streams of compressions that may lose something did so, by what they say of themselves."""

from __future__ import annotations

import math
import struct
from typing import Final

from wsi_dicom.codecs.jpegxl_header import holds_jpeg, is_lossless
from wsi_dicom.codecs.transfer_syntaxes import JPEG_XL as JPEG_XL_SYNTAX
from wsi_dicom.codecs.transfer_syntaxes import JPEG_XL_RECOMPRESSION, lossy_method
from wsi_dicom.errors import CodecError
from wsi_dicom.tiff.codecs import lerc_blob
from wsi_dicom.tiff.layout import JPEG_XL, JPEG_XR, LERC, WEBP, TiffLayout

_JPEG_XR_IMAGE: Final = b"WMPHOTO\0"
_LERC_ERROR_AT: Final = {2: 34, 3: 38, 4: 42, 5: 42, 6: 50}  # by version of the format
_LOSSLESS_ERROR: Final = 0.5
"""Of whole numbers: what LERC may be wrong by, and is not."""


def stored_loss(layout: TiffLayout, tile: bytes) -> str | None:
    """What a level lost, as Slide.lossy_method, by one of its stored tiles; None when it lost nothing.

    DICOM has terms for its own compressions only; for the others the name is that of the compression. Where a stream
    does not tell, something may be lost.
    """
    if layout.compression in WEBP:
        return None if _webp_is_lossless(tile) else "WEBP"
    if layout.compression in LERC:
        return None if _lerc_error(layout, tile) <= _LOSSLESS_ERROR else "LERC"
    if layout.compression in JPEG_XR:
        return None if _jpeg_xr_is_lossless(tile) else "ISO_29199_2"
    if layout.compression in JPEG_XL:
        return _jpeg_xl_loss(tile)
    return None


def _webp_is_lossless(tile: bytes) -> bool:
    """By the first chunk with pixels (RFC 9649 2.5 and 2.6); those before it have sizes of their own."""
    position = 12
    while position + 8 <= len(tile):
        kind, size = struct.unpack_from("<4sI", tile, position)
        if kind in (b"VP8L", b"VP8 "):
            return bool(kind == b"VP8L")
        position += 8 + size + size % 2
    return False


def _lerc_error(layout: TiffLayout, tile: bytes) -> float:
    """Field maxZError of a LERC2 blob; of what is none, infinite."""
    try:
        blob = lerc_blob(layout, tile)
    except CodecError:
        return math.inf
    if not blob.startswith(b"Lerc2 ") or len(blob) < 58:
        return math.inf
    (version,) = struct.unpack_from("<i", blob, 6)
    at = _LERC_ERROR_AT.get(version)
    return float(struct.unpack_from("<d", blob, at)[0]) if at else math.inf


def _jpeg_xr_is_lossless(tile: bytes) -> bool:
    """By SCALED_FLAG of the image plane (ITU-T T.832 8.4): arithmetic is scaled where coefficients are rounded off."""
    start = tile.find(_JPEG_XR_IMAGE, 0, 4096)
    if start < 0 or start + 20 > len(tile):
        return False
    flags = tile[start + 9 : start + 12]
    tiled, short, windowed = flags[0] & 0x80, flags[1] & 0x80, flags[1] & 0x20
    if tiled or windowed:
        return False  # fields of many lengths lie between: nobody writes them
    plane = tile[start + 12 + (4 if short else 8)]
    return not plane & 0x10


def _jpeg_xl_loss(tile: bytes) -> str | None:
    try:
        if holds_jpeg(tile):
            return lossy_method(JPEG_XL_RECOMPRESSION)
        return None if is_lossless(tile) else lossy_method(JPEG_XL_SYNTAX)
    except CodecError:  # one that says more than the header of a plain picture
        return lossy_method(JPEG_XL_SYNTAX)
