"""High-throughput JPEG 2000 (ISO 15444-15, PS3.5 8.2.14): written by OpenJPH at ten times the speed of part 1."""

from __future__ import annotations

from wsi_dicom.codecs.jpeg2000 import Jpeg2000Codec, decibels
from wsi_dicom.codecs.transfer_syntaxes import HTJ2K, HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL
from wsi_dicom.codecs.ycbcr import YCBCR, from_rgb
from wsi_dicom.errors import CodecError
from wsi_dicom.geometry import PixelFormat
from wsi_dicom.slide import EncodedTile, Encoding, Pixels


class Htj2kCodec:
    """8 or 16 bits, gray or colour: reversible (5/3, RCT) when lossless, else irreversible (9/7, ICT).

    The streams are what the RPCL transfer syntax asks for (PS3.5 10.18), under whichever UID: progression RPCL, tile
    length markers, a coarsest resolution of at most 64 pixels.
    """

    transfer_syntaxes: tuple[str, ...] = (HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, HTJ2K)

    def __init__(self) -> None:
        self._part1 = Jpeg2000Codec()

    def encoding(self, pixel_format: PixelFormat, lossless: bool) -> Encoding:
        syntax = HTJ2K_LOSSLESS if lossless else HTJ2K
        if pixel_format.samples == 1:
            return Encoding(syntax, "MONOCHROME2")
        return Encoding(syntax, "YBR_RCT" if lossless else "YBR_ICT")

    def encode(self, pixels: Pixels, encoding: Encoding, quality: int) -> bytes:
        from imagecodecs import Htj2kError, htj2k_encode

        lossless = encoding.transfer_syntax != HTJ2K
        samples = pixels if pixels.shape[2] > 1 else pixels[:, :, 0]
        if encoding.photometric in YCBCR:
            samples = from_rgb(pixels)
        try:
            return bytes(
                htj2k_encode(
                    samples,
                    level=None if lossless else _quantisation_step(quality),
                    reversible=lossless,
                    rgb=encoding.photometric in ("YBR_RCT", "YBR_ICT"),
                    resolutions=max(5, (max(pixels.shape[:2]) - 1).bit_length() - 6),
                    tlm=True,
                )
            )
        except (Htj2kError, ValueError) as error:
            raise CodecError(f"HTJ2K encoding failed: {error}") from error

    def decode(self, tile: EncodedTile, width: int, height: int, pixel_format: PixelFormat) -> Pixels:
        # By OpenJPEG, at less than half the speed of OpenJPH: of that, imagecodecs 2026.3 lets samples that overshoot
        # their range wrap around (black specks in white), and returns half a tile where a stream is broken.
        return self._part1.decode(tile, width, height, pixel_format)


def _quantisation_step(quality: int) -> float:
    """The step, as a part of the samples' range, that gives `decibels` of a finely textured tissue.

    Measured from 38 to 50 dB; coarser qualities and smoother pictures come out better than they ask for.
    """
    return float(10 ** ((4 - decibels(quality)) / 20))
