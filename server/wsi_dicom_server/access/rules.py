"""What a request needs: the scope of its path and method, what its view token must be for, and our own site."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, urlsplit

from starlette.types import Scope as AsgiScope

from wsi_dicom_server.access.principal import Scope
from wsi_dicom_server.slide_pool import is_identifier

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_VIEW_PARAMETERS: Final = frozenset({"token", "channels", "window", "frame"})

# By the first part of the path.
_OPEN: Final = frozenset({"static", "login", "logout", "favicon.svg", "favicon.ico"})
_READING_BY_POST: Final = frozenset({"view-tokens"})
_LEAST: Final = {
    "users": Scope.ADMIN,
    "tokens": Scope.ADMIN,
    "jobs": Scope.WRITE,  # names of files that were uploaded may be those of patients
    "uploads": Scope.WRITE,
}
_FOR_OUR_PAGES: Final = frozenset({"login", "logout", "view-tokens", *_LEAST})


def needed_scope(method: str, path: str) -> Scope | None:
    """None for what is open to everybody: what the login page is made of."""
    part = _first_part(path)
    if part in _OPEN:
        return None
    least = _LEAST.get(part)
    if least is not None:
        return least
    return Scope.READ if method in SAFE_METHODS or part in _READING_BY_POST else Scope.WRITE


def is_for_our_pages(path: str) -> bool:
    """Whether no browser gives what is there to pages of other origins; they may read all else."""
    return _first_part(path) in _FOR_OUR_PAGES


def viewed(method: str, path: str, query: bytes) -> str | None:
    """The identifier of the series or instance that is all that is asked for, which a view token must be for.

    It is the first in the path, as in all our routes. None where there is none; other parameters may name other series.
    """
    if method not in SAFE_METHODS:
        return None
    if any(name not in _VIEW_PARAMETERS for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)):
        return None
    parts = (part.partition(":")[0] for part in path.split("/"))
    return next(filter(is_identifier, parts), None)


def is_from_elsewhere(scope: AsgiScope, public_url: str | None) -> bool:
    """Whether a browser says that the page which makes this request is not one of ours.

    Browsers send `Sec-Fetch-Site` to https and to this machine, `Origin` always with methods that are not safe; other
    clients send neither, and nobody makes them ask for what they do not want.
    """
    told = dict(scope["headers"])
    site = told.get(b"sec-fetch-site")
    if site is not None:
        return site not in (b"same-origin", b"none")
    origin = told.get(b"origin")
    if origin is None:
        return False
    own = {told.get(b"host", b"").decode("latin-1").lower()}
    if public_url is not None:
        own.add(urlsplit(public_url).netloc.lower())
    try:
        return urlsplit(origin.decode("latin-1")).netloc.lower() not in own - {""}
    except ValueError:
        return True


def _first_part(path: str) -> str:
    return path.split("/", 2)[1] if path.startswith("/") else ""
