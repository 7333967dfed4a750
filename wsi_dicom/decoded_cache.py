"""Decoded tiles and strips that will be asked for again soon."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Final

from wsi_dicom.geometry import Plane
from wsi_dicom.slide import Pixels, Slide

_KEPT_TILES_BYTES: Final = 128 << 20


class DecodedCache:
    """Pixels by any key: at most `largest_bytes` of them, or one, beside those that are being decoded.

    Of threads that ask for the same pixels at once one decodes, and the others wait for it.
    """

    def __init__(self, largest_bytes: int) -> None:
        self._largest_bytes, self._bytes = largest_bytes, 0
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, Future[Pixels]] = OrderedDict()

    def get(self, key: Hashable, decode: Callable[[], Pixels]) -> Pixels:
        """Read-only pixels. Raises what `decode` raises, which is not kept."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
            else:
                mine = self._entries[key] = Future()
        if entry is not None:
            return entry.result()
        try:
            pixels = decode()
        except BaseException as error:
            with self._lock:
                del self._entries[key]
            mine.set_exception(error)
            raise
        pixels.flags.writeable = False
        mine.set_result(pixels)
        with self._lock:
            self._bytes += pixels.nbytes
            self._forget_oldest()
        return pixels

    def _forget_oldest(self) -> None:
        """What is still being decoded is not counted yet, and stays."""
        forgotten: list[Hashable] = []
        for key, entry in self._entries.items():
            if self._bytes <= self._largest_bytes or len(self._entries) - len(forgotten) == 1:
                break
            if entry.done():
                self._bytes -= entry.result().nbytes
                forgotten.append(key)
        for key in forgotten:
            del self._entries[key]


def kept_tiles(slide: Slide, level: int, plane: Plane) -> Callable[[int, int], Pixels]:
    """Tiles of a level by column and row, of which the last 128 MiB are kept."""
    cache = DecodedCache(_KEPT_TILES_BYTES)

    def tile(column: int, row: int) -> Pixels:
        return cache.get((column, row), lambda: slide.tile(level, column, row, plane))

    return tile
