"""Photometric interpretations: as an image tells them, and as its streams show them (PS3.3 C.7.6.3.1.2)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Final

from wsi_dicom.codecs import jpeg2000_markers, jpeg_markers
from wsi_dicom.codecs import transfer_syntaxes as syntaxes
from wsi_dicom.dicom.header import Instance, integer, text
from wsi_dicom.dicom.index import FrameReader
from wsi_dicom.errors import CodecError, CorruptInput, UnsupportedFormat
from wsi_dicom.slide import Encoding

logger = logging.getLogger(__name__)

GRAY: Final = ("MONOCHROME2", "MONOCHROME1")
PALETTE: Final = "PALETTE COLOR"

_RAW: Final = syntaxes.UNENCAPSULATED | {
    syntaxes.RLE,
    syntaxes.DEFLATED_IMAGE_FRAME,
    syntaxes.JPEG_LS_LOSSLESS,
    syntaxes.JPEG_LS_NEAR_LOSSLESS,
}
"""Compressions that know nothing of colour: samples come back as they were told to be."""

_JPEG: Final = frozenset(
    {syntaxes.JPEG_BASELINE, syntaxes.JPEG_EXTENDED, syntaxes.JPEG_LOSSLESS, syntaxes.JPEG_LOSSLESS_SV1}
)
_JPEG_2000: Final = frozenset(
    {
        syntaxes.JPEG_2000_LOSSLESS,
        syntaxes.JPEG_2000,
        syntaxes.HTJ2K_LOSSLESS,
        syntaxes.HTJ2K_LOSSLESS_RPCL,
        syntaxes.HTJ2K,
    }
)
_TOLD_BY_STREAMS: Final = (
    _JPEG | _JPEG_2000 | {syntaxes.JPEG_XL, syntaxes.JPEG_XL_LOSSLESS, syntaxes.JPEG_XL_RECOMPRESSION}
)
_YCBCR: Final = ("YBR_FULL", "YBR_FULL_422", "YBR_ICT")
_STREAMS_TRIED: Final = 8


def told_encoding(instance: Instance) -> Encoding:
    """How the pixels are stored. Raises UnsupportedFormat, CorruptInput."""
    samples = integer(instance, "SamplesPerPixel", high=0xFFFF)
    syntax, photometric = instance.transfer_syntax, text(instance.header, "PhotometricInterpretation").strip().upper()
    known: tuple[str, ...] = (*GRAY, PALETTE)
    if samples == 3 and syntax == syntaxes.JPEG_XL:
        known = ("RGB", "XYB")
    elif samples == 3:
        known = ("RGB", *_YCBCR) if syntax in _RAW else ("RGB", *_YCBCR, "YBR_RCT")
    if not photometric or (samples == 3 and photometric not in known and syntax in _TOLD_BY_STREAMS):
        ycbcr = photometric.startswith("YBR") or syntax in syntaxes.ALWAYS_LOSSY
        wrong = f"{photometric} is no" if photometric else "no"
        photometric = "YBR_FULL_422" if ycbcr and "YBR_FULL_422" in known else known[0]
        logger.warning(
            "%s: %s photometric interpretation of its %d samples; %s is assumed",
            instance.sop_instance_uid,
            wrong,
            samples,
            photometric,
        )
    if photometric not in known:
        raise UnsupportedFormat(
            f"{instance.path} has the photometric interpretation {photometric}; {', '.join(known)} can be read here"
        )
    if syntax in syntaxes.UNENCAPSULATED:
        syntax = syntaxes.EXPLICIT_VR_LITTLE_ENDIAN
    if syntax in syntaxes.ALWAYS_LOSSY and photometric.startswith("YBR"):  # JPEG all of them
        photometric = "YBR_FULL_422"
    return Encoding(syntax, photometric)


def is_decoded_to_ycbcr(encoding: Encoding) -> bool:
    """Whether what the codec gives is not red, green and blue yet."""
    return encoding.transfer_syntax in _RAW and encoding.photometric in _YCBCR


def stored_encoding(instance: Instance, told: Encoding, frames: FrameReader, count: int) -> Encoding:
    """The colour that the first good stream has, which wins over the attribute: some writers set that wrongly.

    `count` is the number of frames. Raises CorruptInput when the first frame cannot be found.
    """
    if told.transfer_syntax in _JPEG:
        of_stream = _of_jpeg
    elif told.transfer_syntax in _JPEG_2000 and told.photometric not in (*GRAY, PALETTE):
        of_stream = _of_jpeg2000
    else:
        return told
    stored = told
    for stream in _first_streams(frames, count):
        with suppress(CodecError):  # a damaged tile is reported when it is asked for; the others are still good
            stored = of_stream(told, stream)
            break
    if stored.photometric != told.photometric:
        logger.warning(
            "%s: the photometric interpretation says %s, the streams are %s",
            instance.sop_instance_uid,
            told.photometric,
            stored.photometric,
        )
    return stored


def _first_streams(frames: FrameReader, count: int) -> Iterator[bytes]:
    yield frames.first_fragment()
    for number in range(1, min(count, _STREAMS_TRIED)):
        with suppress(CorruptInput):
            yield frames.read(number)


def _of_jpeg(told: Encoding, stream: bytes) -> Encoding:
    header = jpeg_markers.parse_header(stream)
    if told.photometric in (*GRAY, PALETTE):
        return replace(told, sampling=header.sampling[0])
    ycbcr = told.photometric if told.photometric.startswith("YBR") else "YBR_FULL_422"
    photometric = {"RGB": "RGB", "YCbCr": ycbcr}.get(header.colour or "", told.photometric)
    return Encoding(told.transfer_syntax, photometric, header.sampling[0])


def _of_jpeg2000(told: Encoding, stream: bytes) -> Encoding:
    header = jpeg2000_markers.parse_header(stream, signed=True)
    photometric = told.photometric
    if header.component_transform:
        photometric = "YBR_RCT" if header.reversible else "YBR_ICT"
    elif photometric in ("YBR_RCT", "YBR_ICT") and not header.subsampled:
        photometric = "RGB"  # no transform that could be undone
    return Encoding(told.transfer_syntax, photometric)
