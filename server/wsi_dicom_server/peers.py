"""Who is at the other end of the connection, and whether what it says about others is believed."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from starlette.types import Scope

from wsi_dicom.errors import InvalidRequest

PEER_KEY: Final = "wsi_dicom.peer"
"""Where an ASGI scope keeps the address of the connection itself, once a proxy's word on the client has replaced it."""


def peer_of(scope: Scope) -> str:
    """The address at the other end of the connection; empty for a Unix socket."""
    kept: str | None = scope.get(PEER_KEY)
    return client_of(scope) if kept is None else kept


def client_of(scope: Scope) -> str:
    """The address of the client, which may lie behind a trusted proxy; empty when it is not known."""
    client = scope.get("client")
    return client[0] if client else ""


@lru_cache(maxsize=1024)
def is_loopback(address: str) -> bool:
    """Whether it is this machine's own; takes `localhost` too, and IPv6 in brackets."""
    try:
        return address == "localhost" or ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False


class TrustedPeers:
    """Addresses and networks (`10.0.0.0/8`) of proxies whose headers are believed. Raises InvalidRequest."""

    def __init__(self, networks: Sequence[str]) -> None:
        try:
            self._networks = [ipaddress.ip_network(network) for network in networks]
        except ValueError as error:
            raise InvalidRequest(f"trusted proxies: {error}; expected addresses or networks, as 10.0.0.0/8") from None
        self._known = lru_cache(maxsize=1024)(self._is_inside)

    def __contains__(self, address: str) -> bool:
        return self._known(address)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def _is_inside(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._networks)
