"""JPEG XL streams by their image header (ISO 18181-1 annex D), bare or in boxes (ISO 18181-2); never decoded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsi_dicom.codecs.stream_shape import StreamShape
from wsi_dicom.errors import CodecError

_CODESTREAM: Final = b"\xff\x0a"
_CONTAINER: Final = b"\x00\x00\x00\x0cJXL \x0d\x0a\x87\x0a"
_LONGEST_HEADER: Final = 64
_RATIOS: Final = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Width to height, for the values 1 to 7 of `ratio` (D.2)."""
_GRAY: Final = 1


class _Bits:
    """Reads a header bit by bit, the lowest bit of each byte first (annex B.2)."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise CodecError("truncated JPEG XL stream: it ends within its header")
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        return value

    def choice(self, *options: tuple[int, int]) -> int:
        """U32 (B.2.2): two bits choose between four pairs of (what is added, number of bits)."""
        base, count = options[self.take(2)]
        return base + self.take(count)


def boxes(data: bytes) -> Iterator[tuple[bytes, int]]:
    """(type, offset of the contents) of each box of a container; none of a bare codestream. Raises CodecError."""
    position = 0 if data.startswith(_CONTAINER) else len(data)
    while position + 8 <= len(data):
        size, kind, header = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8], 8
        if size == 1:
            size, header = int.from_bytes(data[position + 8 : position + 16], "big"), 16
        yield kind, position + header
        if not size:  # up to the end
            return
        if size < header:
            raise CodecError(f"broken JPEG XL stream: the box at byte {position} is shorter than its own header")
        position += size


def parse_header(data: bytes) -> StreamShape:
    """Size and samples. Raises CodecError when this is no JPEG XL, is broken, or is more than one upright picture."""
    return _image_header(data)[0]


def is_xyb(data: bytes) -> bool:
    """Whether the colours are XYB, as they are in whatever lost something on its way from pixels. Raises CodecError."""
    return _image_header(data)[1]


def _image_header(data: bytes) -> tuple[StreamShape, bool]:
    """Shape, and whether the colours are XYB."""
    bits = _Bits(_beginning(data))
    height, width = _size(bits)
    if bits.take(1):  # everything is as it mostly is
        return StreamShape(width, height, 3, 8), True
    if bits.take(1) and bits.take(6):  # orientation, intrinsic size, preview, animation
        raise CodecError("a JPEG XL stream that is turned, or has a preview or several pictures, cannot be read")
    if bits.take(1):
        raise CodecError("a JPEG XL stream of floating-point samples cannot be read")
    depth = bits.choice((8, 0), (10, 0), (12, 0), (1, 6))
    bits.take(1)  # whether buffers of 16 bits do
    if bits.choice((0, 0), (1, 0), (2, 4), (1, 12)):
        raise CodecError("a JPEG XL stream with more than its colours cannot be read")
    xyb = bool(bits.take(1))
    gray = False
    if not bits.take(1):  # not sRGB
        bits.take(1)  # whether there is an ICC profile
        gray = bits.choice((0, 0), (1, 0), (2, 4), (18, 6)) == _GRAY
    return StreamShape(width, height, 1 if gray else 3, depth), xyb


def _beginning(data: bytes) -> bytes:
    """The codestream from after its signature, as far as a header may reach. Raises CodecError."""
    start = 0
    for kind, contents in boxes(data):
        if kind in (b"jxlc", b"jxlp"):  # the whole codestream, or a part of it behind its number
            start = contents + (4 if kind == b"jxlp" else 0)
            break
    if not data.startswith(_CODESTREAM, start):
        raise CodecError("not a JPEG XL stream: there is no codestream with the bytes FF 0A")
    return data[start + 2 : start + 2 + _LONGEST_HEADER]


def _size(bits: _Bits) -> tuple[int, int]:
    """Height and width (D.2)."""
    small = bits.take(1)
    height = _side(bits, small)
    ratio = bits.take(3)
    if not ratio:
        return height, _side(bits, small)
    across, down = _RATIOS[ratio - 1]
    return height, height * across // down


def _side(bits: _Bits, small: int) -> int:
    if small:
        return 8 * (bits.take(5) + 1)
    return bits.choice((1, 9), (1, 13), (1, 18), (1, 30))
