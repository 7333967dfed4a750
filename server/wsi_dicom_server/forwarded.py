"""What a reverse proxy tells of the request that it passes on: who asks, by which scheme and host, below which path.

`X-Forwarded-For`, `-Proto` and `-Host` count; where there is none of them `Forwarded` (RFC 7239). Most proxies set the
former and pass the latter on as a client sent it. `X-Forwarded-Prefix`, for which RFC 7239 has no word, counts beside
both. Proxies append to these headers, and so may clients, so they are read from the right: as far as they were written
by proxies that we trust.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from wsi_dicom.errors import InvalidRequest
from wsi_dicom_server.errors import wsi_error
from wsi_dicom_server.peers import PEER_KEY, TrustedPeers, peer_of
from wsi_dicom_server.replies import header

_PREFIX: Final = re.compile(r"(/(?!\.\.?(/|$))[\w.~-]+)*/?", re.ASCII)
_PAIR: Final = re.compile(r'([\w-]+)=(?:"((?:[^"\\]|\\.)*)"|([^;,"\s]*))', re.ASCII)
_ELEMENTS: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_X_FORWARDED: Final = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"})
_WITH_PORT: Final = re.compile(r"\[(.+)\](?::\w+)?|([^:]+):\w+")


@dataclass(frozen=True, slots=True)
class _Told:
    """Of one proxy, on what came to it; what it does not tell is empty."""

    client: str
    scheme: str
    host: str


class BehindProxy:
    """Makes a request look as it did to the proxy, where the connection comes from one of the `trusted`: pure ASGI.

    The address of the connection itself stays at `PEER_KEY`. The prefix is one that the proxy took away from the path:
    it becomes the `root_path`. Values that make no sense are answered with 400.
    """

    def __init__(self, app: ASGIApp, trusted: TrustedPeers) -> None:
        self.app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and peer_of(scope) in self._trusted:
            try:
                scope = _as_told(scope, self._trusted)
            except InvalidRequest as error:
                await (await wsi_error(Request(scope), error))(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _as_told(scope: Scope, trusted: TrustedPeers) -> Scope:
    """Raises InvalidRequest."""
    request = Request(scope)
    told = _outermost(_proxies(request), trusted)
    made = {**scope, PEER_KEY: peer_of(scope)}
    if told.client:
        address = _address(told.client)
        made["client"] = (address, 0) if address else None
    if told.scheme:
        if told.scheme.lower() not in ("http", "https"):
            raise InvalidRequest("the proxy tells a scheme that is neither http nor https")
        made["scheme"] = told.scheme.lower()
    if told.host:
        others = [pair for pair in scope["headers"] if pair[0] != b"host"]
        made["headers"] = [(b"host", told.host.encode("latin-1")), *others]
    prefix = header(request, b"x-forwarded-prefix")
    if not _PREFIX.fullmatch(prefix):
        raise InvalidRequest("X-Forwarded-Prefix is no plain path")
    if prefix := prefix.rstrip("/"):
        made["root_path"] = prefix + scope.get("root_path", "")
        made["path"] = prefix + scope["path"]  # ASGI: a path begins with the root path
    return made


def _proxies(request: Request) -> list[_Told]:
    """What each told, the last one before us first."""
    names = {name for name, _ in request.scope["headers"]}
    if _X_FORWARDED.isdisjoint(names) and (forwarded := header(request, b"forwarded")):
        return [_element(text) for text in reversed(_ELEMENTS.findall(forwarded))]
    clients = _listed(request, b"x-forwarded-for")
    schemes, hosts = _listed(request, b"x-forwarded-proto"), _listed(request, b"x-forwarded-host")
    return [
        _Told(_nth(clients, place), _nth(schemes, place), _nth(hosts, place)) for place in range(max(1, len(clients)))
    ]


def _outermost(proxies: Sequence[_Told], trusted: TrustedPeers) -> _Told:
    """Of the trusted ones: the one whose client is not trusted, else the one farthest from us."""
    for told in proxies:
        if _address(told.client) not in trusted:
            return told
    return proxies[-1]


def _address(text: str) -> str:
    """Without a port; empty for none, or for a name of it that only the proxy knows (RFC 7239, section 6)."""
    port = _WITH_PORT.fullmatch(text)
    try:
        return str(ipaddress.ip_address((port[1] or port[2]) if port else text))
    except ValueError:
        return ""


def _element(text: str) -> _Told:
    """RFC 7239, section 4."""
    pairs = {
        match[1].lower(): re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3]
        for match in _PAIR.finditer(text)
    }
    return _Told(pairs.get("for", ""), pairs.get("proto", ""), pairs.get("host", ""))


def _listed(request: Request, name: bytes) -> list[str]:
    """The last one first."""
    return [part.strip() for part in reversed(header(request, name).split(",")) if part.strip()]


def _nth(values: Sequence[str], place: int) -> str:
    """A proxy that sets a header, and does not append to it, speaks for all that are nearer to us."""
    return values[min(place, len(values) - 1)] if values else ""
