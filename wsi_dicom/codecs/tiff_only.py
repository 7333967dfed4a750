"""Compressions that TIFF has and DICOM has not: LZW, Deflate and Zstandard after a predictor, and WebP."""

from __future__ import annotations

from typing import Final

import numpy as np

from wsi_dicom.codecs.transfer_syntaxes import TIFF_DEFLATE, TIFF_LZW, TIFF_WEBP, TIFF_ZSTD, transfer_syntax_name
from wsi_dicom.errors import CodecError
from wsi_dicom.geometry import PixelFormat
from wsi_dicom.slide import EncodedTile, Encoding, Pixels

_WEBP_METHOD: Final = 3
"""Of 0 (quick) to 6 (small)."""


class PredictedCodec:
    """One of the general compressions, of 8 or 16 bits, gray or colour, little endian.

    Each sample is stored as its difference from the one to its left: Predictor 2 of TIFF (TIFF 6.0, section 14).
    """

    def __init__(self, transfer_syntax: str) -> None:
        self._syntax = transfer_syntax
        self.transfer_syntaxes: tuple[str, ...] = (transfer_syntax,)

    def encoding(self, pixel_format: PixelFormat, lossless: bool) -> Encoding:
        return Encoding(self._syntax, "RGB" if pixel_format.samples == 3 else "MONOCHROME2")

    def encode(self, pixels: Pixels, encoding: Encoding, quality: int) -> bytes:
        import imagecodecs

        packs = {
            TIFF_LZW: imagecodecs.lzw_encode,
            TIFF_DEFLATE: imagecodecs.deflate_encode,
            TIFF_ZSTD: imagecodecs.zstd_encode,
        }
        differences = np.asarray(imagecodecs.delta_encode(np.ascontiguousarray(pixels), axis=1))
        little = differences.astype(differences.dtype.newbyteorder("<"), copy=False)
        return bytes(packs[self._syntax](little.tobytes()))

    def decode(self, tile: EncodedTile, width: int, height: int, pixel_format: PixelFormat) -> Pixels:
        import imagecodecs

        unpacks = {
            TIFF_LZW: imagecodecs.lzw_decode,
            TIFF_DEFLATE: imagecodecs.deflate_decode,
            TIFF_ZSTD: imagecodecs.zstd_decode,
        }
        size, name = width * height * pixel_format.bytes_per_pixel, transfer_syntax_name(self._syntax)
        try:
            found = bytes(unpacks[self._syntax](tile.data, out=size + 1))  # LZW would be cut off in silence
        except (RuntimeError, ValueError) as error:  # the errors of imagecodecs have no narrower common class
            raise CodecError(f"{name} decoding failed: {error}") from error
        if len(found) != size:
            raise CodecError(f"{name}: not the {size} bytes that a tile of {width} x {height} pixels has")
        kind = np.dtype(np.uint8) if pixel_format.bits == 8 else np.dtype("<u2")
        differences = np.frombuffer(found, kind).reshape(height, width, pixel_format.samples)
        return np.asarray(imagecodecs.delta_decode(differences, axis=1))


class WebpCodec:
    """Colour of 8 bits, lossy."""

    transfer_syntaxes: tuple[str, ...] = (TIFF_WEBP,)

    def encoding(self, pixel_format: PixelFormat, lossless: bool) -> Encoding:
        if (pixel_format.samples, pixel_format.bits) != (3, 8):
            raise CodecError(
                f"WebP holds colour, 8 bits per sample, not {pixel_format.bits}, {pixel_format.samples} samples a pixel"
            )
        if lossless:
            raise CodecError("WebP is written lossy only")
        return Encoding(TIFF_WEBP, "RGB")

    def encode(self, pixels: Pixels, encoding: Encoding, quality: int) -> bytes:
        from imagecodecs import webp_encode

        return bytes(webp_encode(np.ascontiguousarray(pixels), level=quality, lossless=False, method=_WEBP_METHOD))

    def decode(self, tile: EncodedTile, width: int, height: int, pixel_format: PixelFormat) -> Pixels:
        from imagecodecs import webp_decode

        self.encoding(pixel_format, lossless=False)
        pixels: Pixels = np.empty((height, width, 3), np.uint8)
        try:
            webp_decode(tile.data, hasalpha=False, out=pixels)
        except (RuntimeError, ValueError) as error:  # the errors of imagecodecs have no narrower common class
            raise CodecError(f"WebP decoding failed, or has another size than {width} x {height}: {error}") from error
        return pixels
