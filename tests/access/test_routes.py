"""Every route, with every kind of token."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from starlette.routing import BaseRoute, Mount, Route

from tests.access.guarded import TOKENS, Guarded
from tests.served import running
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.app import create_app
from wsi_dicom_server.settings import ServerSettings

OPEN = {"login", "logout", "static", "favicon.svg", "favicon.ico"}
LEAST = {"users": "admin", "tokens": "admin", "jobs": "writer", "uploads": "writer"}
"""By the first part of the path, for every method."""


def every_route(routes: list[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Method and path of each route of the application, with parameters that lead to nothing."""
    for route in routes:
        if isinstance(route, Mount):
            yield from every_route(route.routes, prefix + route.path)
        elif isinstance(route, Route):
            for method in sorted(route.methods or {"GET"}):
                yield method, prefix + re.sub(r"\{[^}]*\}", "1.2.3", route.path)


def may_take(token: str, method: str, path: str) -> bool:
    first = path.split("/")[1]
    if first in OPEN:
        return True
    if token not in TOKENS:
        return False
    by_method = "reader" if method in ("GET", "HEAD") or path == "/view-tokens" else "writer"
    return TOKENS[token] >= TOKENS[LEAST.get(first, by_method)]


@pytest.mark.parametrize("token", ["", "reader", "writer", "admin", "expired", "revoked", "wrong"])
def test_every_route(guarded: Guarded, store: LocalStore, token: str) -> None:
    routes = list(every_route(create_app(ServerSettings(), store).routes))
    assert ("GET", "/tiles/1.2.3/1.2.3/1.2.3/1.2.3") in routes
    assert ("DELETE", "/users/1.2.3") in routes
    with guarded.client(token) as client:
        for method, path in routes:
            with client.stream(method, path) as answer:
                status = answer.status_code
            if may_take(token, method, path):
                assert status < 500, (method, path, status)
                assert status != 401, (method, path)
                assert status != 403 or path == "/login", (method, path)  # which asks for more than a scope
            else:
                assert status == (403 if token in TOKENS else 401), (method, path, status)
                challenged = {kind.split()[0] for kind in answer.headers.get_list("www-authenticate")}
                assert challenged == (set() if token in TOKENS else {"Bearer", "Basic"})


def test_what_may_not_be_seen_is_not_told_apart_from_what_is_not_there(guarded: Guarded) -> None:
    with guarded.client() as client:
        there, not_there = client.get(guarded.tile()), client.get("/tiles/1.2.3.4.5/0/0/0")
        assert (there.status_code, not_there.status_code) == (401, 401)
        assert there.json()["Message"] == not_there.json()["Message"]
        for spelling in ("//tiles", "/wsi/tiles", "//wsi//tiles", "/static/../tiles", "/static/%2e%2e/tiles"):
            answer = client.get(guarded.tile().replace("/tiles", spelling))
            assert answer.status_code in (401, 404), spelling
            assert not answer.headers["content-type"].startswith("image/")


def test_shared_caches_keep_nothing_that_needs_a_password(guarded: Guarded, store: LocalStore) -> None:
    with guarded.client("reader") as client:
        tile = client.get(guarded.tile())
        assert tile.headers["cache-control"] == "private, max-age=31536000, immutable"
        again = client.get(guarded.tile(), headers={"If-None-Match": tile.headers["etag"]})
        assert again.status_code == 304
        manifest = client.get(f"/iiif/series/{guarded.series.series_uid}/manifest.json")
        assert "private" in manifest.headers["cache-control"]
    with running(store) as address:
        assert "public" in httpx.get(address + guarded.tile()).headers["cache-control"]
