"""Writing a file in a thread of its own, so that who makes its bytes need not wait for the system to take them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, Final

_WAITING_BLOCKS: Final = 3
_BLOCK: Final = 1 << 20
_PIECES_AT_ONCE: Final = 1024  # IOV_MAX of Linux and macOS


def write_all(file: BinaryIO, pieces: Sequence[bytes]) -> int:
    """Writes pieces one after another to an unbuffered file, which may take less at once; returns their size.

    Raises OSError.
    """
    size = 0
    for first in range(0, len(pieces), _PIECES_AT_ONCE):
        some = pieces[first : first + _PIECES_AT_ONCE]
        expected, written = sum(map(len, some)), os.writev(file.fileno(), some)
        if written < expected:  # the disk is full, or a signal came: what is left says which
            rest = memoryview(b"".join(some))[written:]
            while rest:
                rest = rest[file.write(rest) :]
        size += expected
    return size


class WriteBehind:
    """Gathers what is appended to a file into blocks of a megabyte, and writes them; at most three of them wait.

    The thread begins with the first block.
    """

    def __init__(self, file: BinaryIO) -> None:
        """`file` is unbuffered, and nobody else writes to it before `finish`."""
        self._file = file
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[Future[None]] = deque()
        self._block: list[bytes] = []
        self._block_size = 0

    def write(self, size: int, *pieces: bytes) -> None:
        """Appends pieces, of `size` bytes together; waits while there is no room. Raises the OSError of earlier ones.

        To join the pieces would take a sixth more of the time of a copy (measured).
        """
        self._block += pieces
        self._block_size += size
        if self._block_size >= _BLOCK:
            self._begin_block()

    def finish(self) -> None:
        """Returns when all is written. Raises OSError."""
        while self._waiting:
            self._waiting.popleft().result()
        self.stop()
        write_all(self._file, self._block)
        self._block = []

    def stop(self) -> None:
        """Ends the thread; blocks that wait are not written."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _begin_block(self) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="write")
        if len(self._waiting) >= _WAITING_BLOCKS:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._write, self._block))
        self._block, self._block_size = [], 0

    def _write(self, pieces: Sequence[bytes]) -> None:
        begin = self._file.tell()
        size = write_all(self._file, pieces)
        if hasattr(os, "posix_fadvise"):  # of what is not on the disk yet, Linux then begins to write it there
            os.posix_fadvise(self._file.fileno(), begin, size, os.POSIX_FADV_DONTNEED)
