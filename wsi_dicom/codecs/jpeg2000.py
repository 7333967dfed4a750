"""JPEG 2000 part 1 (PS3.5 8.2.4) through OpenJPEG."""

from __future__ import annotations

from wsi_dicom.codecs.jpeg2000_markers import parse_header
from wsi_dicom.codecs.stream_shape import check_shape
from wsi_dicom.codecs.transfer_syntaxes import JPEG_2000, JPEG_2000_LOSSLESS
from wsi_dicom.codecs.ycbcr import YCBCR, from_rgb, to_rgb
from wsi_dicom.errors import CodecError
from wsi_dicom.geometry import PixelFormat
from wsi_dicom.slide import EncodedTile, Encoding, Pixels


def decibels(quality: int) -> int:
    """The peak signal-to-noise ratio that a quality of 1 to 100 asks for: 20 dB is coarse, 50 dB indistinguishable."""
    return 20 + 3 * quality // 10


class Jpeg2000Codec:
    """8 or 16 bits, gray or colour: reversible (5/3, RCT) when lossless, else irreversible (9/7, ICT).

    Of signed samples the bits are given as they are, in two's complement.
    """

    transfer_syntaxes: tuple[str, ...] = (JPEG_2000_LOSSLESS, JPEG_2000)

    def encoding(self, pixel_format: PixelFormat, lossless: bool) -> Encoding:
        syntax = JPEG_2000_LOSSLESS if lossless else JPEG_2000
        if pixel_format.samples == 1:
            return Encoding(syntax, "MONOCHROME2")
        return Encoding(syntax, "YBR_RCT" if lossless else "YBR_ICT")

    def encode(self, pixels: Pixels, encoding: Encoding, quality: int) -> bytes:
        from imagecodecs import Jpeg2kError, jpeg2k_encode

        lossless = encoding.transfer_syntax == JPEG_2000_LOSSLESS
        samples = pixels if pixels.shape[2] > 1 else pixels[:, :, 0]
        if encoding.photometric in YCBCR:
            samples = from_rgb(pixels)
        try:
            return bytes(
                jpeg2k_encode(
                    samples,
                    level=0 if lossless else decibels(quality),
                    codecformat="j2k",
                    reversible=lossless,
                    mct=encoding.photometric in ("YBR_RCT", "YBR_ICT"),
                )
            )
        except (Jpeg2kError, ValueError) as error:
            raise CodecError(f"JPEG 2000 encoding failed: {error}") from error

    def decode(self, tile: EncodedTile, width: int, height: int, pixel_format: PixelFormat) -> Pixels:
        from imagecodecs import Jpeg2kError, jpeg2k_decode

        header = parse_header(tile.data, signed=True)
        check_shape("JPEG 2000", header.shape, width, height, pixel_format)
        try:
            pixels: Pixels = jpeg2k_decode(tile.data)
        except (Jpeg2kError, ValueError) as error:
            raise CodecError(f"JPEG 2000 decoding failed: {error}") from error
        if header.signed:
            pixels = pixels.view(f"u{pixels.itemsize}") & ((1 << header.bits) - 1)
        # OpenJPEG undoes its own component transform, and turns subsampled YCbCr to RGB as well.
        if tile.encoding.photometric in YCBCR and not (header.component_transform or header.subsampled):
            return to_rgb(pixels)
        return pixels.reshape(height, width, pixel_format.samples)
