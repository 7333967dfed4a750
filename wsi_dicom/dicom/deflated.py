"""Deflated data sets (PS3.5 A.5): all that follows the file meta information is one raw deflate stream (RFC 1951)."""

from __future__ import annotations

import io
import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from wsi_dicom.errors import CorruptInput, UnsupportedFormat

_CHUNK: Final = 1 << 20
_LARGEST: Final = 4 << 30
"""What uncompressed pixel data may have (their length has 32 bits); it takes that much of the temporary folder."""


def _inflated(file: BinaryIO) -> Iterator[bytes]:
    """From where the file stands, in pieces of at most 1 MiB however well they were packed. Raises CorruptInput."""
    stream, data = zlib.decompressobj(-zlib.MAX_WBITS), b""
    try:
        while not stream.eof:
            data = data or file.read(_CHUNK)
            piece = stream.decompress(data, _CHUNK)
            if not (data or piece):
                raise CorruptInput(f"{file.name} breaks off in its deflated data set")
            data = stream.unconsumed_tail
            yield piece
    except zlib.error as error:
        raise CorruptInput(f"{file.name} has a deflated data set that does not inflate: {error}") from error


class InflatingReader(io.RawIOBase):
    """The data set as if it were not deflated, inflated as far as it is read, and kept: for headers.

    Positions count from the beginning of the data set.
    """

    def __init__(self, file: BinaryIO, largest: int) -> None:
        """`file` stands where the deflated stream begins; no more than `largest` bytes of it are ever inflated."""
        self.name = file.name
        self._largest = largest
        self._pieces = _inflated(file)
        self._known = bytearray()
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("the end of what is not inflated yet is unknown")
        self._position = offset + (self._position if whence == io.SEEK_CUR else 0)
        return self._position

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # typeshed has it take any buffer
        end = min(self._position + len(buffer), self._largest)
        while len(self._known) < end and (piece := next(self._pieces, None)) is not None:
            self._known += piece
        found = self._known[self._position : end]
        buffer[: len(found)] = found
        self._position += len(found)
        return len(found)


def inflate_to_file(file: BinaryIO) -> BinaryIO:
    """A temporary file with the data set that begins where `file` stands; gone when nobody has it open any more.

    Raises CorruptInput, UnsupportedFormat (larger than any uncompressed pixel data can be).
    """
    descriptor, path = tempfile.mkstemp()
    Path(path).unlink()
    with io.FileIO(descriptor, "wb") as whole:
        size = 0
        for piece in _inflated(file):
            size += len(piece)
            if size > _LARGEST:
                raise UnsupportedFormat(
                    f"{file.name} inflates to more than {_LARGEST >> 30} GiB; rewrite it with `dcmconv +te`"
                )
            whole.write(piece)
        raw = io.FileIO(os.dup(descriptor))
    raw.name = file.name  # which messages should tell
    return io.BufferedReader(raw)
