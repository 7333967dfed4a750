"""Our own files as they are sent: compressed where the client takes that, and told apart by caches."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from importlib.resources import files

import brotli
import httpx
import pytest

from tests.served import client_of
from wsi_dicom.stores.local import LocalStore

STATIC = files("wsi_dicom_server") / "static"
SCRIPT = "vendor/mirador/mirador.min.js"
DECODE = {"br": brotli.decompress, "gzip": gzip.decompress, None: bytes}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    store = LocalStore(tmp_path_factory.mktemp("store"))
    with client_of(store) as client:
        yield client
    store.close()


def as_sent(client: httpx.Client, name: str, accept: str | None, **headers: str) -> tuple[httpx.Response, bytes]:
    """The answer with the bytes of its body as they went over the line; without `accept` nothing is said of codings."""
    request = client.build_request("GET", f"/static/{name}", headers=headers)
    request.headers.pop("accept-encoding")
    if accept is not None:
        request.headers["accept-encoding"] = accept
    answer = client.send(request, stream=True)
    body = b"".join(answer.iter_raw())
    answer.close()
    return answer, body


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip, deflate, br, zstd", "br"),  # what Chromium and Firefox say to https
        ("gzip, deflate", "gzip"),  # and to http
        ("GZIP", "gzip"),
        ("br;q=0.2, gzip;q=0.9", "gzip"),
        ("br;q=0, gzip;q=0, *", None),
        ("*", "br"),
        ("br;q=0, *;q=0.5", "gzip"),
        ("gzip;q=0.5, identity", None),
        ("identity;q=0.5, *;q=0", None),
        ("zstd", None),
        ("identity;q=0", None),  # it is better to be read than to be right
        ("", None),
        (None, None),
    ],
)
def test_the_coding_that_is_liked_best(client, accept, coding):
    answer, body = as_sent(client, SCRIPT, accept)
    assert answer.status_code == 200
    assert answer.headers.get("content-encoding") == coding
    assert int(answer.headers["content-length"]) == len(body)
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert DECODE[coding](body) == (STATIC / SCRIPT).read_bytes()


def test_the_large_script_is_a_quarter_of_its_size(client):
    whole = len((STATIC / SCRIPT).read_bytes())
    assert len(as_sent(client, SCRIPT, "br")[1]) < whole / 4
    assert len(as_sent(client, SCRIPT, "gzip")[1]) < whole / 3


def test_our_own_files_are_compressed_too_but_not_the_tiny(client):
    for name in ("site.css", "viewer/main.js"):
        answer, body = as_sent(client, name, "gzip")
        assert answer.headers["content-encoding"] == "gzip"
        assert gzip.decompress(body) == (STATIC / name).read_bytes()
        assert len(body) < len(gzip.decompress(body)) / 1.5
    assert "content-encoding" not in as_sent(client, "favicon.svg", "gzip")[0].headers


def test_caches_tell_the_codings_apart(client):
    """Each has an entity tag of its own, and is still known by it; a tag of another coding is no match."""
    tags = {}
    for accept in ("br", "gzip", "identity"):
        answer, _ = as_sent(client, SCRIPT, accept)
        assert answer.headers["vary"] == "Accept-Encoding"
        tags[accept] = answer.headers["etag"]
    assert len(set(tags.values())) == 3
    for accept, tag in tags.items():
        again, body = as_sent(client, SCRIPT, accept, **{"If-None-Match": tag})
        assert (again.status_code, body) == (304, b"")
        assert (again.headers["etag"], again.headers["vary"]) == (tag, "Accept-Encoding")
        other, _ = as_sent(client, SCRIPT, "br" if accept != "br" else "gzip", **{"If-None-Match": tag})
        assert other.status_code == 200


def test_head_tells_what_get_would(client):
    answer = client.head(f"/static/{SCRIPT}", headers={"Accept-Encoding": "br"})
    assert answer.headers["content-encoding"] == "br"
    assert int(answer.headers["content-length"]) == len((STATIC / f"{SCRIPT}.br").read_bytes())
    assert answer.content == b""


@pytest.mark.parametrize("name", [f"{SCRIPT}.br", f"{SCRIPT}.gz"])
def test_compressed_files_have_no_address_of_their_own(client, name):
    assert client.get(f"/static/{name}").status_code == 404
