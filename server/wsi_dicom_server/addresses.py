"""Addresses of this server: as routes match them, and as browsers know them."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.types import Scope

from wsi_dicom.errors import InvalidRequest, NotFound
from wsi_dicom_server.replies import Headers, Reply
from wsi_dicom_server.site import site_of


def own_path(scope: Scope) -> str:
    """The path below this application, which a proxy or another application may have given a prefix."""
    path: str = scope["path"]
    root: str = scope.get("app_root_path", scope.get("root_path", ""))
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path


def home_url(request: Request) -> str:
    """Where this application begins, as browsers know it; no final slash. Raises InvalidRequest."""
    root = request.scope.get("app_root_path", request.scope.get("root_path", ""))
    return site_of(request).base_url(Request({**request.scope, "root_path": root, "app_root_path": root}))


def see_other(request: Request, path: str, *headers: tuple[bytes, bytes]) -> Reply:
    """Leads to a page of this server: `path` begins with a slash, and may have a query. Raises InvalidRequest."""
    location = home_url(request) + quote(path, safe="/?&=:;,@!$'()*+~%-._")
    reply_headers: Headers = [(b"location", location.encode()), (b"cache-control", b"no-store"), *headers]
    return Reply(303, reply_headers)


def frame_number(text: str) -> int:
    """Raises NotFound."""
    if (number := _whole_number(text)) is None:
        raise NotFound(f"{text[:20]!r} is not the number of a frame, counted from 0")
    return number


def tile_number(text: str) -> int:
    """Raises NotFound: also a negative or enormous number names no tile."""
    if (number := _whole_number(text)) is None:
        raise NotFound(f"{text[:20]!r} is not the number of a level, column or row of tiles")
    return number


def page_number(text: str) -> int:
    """Raises InvalidRequest."""
    if not (number := _whole_number(text)):
        raise InvalidRequest(f"page {text[:20]!r}: expected a number from 1")
    return number


def _whole_number(text: str) -> int | None:
    """At most ten digits: as many as NumberOfFrames may have, and no store holds more of anything."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else None
