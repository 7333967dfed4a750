"""JPEG XL (ISO 18181, PS3.5 8.2.15) through libjxl: lossless pixels, and JPEG streams that come back bit by bit."""

from __future__ import annotations

from typing import Final

from wsi_dicom.codecs.jpeg import JpegCodec
from wsi_dicom.codecs.jpegxl_header import holds_jpeg, parse_header
from wsi_dicom.codecs.stream_shape import check_shape
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE, JPEG_XL, JPEG_XL_LOSSLESS, JPEG_XL_RECOMPRESSION
from wsi_dicom.errors import CodecError
from wsi_dicom.geometry import PixelFormat
from wsi_dicom.slide import EncodedTile, Encoding, Pixels

_EFFORT: Final = 1
"""The fastest: as small as HTJ2K at thrice its speed. Effort 3 saves another tenth at a thirtieth of the speed."""


class JpegXlCodec:
    """8 or 16 bits, gray or colour, lossless; or a JPEG stream of 8 bits in JPEG XL's clothes."""

    transfer_syntaxes: tuple[str, ...] = (JPEG_XL_LOSSLESS, JPEG_XL_RECOMPRESSION, JPEG_XL)

    def __init__(self) -> None:
        self._jpeg = JpegCodec()

    def encoding(self, pixel_format: PixelFormat, lossless: bool) -> Encoding:
        if not lossless:
            return Encoding(JPEG_XL_RECOMPRESSION, self._jpeg.encoding(pixel_format, lossless).photometric)
        return Encoding(JPEG_XL_LOSSLESS, "RGB" if pixel_format.samples == 3 else "MONOCHROME2")

    def encode(self, pixels: Pixels, encoding: Encoding, quality: int) -> bytes:
        from imagecodecs import JpegxlError, jpegxl_encode

        if encoding.transfer_syntax == JPEG_XL_RECOMPRESSION:
            return recompress(self._jpeg.encode(pixels, _as_jpeg(encoding), quality))
        if encoding.photometric == "XYB":
            raise CodecError("JPEG XL with XYB colours can only be read; choose another compression")
        samples = pixels if pixels.shape[2] > 1 else pixels[:, :, 0]
        try:
            return bytes(jpegxl_encode(samples, effort=_EFFORT, lossless=True, usecontainer=False, numthreads=1))
        except (JpegxlError, ValueError) as error:
            raise CodecError(f"JPEG XL encoding failed: {error}") from error

    def decode(self, tile: EncodedTile, width: int, height: int, pixel_format: PixelFormat) -> Pixels:
        from imagecodecs import jpegxl_decode

        check_shape("JPEG XL", parse_header(tile.data), width, height, pixel_format)
        if holds_jpeg(tile.data):
            jpeg = restore(tile.data, largest=2 * width * height * pixel_format.samples + (1 << 16))
            return self._jpeg.decode(EncodedTile(jpeg, _as_jpeg(tile.encoding)), width, height, pixel_format)
        try:
            pixels: Pixels = jpegxl_decode(tile.data, numthreads=1)
            return pixels.reshape(height, width, pixel_format.samples)
        except (RuntimeError, ValueError) as error:  # imagecodecs raises both, beside its own kind of the first
            raise CodecError(f"JPEG XL decoding failed: {error}") from error


def recompress(jpeg: bytes) -> bytes:
    """A JPEG stream in JPEG XL, about a seventh smaller, that `restore` gives back bit by bit. Raises CodecError."""
    from imagecodecs import JpegxlError, jpegxl_encode_jpeg

    try:
        return bytes(jpegxl_encode_jpeg(jpeg, usecontainer=True, numthreads=1))
    except (JpegxlError, ValueError) as error:
        raise CodecError(f"this JPEG stream cannot be recompressed as JPEG XL: {error}") from error


def restore(stream: bytes, largest: int) -> bytes:
    """The JPEG stream that was recompressed, of at most `largest` bytes. Raises CodecError."""
    from imagecodecs import JpegxlError, jpegxl_decode_jpeg

    try:
        return bytes(jpegxl_decode_jpeg(stream, numthreads=1, out=largest))
    except (JpegxlError, ValueError) as error:
        raise CodecError(f"the JPEG stream within JPEG XL cannot be restored: {error}") from error


def _as_jpeg(encoding: Encoding) -> Encoding:
    """Sampled as the level's, unless libjxl does not hold that: it knows chroma of half the width, not of a quarter."""
    held = encoding.sampling is not None and max(encoding.sampling) <= 2
    return Encoding(JPEG_BASELINE, encoding.photometric, encoding.sampling if held else None)
