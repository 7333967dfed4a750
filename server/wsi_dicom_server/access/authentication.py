"""Whose a request is: from its Authorization header, a trusted proxy's word, its cookies, or the view token it names.

What has been verified is remembered for a few seconds, so that the next tile costs a look into a dictionary; and so
whoever is removed through another process may go on for that long.
"""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

from anyio import CapacityLimiter, to_thread
from starlette.requests import cookie_parser
from starlette.types import Scope as AsgiScope

from wsi_dicom_server.access.accounts import TOKEN_PREFIX, Accounts, digest_of
from wsi_dicom_server.access.attempts import AttemptLimit, address_key
from wsi_dicom_server.access.cookies import SESSION_COOKIE, VIEW_COOKIE
from wsi_dicom_server.access.passwords import is_password
from wsi_dicom_server.access.principal import Principal, Scope
from wsi_dicom_server.access.view_tokens import ViewTokens
from wsi_dicom_server.peers import TrustedPeers, client_of, peer_of

logger = logging.getLogger(__name__)

_REMEMBERED_S: Final = 5.0
_REMEMBERED: Final = 1024
_LONGEST_NAME: Final = 256

# What the remembered value was: one kind must never pass for another.
_AUTHORIZATION, _USER, _COOKIES = b"a", b"u", b"c"


