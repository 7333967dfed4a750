"""Writing levels whose headers are known only when all of their frames are: sparse ones, and those split by size.

The frames wait in one file beside; then as many instances as they need are written from it. Parts of a concatenation
(PS3.3 C.7.6.16.2.2.4) are TILED_SPARSE, because common viewers place the tiles of TILED_FULL parts wrongly. A level
that fits in one instance carries no attributes of a concatenation, and one without gaps is TILED_FULL.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Protocol, Self

from wsi_dicom.dicom.description import Concatenation, FramePositions, ImageDescription
from wsi_dicom.dicom.writer import InstanceWriter
from wsi_dicom.errors import StoreError
from wsi_dicom.geometry import Plane

_BYTES_PER_FRAME: Final = 320
"""What a frame takes of a part beside its own bytes: its position in the header, its item and its offset."""

_BYTES_PER_PART: Final = 1024
"""What the header of a part has more than that of a whole level: dimensions, and its place in the concatenation."""


class OpenInstance(Protocol):
    """Opens the file of one image."""

    def __call__(self, description: ImageDescription, largest_total: int) -> InstanceWriter: ...


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive frames that go into one instance."""

    first: int
    count: int
    size: int


class SpooledWriter:
    """A FrameSink for one level; a context manager that writes whole files, or none.

    `largest_part` is in bytes, 0 for no limit; `header_size` those of an instance beside its frames. `blank` makes the
    one frame of a level that has none: DICOM knows no image without frames. Raises StoreError.
    """

    def __init__(
        self,
        spool: Path,
        description: ImageDescription,
        planes: Sequence[Plane],
        *,
        largest_part: int,
        header_size: int,
        open_instance: OpenInstance,
        part_uid: Callable[[int], str],
        concatenation_uid: str,
        source_uid: str,
        blank: Callable[[], bytes],
    ) -> None:
        self.files: list[Path] = []
        self._path, self._description, self._planes = spool, description, planes
        self._room = max(1, largest_part - header_size - _BYTES_PER_PART) if largest_part else None
        self._open_instance, self._blank = open_instance, blank
        self._part_uid, self._concatenation_uid, self._source_uid = part_uid, concatenation_uid, source_uid
        self._places = array("Q")  # number of each frame that there is, in TILED_FULL order
        self._lengths = array("Q")
        self._next = 0
        self._file: BinaryIO

    def __enter__(self) -> Self:
        try:
            self._file = self._path.open("xb")
        except OSError as error:
            raise self._failure(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        except OSError as failed:
            raise self._failure(failed) from failed
        finally:
            with suppress(OSError):  # what the buffer still holds need not reach a file that goes away
                self._file.close()
            self._path.unlink(missing_ok=True)

    def write(self, frame: bytes | None) -> None:
        """Appends one frame, or none for a tile that is absent. Raises StoreError."""
        if frame is not None:
            try:
                self._file.write(frame)
            except OSError as error:
                raise self._failure(error) from error
            self._places.append(self._next)
            self._lengths.append(len(frame))
        self._next += 1

    def _failure(self, error: OSError) -> StoreError:
        return StoreError(f"{self._path}: cannot be written: {error.strerror}; is there room?")

    def _finish(self) -> None:
        expected = self._description.frame_count
        if self._next != expected:
            raise StoreError(f"{self._path}: {self._next} of {expected} frames were written")
        if not self._places:
            self._next = 0
            self.write(self._blank())
        self._file.flush()
        parts = list(self._parts())
        with self._path.open("rb") as spooled:
            for number, part in enumerate(parts, start=1):
                self._write_part(spooled, part, number, len(parts))

    def _parts(self) -> Iterator[Part]:
        first = size = 0
        for index, length in enumerate(self._lengths):
            needed = length + (length & 1) + _BYTES_PER_FRAME
            if self._room and index > first and size + needed > self._room:
                yield Part(first, index - first, size)
                first, size = index, 0
            size += needed
        yield Part(first, len(self._lengths) - first, size)

    def _write_part(self, spooled: BinaryIO, part: Part, number: int, total: int) -> None:
        description = self._describe(part, number, total)
        lengths = self._lengths[part.first : part.first + part.count]
        with self._open_instance(description, sum(lengths)) as writer:
            for length in lengths:
                writer.write(spooled.read(length))
        self.files += writer.files

    def _describe(self, part: Part, number: int, total: int) -> ImageDescription:
        level = self._description.level
        if part.count == self._description.frame_count:
            return self._description
        positions = FramePositions.of_places(level, self._planes, self._places[part.first : part.first + part.count])
        if total == 1:
            return replace(self._description, positions=positions)
        concatenation = Concatenation(self._concatenation_uid, number, total, part.first, self._source_uid)
        return replace(
            self._description,
            sop_instance_uid=self._part_uid(number),
            positions=positions,
            concatenation=concatenation,
        )
