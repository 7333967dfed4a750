"""What a client can make the server hold: bodies that do not come, bytes behind them, answers that it does not read."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest

from tests.access.guarded import guarding
from tests.raw_http import Connection, asked
from tests.served import add_sample, running
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server import bodies, tile_protocol, unread
from wsi_dicom_server.settings import ServerSettings

CHUNKED = asked("/login", method="POST", **{"Transfer-Encoding": "chunked"})
LONG = {"Content-Length": "1000000"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStore]:
    with closing(LocalStore(tmp_path_factory.mktemp("limits") / "store")) as store:
        add_sample(store)
        yield store


@pytest.fixture(scope="module")
def address(store: LocalStore) -> Iterator[str]:
    with running(store) as address:
        yield address


@pytest.mark.parametrize(
    "endless",
    [b"a: b\r\n" * 10_000, b"x" * 65_536, b"a:" + b" " * 65_000],
    ids=["trailers", "one trailer", "blanks"],
)
def test_trailers_without_end(address: str, endless: bytes) -> None:
    with Connection(address) as connection:
        connection.send(CHUNKED, b"0\r\n", b"a: " if endless.startswith(b"x") else b"")
        with pytest.raises(ConnectionError):
            connection.send(*[endless] * 1000)


def test_a_chunk_whose_extension_has_no_end(address: str) -> None:
    with Connection(address) as connection:
        connection.send(CHUNKED, b"1;")
        with pytest.raises(ConnectionError):
            connection.send(*[b"x" * 65_536] * 1000)


def test_trailers_are_no_headers(store: LocalStore, tmp_path: Path) -> None:
    """And the next request is read from where they end. All comes at once, before anybody looks at the headers."""
    with guarding(store, tmp_path) as guarded, Connection(guarded.address) as connection:
        admin = f"authorization: Bearer {guarded.secrets['admin']}\r\n".encode()
        request = asked("/users", **{"Transfer-Encoding": "chunked"})
        connection.send(request + b"2\r\n{}\r\n0\r\n" + admin + b"\r\n" + asked("/static/site.css"))
        assert connection.answer()[0] == 401
        assert connection.answer()[0] == 200


def test_many_small_chunks_are_a_body(address: str) -> None:
    """What stands between them is no more than it has to be, however much it is together."""
    with Connection(address) as connection:
        connection.send(CHUNKED, b"1;x=y\r\na\r\n" * 16_000, b"0\r\n\r\n")
        assert connection.answer()[0] == 403  # a form without the value that the page has
        connection.send(asked("/static/site.css"))
        assert connection.answer()[0] == 200


def test_a_body_that_does_not_come(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_BODY_S", 0.2)
    with running(store) as address, Connection(address) as connection:
        connection.send(asked("/login", method="POST", **{"Content-Length": "100"}), b"a")
        status, headers, body = connection.answer()
        assert (status, headers["connection"]) == (408, "close")
        assert b"did not come" in body
        assert connection.ended()


def test_the_rest_of_a_request_that_has_its_answer(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes of it in between does not put off the end."""
    monkeypatch.setattr(tile_protocol, "_REST_S", 0.3)
    with running(store) as address, Connection(address) as connection:
        connection.send(asked("/favicon.svg", **LONG))
        assert connection.answer()[0] == 200
        connection.send(b"x")
        assert connection.ended()


def test_a_body_behind_its_answer_may_come_to_its_end(address: str) -> None:
    with Connection(address) as connection:
        connection.send(asked("/favicon.svg", **LONG))
        assert connection.answer()[0] == 200
        connection.send(b"x" * 1_000_000, asked("/favicon.svg"))
        assert connection.answer()[0] == 200


def test_pictures_that_nobody_reads_take_up_bounded_memory(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large ones wait for room, which is there again when one has been read or its client has gone; small ones pass."""
    monkeypatch.setattr(unread, "_WAIT_S", 0.3)
    (series,) = store.search(limit=1)
    image = f"/iiif/tiles/{series.series_uid}"
    large = [f"{image}/{2000 + x},2000,2600,2600/max/0/default.png" for x in range(4)]
    with (
        running(store, ServerSettings(unread_bytes=27_100_000, answer_bytes=1)) as address,
        httpx.Client(base_url=address, timeout=30) as client,
        Connection(address, small=True) as slow,
        Connection(address, small=True) as gone,
    ):
        slow.send(asked(large[0]))
        status, headers = slow.start()
        assert status == 200
        assert int(headers["content-length"]) > 6_000_000
        refused = client.get(large[1])
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
        assert client.get(f"{image}/5,5,300,300/max/0/default.png").status_code == 200
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        slow.read(int(headers["content-length"]))
        gone.send(asked(large[2]))
        assert gone.start()[0] == 200
        assert client.get(large[1]).status_code == 503
        gone.close()
        assert client.get(large[3]).status_code == 200


def test_a_picture_larger_than_all_room_is_made_alone(store: LocalStore) -> None:
    (series,) = store.search(limit=1)
    with running(store, ServerSettings(unread_bytes=1)) as address:
        for path in ("0,0,2000,2000/max/0/default.jpg", "0,0,1500,1500/1000,/22/default.png"):
            assert httpx.get(f"{address}/iiif/tiles/{series.series_uid}/{path}", timeout=30).status_code == 200


def test_who_reads_hardly_anything_is_cut_off(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A little now and then does not keep an answer in memory; how little is too little is set so that this is."""
    monkeypatch.setattr(tile_protocol, "_STALLED_S", 0.05)
    monkeypatch.setattr(tile_protocol, "_LEAST_READ", 1 << 40)
    (series,) = store.search(limit=1)
    with (
        running(store) as address,
        httpx.Client(base_url=address, timeout=30) as client,
        Connection(address, small=True) as slow,
    ):
        slow.send(asked(f"/iiif/tiles/{series.series_uid}/2000,2000,2600,2600/max/0/default.png"))
        length, got = int(slow.start()[1]["content-length"]), 0
        with suppress(ConnectionError, EOFError):
            while got < length:
                got += len(slow.read(min(1 << 15, length - got)))
                client.get("/favicon.svg")  # takes a while
        assert got < length
