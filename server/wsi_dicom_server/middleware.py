"""Pure ASGI, and nothing that wraps `send` without need: what every request passes must cost next to nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wsi_dicom_server.access.rules import is_for_our_pages
from wsi_dicom_server.addresses import own_path
from wsi_dicom_server.replies import ANY_ORIGIN, Reply

_SLASHES = re.compile("//+")


class PathsAndPreflights:
    """Takes double slashes for single ones, as clients whose server URL ends in a slash send them, and answers OPTIONS.

    All but what is for our own pages may be read from any origin (IIIF demands it).
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if "//" in scope["path"]:
                scope = {**scope, "path": _SLASHES.sub("/", scope["path"])}
            if scope["method"] == "OPTIONS":
                await _preflight(scope)(scope, receive, send)
                return
        await self.app(scope, receive, send)


class CrossOrigin:
    """Lets pages from some other origins ask with credentials, which `*` does not: names their origin in the answer.

    Every answer then varies by Origin, so that no cache gives one page's answer to another.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self.app = app
        self._origins = frozenset(origin.encode() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        origin = next((value for name, value in scope["headers"] if name == b"origin"), None)

        async def send_with_origin(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], (b"vary", b"Origin")]
                if origin in self._origins:
                    headers = [pair for pair in headers if pair[0] != b"access-control-allow-origin"]
                    headers.append((b"access-control-allow-origin", origin))
                    headers.append((b"access-control-allow-credentials", b"true"))
                message = {**message, "headers": headers}
            await send(message)

        await self.app(scope, receive, send_with_origin)


def allowed_methods(scope: Scope) -> str:
    """What can be done with the path of a request, as the header Allow has it: by all routes that lead there."""
    whole = {**scope, "root_path": "", "path": own_path(scope)}
    return ", ".join(sorted({"OPTIONS", *_methods(scope["app"].routes, whole)}))


def _methods(routes: Iterable[BaseRoute], scope: Scope) -> Iterator[str]:
    for route in routes:
        match, below = route.matches(scope)
        if match is Match.NONE:
            continue
        if isinstance(route, Mount):
            yield from _methods(route.routes, {**scope, **below})
        elif isinstance(route, Route):
            yield from route.methods or ()


def _preflight(scope: Scope) -> Reply:
    headers = [(b"allow", allowed_methods(scope).encode())]
    if not is_for_our_pages(own_path(scope)):
        headers += [
            ANY_ORIGIN,
            (b"access-control-allow-methods", b"GET, HEAD, OPTIONS"),
            (b"access-control-allow-headers", b"Accept, Authorization, Content-Type, If-None-Match"),
            (b"access-control-max-age", b"86400"),
        ]
    return Reply(204, headers)
