"""JPEG (PS3.5 8.2.1) through libjpeg-turbo: baseline; extended and lossless as old archives have them."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from wsi_dicom.codecs.jpeg_markers import EOI, SOF3, JpegHeader, end_of_stream, parse_header
from wsi_dicom.codecs.stream_shape import check_shape
from wsi_dicom.codecs.transfer_syntaxes import (
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS,
    JPEG_LOSSLESS_SV1,
)
from wsi_dicom.codecs.ycbcr import to_rgb
from wsi_dicom.errors import CodecError
from wsi_dicom.geometry import PixelFormat
from wsi_dicom.slide import EncodedTile, Encoding, Pixels

_SUBSAMPLING: Final = {(1, 1): "444", (2, 1): "422", (2, 2): "420", (1, 2): "440", (4, 1): "411"}
SAMPLINGS: Final = frozenset(_SUBSAMPLING)
"""Those of chroma (see Encoding) that are written."""

_NOISE: Final = bytes(number * 89 % 255 for number in range(1, 512))
"""Without FF, which would begin a marker."""

_LONGEST_KNOWN: Final = 1 << 16
_known: Final[deque[tuple[bytes, JpegHeader]]] = deque(maxlen=8)
"""All that comes before the scans of streams that were decoded lately, and what it says."""


def _header(data: bytes) -> JpegHeader:
    """As parse_header, which takes a twentieth of a tile's time: those of a level nearly always begin alike."""
    for head, header in tuple(_known):
        if data.startswith(head):
            return header
    header = parse_header(data)
    if header.scan_offset <= _LONGEST_KNOWN:
        _known.append((data[: header.scan_offset], header))
    return header


def _check_whole(data: bytes, header: JpegHeader) -> None:
    """libjpeg fills what is missing with gray, and only mutters. Raises CodecError."""
    end = end_of_stream(data)
    if end is None:
        raise CodecError("the JPEG stream is cut off: it does not end with FF D9")
    first = data.find(EOI, header.scan_offset)  # in the scan of a baseline stream it can only be the end
    if header.baseline and first != end - len(EOI):
        raise CodecError(f"the JPEG stream ends after {first + len(EOI)} of its {end} bytes")


def check_scan(data: bytes) -> None:
    """Raises CodecError when the scan of a baseline stream ends before its last block, whatever markers follow it.

    imagecodecs passes on no warning of libjpeg. So noise is put behind the scan: who has come to an end never reads it.
    """
    from imagecodecs import Jpeg8Error, jpeg8_decode

    end = end_of_stream(data) or len(data)
    followed = data[: end - len(EOI)] + _NOISE + EOI
    try:
        same = (jpeg8_decode(data) == jpeg8_decode(followed)).all()
    except (Jpeg8Error, ValueError) as error:
        raise CodecError(f"JPEG decoding failed: {error}") from error
    if not same:
        raise CodecError("the JPEG stream is cut off: its scan ends too early")


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
            options = {"subsampling": _SUBSAMPLING.get(encoding.chroma, "420")}
        if lossless:
            options |= {"lossless": True, "predictor": 1, "bitspersample": 8 * pixels.itemsize}
        try:
            samples = pixels if pixels.shape[2] > 1 else pixels[:, :, 0]
            return bytes(jpeg8_encode(samples, level=quality, **options))
        except (Jpeg8Error, ValueError) as error:
            raise CodecError(f"JPEG encoding failed: {error}") from error

    def decode(self, tile: EncodedTile, width: int, height: int, pixel_format: PixelFormat) -> Pixels:
        from imagecodecs import Jpeg8Error, jpeg8_decode

        header = _header(tile.data)
        check_shape("JPEG", header.shape, width, height, pixel_format)
        _check_whole(tile.data, header)
        stored = None  # libjpeg reads the colour from the stream; only a silent stream needs the photometric value
        if pixel_format.samples == 3 and header.colour is None:
            stored = "RGB" if tile.encoding.photometric == "RGB" else "YCBCR"
        shown = "RGB" if stored else None
        # libjpeg undoes no lossless stream's YCbCr
        ycbcr = header.sof == SOF3 and pixel_format.samples == 3 and (header.colour == "YCbCr" or stored == "YCBCR")
        if ycbcr:
            stored = shown = "YCBCR"
        try:
            pixels: Pixels = jpeg8_decode(tile.data, colorspace=stored, outcolorspace=shown)
        except (Jpeg8Error, ValueError) as error:
            raise CodecError(f"JPEG decoding failed: {error}") from error
        pixels = pixels.reshape(height, width, pixel_format.samples)
        return to_rgb(pixels) if ycbcr else pixels
