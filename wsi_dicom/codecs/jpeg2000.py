"""JPEG 2000 part 1 (PS3.5 8.2.4) through OpenJPEG."""

from __future__ import annotations

from typing import Final

import numpy as np

from wsi_dicom.codecs.jpeg2000_markers import parse_header
from wsi_dicom.codecs.transfer_syntaxes import JPEG_2000, JPEG_2000_LOSSLESS
from wsi_dicom.errors import CodecError
from wsi_dicom.geometry import PixelFormat
from wsi_dicom.slide import EncodedTile, Encoding, Pixels

_YCBCR: Final = ("YBR_FULL", "YBR_FULL_422")
"""Photometric interpretations of samples that were YCbCr before they came to JPEG 2000."""


class Jpeg2000Codec:
    """8 or 16 bits, gray or colour: reversible (5/3, RCT) when lossless, else irreversible (9/7, ICT)."""

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
        if encoding.photometric in _YCBCR:
            samples = _from_rgb(pixels)
        try:
            # OpenJPEG counts quality in dB: 20 dB is coarse, 50 dB is indistinguishable.
            return bytes(
                jpeg2k_encode(
                    samples,
                    level=0 if lossless else 20 + 3 * quality // 10,
                    codecformat="j2k",
                    reversible=lossless,
                    mct=encoding.photometric in ("YBR_RCT", "YBR_ICT"),
                )
            )
        except (Jpeg2kError, ValueError) as error:
            raise CodecError(f"JPEG 2000 encoding failed: {error}") from error

    def decode(self, tile: EncodedTile, width: int, height: int, pixel_format: PixelFormat) -> Pixels:
        from imagecodecs import Jpeg2kError, jpeg2k_decode

        header = parse_header(tile.data)
        shape = (header.height, header.width, header.samples)
        if shape != (height, width, pixel_format.samples) or header.bits > pixel_format.bits:
            raise CodecError(
                f"a JPEG 2000 stream of {header.width} x {header.height} pixels with {header.samples} samples of "
                f"{header.bits} bits where {width} x {height} with {pixel_format.samples} of {pixel_format.bits} are "
                "expected"
            )
        try:
            pixels: Pixels = jpeg2k_decode(tile.data)
        except (Jpeg2kError, ValueError) as error:
            raise CodecError(f"JPEG 2000 decoding failed: {error}") from error
        # OpenJPEG undoes its own component transform, and turns subsampled YCbCr to RGB as well.
        if tile.encoding.photometric in _YCBCR and not (header.component_transform or header.subsampled):
            return _to_rgb(pixels)
        return pixels.reshape(shape)


def _to_rgb(ycbcr: Pixels) -> Pixels:
    import cv2

    return np.asarray(cv2.cvtColor(np.ascontiguousarray(ycbcr[:, :, [0, 2, 1]]), cv2.COLOR_YCrCb2RGB), ycbcr.dtype)


def _from_rgb(rgb: Pixels) -> Pixels:
    import cv2

    swapped = np.asarray(cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2YCrCb), rgb.dtype)
    return np.ascontiguousarray(swapped[:, :, [0, 2, 1]])
