"""Large files, made while they are sent or for whom asks: never whole in memory, and only a few at once."""

from __future__ import annotations

import io
import logging
import zipfile
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO, Final

from anyio import CapacityLimiter, WouldBlock, move_on_after, to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from wsi_dicom.errors import WsiError
from wsi_dicom_server.replies import Headers

logger = logging.getLogger(__name__)

_PIECE: Final = 1 << 20
_STALLED_S: Final = 120.0
"""Whoever takes longer for a piece has gone, or should."""


class Download(Response):
    """Pieces, sent as fast as the client takes them, while one of the `places` is taken.

    What fails before the first piece becomes an answer of its own; later the connection breaks off.
    """

    def __init__(
        self, headers: Headers, pieces: Callable[[], AsyncGenerator[bytes, None]], places: CapacityLimiter
    ) -> None:
        self.status_code, self.raw_headers, self.background = 200, headers, None
        self._pieces, self._places = pieces, places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await self._start(send)
            await send({"type": "http.response.body"})
            return
        try:
            self._places.acquire_on_behalf_of_nowait(self)
        except WouldBlock:
            raise HTTPException(503, "too many downloads at once: try again later", {"Retry-After": "60"}) from None
        try:
            async with aclosing(self._pieces()) as pieces:
                piece = await anext(pieces)
                await self._start(send)
                await self._send(Request(scope, receive), send, piece, pieces)
        finally:
            self._places.release_on_behalf_of(self)

    async def _start(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

    async def _send(self, request: Request, send: Send, piece: bytes, more: AsyncGenerator[bytes, None]) -> None:
        """Returns early, which breaks the connection off, when the client is gone or the rest cannot be made."""
        try:
            while piece:
                with move_on_after(_STALLED_S) as waiting:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                if waiting.cancelled_caught or await request.is_disconnected():
                    return
                piece = await anext(more, b"")
        except (OSError, WsiError) as error:
            logger.warning("%s breaks off: %s", request.url.path, error)
            return
        await send({"type": "http.response.body"})


async def in_threads(pieces: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
    """What takes a while to make, piece by piece."""
    while piece := await to_thread.run_sync(next, pieces, b""):
        yield piece


def file_pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece


def zip_pieces(files: Iterable[tuple[str, Path]]) -> Iterator[bytes]:
    """An archive of files, by the names that they get in it. They are not compressed: pictures are already."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, path in files:
            info = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
            with archive.open(info, "w") as target:
                for piece in file_pieces(path.open("rb")):
                    target.write(piece)
                    yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """A file that cannot be sought in; what was written is taken out again."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # any buffer, where zipfile gives bytes
        self._written += data
        return len(data)

    def taken(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken
