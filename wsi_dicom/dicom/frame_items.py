"""The per-frame functional groups of large images: hundreds of thousands of items, nearly all of a few layouts.

A layout is all of an item but the bytes of its values: tags, value representations, lengths, nesting. The first item
of each layout is walked, and makes a regular expression that recognises the others in a fraction of the time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import BinaryIO, Final

from wsi_dicom.dicom.elements import UNDEFINED, ElementWalker

_PLANE_POSITION_SLIDE: Final = 0x0048021A
_OPTICAL_PATH_IDENTIFICATION: Final = 0x00480207
COLUMN_POSITION: Final = 0x0048021E
ROW_POSITION: Final = 0x0048021F
Z_OFFSET: Final = 0x0040074A
OPTICAL_PATH_IDENTIFIER: Final = 0x00480106

_WANTED: Final = frozenset({COLUMN_POSITION, ROW_POSITION, Z_OFFSET, OPTICAL_PATH_IDENTIFIER})
_ITEM_HEAD: Final = 8
_WINDOW: Final = 1 << 20
_LARGEST_ITEM: Final = 1 << 16
_MOST_LAYOUTS: Final = 64
"""Of items with the same declared length: decimal strings of different lengths make a few dozen."""
_MOST_LEARNED: Final = 1000
"""In all: where nearly every item is laid out anew, learning takes ten times as long as walking (measured)."""


def frame_values(walker: ElementWalker, length: int) -> Iterator[Mapping[int, bytes]]:
    """What each item of the sequence that `walker` stands at tells of its frame's place, as stored, by tag.

    Raises CorruptInput.
    """
    items = _KnownItems(walker.file, None if length == UNDEFINED else walker.file.tell() + length)
    for item_length in walker.items(length):
        start = walker.file.tell() - _ITEM_HEAD
        values, skipped = _walk(walker, item_length)
        items.learn(start, values, skipped)
        yield {tag: value for tag, (_, value) in values.items()}
        yield from items.recognised()


def _walk(walker: ElementWalker, length: int) -> tuple[dict[int, tuple[int, bytes]], list[tuple[int, int]]]:
    """By tag the (offset, value) of what is wanted; and (offset, length) of every other value."""
    found: dict[int, tuple[int, bytes]] = {}
    skipped: list[tuple[int, int]] = []
    walker.skipped = skipped
    for tag, value_length in walker.elements(length):
        if tag not in (_PLANE_POSITION_SLIDE, _OPTICAL_PATH_IDENTIFICATION):
            walker.skip(value_length)
            continue
        for item_length in walker.items(value_length):
            for inner, inner_length in walker.elements(item_length):
                if inner in _WANTED and inner not in found:
                    found[inner] = walker.file.tell(), walker.value(inner_length)
                else:
                    walker.skip(inner_length)
    walker.skipped = None
    return found, skipped


class _KnownItems:
    """Reads on, item by item, as long as each has a layout that was seen before."""

    def __init__(self, file: BinaryIO, end: int | None) -> None:
        self._file = file
        self._end = end
        self._layouts: dict[bytes, list[tuple[re.Pattern[bytes], tuple[int, ...]]]] = {}
        self._window, self._base = b"", 0
        self._learned = 0

    def learn(self, start: int, values: Mapping[int, tuple[int, bytes]], skipped: list[tuple[int, int]]) -> None:
        """Makes a layout of the item between `start` and the place that the file is at."""
        end = self._file.tell()
        if end - start > _LARGEST_ITEM or self._learned == _MOST_LEARNED:
            return
        self._learned += 1
        self._file.seek(start)
        data = self._file.read(end - start)
        if len(data) < end - start:
            return  # a length that reaches beyond the end of the file
        spans: list[tuple[int, int, int | None]] = [(offset, length, None) for offset, length in skipped]
        spans += [(offset, len(value), tag) for tag, (offset, value) in values.items()]
        parts, tags, position = [], [], start
        for offset, length, tag in sorted(spans, key=lambda span: span[0]):
            parts.append(re.escape(data[position - start : offset - start]))
            if tag is None:
                parts.append(b".{%d}" % length)
            else:
                parts.append(b"(.{%d})" % length)
                tags.append(tag)
            position = offset + length
        parts.append(re.escape(data[position - start :]))
        known = self._layouts.setdefault(data[:_ITEM_HEAD], [])
        known.insert(0, (re.compile(b"".join(parts), re.DOTALL), tuple(tags)))
        del known[_MOST_LAYOUTS:]

    def recognised(self) -> Iterator[Mapping[int, bytes]]:
        """The next items, up to one of another layout, which the file is then at."""
        position = self._file.tell()
        while True:
            if position + _LARGEST_ITEM > self._base + len(self._window) or position < self._base:
                self._file.seek(position)
                self._window, self._base = self._file.read(_WINDOW), position
            found = self._match(position - self._base)
            if found is None or (self._end is not None and self._base + found[0].end() > self._end):
                self._file.seek(position)
                return
            match, tags = found
            position = self._base + match.end()
            yield dict(zip(tags, match.groups(), strict=True))

    def _match(self, at: int) -> tuple[re.Match[bytes], tuple[int, ...]] | None:
        known = self._layouts.get(self._window[at : at + _ITEM_HEAD], [])
        for number, (pattern, tags) in enumerate(known):
            if (match := pattern.match(self._window, at)) is not None:
                if number:  # its neighbours are likely to be alike
                    known.insert(0, known.pop(number))
                return match, tags
        return None
