"""Writing a tiled, pyramidal TIFF as a stream: tiles as they come, directories at the end (TIFF 6.0, BigTIFF).

Memory holds two numbers for each tile. Pages may be written side by side. Pages stand one after another, or below
another as its SubIFDs (TIFF Technical Note 1).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from wsi_dicom.errors import StoreError
from wsi_dicom.tiff.page import Field, Page, PageSink, subdirectories
from wsi_dicom.write_behind import WriteBehind, write_all

CLASSIC_LIMIT: Final = 0xFFFF_FFFF - (64 << 20)
"""Largest sum of tile bytes for a classic TIFF; the rest is room for directories."""


class TiffWriter:
    """Writes one file, a BigTIFF when it is to be `big`. A context manager: on an exception the file is removed.

    Raises StoreError when the file cannot be written, or a classic one outgrows 4 GiB.
    """

    def __init__(self, path: Path, *, big: bool, software: str, acquired: datetime | None) -> None:
        self._path, self._big, self._software, self._acquired = path, big, software, acquired
        self._pages: list[tuple[PageSink, list[PageSink]]] = []
        try:
            self._file = path.open("xb", buffering=0)
        except OSError as error:
            raise self._failed(error) from error
        self._behind = WriteBehind(self._file)
        self._position = 0
        header = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if big else struct.pack("<2sHI", b"II", 42, 0)
        self.append(header)

    def add_page(self, page: Page, below: Sequence[Page] = ()) -> list[PageSink]:
        """The sinks of a page and of its SubIFDs. Pages appear in the file in the order of these calls."""
        sinks = [PageSink(self, each) for each in (page, *below)]
        self._pages.append((sinks[0], sinks[1:]))
        return sinks

    def append(self, data: bytes) -> int:
        """Writes at the end, on an even offset, and returns that offset."""
        offset, size = self._position, len(data)
        padded = size + (size & 1)
        if not self._big and offset + padded > 0xFFFF_FFFE:
            raise StoreError(f"{self._path.name}: is over the 4 GiB of a classic TIFF; let it be a BigTIFF")
        try:
            self._behind.write(padded, data, b"\0" * (padded - size))
        except OSError as error:
            raise self._failed(error) from error
        self._position = offset + padded
        return offset

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as failed:
            failed.callback(self._discard)
            if kind is None:
                self._finish()
                failed.pop_all()

    def _failed(self, error: OSError) -> StoreError:
        return StoreError(f"{self._path.name}: cannot be written: {error.strerror}")

    def _discard(self) -> None:
        self._behind.stop()
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _finish(self) -> None:
        link = 8 if self._big else 4  # where the header points to the first directory
        links = {}
        try:
            for page, below in self._pages:
                offsets = [self._append_directory(self._fields(sink))[0] for sink in below]
                nested = [subdirectories(offsets)] if offsets else []
                offset, next_link = self._append_directory([*self._fields(page), *nested])
                links[link], link = offset, next_link
            self._behind.finish()
            for position, offset in links.items():
                self._file.seek(position)
                write_all(self._file, [struct.pack("<Q" if self._big else "<I", offset)])
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise self._failed(error) from error

    def _fields(self, page: PageSink) -> list[Field]:
        return page.fields(self._software, self._acquired)

    def _append_directory(self, fields: Sequence[Field]) -> tuple[int, int]:
        """Writes a directory; returns its offset, and where its link to the next one lies."""
        word, entry = ("<Q", "<HHQ") if self._big else ("<I", "<HHI")
        inline = struct.calcsize(word)
        entries = []
        for field in sorted(fields):
            data = field.data(self._big)
            if len(data) > inline:
                data = struct.pack(word, self.append(data))
            entries.append(
                struct.pack(entry, field.code, field.kind(self._big), field.count) + data.ljust(inline, b"\0")
            )
        count = struct.pack("<Q" if self._big else "<H", len(entries))
        body = count + b"".join(entries)
        offset = self.append(body + struct.pack(word, 0))
        return offset, offset + len(body)
