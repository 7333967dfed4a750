"""Answers: bytes with the headers that clients, browsers and caches in between need."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

Headers: TypeAlias = list[tuple[bytes, bytes]]

ANY_ORIGIN: Final = (b"access-control-allow-origin", b"*")
IMMUTABLE: Final = (b"cache-control", b"public, max-age=31536000, immutable")
REVALIDATE: Final = (b"cache-control", b"no-cache")
BY_ACCEPT: Final = (b"vary", b"Accept")
BY_CODING: Final = (b"vary", b"Accept-Encoding")
_OF_BODY: Final = frozenset({b"content-type", b"content-encoding"})
_ENTITY_TAG: Final = re.compile('"[^"]*"')  # commas may be inside
_EXPOSED: Final = (b"access-control-expose-headers", b"ETag, Link")


class Reply(Response):
    """A whole body and ready-made headers; Starlette's own constructor costs more than reading a tile."""

    def __init__(self, status: int, headers: Headers, body: bytes = b"") -> None:
        self.status_code = status
        self.body = body
        self.background = None
        if status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(body)))
        self.raw_headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})


class Endpoint:
    """A handler as an ASGI application of its own, for routes that many requests take.

    Starlette puts another layer of exception handling around functions; the one around all routes does for these.
    """

    def __init__(self, handler: Callable[[Request], Awaitable[Response]]) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reply = await self._handler(Request(scope, receive))
        await reply(scope, receive, send)


def header(request: Request, name: bytes) -> str:
    """All values of a request's header, joined as one; empty when it has none."""
    values = [value for key, value in request.scope["headers"] if key == name]
    return b",".join(values).decode("latin-1") if values else ""


def unchanged(request: Request, etag: str) -> bool:
    """Whether the client says that it holds this very entity (RFC 9110, 13.1.2)."""
    held = header(request, b"if-none-match")
    if not held:
        return False
    return held.strip() == "*" or etag in _ENTITY_TAG.findall(held)


def not_modified(headers: Headers) -> Reply:
    """In place of the answer with these headers, with those of them that are not about its body (RFC 9110, 15.4.5)."""
    return Reply(304, [pair for pair in headers if pair[0] not in _OF_BODY])


def entity_tag(etag: str) -> tuple[bytes, bytes]:
    return b"etag", etag.encode()


def picture_headers(media_type: str, *headers: tuple[bytes, bytes]) -> Headers:
    """Of a picture that never changes under its address."""
    return [(b"content-type", media_type.encode()), IMMUTABLE, ANY_ORIGIN, _EXPOSED, *headers]


def document(request: Request, content: Any, media_type: str = "application/json", links: Sequence[str] = ()) -> Reply:
    """JSON that may change, so that caches ask whether it did."""
    return json_document(
        request, json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(), media_type, links
    )


def json_document(request: Request, body: bytes, media_type: str, links: Sequence[str] = ()) -> Reply:
    """As `document`, of JSON that was written in a thread."""
    etag = f'"{zlib.crc32(body):08x}-{len(body)}-{zlib.crc32(media_type.encode()):08x}"'
    headers = [
        (b"content-type", media_type.encode()),
        entity_tag(etag),
        REVALIDATE,
        BY_ACCEPT,
        ANY_ORIGIN,
        _EXPOSED,
    ]
    if links:
        headers.append((b"link", ", ".join(links).encode()))
    return not_modified(headers) if unchanged(request, etag) else Reply(200, headers, body)


def unkept_document(status: int, content: Any, *headers: tuple[bytes, bytes]) -> Reply:
    """JSON for who asked alone: no cache keeps it."""
    told: Headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store"), *headers]
    return Reply(status, told, json.dumps(content, ensure_ascii=False).encode())
