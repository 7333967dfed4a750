"""Where pixel data, offset tables and per-frame groups lie in a file, and its items one by one (PS3.5 A.4).

Nothing here grows with the number of frames: items and tables are walked, never kept.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Final, NamedTuple

from wsi_dicom.dicom.elements import UNDEFINED
from wsi_dicom.dicom.header import PER_FRAME_FUNCTIONAL_GROUPS, Instance, reading
from wsi_dicom.dicom.index import RandomAccessFile
from wsi_dicom.errors import CorruptInput

_EXTENDED_OFFSETS: Final = 0x7FE00001
_EXTENDED_LENGTHS: Final = 0x7FE00002
_PIXEL_DATA: Final = 0x7FE00010
_ITEM_HEAD: Final = struct.Struct("<II")
_ITEM: Final = 0xE000FFFE  # (FFFE,E000) as one little-endian number
_SEQUENCE_END: Final = 0xE0DDFFFE
_CHUNK: Final = 1 << 16
_STREAM_STARTS: Final = (b"\xff\xd8", b"\xff\x4f", b"\xff\x0a")  # JPEG and JPEG-LS, JPEG 2000, JPEG XL


class Value(NamedTuple):
    """Where the value of an element lies. `length` is UNDEFINED for a sequence that its delimiter ends."""

    offset: int
    length: int


class Fragment(NamedTuple):
    """The content of an item: `offset` in the file, `length` in bytes."""

    offset: int
    length: int


class Frame(NamedTuple):
    """A frame, `number` counted from 1, by its first and last fragment."""

    number: int
    first: Fragment
    last: Fragment
    fragments: int


@dataclass(frozen=True, slots=True)
class FragmentSurvey:
    """What one walk over all fragments tells. `stopped` says why it ended early, "" when it did not.

    `odd` counts fragments of odd length. `astray` counts offsets that lead to no item, the first of them that of frame
    `first_astray`, counted from 1.
    """

    count: int
    stored_bytes: int
    odd: int
    astray: int
    first_astray: int
    stopped: str


@dataclass(frozen=True)
class PixelDataElement:
    """What follows the header of an image."""

    file: RandomAccessFile
    pixels: Value
    extended_offsets: Value | None
    extended_lengths: Value | None
    per_frame_groups: Value | None
    vr: str
    """Of Pixel Data, "" in a data set of implicit VR."""

    @property
    def encapsulated(self) -> bool:
        return self.pixels.length == UNDEFINED

    @property
    def basic_offsets(self) -> Value:
        """The first item. Raises CorruptInput when there is none."""
        tag, length = self._item_head(self.pixels.offset)
        if tag != _ITEM:
            raise CorruptInput("the pixel data have no item for the basic offset table")
        return Value(self.pixels.offset + 8, length)

    def fragments(self) -> Iterator[Fragment]:
        """All items after the basic offset table. Raises CorruptInput where the sequence breaks off."""
        position = sum(self.basic_offsets)
        while True:
            tag, length = self._item_head(position)
            if tag == _SEQUENCE_END:
                return
            if tag != _ITEM or position + 8 + length > self.file.size:
                raise CorruptInput(f"the pixel data break off: no complete item at byte {position} of the file")
            yield Fragment(position + 8, length)
            position += 8 + length

    def entries(self, table: Value, size: int) -> Iterator[int]:
        """The numbers of a table, `size` bytes each. Raises CorruptInput when it reaches beyond the file."""
        if sum(table) > self.file.size:
            raise CorruptInput("an offset table reaches beyond the end of the file")
        layout = struct.Struct("<Q" if size == 8 else "<I")
        for start in range(0, table.length - table.length % size, _CHUNK):
            chunk = self.file.read(min(_CHUNK, table.length - table.length % size - start), table.offset + start)
            yield from (entry for (entry,) in layout.iter_unpack(chunk))

    def offsets(self) -> Iterator[int]:
        """The offsets of the frames as the table tells them; the extended one counts when there are both."""
        if self.extended_offsets is not None:
            return self.entries(self.extended_offsets, 8)
        return self.entries(self.basic_offsets, 4)

    def beginning(self, frame: Frame, size: int) -> bytes:
        """The first `size` bytes of a frame, or all when it has less, over the bounds of its fragments."""
        data, fragment = b"", frame.first
        for left in reversed(range(frame.fragments)):
            data += self.file.read(min(size - len(data), fragment.length), fragment.offset)
            if len(data) == size or not left:
                break
            end = sum(fragment)
            fragment = Fragment(end + 8, self._item_head(end)[1])
        return data

    @cached_property
    def survey(self) -> FragmentSurvey:
        """One walk over the fragments, and over the offset table beside them. Raises CorruptInput without any item."""
        return _survey(self)

    def _item_head(self, position: int) -> tuple[int, int]:
        if position + 8 > self.file.size:
            raise CorruptInput("the pixel data break off: the end of their sequence is missing")
        tag, length = _ITEM_HEAD.unpack(self.file.read(8, position))
        return tag, length


def locate_pixel_data(instance: Instance) -> PixelDataElement | None:
    """Finds the elements behind the header; None without pixel data. Raises NotFound, StoreError, CorruptInput."""
    found: dict[int, Value] = {}
    with reading(instance.path), instance.open_data_set() as file:
        walker = instance.walker(file)
        for tag, length in walker.elements():
            found[tag] = Value(file.tell(), length)
            if tag >= _PIXEL_DATA:
                break
            walker.skip(length)
        if _PIXEL_DATA not in found:
            return None
        return PixelDataElement(
            file=RandomAccessFile(file),
            pixels=found[_PIXEL_DATA],
            extended_offsets=found.get(_EXTENDED_OFFSETS),
            extended_lengths=found.get(_EXTENDED_LENGTHS),
            per_frame_groups=found.get(PER_FRAME_FUNCTIONAL_GROUPS),
            vr=walker.vr.decode("latin-1"),
        )


def _survey(pixel_data: PixelDataElement) -> FragmentSurvey:
    base = sum(pixel_data.basic_offsets)
    count = stored = odd = astray = first_astray = 0
    stopped = ""
    entries = enumerate(pixel_data.offsets(), start=1)
    entry = next(entries, None)
    try:
        for fragment in pixel_data.fragments():
            start = fragment.offset - 8 - base
            count, stored, odd = count + 1, stored + fragment.length, odd + fragment.length % 2
            while entry is not None and entry[1] <= start:
                if entry[1] < start:
                    astray, first_astray = astray + 1, first_astray or entry[0]
                entry = next(entries, None)
    except CorruptInput as error:
        stopped = str(error)
    while entry is not None:  # entries out of order, or beyond the last item
        astray, first_astray = astray + 1, first_astray or entry[0]
        entry = next(entries, None)
    return FragmentSurvey(count, stored, odd, astray, first_astray, stopped)


def frames(pixel_data: PixelDataElement, expected: int) -> Iterator[Frame]:
    """The frames in the order of the file, each from one fragment that starts a frame to the next."""
    starts_frame = _frame_starts(pixel_data, expected)
    number = 0
    frame: Frame | None = None
    for fragment in islice(pixel_data.fragments(), pixel_data.survey.count):
        if frame is None or starts_frame(fragment):
            if frame is not None:
                yield frame
            number += 1
            frame = Frame(number, fragment, fragment, 1)
        else:
            frame = Frame(number, frame.first, fragment, frame.fragments + 1)
    if frame is not None:
        yield frame


def _frame_starts(pixel_data: PixelDataElement, expected: int) -> Callable[[Fragment], bool]:
    """Whether a fragment, other than the first, starts a frame: by number, by the table, or by what it begins with."""
    found, base = pixel_data.survey, sum(pixel_data.basic_offsets)
    if found.count == expected:
        return lambda _fragment: True
    if expected == 1:
        return lambda _fragment: False
    entries = pixel_data.offsets()
    due = next(entries, None)
    if due is None or found.astray:
        return lambda fragment: pixel_data.file.read(min(2, fragment.length), fragment.offset) in _STREAM_STARTS
    due = next(entries, None)

    def starts(fragment: Fragment) -> bool:
        nonlocal due
        if due != fragment.offset - 8 - base:
            return False
        due = next(entries, None)
        return True

    return starts
