"""Large sparse series of the store open from what was kept of them; nothing wrong with that is ever believed."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.foreign_series import Picture, header, native_frames, per_frame_groups, save, sparse
from wsi_dicom.dicom.elements import ElementWalker
from wsi_dicom.dicom.slide import DicomSlide
from wsi_dicom.stores.local import LocalStore

SIDE, ACROSS, COUNT = 1, 80, 5000
SHOWN = np.random.default_rng(4).permutation(ACROSS * ACROSS)[:COUNT]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """5000 of 6400 tiles, in an order of their own."""
    groups = per_frame_groups([(1 + int(n) % ACROSS, 1 + int(n) // ACROSS) for n in SHOWN])
    picture = sparse(Picture(ACROSS, ACROSS, SIDE, photometric="RGB"), groups)
    path = tmp_path_factory.mktemp("original") / "image.dcm"
    frames = native_frames(COUNT, SIDE)
    save(path, header(picture), "1.2.840.10008.1.2.1", frames.tobytes())
    return path.read_bytes()


@pytest.fixture
def store(tmp_path: Path, original: bytes) -> Iterator[LocalStore]:
    (tmp_path / "image.dcm").write_bytes(original)
    store = LocalStore(tmp_path / "store")
    store.add([tmp_path / "image.dcm"])
    yield store
    store.close()


def tiles(slide: DicomSlide) -> list[bytes]:
    return [slide.tile(0, column, row).tobytes() for column, row in slide.pyramid.base.tiles()]


def opened(store: LocalStore) -> list[bytes]:
    (record,) = store.search()
    with store.open(record.series_uid) as slide:
        return tiles(slide)


def cached(store: LocalStore) -> list[Path]:
    return [path for path in (store.root / "cache").rglob("*") if path.is_file()]


def test_the_second_opening_reads_no_items(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = opened(store)
    assert len(set(expected)) > COUNT / 2
    (file,) = cached(store)
    assert file.stat().st_size < 24 * COUNT

    def refuse(walker: ElementWalker, length: int) -> Iterator[int]:
        raise AssertionError("the items are read again")

    monkeypatch.setattr(ElementWalker, "items", refuse)
    assert opened(store) == expected


def test_wrong_files_are_not_believed(store: LocalStore) -> None:
    expected = opened(store)
    (file,) = cached(store)
    good = file.read_bytes()
    flipped = bytearray(good)
    flipped[1000] ^= 1
    for wrong in (b"", good[:-1], good + b"\0", bytes(len(good)), bytes(flipped), good[:28] + b"\1" + good[29:]):
        file.write_bytes(wrong)
        assert opened(store) == expected
        assert file.read_bytes() == good


def test_what_is_kept_of_another_file_is_not_believed(store: LocalStore) -> None:
    expected = opened(store)
    (record,) = store.search()
    (path,) = store.files(record)
    content = bytearray(path.read_bytes())
    row, column = divmod(int(SHOWN[0]), ACROSS)
    free = next(n for n in range(ACROSS) if row * ACROSS + n not in SHOWN)
    where = content.index(struct.pack("<HH2sHi", 0x0048, 0x021E, b"SL", 4, column + 1)) + 8
    content[where : where + 4] = struct.pack("<i", free + 1)
    path.write_bytes(content)
    before, after = row * ACROSS + column, row * ACROSS + free
    expected[before], expected[after] = expected[after], expected[before]
    assert opened(store) == expected


def test_it_goes_with_the_series(store: LocalStore) -> None:
    opened(store)
    (record,) = store.search()
    store.delete(record.series_uid)
    assert not cached(store)


def test_a_store_that_cannot_keep_it(store: LocalStore) -> None:
    (store.root / "cache").write_text("no folder")
    assert len(opened(store)) == ACROSS * ACROSS
