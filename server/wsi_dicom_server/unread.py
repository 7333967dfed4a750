"""Pictures that are made for who asks for them, and how much memory those take up that nobody has read yet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from anyio import Event, Lock, fail_after
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from wsi_dicom_server.replies import Headers

_SAMPLES: Final = 4
_SMALL: Final = 1 << 20
_WAIT_S: Final = 30.0


def largest_file(width: int, height: int) -> int:
    """Bytes that a picture of so many pixels has as a file: hardly more, and mostly fewer."""
    return width * height * _SAMPLES


class UnreadLimit:
    """Answers that are being made or have not been read yet: `most` bytes of them, or a single larger one.

    Those up to 1 MiB count, but do not wait: tiles come through whatever others leave unread, as many as there are
    connections. For use in the event loop alone.
    """

    def __init__(self, most: int) -> None:
        self._most, self._taken = most, 0
        self._turn, self._freed = Lock(), Event()

    async def take(self, size: int) -> None:
        """First come, first served. Raises HTTPException (503) where there is no room for half a minute."""
        if size > _SMALL:
            try:
                with fail_after(_WAIT_S):
                    await self._take_in_turn(size)
            except TimeoutError:
                busy = "too many large pictures are under way: try again later"
                raise HTTPException(503, busy, {"Retry-After": "30"}) from None
        else:
            self._taken += size

    def give_back(self, size: int) -> None:
        self._taken -= size
        self._freed.set()

    async def _take_in_turn(self, size: int) -> None:
        async with self._turn:
            while self._taken and self._taken + size > self._most:
                self._freed = Event()
                await self._freed.wait()
            self._taken += size


class MadePicture(Response):
    """A picture file, made when there is room for its at most `size` bytes in `unread`, which it takes up until it has
    been read, or its connection has ended.

    What `make` raises becomes an answer of its own.
    """

    def __init__(self, headers: Headers, size: int, make: Callable[[], Awaitable[bytes]], unread: UnreadLimit) -> None:
        self.status_code, self.raw_headers, self.background = 200, headers, None
        self._size, self._make, self._unread = size, make, unread

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        taken = self._size
        await self._unread.take(taken)
        try:
            body = await self._make()
            self._unread.give_back(taken - len(body))
            taken = len(body)
            headers = [*self.raw_headers, (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
            await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body"})  # waits until hardly anything is unread
        finally:
            self._unread.give_back(taken)
