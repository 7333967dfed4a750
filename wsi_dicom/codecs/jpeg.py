"""JPEG (PS3.5 8.2.1) through libjpeg-turbo: baseline; extended and lossless as old archives have them."""

from __future__ import annotations

from typing import Any, Final

from wsi_dicom.codecs.jpeg_markers import end_of_stream, parse_header
from wsi_dicom.codecs.stream_shape import check_shape
from wsi_dicom.codecs.transfer_syntaxes import (
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS,
    JPEG_LOSSLESS_SV1,
)
from wsi_dicom.errors import CodecError
from wsi_dicom.geometry import PixelFormat
from wsi_dicom.slide import EncodedTile, Encoding, Pixels

_SUBSAMPLING: Final = {(1, 1): "444", (2, 1): "422", (2, 2): "420"}


class JpegCodec:
    """8 bits, gray or colour. Colour is stored as YCbCr with 4:2:0 chroma, as scanners do, unless told otherwise.

    Extended and lossless streams may have up to 16 bits; fewer are not scaled to 16. `encoding` never chooses them.
    """

    transfer_syntaxes: tuple[str, ...] = (JPEG_BASELINE, JPEG_EXTENDED, JPEG_LOSSLESS, JPEG_LOSSLESS_SV1)

    def encoding(self, pixel_format: PixelFormat, lossless: bool) -> Encoding:
        if pixel_format.bits != 8:
            raise CodecError(f"JPEG baseline holds 8 bits per sample, not {pixel_format.bits}")
        if lossless:
            raise CodecError("JPEG baseline is lossy; choose a lossless compression")
        return Encoding(JPEG_BASELINE, "YBR_FULL_422" if pixel_format.samples == 3 else "MONOCHROME2")

    def encode(self, pixels: Pixels, encoding: Encoding, quality: int) -> bytes:
        from imagecodecs import Jpeg8Error, jpeg8_encode

        lossless = encoding.transfer_syntax in (JPEG_LOSSLESS, JPEG_LOSSLESS_SV1)
        if pixels.itemsize > 1 and not lossless:
            raise CodecError(f"lossy JPEG is written with 8 bits per sample, not {8 * pixels.itemsize}")
        options: dict[str, Any] = {}
        if pixels.shape[2] == 3 and encoding.photometric == "RGB":  # libjpeg then writes APP14 with transform 0
            options = {"colorspace": "RGB", "outcolorspace": "RGB"}
        elif pixels.shape[2] == 3:
            options = {"subsampling": _SUBSAMPLING.get(encoding.sampling or (2, 2), "420")}
        if lossless:
            options |= {"lossless": True, "predictor": 1, "bitspersample": 8 * pixels.itemsize}
        try:
            samples = pixels if pixels.shape[2] > 1 else pixels[:, :, 0]
            return bytes(jpeg8_encode(samples, level=quality, **options))
        except (Jpeg8Error, ValueError) as error:
            raise CodecError(f"JPEG encoding failed: {error}") from error

    def decode(self, tile: EncodedTile, width: int, height: int, pixel_format: PixelFormat) -> Pixels:
        from imagecodecs import Jpeg8Error, jpeg8_decode

        header = parse_header(tile.data)
        check_shape("JPEG", header.shape, width, height, pixel_format)
        if end_of_stream(tile.data) is None:  # libjpeg would fill what is missing with gray
            raise CodecError("the JPEG stream is cut off: it does not end with FF D9")
        stored = None  # libjpeg reads the colour from the stream; only a silent stream needs the photometric value
        if pixel_format.samples == 3 and header.colour is None:
            stored = "RGB" if tile.encoding.photometric == "RGB" else "YCBCR"
        try:
            pixels: Pixels = jpeg8_decode(tile.data, colorspace=stored, outcolorspace="RGB" if stored else None)
        except (Jpeg8Error, ValueError) as error:
            raise CodecError(f"JPEG decoding failed: {error}") from error
        return pixels.reshape(height, width, pixel_format.samples)
