"""Deflated image frames (RFC 1951, PS3.5 8.2.16): each frame's uncompressed pixels in a stream without any wrapper."""

from __future__ import annotations

from wsi_dicom.codecs.native import NativeCodec
from wsi_dicom.codecs.transfer_syntaxes import DEFLATED_IMAGE_FRAME
from wsi_dicom.errors import CodecError
from wsi_dicom.geometry import PixelFormat
from wsi_dicom.slide import EncodedTile, Encoding, Pixels


class DeflatedCodec:
    """8 or 16 bits, gray or colour, through libdeflate."""

    transfer_syntaxes: tuple[str, ...] = (DEFLATED_IMAGE_FRAME,)

    def __init__(self) -> None:
        self._native = NativeCodec()

    def encoding(self, pixel_format: PixelFormat, lossless: bool) -> Encoding:
        return Encoding(DEFLATED_IMAGE_FRAME, self._native.encoding(pixel_format, lossless).photometric)

    def encode(self, pixels: Pixels, encoding: Encoding, quality: int) -> bytes:
        from imagecodecs import deflate_encode

        return bytes(deflate_encode(self._native.encode(pixels, encoding, quality), raw=True))

    def decode(self, tile: EncodedTile, width: int, height: int, pixel_format: PixelFormat) -> Pixels:
        from imagecodecs import DeflateError, deflate_decode

        largest = width * height * pixel_format.bytes_per_pixel
        try:
            inflated = bytes(deflate_decode(tile.data, raw=True, out=largest))
        except (DeflateError, ValueError) as error:
            raise CodecError(f"inflating failed, or gives more than {largest} bytes: {error}") from error
        return self._native.decode(EncodedTile(inflated, tile.encoding), width, height, pixel_format)
