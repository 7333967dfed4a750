"""HTTP as uvicorn speaks it, with stored tiles answered as soon as their request has been read, and clients bounded.

An ASGI application is called in a task of its own, and each part of its answer is checked and handed on: that takes
twice as long as reading the tile and sending it (docs/performance.md). What is not simply a stored tile of an open
slide, asked for by somebody who is known to be allowed to see it, takes that way all the same.

uvicorn has no limit on the head of a request, on how long it may take to come, on requests that are sent ahead of
their answers, and on how long an answer may stay unread: those are here.
"""

from __future__ import annotations

import asyncio
import re
from functools import lru_cache
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from wsi_dicom_server.access.control import private_headers
from wsi_dicom_server.app import Application
from wsi_dicom_server.replies import picture_headers
from wsi_dicom_server.routes.tiles import TILE_HEADERS, tile_at_once

_ADDRESS: Final = re.compile(rb"(?:/wsi)?/tiles/([0-9a-f.-]{1,64})/([0-9]{1,9})/([0-9]{1,9})/([0-9]{1,9})")
_OTHERWISE: Final = frozenset({b"if-none-match", b"content-length", b"transfer-encoding", b"expect", b"upgrade"})
"""Headers that ask for more than the tile."""

_LARGEST_HEAD: Final = 1 << 16
_MOST_AHEAD: Final = 1000
"""Requests that wait for the answer to the one before. Browsers send none ahead."""
_HEAD_S: Final = 30.0
_STALLED_S: Final = 120.0
"""Whoever reads nothing for that long has gone, or should."""


class TileProtocol(HttpToolsProtocol):
    """One connection. Made by uvicorn, whose `Config.http` it is."""

    _answered = False
    _in_head = False
    _head_size, _head_due = 0, 0.0
    """Bytes of a head that came after its first piece; and when it has to be complete, on the loop's clock."""
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # uvicorn leaves it where the client has reset the connection
        self._flows()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._in_head:
            return
        if self._head_due:
            self._head_size += len(data)
        else:  # a piece that may begin with other requests
            self._head_due = self.loop.time() + _HEAD_S
        if self._head_size > _LARGEST_HEAD:
            self.transport.abort()
        elif self._is_idle():
            self._await_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._flows()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()  # closes, but only when all that was sent has been read
        if self._stalled is None and self.transport.get_write_buffer_size():
            self._watch_reader()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_size, self._head_due = True, 0, 0.0

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._answered = self._answer_at_once()
        if self._answered:
            return
        if len(self.pipeline) < _MOST_AHEAD:
            super().on_headers_complete()
        else:
            self.transport.abort()

    def on_message_complete(self) -> None:
        if self._answered:
            self.on_response_complete()
        else:
            super().on_message_complete()

    def _answer_at_once(self) -> bool:
        """Whether a stored tile has been sent; else the application has to answer."""
        address = _ADDRESS.fullmatch(self.url)
        if address is None or not isinstance(self.app, Application) or not self._is_free():
            return False
        accepted = []
        for name, value in self.headers:
            if name in _OTHERWISE:
                return False
            if name == b"accept":
                accepted.append(value)
        site = self.app.site
        if site.settings.cors_origins or (reader := site.access.reader_at_once(self.headers)) is None:
            return False
        series, level, column, row = address.groups()
        accept = b",".join(accepted).decode("latin-1")
        tile = tile_at_once(site, series.decode(), int(level), int(column), int(row), accept)
        if tile is None:
            return False
        head = b"%b%betag: %b\r\ncontent-length: %d\r\n\r\n" % (
            _status_and_defaults(tuple(self.server_state.default_headers)),
            _other_headers(tile.media_type, not reader.anonymous),
            tile.etag.encode(),
            len(tile.body),
        )
        self.transport.writelines((head, tile.body))
        return True

    def _is_free(self) -> bool:
        """Whether nothing is being answered on this connection, and the client reads what it is sent and asks on."""
        return (
            self.parser.get_method() == b"GET"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and self._is_idle()
            and not self.flow.write_paused
            and not self.transport.is_closing()
        )

    def _is_idle(self) -> bool:
        """Whether every request whose head has come is answered."""
        return (self.cycle is None or self.cycle.response_complete) and not self.pipeline

    def _await_head(self) -> None:
        """Ends the connection when the head is late; uvicorn's timer, because uvicorn stops it when data come."""
        self._unset_keepalive_if_required()
        due = self._head_due or self.loop.time() + _HEAD_S
        self.timeout_keep_alive_task = self.loop.call_at(due, self.timeout_keep_alive_handler)

    def _watch_reader(self, unread: int | None = None) -> None:
        """Ends the connection when nothing more has been read of an answer since there were `unread` bytes of it."""
        left = self.transport.get_write_buffer_size()
        if left == unread:
            self.transport.abort()
        else:
            self._stalled = self.loop.call_later(_STALLED_S, self._watch_reader, left)

    def _flows(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


@lru_cache(maxsize=2)
def _status_and_defaults(defaults: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """`defaults` are uvicorn's: the date."""
    return b"HTTP/1.1 200 OK\r\n" + _lines(defaults)


@lru_cache
def _other_headers(media_type: str, private: bool) -> bytes:
    headers = picture_headers(media_type, *TILE_HEADERS)
    return _lines(tuple(private_headers(headers) if private else headers))


def _lines(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    return b"".join(b"%b: %b\r\n" % header for header in headers)
