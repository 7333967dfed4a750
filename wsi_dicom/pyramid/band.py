"""The encoded tiles of one level in one band, kept until they can be written in order."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from wsi_dicom.errors import StoreError
from wsi_dicom.frames import FrameSink

BYTES_IN_MEMORY = 8 << 20
"""What a band has beyond this waits in a file instead of in memory."""


class PlacedTile(NamedTuple):
    """An encoded tile and where it belongs. Sorts in row-major order."""

    row: int
    column: int
    data: bytes | None
    """None for a tile that a sparse level goes without."""


class EncodedBand:
    """Takes tiles in any order and gives them back in row-major order. A context manager.

    Raises StoreError when the scratch folder cannot be written.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._file = tempfile.SpooledTemporaryFile(BYTES_IN_MEMORY, dir=str(scratch))  # noqa: SIM115 - closed by __exit__
        self._places: dict[tuple[int, int], tuple[int, int] | None] = {}

    def add(self, tiles: Iterable[PlacedTile]) -> None:
        with self._named_failures():
            for row, column, data in tiles:
                self._places[row, column] = None if data is None else (self._file.tell(), len(data))
                self._file.write(data or b"")

    def write_to(self, sink: FrameSink) -> None:
        for key in sorted(self._places):
            place = self._places[key]
            sink.write(None if place is None else self._stored(*place))

    def _stored(self, offset: int, length: int) -> bytes:
        with self._named_failures():
            self._file.seek(offset)
            return self._file.read(length)

    @contextmanager
    def _named_failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(f"{self._scratch}: cannot hold tiles for a while: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # what the buffer still holds need not reach a file that goes away
            self._file.close()
