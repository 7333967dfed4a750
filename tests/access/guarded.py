"""A running server that asks who comes, with clocks that a test sets."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.served import running
from wsi_dicom.stores import SeriesRecord
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.access.accounts import ACCESS_FILE, Accounts
from wsi_dicom_server.access.policy import Access
from wsi_dicom_server.access.principal import Scope
from wsi_dicom_server.settings import ServerSettings

PASSWORD = "correct horse battery"  # noqa: S105 - of nobody
DAY = 86_400

# The good ones.
TOKENS = {"reader": Scope.READ, "writer": Scope.WRITE, "admin": Scope.ADMIN}


@dataclass
class Clock:
    """Both of the server's clocks: seconds that pass only when a test says so."""

    seconds: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Guarded:
    """A running server, its accounts, and by name the secrets of good and bad tokens."""

    address: str
    accounts: Accounts
    clock: Clock
    series: SeriesRecord
    secrets: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def client(self, token: str = "", **headers: str) -> Iterator[httpx.Client]:
        if token:
            headers["Authorization"] = f"Bearer {self.secrets[token]}"
        with httpx.Client(base_url=self.address, headers=headers, timeout=30) as client:
            yield client

    def tile(self) -> str:
        return f"/tiles/{self.series.series_uid}/0/0/0"


def basic(name: str, password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}


def sign_in(client: httpx.Client, name: str, password: str = PASSWORD, target: str = "/") -> httpx.Response:
    """As a browser does it: the form, with all its fields."""
    page = client.get("/login", params={"next": target}, headers={"Accept": "text/html"})
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text))
    own = {"Origin": str(client.base_url).rstrip("/")}
    return client.post("/login", data={**fields, "name": name, "password": password}, headers=own)


@contextmanager
def guarding(store: LocalStore, folder: Path, **more: object) -> Iterator[Guarded]:
    """A server over `store` whose accounts are in a file of their own in `folder`."""
    clock = Clock()
    chosen = ServerSettings(access_file=folder / ACCESS_FILE, **more)
    accounts = Accounts(folder / ACCESS_FILE, clock)
    secrets = {name: accounts.create_token(name, scope, DAY) for name, scope in TOKENS.items()}
    secrets["expired"] = accounts.create_token("expired", Scope.ADMIN, 0)
    secrets["revoked"] = accounts.create_token("revoked", Scope.ADMIN, None)
    accounts.revoke_token("revoked")
    secrets["wrong"] = "wsi_" + "A" * 43
    with running(store, chosen, Access(chosen, clock=clock, now=clock)) as address:
        (series,) = store.search(limit=1)
        yield Guarded(address, accounts, clock, series, secrets)
