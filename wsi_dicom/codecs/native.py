"""Uncompressed pixels (PS3.5 A.1, A.2): little endian, colour by pixel."""

from __future__ import annotations

import numpy as np

from wsi_dicom.codecs.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from wsi_dicom.errors import CodecError
from wsi_dicom.geometry import PixelFormat
from wsi_dicom.slide import EncodedTile, Encoding, Pixels


class NativeCodec:
    """8 or 16 bits, gray or colour, as they are."""

    transfer_syntaxes: tuple[str, ...] = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)

    def encoding(self, pixel_format: PixelFormat, lossless: bool) -> Encoding:
        return Encoding(EXPLICIT_VR_LITTLE_ENDIAN, "RGB" if pixel_format.samples == 3 else "MONOCHROME2")

    def encode(self, pixels: Pixels, encoding: Encoding, quality: int) -> bytes:
        return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<")).tobytes()

    def decode(self, tile: EncodedTile, width: int, height: int, pixel_format: PixelFormat) -> Pixels:
        expected = width * height * pixel_format.bytes_per_pixel
        if len(tile.data) < expected:
            raise CodecError(f"an uncompressed tile has {len(tile.data)} bytes where {expected} are needed")
        kind = np.dtype(np.uint8) if pixel_format.bits == 8 else np.dtype("<u2")
        pixels = np.frombuffer(tile.data, dtype=kind, count=expected // kind.itemsize)
        return pixels.reshape(height, width, pixel_format.samples)
