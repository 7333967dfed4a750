"""JPEG XL streams by their headers (ISO 18181-1 annexes D and F), bare or in boxes (ISO 18181-2); never decoded."""

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
_GRAY: Final = 1  # values of colour_space (D.3.5)
_XYB: Final = 2
_CUSTOM: Final = 2  # of white_point and primaries


class _Bits:
    """Reads a header bit by bit, the lowest bit of each byte first (annex B.2)."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = 8 * len(data)

    def align(self) -> None:
        """On to the next whole byte."""
        self.take(self._left % 8)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise CodecError("truncated JPEG XL stream: it ends within its header")
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        return value

    def enum(self) -> int:
        """Enum (B.2.8)."""
        return self.choice((0, 0), (1, 0), (2, 4), (18, 6))

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


def is_lossless(data: bytes) -> bool:
    """Whether the first frame is Modular, and its colours are not XYB: all else lost something. Raises CodecError.

    That of a stream with an ICC profile, whose frames lie behind it in a coding of its own, counts for lossy.
    """
    return _image_header(data)[1]


def holds_jpeg(data: bytes) -> bool:
    """Whether a JPEG stream can be restored from the stream: box jbrd (ISO 18181-2 9.9). Raises CodecError."""
    return any(kind == b"jbrd" for kind, _ in boxes(data))


def _image_header(data: bytes) -> tuple[StreamShape, bool]:
    """Shape, and what `is_lossless` tells."""
    bits = _Bits(_beginning(data))
    height, width = _size(bits)
    if bits.take(1):  # everything is as it mostly is, and XYB
        return StreamShape(width, height, 3, 8), False
    extended = bits.take(1)
    if extended and bits.take(6):  # orientation, intrinsic size, preview, animation
        raise CodecError("a JPEG XL stream that is turned, or has a preview or several pictures, cannot be read")
    if bits.take(1):
        raise CodecError("a JPEG XL stream of floating-point samples cannot be read")
    depth = bits.choice((8, 0), (10, 0), (12, 0), (1, 6))
    bits.take(1)  # whether buffers of 16 bits do
    if bits.choice((0, 0), (1, 0), (2, 4), (1, 12)):
        raise CodecError("a JPEG XL stream with more than its colours cannot be read")
    xyb = bits.take(1)
    space, has_profile = _colours(bits)
    shape = StreamShape(width, height, 1 if space == _GRAY else 3, depth)
    return shape, not (xyb or has_profile) and _is_modular(bits, bool(extended))


def _colours(bits: _Bits) -> tuple[int, bool]:
    """Colour space, and whether there is an ICC profile (D.3.5)."""
    if bits.take(1):  # sRGB
        return 0, False
    has_profile, space = bool(bits.take(1)), bits.enum()
    if has_profile:
        return space, True
    if space != _XYB:
        if bits.enum() == _CUSTOM:  # white point
            _skip_chromaticities(bits, 1)
        if space != _GRAY and bits.enum() == _CUSTOM:  # primaries
            _skip_chromaticities(bits, 3)
        if bits.take(1):
            bits.take(24)  # gamma
        else:
            bits.enum()  # transfer function
    bits.enum()  # rendering intent
    return space, False


def _skip_chromaticities(bits: _Bits, points: int) -> None:
    for _ in range(2 * points):
        bits.choice((0, 19), (1 << 19, 19), (1 << 20, 20), (1 << 21, 21))


def _is_modular(bits: _Bits, extended: bool) -> bool:
    """From behind the colours: whether the first frame says so (F.2). What is seldom in between counts for lossy."""
    if extended and not bits.take(1):  # tone mapping of its own
        return False
    extensions, default_transform = bits.take(2), bits.take(1)
    if extensions or not default_transform:
        return False
    bits.align()
    all_default = bits.take(1)
    return not all_default and bits.take(2) == 0 and bits.take(1) == 1  # a regular frame, encoded as Modular


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
