"""Transfer syntaxes by name (PS3.6 table A-1), and what each of them does to pixels."""

from __future__ import annotations

from typing import Final

IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
DEFLATED_EXPLICIT_VR: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
RLE: Final = "1.2.840.10008.1.2.5"
DEFLATED_IMAGE_FRAME: Final = "1.2.840.10008.1.2.8.1"
JPEG_BASELINE: Final = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED: Final = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS: Final = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1: Final = "1.2.840.10008.1.2.4.70"
JPEG_LS_LOSSLESS: Final = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR_LOSSLESS: Final = "1.2.840.10008.1.2.4.81"
JPEG_2000_LOSSLESS: Final = "1.2.840.10008.1.2.4.90"
JPEG_2000: Final = "1.2.840.10008.1.2.4.91"
JPEG_XL_LOSSLESS: Final = "1.2.840.10008.1.2.4.110"
JPEG_XL_RECOMPRESSION: Final = "1.2.840.10008.1.2.4.111"
JPEG_XL: Final = "1.2.840.10008.1.2.4.112"
HTJ2K_LOSSLESS: Final = "1.2.840.10008.1.2.4.201"
HTJ2K_LOSSLESS_RPCL: Final = "1.2.840.10008.1.2.4.202"
HTJ2K: Final = "1.2.840.10008.1.2.4.203"

# Compressions that TIFF has and DICOM has not stand beside the transfer syntaxes, by their numbers in TIFF.
TIFF_LZW: Final = "tiff:5"
TIFF_DEFLATE: Final = "tiff:8"
TIFF_ZSTD: Final = "tiff:50000"
TIFF_WEBP: Final = "tiff:50001"

NATIVE: Final = frozenset({IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN})
"""Pixels without compression or encapsulation."""

UNENCAPSULATED: Final = NATIVE | {DEFLATED_EXPLICIT_VR, EXPLICIT_VR_BIG_ENDIAN}
"""All that files with such pixels may be written in: the last two change the data set itself, and are only read."""

ALWAYS_LOSSY: Final = frozenset({JPEG_BASELINE, JPEG_EXTENDED, JPEG_XL_RECOMPRESSION})
"""Syntaxes whose pixels went through a lossy compression, whatever the header tells. The others in `lossy_method` may
also hold streams that lost nothing."""

_WITH_MARKERS: Final = {
    **dict.fromkeys((JPEG_BASELINE, JPEG_EXTENDED, JPEG_LOSSLESS, JPEG_LOSSLESS_SV1), b"\xff\xd8"),
    **dict.fromkeys((JPEG_LS_LOSSLESS, JPEG_LS_NEAR_LOSSLESS), b"\xff\xd8"),
    **dict.fromkeys((JPEG_2000_LOSSLESS, JPEG_2000, HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, HTJ2K), b"\xff\x4f\xff\x51"),
}
ENDED_BY_MARKER: Final = frozenset(_WITH_MARKERS)
"""Syntaxes whose streams end with FF D9: what lies behind is padding."""

_JPEG_XL_BEGINNINGS: Final = (b"\xff\x0a", b"\0\0\0\x0cJXL ")
STREAM_BEGINNINGS: Final = {
    **{syntax: (beginning,) for syntax, beginning in _WITH_MARKERS.items()},
    **dict.fromkeys((JPEG_XL_LOSSLESS, JPEG_XL_RECOMPRESSION, JPEG_XL), _JPEG_XL_BEGINNINGS),
}
"""What streams begin with; those of other syntaxes may begin with anything."""

_LOSSY_METHODS: Final = {
    JPEG_BASELINE: "ISO_10918_1",
    JPEG_EXTENDED: "ISO_10918_1",
    JPEG_LS_NEAR_LOSSLESS: "ISO_14495_1",
    JPEG_2000: "ISO_15444_1",
    HTJ2K: "ISO_15444_15",
    JPEG_XL_RECOMPRESSION: "ISO_10918_1",  # what JPEG XL does to the JPEG loses nothing
    JPEG_XL: "ISO_18181_1",
    TIFF_WEBP: "WEBP",  # never in DICOM, which has no term for it
}

_DICOM_NAMES: Final = {
    IMPLICIT_VR_LITTLE_ENDIAN: "uncompressed (implicit VR)",
    EXPLICIT_VR_LITTLE_ENDIAN: "uncompressed",
    RLE: "RLE",
    DEFLATED_IMAGE_FRAME: "deflated",
    JPEG_BASELINE: "JPEG baseline",
    JPEG_EXTENDED: "JPEG extended",
    JPEG_LOSSLESS: "JPEG lossless",
    JPEG_LOSSLESS_SV1: "JPEG lossless (first-order prediction)",
    JPEG_LS_LOSSLESS: "JPEG-LS lossless",
    JPEG_LS_NEAR_LOSSLESS: "JPEG-LS near-lossless",
    JPEG_2000_LOSSLESS: "JPEG 2000 lossless",
    JPEG_2000: "JPEG 2000",
    JPEG_XL_LOSSLESS: "JPEG XL lossless",
    JPEG_XL_RECOMPRESSION: "JPEG recompressed as JPEG XL",
    JPEG_XL: "JPEG XL",
    HTJ2K_LOSSLESS: "HTJ2K lossless",
    HTJ2K_LOSSLESS_RPCL: "HTJ2K lossless (RPCL)",
    HTJ2K: "HTJ2K",
}
_NAMES: Final = {
    **_DICOM_NAMES,
    TIFF_LZW: "LZW",
    TIFF_DEFLATE: "Deflate",
    TIFF_ZSTD: "Zstandard",
    TIFF_WEBP: "WebP",
}

KNOWN: Final = frozenset(_DICOM_NAMES)
"""All that tiles may be stored in, in DICOM."""


def lossy_method(transfer_syntax: str) -> str | None:
    """Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1) of a transfer syntax; None for a lossless one."""
    return _LOSSY_METHODS.get(transfer_syntax)


def transfer_syntax_name(transfer_syntax: str) -> str:
    """A name for people; the UID itself when we have none."""
    return _NAMES.get(transfer_syntax, transfer_syntax)
