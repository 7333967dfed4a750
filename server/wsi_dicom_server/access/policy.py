"""What the anonymous may, and whether anybody has to say who it is at all."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from starlette.types import Scope as AsgiScope

from wsi_dicom.errors import InvalidRequest, StoreError
from wsi_dicom_server.access.accounts import Accounts
from wsi_dicom_server.access.authentication import Authentication
from wsi_dicom_server.access.principal import NOBODY, READER, WRITER, Principal, Scope
from wsi_dicom_server.peers import PEER_KEY, TrustedPeers, client_of, is_loopback
from wsi_dicom_server.replies import Headers
from wsi_dicom_server.settings import ServerSettings

_FORWARDED: Final = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"})
_CHECK_AFTER_S: Final = 5.0


class Access:
    """Accounts, and the rules for who has none.

    | | anonymous |
    |---|---|
    | `allow_anonymous` | reads |
    | there are accounts, or a proxy tells users | nothing |
    | neither, on a loopback address | reads; writes too from this machine itself, through no proxy |

    Raises InvalidRequest for what would let everybody in by mistake, StoreError for accounts that cannot be read.
    """

    def __init__(
        self,
        settings: ServerSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        if settings.user_header is not None and not settings.trusted_proxies:
            raise InvalidRequest(
                f"the header {settings.user_header} tells the user's name only if it comes from a proxy: "
                "name its address with --trusted-proxies"
            )
        self.accounts = Accounts(settings.access_file, now)
        self.authentication = Authentication(
            self.accounts,
            user_header=settings.user_header,
            trusted=TrustedPeers(settings.trusted_proxies),
            clock=clock,
            now=now,
        )
        self._anonymous_beside_accounts = READER if settings.allow_anonymous else NOBODY
        self._for_this_machine = (
            not settings.allow_anonymous and settings.public_url is None and is_loopback(settings.host)
        )
        self._clock = clock
        self._required = settings.user_header is not None or self.accounts.any()
        self._checked = clock()
        if not (self._required or settings.allow_anonymous or is_loopback(settings.host)):
            raise InvalidRequest(
                f"everybody who reaches {settings.host} would see all slides: make users with `wsi-dicom user add`, "
                "or say --allow-anonymous"
            )

    async def principal(self, scope: AsgiScope) -> Principal:
        """Raises Refused, StoreError."""
        if self.asks_who():
            return await self.authentication.principal(scope) or self._anonymous_beside_accounts
        return self.anonymous(scope)

    def goes_by_bearer(self, scope: AsgiScope) -> bool:
        """Whether a bearer token decides, which `principal` verifies: no browser adds one by itself. Raises StoreError.

        Where nobody is asked who it is, nothing looks at it.
        """
        said: bytes = dict(scope["headers"]).get(b"authorization", b"")
        return said.lower().startswith(b"bearer ") and self.asks_who()

    def reader_at_once(self, headers: Headers) -> Principal | None:
        """Who asks, with an address that has no query; None unless it is known already, and may read every series."""
        try:
            asks = self.asks_who()
        except StoreError:  # told where the request goes then
            return None
        if not asks:
            return READER
        principal = self.authentication.recalled(dict(headers), self._anonymous_beside_accounts)
        return principal if principal is not None and principal.may(Scope.READ) and principal.series is None else None

    def anonymous(self, scope: AsgiScope) -> Principal:
        """Whoever comes to a server that asks nobody."""
        return WRITER if self._is_at_this_machine(scope) else READER

    def asks_who(self) -> bool:
        """Whether anybody could prove to be somebody. Raises StoreError.

        Looked up again now and then, until it is so: whoever removes the last account does not open the door.
        """
        if not self._required and self._clock() - self._checked >= _CHECK_AFTER_S:
            self._required = self.accounts.any()  # until this could be answered, nobody gets in
            self._checked = self._clock()
        return self._required

    def _is_at_this_machine(self, scope: AsgiScope) -> bool:
        """By name too: a page from elsewhere may have its own name resolved to this machine, but not ours."""
        if PEER_KEY in scope or not (self._for_this_machine and is_loopback(client_of(scope))):
            return False
        headers = dict(scope["headers"])
        return _FORWARDED.isdisjoint(headers) and _is_own_name(headers.get(b"host", b""))


@lru_cache(maxsize=64)
def _is_own_name(host: bytes) -> bool:
    """Of a Host header: with a port or without."""
    name = host.decode("latin-1")
    return is_loopback(name if name.endswith("]") else name.rpartition(":")[0] or name)
