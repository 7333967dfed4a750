"""Where the frames lie in a file, and reading one: a table look-up and a pread (PS3.5 A.4, PS3.3 C.7.6.3.1.8)."""

from __future__ import annotations

import os
import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import BinaryIO, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from wsi_dicom.errors import CorruptInput

_ITEM_HEAD: Final = struct.Struct("<II")
_ITEM: Final = 0xE000FFFE  # (FFFE,E000) as one little-endian number
_SEQUENCE_END: Final = 0xE0DDFFFE
_ITEM_TAGS: Final = (struct.pack("<I", _ITEM), struct.pack("<I", _SEQUENCE_END))
_PADDED_END_OF_STREAM: Final = b"\xff\xd9\x00"  # JPEG EOI and JPEG 2000 EOC are the same two bytes
_LONGEST_BEGINNING: Final = 8
_MOST_FRAGMENTS: Final = 1 << 24
_READ_AT_ONCE: Final = 1 << 18  # stays in the processor's cache while its frames are cut out


class RandomAccessFile:
    """A file for reading at any place, from any thread.

    The descriptor is closed when nobody refers to this object any more, and at no other moment: a thread inside `read`
    holds a reference, so it never reads from a number that the system has meanwhile given to another file.
    """

    __slots__ = ("_descriptor", "name", "size")

    def __init__(self, file: BinaryIO) -> None:
        """The same as `file`, which may be closed then. Raises OSError."""
        self.name = str(file.name)
        self._descriptor = -1
        self._descriptor = os.dup(file.fileno())
        self.size = os.fstat(self._descriptor).st_size

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def read(self, size: int, offset: int) -> bytes:
        """Exactly `size` bytes. Raises CorruptInput when the file is shorter, or cannot be read."""
        try:
            data = os.pread(self._descriptor, size, offset) if offset + size <= self.size else b""
            # One call gives at most 2 GiB, and less when a signal arrives.
            while 0 < len(data) < size and (more := os.pread(self._descriptor, size - len(data), offset + len(data))):
                data += more
        except OSError as error:
            raise CorruptInput(f"{self.name} cannot be read at byte {offset}: {error.strerror}") from error
        if len(data) < size:
            raise CorruptInput(f"{self.name} is truncated: {size} bytes at {offset} reach beyond its end")
        return data


class FrameReader(Protocol):
    """The frames of one instance, counted from 0."""

    @property
    def stored_bytes(self) -> int:
        """Upper bound of the bytes of all frames, exact but for padding and what follows the pixel data."""
        ...

    def read(self, frame: int) -> bytes:
        """One frame as stored, without padding where that can be told; empty when nothing is stored for it.

        Raises CorruptInput.
        """
        ...

    def read_run(self, first: int, count: int) -> Iterator[bytes]:
        """As `read`, for `count` frames from `first` on: what lies together is read together."""
        ...

    def first_fragment(self) -> bytes:
        """The beginning of frame 0, found without any table. Raises CorruptInput."""
        ...


class PixelData(NamedTuple):
    """Where the pixel data element's value lies; `length` is None for encapsulated frames.

    `extended_offsets` is (offset, length) of the extended offset table's value. `vr` is empty where VRs are implicit.
    """

    offset: int
    length: int | None
    extended_offsets: tuple[int, int] | None
    vr: bytes = b""


class NativeFrames:
    """Uncompressed frames, one after the other."""

    def __init__(self, file: RandomAccessFile, pixel_data: PixelData, frames: int, frame_size: int) -> None:
        """Raises CorruptInput when the file is too short for its frames."""
        if pixel_data.length is None or pixel_data.length < frames * frame_size:
            raise CorruptInput(
                f"{file.name} has {pixel_data.length} bytes of pixel data where {frames} frames of {frame_size} are due"
            )
        if pixel_data.offset + frames * frame_size > file.size:
            raise CorruptInput(f"{file.name} is truncated: its {frames} frames reach beyond its end")
        self.stored_bytes = frames * frame_size
        self._file = file
        self._offset = pixel_data.offset
        self._frame_size = frame_size

    def read(self, frame: int) -> bytes:
        return self._file.read(self._frame_size, self._offset + frame * self._frame_size)

    def read_run(self, first: int, count: int) -> Iterator[bytes]:
        return map(self.read, range(first, first + count))

    def first_fragment(self) -> bytes:
        return self.read(0)


@dataclass(frozen=True, slots=True)
class _Table:
    """An offset table as it lies in the file: 4 bytes an entry (basic) or 8 (extended)."""

    offset: int
    pair: struct.Struct

    @property
    def entry_size(self) -> int:
        return self.pair.size // 2


