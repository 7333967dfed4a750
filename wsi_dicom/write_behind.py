"""Writing a file in a thread of its own, so that who makes its bytes need not wait for the system to take them."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, Final

_WAITING_BLOCKS: Final = 3


def write_all(file: BinaryIO, block: bytes) -> None:
    """Writes to an unbuffered file, which may take less at once. Raises OSError."""
    rest = memoryview(block)
    while rest:
        rest = rest[file.write(rest) :]


class WriteBehind:
    """Takes blocks in order; at most three of them wait. The thread begins with the first block."""

    def __init__(self, file: BinaryIO) -> None:
        """`file` is unbuffered, and nobody else writes to it before `finish`."""
        self._file = file
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[Future[None]] = deque()

    def write(self, block: bytes) -> None:
        """Takes a block, when there is room for one. Raises the OSError of an earlier one."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="write")
        if len(self._waiting) >= _WAITING_BLOCKS:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._write, block))

    def finish(self) -> None:
        """Returns when all is written. Raises OSError."""
        while self._waiting:
            self._waiting.popleft().result()
        self.stop()

    def stop(self) -> None:
        """Ends the thread; blocks that wait are not written."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _write(self, block: bytes) -> None:
        begin = self._file.tell()
        write_all(self._file, block)
        if hasattr(os, "posix_fadvise"):  # of what is not on the disk yet, Linux then begins to write it there
            os.posix_fadvise(self._file.fileno(), begin, len(block), os.POSIX_FADV_DONTNEED)
