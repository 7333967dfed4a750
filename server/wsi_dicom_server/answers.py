"""Decoded answers that many ask for: each is made once, and kept for a while."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable

from anyio import Event

from wsi_dicom.errors import WsiError


class _Making:
    """An answer that somebody is making. Without body or error when done: whoever made it went away."""

    def __init__(self) -> None:
        self.done = Event()
        self.body: bytes | None = None
        self.error: WsiError | None = None


class AnswerCache:
    """Bodies by any key, of at most `largest_bytes` together. For use in the event loop alone.

    Of requests for the same answer at once the first one makes it, and the others wait for it without a thread.
    """

    def __init__(self, largest_bytes: int) -> None:
        self._largest_bytes, self._bytes = largest_bytes, 0
        self._bodies: OrderedDict[Hashable, bytes] = OrderedDict()
        self._makings: dict[Hashable, _Making] = {}

    async def get(self, key: Hashable, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """Raises what `make` raises: errors of ours to all who wait, and is not kept."""
        while True:
            if (body := self._bodies.get(key)) is not None:
                self._bodies.move_to_end(key)
                return body
            making = self._makings.get(key)
            if making is None:
                return await self._make(key, make)
            await making.done.wait()
            if making.error is not None:
                raise making.error
            if making.body is not None:
                return making.body

    async def _make(self, key: Hashable, make: Callable[[], Awaitable[bytes]]) -> bytes:
        making = self._makings[key] = _Making()
        try:
            making.body = await make()
        except WsiError as error:
            making.error = error
            raise
        finally:
            del self._makings[key]
            making.done.set()
        self._keep(key, making.body)
        return making.body

    def _keep(self, key: Hashable, body: bytes) -> None:
        if len(body) > self._largest_bytes:
            return
        self._bodies[key] = body
        self._bytes += len(body)
        while self._bytes > self._largest_bytes:
            _, forgotten = self._bodies.popitem(last=False)
            self._bytes -= len(forgotten)
