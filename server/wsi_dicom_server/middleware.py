"""Pure ASGI, and nothing that wraps `send`: what every request passes must cost next to nothing."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from wsi_dicom_server.replies import ANY_ORIGIN, Reply

_SLASHES = re.compile("//+")


class PathsAndPreflights:
    """Takes double slashes for single ones, as clients whose server URL ends in a slash send them, and answers OPTIONS.

    Every resource may be read from any origin (IIIF demands it), so one answer fits all preflights.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if "//" in scope["path"]:
                scope = {**scope, "path": _SLASHES.sub("/", scope["path"])}
            if scope["method"] == "OPTIONS":
                await _preflight()(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _preflight() -> Reply:
    return Reply(
        204,
        [
            ANY_ORIGIN,
            (b"allow", b"GET, HEAD, OPTIONS"),
            (b"access-control-allow-methods", b"GET, HEAD, OPTIONS"),
            (b"access-control-allow-headers", b"Accept, Authorization, Content-Type, If-None-Match"),
            (b"access-control-max-age", b"86400"),
        ],
    )
