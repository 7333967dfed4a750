"""JPEG baseline (PS3.5 8.2.1) through libjpeg-turbo."""

from __future__ import annotations

from typing import Final

from wsi_dicom.codecs.jpeg_markers import end_of_stream, parse_header
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.errors import CodecError
from wsi_dicom.geometry import PixelFormat
from wsi_dicom.slide import EncodedTile, Encoding, Pixels

_SUBSAMPLING: Final = {(1, 1): "444", (2, 1): "422", (2, 2): "420"}


class JpegCodec:
    """8 bits, gray or colour. Colour is stored as YCbCr with 4:2:0 chroma, as scanners do, unless told otherwise."""

    transfer_syntaxes: tuple[str, ...] = (JPEG_BASELINE,)

    def encoding(self, pixel_format: PixelFormat, lossless: bool) -> Encoding:
        if pixel_format.bits != 8:
            raise CodecError(f"JPEG baseline holds 8 bits per sample, not {pixel_format.bits}")
        if lossless:
            raise CodecError("JPEG baseline is lossy; choose a lossless compression")
        return Encoding(JPEG_BASELINE, "YBR_FULL_422" if pixel_format.samples == 3 else "MONOCHROME2")

    def encode(self, pixels: Pixels, encoding: Encoding, quality: int) -> bytes:
        from imagecodecs import Jpeg8Error, jpeg8_encode

        try:
            if pixels.shape[2] == 1:
                return bytes(jpeg8_encode(pixels[:, :, 0], level=quality))
            if encoding.photometric == "RGB":  # libjpeg then writes APP14 with transform 0
                return bytes(jpeg8_encode(pixels, level=quality, colorspace="RGB", outcolorspace="RGB"))
            subsampling = _SUBSAMPLING.get(encoding.sampling or (2, 2), "420")
            return bytes(jpeg8_encode(pixels, level=quality, subsampling=subsampling))
        except (Jpeg8Error, ValueError) as error:
            raise CodecError(f"JPEG encoding failed: {error}") from error

    def decode(self, tile: EncodedTile, width: int, height: int, pixel_format: PixelFormat) -> Pixels:
        from imagecodecs import Jpeg8Error, jpeg8_decode

        header = parse_header(tile.data)
        shape = (header.height, header.width, len(header.components))
        if shape != (height, width, pixel_format.samples) or header.bits != 8:
            raise CodecError(
                f"a JPEG stream of {header.width} x {header.height} pixels with {len(header.components)} samples of "
                f"{header.bits} bits where {width} x {height} with {pixel_format.samples} of 8 are expected"
            )
        if end_of_stream(tile.data) is None:  # libjpeg would fill what is missing with gray
            raise CodecError("the JPEG stream is cut off: it does not end with FF D9")
        stored = None  # libjpeg reads the colour from the stream; only a silent stream needs the photometric value
        if pixel_format.samples == 3 and header.colour is None:
            stored = "RGB" if tile.encoding.photometric == "RGB" else "YCBCR"
        try:
            pixels: Pixels = jpeg8_decode(tile.data, colorspace=stored, outcolorspace="RGB" if stored else None)
        except (Jpeg8Error, ValueError) as error:
            raise CodecError(f"JPEG decoding failed: {error}") from error
        return pixels.reshape(shape)