class Refused(Exception):
    """The credentials are not good. `wait_s` is set when no more may be tried before."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class _Remembered:
    principal: Principal
    until: float
    """On the monotonic clock."""


class Authentication:
    """Asks the accounts, and remembers the answers. Used from one event loop; `clock` is monotonic, in seconds."""

    def __init__(
        self,
        accounts: Accounts,
        *,
        user_header: str | None = None,
        trusted: TrustedPeers | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._accounts = accounts
        self._user_header = user_header.lower().encode() if user_header is not None else None
        self._trusted = trusted or TrustedPeers(())
        self._clock = clock
        self._now = now
        self._known: dict[bytes, _Remembered] = {}
        self._view_tokens: ViewTokens | None = None
        self._hashing = CapacityLimiter(1)  # argon2 takes 64 MiB each time
        self._of_user = AttemptLimit(10, 30, clock)
        self._of_address = AttemptLimit(30, 10, clock)

    async def principal(self, scope: AsgiScope) -> Principal | None:
        """None for who does not say who it is. Raises Refused, StoreError."""
        headers = dict(scope["headers"])
        authorization, cookies = headers.get(b"authorization"), headers.get(b"cookie")
        if authorization is not None:
            return self._recall(_AUTHORIZATION, authorization) or await self._authorized(scope, authorization)
        if self._user_header in headers and peer_of(scope) in self._trusted:
            users = [value for name, value in scope["headers"] if name == self._user_header]
            if len(users) > 1:
                raise Refused("the proxy tells more than one user's name")
            return self._recall(_USER, users[0]) or await self._told(users[0])
        query: bytes = scope["query_string"]
        if b"token=" in query and (tokens := parse_qs(query.decode("latin-1")).get("token")):
            return await self._viewer(tokens[0])
        if cookies is not None:
            return self._recall(_COOKIES, cookies) or await self._guest(cookies)
        return None

    def recalled(self, headers: Mapping[bytes, bytes], nobody: Principal) -> Principal | None:
        """What `principal` would find without asking anybody, `nobody` where none is told; None when it has to ask."""
        authorization, cookies = headers.get(b"authorization"), headers.get(b"cookie")
        if authorization is not None:
            return self._recall(_AUTHORIZATION, authorization)
        if self._user_header is not None:
            return None
        return nobody if cookies is None else self._recall(_COOKIES, cookies)

    async def verify_password(self, name: str, password: str, address: str, header: bytes | None = None) -> Principal:
        """`header` is the Authorization that said so: what is verified is remembered for it.

        Raises Refused, StoreError.
        """
        keys = (self._of_address, address_key(address)), (self._of_user, name[:_LONGEST_NAME])
        for limit, key in keys:  # before waiting for a turn too, lest those who guess make a queue
            _require_chance(limit, key)
        async with self._hashing:
            # the many connections of one client come at once, and the first one's answer is that of all
            if header is not None and (known := self._recall(_AUTHORIZATION, header)) is not None:
                return known
            for limit, key in keys:
                _require_chance(limit, key)
                limit.count(key)
            principal, right = await to_thread.run_sync(self._check, name, password)
            if principal is None or not right:
                # an unknown name may be a password that was typed into the wrong field
                logger.warning("wrong password for %s from %s", f"user {name}" if principal else "nobody", address)
                raise Refused("wrong name or password")
            for limit, key in keys:
                limit.give_back(key)
            return principal if header is None else self._remember(_AUTHORIZATION, header, principal)

    async def view_tokens(self) -> ViewTokens:
        if self._view_tokens is None:
            self._view_tokens = ViewTokens(await to_thread.run_sync(self._accounts.signing_key), self._now)
        return self._view_tokens

    def forget(self) -> None:
        """What has been verified: after a change of the accounts."""
        self._known.clear()

    async def _authorized(self, scope: AsgiScope, authorization: bytes) -> Principal:
        kind, _, secret = authorization.decode("latin-1").partition(" ")
        secret = secret.strip()
        if kind.lower() == "basic":
            name, password = _name_and_password(secret)
            return await self.verify_password(name, password, client_of(scope), authorization)
        if kind.lower() != "bearer":
            raise Refused("expected the Basic or Bearer scheme")
        if not secret.startswith(TOKEN_PREFIX):
            return await self._viewer(secret)
        found = await to_thread.run_sync(self._accounts.token, digest_of(secret))
        if found is None:
            raise Refused("this token is unknown, has expired, or was revoked")
        return self._remember(_AUTHORIZATION, authorization, found)

    async def _told(self, user: bytes) -> Principal:
        """Users who are known to the proxy alone may read."""
        name = user.decode("utf-8", "replace").strip()
        if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
            raise Refused("the proxy does not tell a user's name")
        principal = await to_thread.run_sync(self._accounts.user, name) or Principal(name, Scope.READ)
        return self._remember(_USER, user, principal)

    async def _viewer(self, token: str) -> Principal:
        """Whoever holds a view token; to check it takes microseconds."""
        holder = (await self.view_tokens()).holder(token)
        if holder is None:
            raise Refused("this view token is not one of this server, or has ended")
        return holder

    async def _guest(self, cookies: bytes) -> Principal | None:
        """A session, else a view; what is wrong or has ended counts as none."""
        told = cookie_parser(cookies.decode("latin-1"))
        if session := told.get(SESSION_COOKIE):
            principal = await to_thread.run_sync(self._accounts.session, digest_of(session))
            if principal is not None:
                return self._remember(_COOKIES, cookies, principal)
        view = told.get(VIEW_COOKIE)
        return (await self.view_tokens()).holder(view) if view else None

    def _check(self, name: str, password: str) -> tuple[Principal | None, bool]:
        return self._accounts.user(name), is_password(self._accounts.password_hash(name), password)

    def _recall(self, kind: bytes, value: bytes) -> Principal | None:
        known = self._known.get(kind + value)
        return known.principal if known is not None and known.until > self._clock() else None

    def _remember(self, kind: bytes, value: bytes, principal: Principal) -> Principal:
        now = self._clock()
        self._known = {key: known for key, known in self._known.items() if known.until > now}
        if len(self._known) < _REMEMBERED:
            self._known[kind + value] = _Remembered(principal, now + _REMEMBERED_S)
        return principal


def _name_and_password(secret: str) -> tuple[str, str]:
    try:
        name, colon, password = base64.b64decode(secret, validate=True).decode().partition(":")
    except ValueError:  # of base64 as of UTF-8
        colon = ""
    if not colon:
        raise Refused("the Basic credentials are no name and password")
    return name, password


def _require_chance(limit: AttemptLimit, key: str) -> None:
    if wait_s := limit.wait_s(key):
        raise Refused("too many wrong passwords; try again later", wait_s)
