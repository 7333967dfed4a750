"""What is held open between requests, because opening it takes long."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from threading import Lock
from typing import Final, Generic, TypeVar

from anyio import CapacityLimiter, to_thread

from wsi_dicom.errors import WsiError

Key = TypeVar("Key", bound=Hashable)
Held = TypeVar("Held")

_CHECK_AFTER_S: Final = 10.0
_LET_GO_AFTER_S: Final = 600.0


class Pool(Generic[Key, Held]):
    """At most `capacity` things, the least recently used one going first. Safe to use from many threads.

    `opened` opens what a key names, in a thread. It is asked again after a few seconds, with what is held, and gives
    that back if it still is the right one: what another process deletes or replaces does not live on here. What nobody
    has asked for in ten minutes goes with the next thing that is opened: it may be gone, and take up its disk space.
    """

    def __init__(self, capacity: int, opened: Callable[[Key, Held | None], Held]) -> None:
        self._capacity = capacity
        self._opened = opened
        self._entries: OrderedDict[Key, tuple[Held, float]] = OrderedDict()
        self._lock = Lock()
        self._opening, self._checking = CapacityLimiter(1), CapacityLimiter(1)

    async def get(self, key: Key) -> Held:
        """Raises what `opened` raises."""
        held = self.ready(key)
        if held is None:
            # One at a time: a page that asks for twenty tiles at once opens its slide once. What is only looked after
            # does not wait for what is opened, which takes ten times as long.
            async with self._checking if key in self._entries else self._opening:
                held = self.ready(key)
                if held is None:
                    held = await to_thread.run_sync(self._open, key)
        return held

    def ready(self, key: Key) -> Held | None:
        """What is open; None when it has to be opened or checked first, as `get` does."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or time.monotonic() - entry[1] > _CHECK_AFTER_S:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def forget(self, keys: Iterable[Key]) -> None:
        """Whoever still uses one of them may go on."""
        with self._lock:
            for key in keys:
                self._entries.pop(key, None)

    def close(self) -> None:
        with self._lock:
            self._entries.clear()

    def _open(self, key: Key) -> Held:
        with self._lock:
            entry = self._entries.get(key)
        try:
            held = self._opened(key, entry[0] if entry is not None else None)
        except WsiError:
            self.forget([key])
            raise
        with self._lock:
            now = time.monotonic()
            self._entries[key] = held, now
            self._entries.move_to_end(key)
            while len(self._entries) > self._capacity or self._oldest() < now - _LET_GO_AFTER_S:
                self._entries.popitem(last=False)
        return held

    def _oldest(self) -> float:
        """When the least recently used one was last looked after."""
        return next(iter(self._entries.values()))[1]
