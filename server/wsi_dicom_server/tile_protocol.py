"""HTTP as uvicorn speaks it, with stored tiles answered as soon as their request has been read.

An ASGI application is called in a task of its own, and each part of its answer is checked and handed on: that takes
twice as long as reading the tile and sending it (docs/performance.md). What is not simply a stored tile of an open
slide, asked for by somebody who is known to be allowed to see it, takes that way all the same.
"""

from __future__ import annotations

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


class TileProtocol(HttpToolsProtocol):
    """One connection. Made by uvicorn, whose `Config.http` it is."""

    _answered = False

    def on_headers_complete(self) -> None:
        self._answered = self._answer_at_once()
        if not self._answered:
            super().on_headers_complete()

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
        accept = b""
        for name, value in self.headers:
            if name in _OTHERWISE:
                return False
            if name == b"accept":
                accept += b"," + value if accept else value
        site = self.app.site
        if site.settings.cors_origins or (reader := site.access.reader_at_once(self.headers)) is None:
            return False
        series, level, column, row = address.groups()
        tile = tile_at_once(site, series.decode(), int(level), int(column), int(row), accept.decode("latin-1"))
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
            and (self.cycle is None or self.cycle.response_complete)
            and not self.pipeline
            and not self.flow.write_paused
            and not self.transport.is_closing()
        )


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
