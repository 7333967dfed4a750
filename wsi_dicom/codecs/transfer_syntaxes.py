"""Transfer syntaxes by name (PS3.6 table A-1), and what each of them does to pixels."""

from __future__ import annotations

from typing import Final

IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
JPEG_BASELINE: Final = "1.2.840.10008.1.2.4.50"
JPEG_2000_LOSSLESS: Final = "1.2.840.10008.1.2.4.90"
JPEG_2000: Final = "1.2.840.10008.1.2.4.91"

NATIVE: Final = frozenset({IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN})
"""Pixels without compression or encapsulation."""

_LOSSY_METHODS: Final = {JPEG_BASELINE: "ISO_10918_1", JPEG_2000: "ISO_15444_1"}

_NAMES: Final = {
    IMPLICIT_VR_LITTLE_ENDIAN: "uncompressed (implicit VR)",
    EXPLICIT_VR_LITTLE_ENDIAN: "uncompressed",
    JPEG_BASELINE: "JPEG baseline",
    JPEG_2000_LOSSLESS: "JPEG 2000 lossless",
    JPEG_2000: "JPEG 2000",
}


def lossy_method(transfer_syntax: str) -> str | None:
    """Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1) of a transfer syntax; None for a lossless one."""
    return _LOSSY_METHODS.get(transfer_syntax)


def transfer_syntax_name(transfer_syntax: str) -> str:
    """A name for people; the UID itself when we have none."""
    return _NAMES.get(transfer_syntax, transfer_syntax)
