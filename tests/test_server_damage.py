"""What is damaged, deleted or too large: told in one line, and everything else goes on."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from pydicom.encaps import encapsulate

from tests.conftest import Run
from tests.foreign_series import TILE, Picture, header, jpeg_frames, save
from tests.raw_http import Connection, asked
from tests.served import client_of, running
from wsi_dicom.dicom.index import EncapsulatedFrames
from wsi_dicom.dicom.slide import DicomSlide
from wsi_dicom.stores import SeriesRecord
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server import pool

COLUMNS, FRAMES, DAMAGED = 3, 6, 4
PNG = {"Accept": "image/png"}


def series(
    folder: Path, store: LocalStore, frames: list[bytes], damage: Callable[[bytes], bytes] = bytes
) -> SeriesRecord:
    """3 x 2 whole tiles; `damage` is done to the file."""
    picture = Picture(width=COLUMNS * TILE, height=2 * TILE)
    path = save(folder / "image.dcm", header(picture), picture.syntax, encapsulate(frames))
    path.write_bytes(damage(path.read_bytes()))
    return store.add([path])


def noise(frame: bytes) -> bytes:
    return random.Random(1).randbytes(len(frame))


def half(frame: bytes) -> bytes:
    return frame[: len(frame) // 2]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    store = LocalStore(tmp_path / "store")
    yield store
    store.close()


def addresses(record: SeriesRecord, instance: str, frame: int) -> dict[str, tuple[str, dict[str, str]]]:
    """Every way to see one tile; those that begin with `stored` decode nothing."""
    column, row = frame % COLUMNS, frame // COLUMNS
    uid, x, y = record.series_uid, column * TILE, row * TILE
    area = f"{x},{y},{TILE},{TILE}"
    return {
        "stored tile": (f"/tiles/{uid}/0/{column}/{row}", {}),
        "stored tile, by its Orthanc identifier": (f"/wsi/tiles/{record.orthanc_id}/0/{column}/{row}", {}),
        "stored region": (f"/iiif/tiles/{uid}/{area}/{TILE},/0/default.jpg", {}),
        "stored region of 2.1": (f"/iiif/2/tiles/{uid}/{area}/{TILE},/0/default.jpg", {}),
        "stored tile of a frame": (f"/frames-tiles/{instance}/{frame}/0/0/0", {"Accept": "image/jpeg"}),
        "tile": (f"/tiles/{uid}/0/{column}/{row}", PNG),
        "region": (f"/iiif/tiles/{uid}/{area}/8,/0/default.png", {}),
        "region of 2.1": (f"/iiif/2/tiles/{record.orthanc_id}/{area}/8,/0/gray.jpg", {}),
        "frame": (f"/iiif/frames/{uid}/{frame}/full/max/0/default.png", {}),
        "frame of an instance": (f"/iiif/2/frames/{instance}/{frame}/full/full/90/default.jpg", {}),
        "tile of a frame": (f"/frames-tiles/{uid}/{frame}/0/0/0", PNG),
    }


def broken_item(frame: bytes) -> Callable[[bytes], bytes]:
    """The frame's item has a length that leads out of the file."""

    def damage(file: bytes) -> bytes:
        at = file.index(frame) - 4
        return file[:at] + b"\xf0\xff\xff\xff" + file[at + 4 :]

    return damage


