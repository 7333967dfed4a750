"""DICOM's own run-length encoding (PS3.5 annex G): the bytes of samples apart, each packed as by PackBits."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Final

import numpy as np

from wsi_dicom.codecs.transfer_syntaxes import RLE
from wsi_dicom.errors import CodecError
from wsi_dicom.geometry import PixelFormat
from wsi_dicom.slide import EncodedTile, Encoding, Pixels

_HEADER: Final = struct.Struct("<16I")
"""The number of segments, and where each of up to 15 begins (G.5)."""

_PADDING: Final = 16
"""Bytes that the padding behind a segment may unpack to, more of it than the one byte that G.3.1 allows."""


class RleCodec:
    """8 or 16 bits, gray or colour. A segment holds one byte of one sample of all pixels, the high byte first."""

    transfer_syntaxes: tuple[str, ...] = (RLE,)

    def encoding(self, pixel_format: PixelFormat, lossless: bool) -> Encoding:
        return Encoding(RLE, "RGB" if pixel_format.samples == 3 else "MONOCHROME2")

    def encode(self, pixels: Pixels, encoding: Encoding, quality: int) -> bytes:
        from imagecodecs import packbits_encode

        height, width = pixels.shape[:2]
        planes = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">")).view(np.uint8).reshape(height, width, -1)
        segments = []
        for plane in np.moveaxis(planes, 2, 0).copy():
            packed = bytes(packbits_encode(plane, axis=1))  # no run goes on in the next row (G.3.1)
            segments.append(packed + b"\0" * (len(packed) & 1))
        offsets = np.cumsum([_HEADER.size, *map(len, segments)])[:-1].tolist()
        header = _HEADER.pack(len(segments), *offsets, *[0] * (15 - len(segments)))
        return b"".join((header, *segments))

    def decode(self, tile: EncodedTile, width: int, height: int, pixel_format: PixelFormat) -> Pixels:
        segments = [_unpacked(segment, width * height) for segment in _segments(tile.data, pixel_format)]
        kind = np.dtype(np.uint8) if pixel_format.bits == 8 else np.dtype(">u2")
        pixels = np.stack(segments, axis=-1).view(kind).reshape(height, width, pixel_format.samples)
        return pixels.astype(kind.newbyteorder("="), copy=False)


def _segments(data: bytes, pixel_format: PixelFormat) -> list[bytes]:
    """Raises CodecError when there are not as many as bytes in a pixel, each behind the one before."""
    if len(data) < _HEADER.size:
        raise CodecError(f"broken RLE stream: {len(data)} bytes, where its header alone has {_HEADER.size}")
    count, *offsets = _HEADER.unpack_from(data)
    if count != pixel_format.bytes_per_pixel:
        raise CodecError(
            f"an RLE stream of {count} segments where {pixel_format.samples} samples of {pixel_format.bits} bits "
            f"need {pixel_format.bytes_per_pixel}"
        )
    bounds = [*offsets[:count], len(data)]
    if bounds[0] < _HEADER.size or bounds != sorted(bounds):
        raise CodecError("broken RLE stream: its segments do not follow each other")
    return [data[start:end] for start, end in pairwise(bounds)]


def _unpacked(segment: bytes, size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    from imagecodecs import PackbitsError, packbits_decode

    try:
        unpacked = packbits_decode(segment, out=size + _PADDING)
    except (PackbitsError, ValueError) as error:
        raise CodecError(f"RLE decoding failed: {error}") from error
    if len(unpacked) < size:
        raise CodecError(f"an RLE segment unpacks to {len(unpacked)} bytes where {size} are needed")
    return np.frombuffer(unpacked, np.uint8, size)