class EncapsulatedFrames:
    """Frames in items. Where each lies comes from the offset table, two entries at a time.

    Without a table, or when an entry does not lead to items that fill the range up to the next entry, all items are
    visited once and 16 bytes a frame are kept.
    """

    def __init__(
        self,
        file: RandomAccessFile,
        pixel_data: PixelData,
        frames: int,
        largest_frame: int,
        *,
        beginnings: tuple[bytes, ...] = (),
        ended_by_marker: bool = False,
    ) -> None:
        """`largest_frame`, in bytes, bounds what is ever read for one frame. Raises CorruptInput.

        `beginnings` are those that streams may have, if that is known: what is no fragment's in the middle of one.
        `ended_by_marker`: streams end with FF D9, so that a byte of padding can be told from one of theirs.
        """
        self._file = file
        self._frames = frames
        self._largest = largest_frame
        self._beginnings = beginnings
        self._padded_ends = (_PADDED_END_OF_STREAM,) if ended_by_marker else ()
        tag, length = _ITEM_HEAD.unpack(file.read(8, pixel_data.offset))
        if tag != _ITEM or pixel_data.length is not None:
            raise CorruptInput(f"{file.name} has a compressed transfer syntax, but no items in its pixel data")
        self._base = pixel_data.offset + 8 + length
        if self._base + 8 * frames > file.size:
            raise CorruptInput(f"{file.name} is truncated, or does not hold the {frames} frames that it declares")
        self._limit = file.size - self._base
        self.stored_bytes = self._limit - 8 * frames
        self._table = self._find_table(pixel_data, length)
        self._ranges: tuple[array[int], array[int]] | None = None
        self._damage = ""
        self._scanning = Lock()

    def read(self, frame: int) -> bytes:
        if self._table is not None and self._ranges is None and frame + 1 < self._frames:
            pair = self._table.pair
            start, end = pair.unpack(self._file.read(pair.size, self._table.offset + frame * pair.size // 2))
            if start < end <= self._limit and end - start <= self._largest:
                data = self._join(self._file.read(end - start, self._base + start), 0, end - start)
                if data is not None:
                    return data
        return self._read_last() if frame + 1 == self._frames else self._read_scanned(frame)

    def read_run(self, first: int, count: int) -> Iterator[bytes]:
        """This is the loop that copying a series consists of."""
        starts, at, join = self._adjacent(first, min(count, self._frames - 1 - first)), 0, self._join
        while at + 1 < len(starts):
            begin = starts[at]
            stop = max(at + 1, bisect_right(starts, begin + _READ_AT_ONCE) - 1)
            data = self._file.read(starts[stop] - begin, self._base + begin)
            while at < stop and (frame := join(data, starts[at] - begin, starts[at + 1] - begin)) is not None:
                yield frame
                at += 1
            if at < stop:
                break
        for number in range(first + at, first + count):
            yield self.read(number)

    def first_fragment(self) -> bytes:
        for offset, length in self._items(0):
            return self._file.read(min(length, self._largest), self._base + offset + 8)
        raise CorruptInput(f"{self._file.name} has no frame in its pixel data")

    def _find_table(self, pixel_data: PixelData, basic_length: int) -> _Table | None:
        extended = pixel_data.extended_offsets
        if extended is not None and extended[1] == 8 * self._frames:
            return _Table(extended[0], struct.Struct("<QQ"))
        # Beyond 4 GiB the 32 bits of the basic table overflow, and nothing tells where.
        if basic_length == 4 * self._frames and self._limit <= 1 << 32:
            return _Table(pixel_data.offset + 8, struct.Struct("<II"))
        return None

    def _adjacent(self, first: int, count: int) -> list[int]:
        """Where `count` frames begin, and the last one ends, if they follow one another; else nothing."""
        if self._table is None or self._ranges is not None or count <= 0:
            return []
        size = self._table.entry_size
        entries = np.frombuffer(self._file.read(size * (count + 1), self._table.offset + first * size), f"<u{size}")
        follow = (entries[1:] > entries[:-1]).all() and entries[-1] <= self._limit
        return entries.tolist() if follow and np.diff(entries).max() <= self._largest else []

    def _join(self, data: bytes, begin: int, stop: int) -> bytes | None:
        """The fragments in a part of `data`, joined; None when that is not a whole number of items."""
        tag, length = _ITEM_HEAD.unpack_from(data, begin) if stop - begin >= 8 else (0, 0)
        end = stop - data.endswith(self._padded_ends, begin, stop)
        if tag == _ITEM and length == stop - begin - 8:
            return data[begin + 8 : end]
        fragments, position = [], begin
        while position + 8 <= stop:
            tag, length = _ITEM_HEAD.unpack_from(data, position)
            if tag != _ITEM or position + 8 + length > stop:
                return None
            fragments.append(data[position + 8 : min(position + 8 + length, end)])
            position += 8 + length
            if length % 2 and position < stop and data[position : position + 4] not in _ITEM_TAGS:
                position += 1  # padded, as it must be, by a byte that was not counted
        return b"".join(fragments) if position == stop else None

    def _read_last(self) -> bytes:
        """The last frame ends where the sequence ends, which no table tells."""
        if self._table is not None and self._ranges is None:
            size = self._table.entry_size
            offset = self._table.offset + (self._frames - 1) * size
            start = int.from_bytes(self._file.read(size, offset), "little")
            head = self._file.read(8, self._base + start) if start + 8 <= self._limit else b""
            tag, length = _ITEM_HEAD.unpack(head) if head else (0, 0)
            # A single item with the end of the sequence behind it; everything else is worth a closer look.
            if tag == _ITEM and length <= self._largest and start + length + 16 <= self._limit:
                data = self._file.read(length + 16, self._base + start)
                if _ITEM_HEAD.unpack_from(data, length + 8)[0] == _SEQUENCE_END:
                    return self._join(data, 0, length + 8) or b""
        return self._read_scanned(self._frames - 1)

    def _read_scanned(self, frame: int) -> bytes:
        with self._scanning:
            if self._damage:  # found once: whoever asks for a damaged frame again does not have all items visited
                raise CorruptInput(self._damage)
            if self._ranges is None:
                try:
                    self._ranges = self._scan()
                except CorruptInput as error:
                    self._damage = str(error)
                    raise
        start, end = self._ranges[0][frame], self._ranges[1][frame]
        if end - start > self._largest:
            raise CorruptInput(
                f"{self._file.name}: frame {frame + 1} has {end - start} bytes, more than its size in pixels can need"
            )
        data = self._join(self._file.read(end - start, self._base + start), 0, end - start)
        if data is None:
            raise CorruptInput(f"{self._file.name}: frame {frame + 1} is not a whole number of fragments")
        return data

    def _items(self, position: int) -> Iterator[tuple[int, int]]:
        """(offset from the first frame, length) of each item up to the end of the sequence, or of the file."""
        while position < self._limit:
            tag, length = _ITEM_HEAD.unpack(self._file.read(8, self._base + position))
            if tag == _SEQUENCE_END:
                return
            if tag != _ITEM or position + 8 + length > self._limit:
                raise CorruptInput(
                    f"{self._file.name} is truncated or damaged: no complete item at byte {self._base + position}"
                )
            yield position, length
            position += 8 + length
            if length % 2 and position < self._limit and self._file.read(4, self._base + position) not in _ITEM_TAGS:
                position += 1  # as in `_join`

    def _scan(self) -> tuple[array[int], array[int]]:
        """Start and end of every frame."""
        fragments, stream_starts, end = array("q"), array("q"), 0
        for offset, length in self._items(0):
            if len(fragments) == _MOST_FRAGMENTS:
                raise CorruptInput(f"{self._file.name} has more than {_MOST_FRAGMENTS} fragments")
            fragments.append(offset)
            head = self._file.read(min(length, _LONGEST_BEGINNING), self._base + offset + 8)
            if head.startswith(self._beginnings):
                stream_starts.append(offset)
            end = offset + 8 + length
        starts = self._frame_starts(np.array(fragments, np.int64), np.array(stream_starts, np.int64))
        order = np.sort(starts)
        ends = np.append(order[1:], end)[np.searchsorted(order, starts)]
        return array("q", starts.tobytes()), array("q", ends.tobytes())

    def _frame_starts(self, fragments: NDArray[np.int64], stream_starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The table if every entry is the start of a fragment, else the most that the fragments alone tell."""
        if self._table is not None:
            data = self._file.read(self._frames * self._table.entry_size, self._table.offset)
            entries = np.frombuffer(data, f"<u{self._table.entry_size}").astype(np.int64)
            if len(np.unique(entries)) == self._frames and np.isin(entries, fragments).all():
                return entries
        if len(fragments) == self._frames:
            return fragments
        if self._frames == 1 and len(fragments):
            return fragments[:1]
        if len(stream_starts) == self._frames and stream_starts[0] == fragments[0]:
            return stream_starts
        raise CorruptInput(
            f"{self._file.name} has {len(fragments)} fragments for {self._frames} frames, and no valid offset table"
        )
