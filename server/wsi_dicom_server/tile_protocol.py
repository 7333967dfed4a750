"""HTTP as uvicorn speaks it, with stored tiles answered as soon as their request has been read, and clients bounded.

An ASGI application is called in a task of its own, and each part of its answer is checked and handed on: that takes
twice as long as reading the tile and sending it (docs/performance.md). What is not simply a stored tile of an open
slide, asked for by somebody who is known to be allowed to see it, takes that way all the same.

uvicorn has no limit on the head of a request, on what stands behind its body, on how long they may take to come, on
requests that are sent ahead of their answers, and on how long an answer may stay unread: those are here.
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
from wsi_dicom_server.tiles import TILE_HEADERS, tile_at_once

_ADDRESS: Final = re.compile(rb"(?:/wsi)?/tiles/([0-9a-f.-]{1,64})/([0-9]{1,9})/([0-9]{1,9})/([0-9]{1,9})")
_OTHERWISE: Final = frozenset({b"if-none-match", b"content-length", b"transfer-encoding", b"expect", b"upgrade"})
"""Headers that ask for more than the tile."""

_LARGEST_HEAD: Final = 1 << 16
_MOST_AHEAD: Final = 1000
"""Requests that wait for the answer to the one before. Browsers send none ahead."""
_REST_S: Final = 30.0
"""For a head, and for what is left of a request that has been answered."""
_STALLED_S: Final = 120.0
_LEAST_READ: Final = 1 << 20
"""Bytes. Whoever reads less in that time has gone, or should."""


class TileProtocol(HttpToolsProtocol):
    """One connection. Made by uvicorn, whose `Config.http` it is."""

    _answered = False
    _incomplete = False
    """Whether a request has begun, and not all of it has come."""
    _apart: int | None = None
    """Bytes of a head, or of what is neither head nor body, that came after their first piece."""
    _due = 0.0
    """When the head has to be complete, or the rest of what is answered already, on the loop's clock; 0: not set."""
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._await_rest()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # uvicorn leaves it where the client has reset the connection
        self._flows()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._incomplete:
            return
        self._apart = 0 if self._apart is None else self._apart + len(data)  # the first may begin with something else
        if self._apart > _LARGEST_HEAD:
            self.transport.abort()
        elif self._is_idle():
            self._await_rest()

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
        self._incomplete, self._apart, self._due = True, None, 0.0

    def on_headers_complete(self) -> None:
        self._answered = self._answer_at_once()
        if self._answered:
            return
        if len(self.pipeline) < _MOST_AHEAD:
            super().on_headers_complete()
            self.headers, self._due = [], 0.0  # trailers are none of the request's headers, and let go when it ends
        else:
            self.transport.abort()

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._apart = None

    def on_message_complete(self) -> None:
        self._incomplete = False
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

    def _await_rest(self) -> None:
        """Ends the connection when that is late; uvicorn's timer, because uvicorn stops it when data come."""
        self._unset_keepalive_if_required()
        self._due = self._due or self.loop.time() + _REST_S
        self.timeout_keep_alive_task = self.loop.call_at(self._due, self.timeout_keep_alive_handler)

    def _watch_reader(self, unread: int | None = None) -> None:
        """Ends the connection when hardly more has been read of an answer since there were `unread` bytes of it."""
        left = self.transport.get_write_buffer_size()
        if unread is not None and left > unread - _LEAST_READ:
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
