"""Short-lived, signed permission to see one series. The only secret that may stand in an address."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection

from itsdangerous import BadData, URLSafeSerializer

from wsi_dicom_server.access.principal import Principal, Scope


class ViewTokens:
    """`key` signs them; `now` tells the time in seconds since 1970."""

    def __init__(self, key: bytes, now: Callable[[], float]) -> None:
        self._serializer = URLSafeSerializer(
            key, salt="view token", serializer=json, signer_kwargs={"digest_method": hashlib.sha256}
        )
        self._now = now

    def create(self, series: Collection[str], lifetime_s: int) -> str:
        """`series` are all identifiers of the one series; its instances are shown with it."""
        token = self._serializer.dumps([int(self._now()) + lifetime_s, *sorted(series)])
        return token if isinstance(token, str) else token.decode()

    def holder(self, token: str) -> Principal | None:
        """None when it is not ours, or has ended."""
        try:
            expires, *series = self._serializer.loads(token)
        except BadData:
            return None
        if expires <= self._now():
            return None
        return Principal(None, Scope.READ, frozenset(series))
