"""Stored tiles that never see the ASGI application, and what bounds each connection: by real sockets."""

from __future__ import annotations

import functools
import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import imagecodecs
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

from tests.access.guarded import PASSWORD, guarding
from tests.foreign_series import (
    TILE,
    Picture,
    header,
    jpeg_frames,
    native_frames,
    per_frame_groups,
    save,
    save_native,
    sparse,
)
from tests.raw_http import Connection, asked
from tests.served import client_of, running
from wsi_dicom.dicom.slide import DicomSlide
from wsi_dicom.stores import SeriesRecord
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server import serve, tile_protocol
from wsi_dicom_server.access.cookies import SESSION_COOKIE
from wsi_dicom_server.access.principal import Scope
from wsi_dicom_server.app import create_app
from wsi_dicom_server.settings import ServerSettings

HELD = 6 << 20
"""Bytes that may be on their way to a client that does not read: nearly all of them in the system's own buffers."""


@dataclass(frozen=True)
class Archive:
    store: LocalStore
    series: dict[str, SeriesRecord]
    """`jpeg`, `sparse` (lacks the tile of column 2, row 1), `native`, `j2k`: 3 x 2 tiles each; `large`: 16 x 16."""

    def tile(self, kind: str, column: int = 0, row: int = 0) -> str:
        return f"/tiles/{self.series[kind].series_uid}/0/{column}/{row}"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    folder = tmp_path_factory.mktemp("archive")
    places = [(1 + column * TILE, 1 + row * TILE) for row in range(2) for column in range(3)][:5]
    lossless = [bytes(imagecodecs.jpeg2k_encode(frame, codecformat="j2k", mct=True)) for frame in native_frames(6)]
    pictures = {
        "jpeg": (Picture(), jpeg_frames(6)),
        "sparse": (sparse(Picture(), per_frame_groups(places)), jpeg_frames(5)),
        "j2k": (Picture(syntax=JPEG2000Lossless, photometric="YBR_RCT"), lossless),
        "large": (Picture(4096, 4096, 256, 256), jpeg_frames(4, 256) * 64),
    }
    files = {
        kind: save(folder / f"{kind}.dcm", header(picture), picture.syntax, encapsulate(frames))
        for kind, (picture, frames) in pictures.items()
    }
    files["native"] = save_native(folder / "native.dcm", Picture(), native_frames(6))
    store = LocalStore(folder / "store")
    yield Archive(store, {kind: store.add([file]) for kind, file in files.items()})
    store.close()


