"""The restart intervals of one long JPEG stream in a file, found, checked, and read without decoding.

An interval decodes on its own, and ends with a marker: RST0 to RST7 in turn, or EOI after the last (T.81 B.2.1, E.1.4).
Where each begins is told by whoever wrote the file, and believed only as far as there are such markers right before.
Otherwise the whole stream is searched for them, once; in its entropy-coded data FF means a marker unless 00 follows.
"""

from __future__ import annotations

import logging
import re
import threading
from array import array
from collections.abc import Callable
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_dicom.codecs.jpeg_markers import EOI, end_of_stream
from wsi_dicom.errors import CorruptInput
from wsi_dicom.tiff.layout import MAX_TILE_BYTES
from wsi_dicom.tiff.structure import TiffFile

_log = logging.getLogger(__name__)

RESTARTS: Final = tuple(bytes((0xFF, 0xD0 + number)) for number in range(8))
"""The markers RST0 to RST7."""
SMALLEST_STRIPE: Final = 3
"""Bytes of an interval with its marker: a block takes at least two bits."""
_MARKER: Final = re.compile(rb"\xff[\x01-\xfe]")
_SEARCHED_AT_ONCE: Final = 1 << 20
_PROBES: Final = 8
_PADDING: Final = 16  # bytes in which the end of the stream is looked for


class JpegStripes:
    """Intervals 0 to `count` - 1 of the entropy-coded data in bytes `begin` to `end` of a file.

    Of a stream that is to stay whole, `count` is 1, whatever markers are inside. `told` gives the begin of each
    interval, from the start of the file, or None. Memory is 8 bytes for each of them. Safe to call from many threads.
    """

    def __init__(
        self, file: TiffFile, place: str, data: range, count: int, told: Callable[[], NDArray[np.uint64] | None]
    ) -> None:
        """`place` names the stream in messages. Nothing is read before it is asked for."""
        self._file, self._place, self._data, self._told = file, place, data, told
        self.count = count
        self._lock = threading.Lock()
        self._starts: NDArray[np.int64] | None = None
        self._searched = False

    def size(self, first: int, last: int) -> int:
        """Bytes of the intervals from `first` to before `last`, with their markers. Raises CorruptInput."""
        starts = self._range(first, last)
        return int(starts[-1] - starts[0])

    def read(self, first: int, last: int) -> list[memoryview]:
        """The entropy-coded data of the intervals from `first` to before `last`, without markers; one read.

        Raises CorruptInput when the stream ends before, and above 256 MiB.
        """
        found = self._cut(self._range(first, last), first)
        if found is None:
            self._search()
            found = self._cut(self._range(first, last), first)
        if found is None:
            raise CorruptInput(f"restart intervals {first} to {last - 1} do not end with their markers")
        return found

    def _cut(self, starts: NDArray[np.int64], first: int) -> list[memoryview] | None:
        """None when intervals are not followed by the markers that they must have."""
        base, size = int(starts[0]), int(starts[-1] - starts[0])
        if size > MAX_TILE_BYTES:
            raise CorruptInput(f"restart intervals {first} and on have {size} bytes; the limit is 256 MiB")
        data = self._file.read(base, size, self._place)
        octets, ends = np.frombuffer(data, np.uint8), starts[1:] - base
        closings = np.frombuffer(b"".join(map(self._closing, range(first, first + len(ends)))), np.uint8)
        if (octets[ends - 2] != closings[::2]).any() or (octets[ends - 1] != closings[1::2]).any():
            return None
        view = memoryview(data)
        return [view[begin : end - 2] for begin, end in pairwise((starts - base).tolist())]

    def _closing(self, number: int) -> bytes:
        """The marker behind an interval."""
        return RESTARTS[number % 8] if number < self.count - 1 else EOI

    def _range(self, first: int, last: int) -> NDArray[np.int64]:
        """Begins of the intervals from `first` to `last`, both included: that of `last` is where the others end."""
        starts = self._found()
        if last >= len(starts):
            raise CorruptInput(
                f"the JPEG stream ends, or breaks, after {len(starts) - 1} of {self.count} restart intervals"
            )
        return starts[first : last + 1]

    def _found(self) -> NDArray[np.int64]:
        """Begins in the file of all intervals, and behind the last; fewer when the stream ends early."""
        with self._lock:
            if self._starts is None:
                self._starts = self._believed()
            if self._starts is None:
                self._starts = self._by_markers()
            return self._starts

    def _search(self) -> None:
        """Replaces what was told, unless fewer are found: then it is markers that are broken."""
        with self._lock:
            if not self._searched:
                _log.warning("%s: %s: restart markers are not where the file says", self._file.name, self._place)
                found = self._by_markers()
                self._starts = found if len(found) > self.count else self._starts

    def _believed(self) -> NDArray[np.int64] | None:
        """What was told, when it is in order and markers are where they must be in a sample of it, last part included.

        The whole of a stream that stays whole.
        """
        end = self._end()
        if self.count == 1:
            self._searched = True
            return np.array([self._data.start] if end is None else [self._data.start, end], np.int64)
        told = self._told()
        if end is None or told is None or (told > end).any():
            return None
        starts = np.append(told.astype(np.int64), end)
        if starts[0] != self._data.start or (np.diff(starts) < SMALLEST_STRIPE).any():
            return None
        probes = {*range(0, self.count, -(-self.count // _PROBES)), self.count - 1}
        return starts if all(self._closed(starts, number) for number in probes) else None

    def _closed(self, starts: NDArray[np.int64], number: int) -> bool:
        return self._file.read(int(starts[number + 1]) - 2, 2, self._place) == self._closing(number)

    def _end(self) -> int | None:
        """Offset in the file after EOI; None when the stream does not end with one."""
        begin = max(self._data.start, self._data.stop - _PADDING)
        found = end_of_stream(self._file.read(begin, self._data.stop - begin, self._place))
        return None if found is None else begin + found

    def _by_markers(self) -> NDArray[np.int64]:
        """Begins of all intervals up to the first marker that is not the one to be expected."""
        self._searched = True
        starts = array("q", [self._data.start])
        for at in range(self._data.start, self._data.stop, _SEARCHED_AT_ONCE):
            size = min(_SEARCHED_AT_ONCE + 1, self._data.stop - at)  # a marker may lie across the border
            chunk = self._file.read(at, size, self._place)
            for marker in _MARKER.finditer(chunk):
                if len(starts) > self.count or marker.group() != self._closing(len(starts) - 1):
                    return np.array(starts)
                starts.append(at + marker.end())
        return np.array(starts)
