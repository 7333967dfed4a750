"""Where the elements of a DICOM file lie, by PS3.5 7 alone: none of the parsers under test has a say in it."""

from __future__ import annotations

import struct
from typing import NamedTuple

from tests.fuzz.containers import deflated, inflated
from tests.fuzz.numbers import Number

ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXEL_DATA = 0x7FE00010
_UNDEFINED = 0xFFFFFFFF
_META = 132
_IMPLICIT, _BIG_ENDIAN, _DEFLATED = b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99"
_LONG_FORM = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_DEEPEST = 50


class Element(NamedTuple):
    """An element, an item, or what ends either. From `begin` to `end`; its value from `value` on."""

    tag: int
    vr: bytes
    """Empty where there is none: in implicit VR, and of items."""
    begin: int
    value: int
    end: int
    length: Number
    around: tuple[Number, ...]
    """The lengths of all that it lies in."""

    @property
    def byte_order(self) -> str:
        return self.length.code[0]

    @property
    def name(self) -> Number:
        """The second half of its tag."""
        return Number(self.begin + 2, self.byte_order + "H")


class _Walk:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.found: list[Element] = []
        self.byte_order, self.implicit = "<", False

    def meta(self) -> int:
        """Where group 2 ends."""
        at = _META
        while self.data[at : at + 2] == b"\2\0" and at + 8 <= len(self.data):
            at = self.element(at, len(self.data), (), 0, in_pixels=False)
        return at

    def data_set(self, at: int, end: int, around: tuple[Number, ...], depth: int, *, in_pixels: bool) -> int:
        """Up to what ends it, or `end`."""
        while at + 8 <= end and depth < _DEEPEST:
            tag_at = len(self.found)
            at = self.element(at, end, around, depth, in_pixels=in_pixels)
            if self.found[tag_at].tag in (ITEM_END, SEQUENCE_END):
                return at
        return end

    def element(self, at: int, end: int, around: tuple[Number, ...], depth: int, *, in_pixels: bool) -> int:
        group, number = struct.unpack_from(self.byte_order + "HH", self.data, at)
        tag, vr = group << 16 | number, b""
        length = Number(at + 4, self.byte_order + "I")
        if not self.implicit and group != 0xFFFE:
            vr = self.data[at + 4 : at + 6]
            length = Number(at + 8, self.byte_order + "I") if vr in _LONG_FORM else Number(at + 6, length.code[0] + "H")
        value = length.offset + struct.calcsize(length.code)
        size = struct.unpack_from(length.code, self.data, length.offset)[0] if value <= end else 0
        undefined = size == _UNDEFINED
        inner_end = end if undefined else min(value + size, end)
        index = len(self.found)
        element = Element(tag, vr, at, value, inner_end, length, around)
        self.found.append(element)
        holds = undefined or vr == b"SQ" or (tag == ITEM and not in_pixels) or self._looks_like_items(value)
        if holds and value < inner_end:
            known = around if undefined else (*around, length)
            inner_end = self.data_set(value, inner_end, known, depth + 1, in_pixels=in_pixels or tag == PIXEL_DATA)
            self.found[index] = element._replace(end=inner_end)
        return max(inner_end, at + 8)

    def _looks_like_items(self, value: int) -> bool:
        return self.implicit and self.data[value : value + 4] == b"\xfe\xff\x00\xe0"


def is_dicom(data: bytes) -> bool:
    return data[128:_META] == b"DICM"


def elements(data: bytes) -> list[Element]:
    """All there are, each before what it holds; of a broken file as many as can be found. Not for deflated ones."""
    walk = _Walk(data)
    at = walk.meta()
    syntax = _transfer_syntax(data, walk.found)
    walk.implicit = syntax == _IMPLICIT
    walk.byte_order = ">" if syntax == _BIG_ENDIAN else "<"
    walk.data_set(at, len(data), (), 0, in_pixels=False)
    return walk.found


def unpacked(data: bytes) -> tuple[bytes, int | None]:
    """The file with its data set inflated, and where that begins; the file itself and None when it is not deflated."""
    walk = _Walk(data)
    at = walk.meta()
    if _transfer_syntax(data, walk.found) != _DEFLATED:
        return data, None
    return data[:at] + inflated(data[at:]), at


def packed(data: bytes, begin: int | None) -> bytes:
    """The reverse of `unpacked`."""
    return data if begin is None else data[:begin] + deflated(data[begin:])


def _transfer_syntax(data: bytes, meta: list[Element]) -> bytes:
    told = [data[element.value : element.end] for element in meta if element.tag == 0x00020010]
    return told[0].rstrip(b"\0 ") if told else b""
