"""Walking the elements of a data set that are too many to load (PS3.5 7.1, 7.5)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, Final

from wsi_dicom.errors import CorruptInput

UNDEFINED: Final = 0xFFFFFFFF
ITEM: Final = 0xFFFEE000

_ITEM_END: Final = 0xFFFEE00D
_SEQUENCE_END: Final = 0xFFFEE0DD
_LONG_FORM: Final = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)
_DEEPEST: Final = 32

_EXPLICIT: Final = struct.Struct("<HH2sH")
_IMPLICIT: Final = struct.Struct("<HHI")
_LENGTH: Final = struct.Struct("<I")


class ElementWalker:
    """Steps through little-endian elements of a file; after each (tag, length) the caller reads or skips the value."""

    def __init__(self, file: BinaryIO, *, implicit_vr: bool) -> None:
        self._file = file
        self._implicit = implicit_vr
        self._depth = 0

    def elements(self, length: int = UNDEFINED) -> Iterator[tuple[int, int]]:
        """(tag, length) of the elements of a data set: of `length` bytes, or up to its delimiter or the file's end."""
        end = None if length == UNDEFINED else self._file.tell() + length
        while end is None or self._file.tell() < end:
            head = self._file.read(8)
            if len(head) < 8:
                return
            group, element, size = _IMPLICIT.unpack(head)
            tag = group << 16 | element
            if tag == _ITEM_END:
                return
            if not self._implicit:
                size = self._explicit_length(head)
            yield tag, size

    def items(self, length: int) -> Iterator[int]:
        """Length of each item of a sequence; the caller consumes the item."""
        end = None if length == UNDEFINED else self._file.tell() + length
        self._depth += 1
        if self._depth > _DEEPEST:
            raise CorruptInput(f"{self._file.name} has sequences nested more than {_DEEPEST} deep")
        while end is None or self._file.tell() < end:
            group, element, size = _IMPLICIT.unpack(self.value(8))
            tag = group << 16 | element
            if tag == _SEQUENCE_END:
                break
            if tag != ITEM:
                raise CorruptInput(f"{self._file.name} has no item where one is due, at byte {self._file.tell() - 8}")
            yield size
        self._depth -= 1

    def value(self, length: int) -> bytes:
        """The value of the element at hand. Only for small ones: at most 64 KiB."""
        data = self._file.read(length) if length <= 0xFFFF else b""
        if len(data) < length:
            raise CorruptInput(f"{self._file.name} breaks off, or has a bad length, at byte {self._file.tell()}")
        return data

    def skip(self, length: int) -> None:
        """Goes past the value of the element at hand."""
        if length != UNDEFINED:
            self._file.seek(length, 1)
            return
        for item_length in self.items(length):
            self.skip_item(item_length)

    def skip_item(self, length: int) -> None:
        if length != UNDEFINED:
            self._file.seek(length, 1)
            return
        for _tag, element_length in self.elements(length):
            self.skip(element_length)

    def _explicit_length(self, head: bytes) -> int:
        _group, _element, vr, length = _EXPLICIT.unpack(head)
        return int(_LENGTH.unpack(self.value(4))[0]) if vr in _LONG_FORM else int(length)