@pytest.mark.parametrize("kind", ["noise", "half", "item"])
def test_one_damaged_frame(store: LocalStore, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    """Stored tiles are not decoded: half of a stream goes out as it is, and viewers show what there is of it."""
    frames, damage = jpeg_frames(FRAMES), bytes
    if kind == "item":
        damage = broken_item(frames[DAMAGED])
    else:
        frames[DAMAGED] = {"noise": noise, "half": half}[kind](frames[DAMAGED])
    record = series(tmp_path, store, frames, damage)
    (instance,) = store.instances(record)
    with client_of(store) as client:
        for frame in [*range(FRAMES), DAMAGED, 0]:
            for name, (path, headers) in addresses(record, instance.sop_instance_uid, frame).items():
                caplog.clear()
                answer = client.get(path, headers=headers)
                if frame != DAMAGED or (kind == "half" and name.startswith("stored")):
                    assert (answer.status_code, caplog.text) == (200, ""), name
                    continue
                assert answer.status_code == 500, name
                assert answer.json()["Message"].count("\n") == 0
                assert str(tmp_path) not in answer.text
                assert answer.headers["cache-control"] == "no-store"
                (logged,) = caplog.messages
                assert record.series_uid in logged or instance.sop_instance_uid in logged
                assert path in logged


def test_frames_without_an_offset_table_are_looked_for_in_a_thread(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stored tile is read in the event loop; all frames of a slide are not."""
    threads: list[str] = []
    scan = EncapsulatedFrames._scan

    def noted(frames):
        threads.append(threading.current_thread().name)
        return scan(frames)

    monkeypatch.setattr(EncapsulatedFrames, "_scan", noted)
    frames = jpeg_frames(FRAMES)
    picture = Picture(width=COLUMNS * TILE, height=2 * TILE)
    path = save(tmp_path / "image.dcm", header(picture), picture.syntax, encapsulate(frames, has_bot=False))
    record = store.add([path])
    threads.clear()  # the store has looked at it too
    with client_of(store) as client:
        assert client.get(f"/tiles/{record.series_uid}/0/1/1").content == frames[4]
    assert [name.partition(" ")[0] for name in threads] == ["AnyIO"]


def held_files(folder: Path) -> list[str]:
    """What this process, the server's too, has open of a folder, or of what was deleted from it."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of the listing
            found.append(str(descriptor.readlink()))
    return [target for target in found if target.startswith(str(folder)) and ".dcm" in target]


WAYS = ["this store", "another process"]


@pytest.mark.parametrize("way", WAYS)
def test_a_series_deleted_while_it_is_viewed(
    store: LocalStore, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    record = series(tmp_path, store, jpeg_frames(FRAMES))
    (instance,) = store.instances(record)
    uid = record.series_uid
    pages = [f"/viewer/{uid}", f"/pyramids/{uid}", f"/iiif/tiles/{uid}/info.json", f"/iiif/series/{uid}/manifest.json"]
    views = [*addresses(record, instance.sop_instance_uid, 1).values(), *((page, {}) for page in pages)]
    with client_of(store) as client:
        before = [client.get(path, headers=headers) for path, headers in views]
        assert {answer.status_code for answer in before} == {200}
        assert held_files(tmp_path)
        if way == "this store":
            store.delete(uid)
        else:
            run("wsi-dicom", "delete", uid, "--yes")
        at_once = [client.get(path, headers=headers) for path, headers in views]
        assert {answer.status_code for answer in at_once} <= {200, 404}
        for early, late in zip(before, at_once, strict=True):
            assert late.status_code == 404 or late.content == early.content
        monkeypatch.setattr(pool, "_CHECK_AFTER_S", -1.0)  # the ten seconds are over
        for path, headers in views:
            answer = client.get(path, headers=headers)
            assert answer.status_code == 404, path
            assert str(tmp_path) not in answer.text
        assert client.get("/").status_code == 200
        again = series(tmp_path, store, jpeg_frames(FRAMES, seed=1))
        tile = client.get(f"/tiles/{again.series_uid}/0/0/0")
        assert tile.content == jpeg_frames(FRAMES, seed=1)[0]
        assert not [name for name in held_files(tmp_path) if "(deleted)" in name or uid in name]


def test_a_slide_that_nobody_looks_at_any_more_is_let_go(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, viewed = (series(tmp_path, store, jpeg_frames(FRAMES)) for _ in range(2))
    with client_of(store) as client:
        client.get(f"/tiles/{left.series_uid}/0/0/0")
        store.delete(left.series_uid)
        assert held_files(tmp_path)
        monkeypatch.setattr(pool, "_LET_GO_AFTER_S", 0.0)  # ten minutes later
        client.get(f"/tiles/{viewed.series_uid}/0/0/0")
        assert all(viewed.series_uid in name for name in held_files(tmp_path))


def memory() -> int:
    """Bytes of this process in memory at most, so far."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def test_a_billion_pixels_are_refused(store: LocalStore, tmp_path: Path) -> None:
    series_uid = series(tmp_path, store, jpeg_frames(FRAMES)).series_uid
    paths = (
        "iiif/tiles/{}/0,0,100000,100000/^100000,/0/default.png",
        "iiif/tiles/{}/0,0,100000,100000/^40000,40000/0/default.tif",
        "iiif/tiles/{}/full/^pct:100000/0/default.jpg",
        "iiif/2/tiles/{}/0,0,100000,100000/100000,/45/bitonal.png",
        "iiif/frames/{}/0/full/^100000,/0/default.png",
    )
    with client_of(store) as client:
        for image in ("tiles/{}", "frames/{}/0"):
            assert client.get(f"/iiif/{image.format(series_uid)}/full/8,/0/default.png").status_code == 200
        before = memory()
        for path in paths:
            answer = client.get(f"/{path.format(series_uid)}")
            assert answer.status_code == 404
            assert str(1 << 24) in answer.json()["Message"]
        assert memory() - before < 8 << 20


def test_a_hundred_viewers_on_connections_of_their_own_cost_one_decode(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: Counter[tuple[int, int]] = Counter()
    tile = DicomSlide.tile

    def counted(slide, level, column, row, *rest):
        decoded[column, row] += 1
        return tile(slide, level, column, row, *rest)

    monkeypatch.setattr(DicomSlide, "tile", counted)
    record = series(tmp_path, store, jpeg_frames(FRAMES))
    with running(store) as address, ExitStack() as viewers:
        connections = [viewers.enter_context(Connection(address)) for _ in range(100)]
        for connection in connections:
            connection.send(asked(f"/iiif/tiles/{record.series_uid}/3,3,40,25/20,/0/default.png"))
        answers = [connection.answer() for connection in connections]
    assert {status for status, _, _ in answers} == {200}
    assert len({body for _, _, body in answers}) == 1
    assert set(decoded.values()) == {1}