@pytest.fixture(scope="module")
def address(archive: Archive) -> Iterator[str]:
    with running(archive.store) as address:
        yield address


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=30) as client:
        yield client


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The series whose tiles the protocol has answered by itself, one for each answer."""
    answered: list[str] = []
    found = tile_protocol.tile_at_once

    def noted(site, series, *rest):
        tile = found(site, series, *rest)
        if tile is not None:
            answered.append(series)
        return tile

    monkeypatch.setattr(tile_protocol, "tile_at_once", noted)
    return answered


@pytest.fixture
def read_tiles(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[int, int]]:
    """How often the stored bytes of each (column, row) are read."""
    read: Counter[tuple[int, int]] = Counter()
    encoded_tile = DicomSlide.encoded_tile

    def counted(slide, level, column, row, *rest):
        read[column, row] += 1
        return encoded_tile(slide, level, column, row, *rest)

    monkeypatch.setattr(DicomSlide, "encoded_tile", counted)
    return read


@dataclass(frozen=True)
class Both:
    """The server on its socket, and an application of its own over the same store."""

    client: httpx.Client
    application: httpx.AsyncClient
    portal: BlockingPortal

    def ask(self, method: str, target: str, headers: list[tuple[str, str]]) -> tuple[httpx.Response, httpx.Response]:
        call = functools.partial(self.application.request, method, target, headers=headers)
        return self.client.request(method, target, headers=headers), self.portal.call(call)


@pytest.fixture(scope="module")
def both(archive: Archive, client: httpx.Client) -> Iterator[Both]:
    transport = httpx.ASGITransport(create_app(ServerSettings(), archive.store))
    with start_blocking_portal() as portal:
        yield Both(client, httpx.AsyncClient(base_url=client.base_url, transport=transport), portal)


def of_answer(answer: httpx.Response) -> tuple[int, list[tuple[str, str]], bytes]:
    return answer.status_code, [pair for pair in answer.headers.multi_items() if pair[0] != "date"], answer.content


KINDS = ["jpeg", "sparse", "native", "j2k"]
NUMBERS = st.one_of(
    st.sampled_from("0012"),
    st.sampled_from(
        ["3", "00", "002", "+1", "-1", "²", "٣", "9" * 9, "9" * 10, "9" * 400, "", "0x0", "1.0", "%30", " 0"]
    ),
)
SERIES = st.sampled_from([*KINDS, "jpeg", "jpeg", "1.2.3", "..", "%2e%2e", "-", "f" * 64, "0" * 65])
RANGES = st.sampled_from(["image/jpeg", "image/png", "image/jp2", "image/*", "*/*", "text/html", "IMAGE/JPEG", "", "x"])
WEIGHTS = st.sampled_from(["", "", ";q=1", ";q=0", ";q=0.5", "; q=.9", ";q=nan", ";q=-1", ";q=x", ";v=b3;q=0.7", ";;"])
ACCEPTS = st.lists(st.lists(st.tuples(RANGES, WEIGHTS).map("".join), max_size=3).map(",".join), max_size=2)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "OPTIONS"]),
    prefix=st.sampled_from(["", "", "/wsi", "/", "//wsi/", "/wsi/", "/wsi/wsi", "/%77si", "/."]),
    route=st.sampled_from(["tiles", "tiles", "tiles", "til%65s", "Tiles", "tiles/"]),
    series=SERIES,
    numbers=st.lists(NUMBERS, min_size=3, max_size=3),
    rest=st.sampled_from(["", "", "", "?", "?token=x", "?a=b", "/", "/0", "#here", "%00"]),
    accepts=ACCEPTS,
    held=st.sampled_from([None, None, '"x"', "*", 'W/"x", "y"', ""]),
)
@example("GET", "", "tiles", "jpeg", ["0", "2", "1"], "", [], None)
@example("GET", "", "tiles", "jpeg", ["0", "2", "1"], "", ["", ""], None)
@example("GET", "", "tiles", "jpeg", ["0", "2", "1"], "", ["text/html", "image/png;q=0.2,image/jpeg"], None)
@example("GET", "", "tiles", "sparse", ["0", "2", "1"], "", [], None)
@example("GET", "/wsi", "tiles", "j2k", ["0", "0", "0"], "", ["image/jp2"], None)
def test_the_protocol_answers_as_the_application(
    archive, both, at_once, method, prefix, route, series, numbers, rest, accepts, held
):
    name = archive.series[series].series_uid if series in archive.series else series
    headers = [("Accept", value) for value in accepts]
    if held is not None:
        headers.append(("If-None-Match", held))
    if series in archive.series:  # open, or else the short way is not taken
        both.client.get(f"/tiles/{name}/0/0/0")
    before = len(at_once)
    short, long = both.ask(method, f"{prefix}/{route}/{name}/{'/'.join(numbers)}{rest}", headers)
    assert of_answer(short) == of_answer(long)
    assert method == "GET" or len(at_once) == before


@pytest.mark.parametrize(
    ("kind", "accept", "short"),
    [
        ("jpeg", None, True),
        ("jpeg", "image/*;q=0.1", True),
        ("jpeg", "image/png", False),
        ("sparse", None, True),
        ("j2k", None, False),
        ("j2k", "image/jp2", True),
        ("native", None, False),
    ],
)
def test_which_tiles_go_the_short_way(archive, client, at_once, kind, accept, short):
    headers = {} if accept is None else {"Accept": accept}
    for identifier in (archive.series[kind].series_uid, archive.series[kind].orthanc_id):
        for prefix in ("", "/wsi"):
            client.get(path := f"{prefix}/tiles/{identifier}/0/1/0", headers=headers)
            before = len(at_once)
            assert client.get(path, headers=headers).status_code == 200
            assert len(at_once) - before == short


def test_pipelined_requests_are_answered_in_order(archive, address, client, at_once):
    kinds = [
        ("GET", archive.tile("jpeg", 0, 1), {}),
        ("GET", archive.tile("jpeg", 2, 0), {}),
        ("GET", archive.tile("jpeg", 1, 1), {"Accept": "image/png"}),
        ("HEAD", archive.tile("jpeg", 1, 0), {}),
        ("GET", archive.tile("jpeg", 1, 0), {"If-None-Match": "*"}),
        ("GET", archive.tile("jpeg", 3, 0), {}),
        ("GET", f"/pyramids/{archive.series['jpeg'].series_uid}", {}),
        ("GET", archive.tile("large", 3, 7), {}),
    ]
    alone = [client.request(method, path, headers=headers) for method, path, headers in kinds]
    chosen = [0, *random.Random(5).choices(range(len(kinds)), k=300)]
    at_once.clear()
    with Connection(address) as connection:
        connection.send(
            *(asked(path, method=method, **headers) for method, path, headers in map(kinds.__getitem__, chosen))
        )
        for number in chosen:
            status, headers, body = connection.answer(kinds[number][0])
            assert (status, body) == (alone[number].status_code, alone[number].content)
            assert headers.get("etag") == alone[number].headers.get("etag")
    assert 0 < len(at_once) < 300 / 2  # both ways were taken


def test_who_does_not_read_is_not_sent_more(archive, address, client, read_tiles):
    """And nobody else waits for it; when it reads on it gets all it has asked for."""
    tile = client.get(archive.tile("large", 0, 0)).content
    count = 4 * HELD // len(tile)
    read_tiles.clear()
    with Connection(address, small=True) as slow:
        slow.send(asked(archive.tile("large", 0, 0)) * count)
        for _ in range(100):
            assert client.get(archive.tile("large", 1, 1)).status_code == 200
        assert client.get(archive.tile("jpeg", 1, 0), headers={"Accept": "image/png"}).status_code == 200
        assert 0 < read_tiles[0, 0] * len(tile) < HELD
        assert all(slow.answer()[::2] == (200, tile) for _ in range(count))


def test_who_asks_too_far_ahead_is_cut_off(archive, address, client):
    """Requests that wait are kept in memory."""
    count = 20_000
    with Connection(address) as connection:
        sender = threading.Thread(target=connection.send_until_refused, args=(asked("/nothing") * count,))
        sender.start()
        assert connection.count_answers() < count
        sender.join()
    assert client.get(archive.tile("jpeg")).status_code == 200


def test_slow_readers_of_large_answers_hold_no_worker(archive):
    """With one decoder: none of those who do not read what was made for them keeps it, and tiles are not held up."""
    series = archive.series["large"].series_uid
    with running(archive.store, ServerSettings(decoders=1)) as address, httpx.Client(base_url=address) as client:
        paths = [f"/iiif/tiles/{series}/{x},0,1536,1536/max/0/default.tif" for x in range(3)]
        paths += [f"/iiif/series/{series}/slide.tif"] * 4
        slow = [Connection(address, small=True) for _ in paths]
        for connection, path in zip(slow, paths, strict=True):
            connection.send(asked(path))
            assert connection.start()[0] == 200
        picture = client.get(f"/iiif/tiles/{series}/5,5,300,300/100,/0/default.png", timeout=30)
        tile = client.get(archive.tile("large", 2, 2))
        refused = client.get(paths[-1])
        for connection in slow:
            connection.close()
    assert (picture.status_code, tile.status_code) == (200, 200)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "60")


def test_an_answer_that_nobody_reads_ends_with_its_connection(archive, monkeypatch):
    lost = threading.Event()
    ended = tile_protocol.TileProtocol.connection_lost

    def noted(protocol, error):
        ended(protocol, error)
        lost.set()

    monkeypatch.setattr(tile_protocol, "_STALLED_S", 0.1)
    monkeypatch.setattr(tile_protocol.TileProtocol, "connection_lost", noted)
    with running(archive.store) as address, Connection(address, small=True) as slow:
        slow.send(asked(archive.tile("large")) * 300)
        assert lost.wait(30)


def test_connections_that_are_not_kept(archive, address, client):
    tile = client.get(archive.tile("jpeg")).content
    for request in (
        asked(archive.tile("jpeg"), Connection="close"),
        asked(archive.tile("jpeg"), version="1.0"),
    ):
        with Connection(address) as connection:
            connection.send(request, request)
            status, headers, body = connection.answer()
            assert (status, body, headers["connection"]) == (200, tile, "close")
            assert connection.ended()


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_request_with_a_body_is_read_to_its_end(archive, address, client, framing):
    tile = client.get(archive.tile("jpeg")).content
    body = asked(archive.tile("native"))  # nothing that is meant to be asked
    if framing == "length":
        request = asked(archive.tile("jpeg"), **{"Content-Length": str(len(body))}) + body
    else:
        request = asked(archive.tile("jpeg"), **{"Transfer-Encoding": "chunked"})
        request += b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    with Connection(address) as connection:
        connection.send(request, asked("/nothing"), asked(archive.tile("jpeg")))
        assert connection.answer()[::2] == (200, tile)
        assert connection.answer()[0] == 404
        assert connection.answer()[::2] == (200, tile)


def test_idle_connections_end(archive, monkeypatch):
    monkeypatch.setattr(serve, "_KEEP_ALIVE_S", 1)
    with running(archive.store) as address, Connection(address) as connection:
        for _ in range(2):
            connection.send(asked(archive.tile("jpeg")))
            assert connection.answer()[0] == 200
        assert connection.ended()


@pytest.mark.parametrize("begun", [b"", b"GET /tiles/1.2.3/0/0/0 HTTP/1.1\r\nHost: a\r\n"])
def test_a_head_that_does_not_come(archive, monkeypatch, begun):
    monkeypatch.setattr(tile_protocol, "_REST_S", 0.2)
    with running(archive.store) as address, Connection(address) as connection:
        connection.send(begun)
        assert connection.ended()


def test_a_head_without_end(address):
    with Connection(address) as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
        with pytest.raises(ConnectionError):
            connection.send(*[b"x" * 65536] * 1000)


def test_pieces_of_a_request(archive, address, client):
    """However it is cut."""
    tile = client.get(archive.tile("jpeg")).content
    request = asked(archive.tile("jpeg"), Accept="image/jpeg")
    with Connection(address) as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for cut in (1, 7, 40, len(request) - 1):
            connection.send(request + request[:cut])
            assert connection.answer()[::2] == (200, tile)
            connection.send(request[cut:])
            assert connection.answer()[::2] == (200, tile)


class TestAccess:
    def test_tokens_and_sessions(self, archive: Archive, tmp_path: Path, at_once: list[str]) -> None:
        with guarding(archive.store, tmp_path) as guarded:
            guarded.accounts.add_user("alice", PASSWORD, Scope.READ)
            session = f"{SESSION_COOKIE}={guarded.accounts.begin_session('alice', 3600)}"
            tile = archive.tile("jpeg")
            with (
                guarded.client("reader") as program,
                guarded.client(Cookie=session) as browser,
                guarded.client() as stranger,
            ):
                for known in (program, browser):
                    assert "private" in known.get(tile).headers["cache-control"]
                    before = len(at_once)
                    again = known.get(tile)
                    assert (again.status_code, len(at_once) - before) == (200, 1)
                    assert again.headers["cache-control"] == "private, max-age=31536000, immutable"
                for token in ("wrong", "revoked", "expired"):
                    with guarded.client(token) as refused:
                        assert refused.get(tile).status_code == refused.get(tile).status_code == 401
                assert stranger.get(tile).status_code == 401
                guarded.accounts.revoke_token("reader")
                guarded.accounts.remove_user("alice")
                guarded.clock.seconds += 6
                assert program.get(tile).status_code == browser.get(tile).status_code == 401

    def test_view_tokens_show_their_own_series(self, archive: Archive, tmp_path: Path) -> None:
        with guarding(archive.store, tmp_path) as guarded, guarded.client("reader") as reader:
            uid = archive.series["jpeg"].series_uid
            token = reader.post("/view-tokens", json={"Series": uid, "Minutes": 5}).json()["Token"]
            reader.get(archive.tile("sparse"))
            with guarded.client(Authorization=f"Bearer {token}") as guest:
                for _ in range(2):
                    own = guest.get(archive.tile("jpeg"))
                    assert (own.status_code, "private" in own.headers["cache-control"]) == (200, True)
                    assert guest.get(archive.tile("sparse")).status_code == 403

    def test_anonymous_readers_beside_accounts(self, archive: Archive, tmp_path: Path, at_once: list[str]) -> None:
        with guarding(archive.store, tmp_path, allow_anonymous=True) as guarded, guarded.client() as anybody:
            anybody.get(archive.tile("jpeg"))
            before = len(at_once)
            assert "public" in anybody.get(archive.tile("jpeg")).headers["cache-control"]
            assert len(at_once) - before == 1
            with guarded.client("wrong") as wrong:
                assert wrong.get(archive.tile("jpeg")).status_code == 401

    def test_origins_that_may_ask_with_credentials(self, archive: Archive) -> None:
        ours, path = "https://viewer.example", archive.tile("jpeg")
        with client_of(archive.store, ServerSettings(cors_origins=(ours,))) as client:
            for _ in range(2):
                named, other = (
                    client.get(path, headers={"Origin": origin}) for origin in (ours, "https://evil.example")
                )
                assert named.headers["access-control-allow-origin"] == ours
                assert named.headers["access-control-allow-credentials"] == "true"
                assert other.headers["access-control-allow-origin"] == "*"
                assert "access-control-allow-credentials" not in other.headers
                assert [answer.headers.get_list("vary")[-1] for answer in (named, other)] == ["Origin"] * 2
