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


class ElementWalker:
    """Steps through the elements of a file; after each (tag, length) the caller reads or skips the value."""

    vr: bytes = b""
    """The value representation of the element at hand, as an explicit one tells it."""
    skipped: list[tuple[int, int]] | None = None
    """Where the caller wants it, (offset, length) of the values that `skip` goes past."""

    def __init__(self, file: BinaryIO, *, implicit_vr: bool, big_endian: bool = False) -> None:
        self.byte_order = ">" if big_endian else "<"
        """As `struct` writes it, of numbers within values too."""
        self.file = file
        self._implicit = implicit_vr
        self._depth = 0
        self._explicit_head = struct.Struct(self.byte_order + "HH2sH")
        self._implicit_head = struct.Struct(self.byte_order + "HHI")
        self._long_length = struct.Struct(self.byte_order + "I")

    def elements(self, length: int = UNDEFINED) -> Iterator[tuple[int, int]]:
        """(tag, length) of the elements of a data set: of `length` bytes, or up to its delimiter or the file's end."""
        end = None if length == UNDEFINED else self.file.tell() + length
        while end is None or self.file.tell() < end:
            head = self.file.read(8)
            if len(head) < 8:
                return
            group, element, size = self._implicit_head.unpack(head)
            tag = group << 16 | element
            if tag == _ITEM_END:
                return
            if not self._implicit:
                size = self._explicit_length(head)
            yield tag, size

    def items(self, length: int) -> Iterator[int]:
        """Length of each item of a sequence; the caller consumes the item."""
        end = None if length == UNDEFINED else self.file.tell() + length
        self._depth += 1
        if self._depth > _DEEPEST:
            raise CorruptInput(f"{self.file.name} has sequences nested more than {_DEEPEST} deep")
        while end is None or self.file.tell() < end:
            group, element, size = self._implicit_head.unpack(self.value(8))
            tag = group << 16 | element
            if tag == _SEQUENCE_END:
                break
            if tag != ITEM:
                raise CorruptInput(f"{self.file.name} has no item where one is due, at byte {self.file.tell() - 8}")
            yield size
        self._depth -= 1

    def value(self, length: int) -> bytes:
        """The value of the element at hand. Only for small ones: at most 64 KiB."""
        data = self.file.read(length) if length <= 0xFFFF else b""
        if len(data) < length:
            raise CorruptInput(f"{self.file.name} breaks off, or has a bad length, at byte {self.file.tell()}")
        return data

    def skip(self, length: int) -> None:
        """Goes past the value of the element at hand."""
        if length != UNDEFINED:
            if self.skipped is not None:
                self.skipped.append((self.file.tell(), length))
            self.file.seek(length, 1)
            return
        # Of unknown kind, and a sequence all the same: written with implicit VR (PS3.5 6.2.2).
        implicit, self._implicit = self._implicit, self._implicit or self.vr == b"UN"
        for item_length in self.items(length):
            self.skip_item(item_length)
        self._implicit = implicit

    def skip_item(self, length: int) -> None:
        if length != UNDEFINED:
            self.skip(length)
            return
        for _tag, element_length in self.elements(length):
            self.skip(element_length)

    def _explicit_length(self, head: bytes) -> int:
        _group, _element, self.vr, length = self._explicit_head.unpack(head)
        return int(self._long_length.unpack(self.value(4))[0]) if self.vr in _LONG_FORM else int(length)
