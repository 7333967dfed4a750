"""The index of the local store: lost, damaged, interrupted, and made again from the files alone."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.filereader import dcmread

from tests.contracts.store_contract import check_whole, start, write_series
from wsi_dicom.errors import StoreError
from wsi_dicom.stores.local import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    store = LocalStore(tmp_path / "store")
    yield store
    store.close()


def test_rebuild(store: LocalStore, slides: Path, tmp_path: Path) -> None:
    for number in range(3):
        store.add(write_series(tmp_path / str(number)))
    store.add([slides / "dicom_wsi" / "highdicom" / "sm_annotations.dcm"])
    records = list(store.search())
    assert store.rebuild() == 4
    assert list(store.search()) == records


def test_rebuild_leaves_damaged_series_out(store: LocalStore, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good, bad, misplaced = (store.add(write_series(tmp_path / str(number))) for number in range(3))
    next(bad.folder.iterdir()).write_bytes(b"damaged")
    misplaced.folder.rename(misplaced.folder.with_name("1.2.3"))
    assert store.rebuild() == 1
    assert list(store.search()) == [good]
    assert str(bad.folder) in caplog.text
    assert "1.2.3" in caplog.text


def test_rebuild_where_instances_disagree(store: LocalStore, tmp_path: Path) -> None:
    """The files lie under other names then, and so in another order."""
    for order in (1, -1):
        files = write_series(tmp_path / f"in{order}")
        for number, path in enumerate(files[::order]):
            data = dcmread(path)
            data.SOPInstanceUID = f"1.2.{number}"
            data.ContainerIdentifier = f"S24-{number}"
            data.save_as(path)
        store.add(files)
    before = {record.series_uid: record for record in store.search()}
    assert store.rebuild() == len(before) == 2
    assert {record.series_uid: record for record in store.search()} == before


def test_lost_index_comes_back(store: LocalStore, tmp_path: Path) -> None:
    records = [store.add(write_series(tmp_path / str(number))) for number in range(3)]
    store.close()
    for file in (tmp_path / "store").glob("index.sqlite*"):
        file.unlink()
    again = LocalStore(tmp_path / "store")
    assert list(again.search()) == records[::-1]
    again.close()


def test_damaged_index(store: LocalStore, tmp_path: Path) -> None:
    store.add(write_series(tmp_path / "in"))
    store.close()
    index = tmp_path / "store" / "index.sqlite"
    index.write_bytes(b"this is no database" * 1000)
    with pytest.raises(StoreError, match=r"index\.sqlite cannot be used .* index rebuild"):
        LocalStore(tmp_path / "store")


@pytest.mark.parametrize("beyond", [0, 4096])  # the whole file, or only what lies behind the first page
def test_damaged_index_is_rebuilt(store: LocalStore, tmp_path: Path, beyond: int) -> None:
    records = [store.add(write_series(tmp_path / str(number))) for number in range(3)]
    store.close()
    index = tmp_path / "store" / "index.sqlite"
    whole = index.read_bytes()
    damaged = whole[:beyond] + random.Random(1).randbytes(len(whole) - beyond)
    index.write_bytes(damaged)
    Path(f"{index}-wal").write_bytes(b"of the damaged one")
    command: list[Path | str] = [
        Path(sys.executable).with_name("wsi-dicom"),
        "index",
        "rebuild",
        "--store",
        tmp_path / "store",
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (0, "3 series\n")
    assert "index.sqlite.damaged" in said.stderr
    assert index.with_name("index.sqlite.damaged").read_bytes() == damaged
    again = check_whole(tmp_path / "store")
    assert list(again.search()) == records[::-1]
    again.close()


@pytest.mark.parametrize("left", ["nothing", "tables"])
def test_index_whose_making_was_interrupted(store: LocalStore, tmp_path: Path, left: str) -> None:
    record = store.add(write_series(tmp_path / "in"))
    store.close()
    index = tmp_path / "store" / "index.sqlite"
    if left == "nothing":
        index.write_bytes(b"")
    else:
        with sqlite3.connect(index) as connection:
            connection.execute("DELETE FROM series")
            connection.execute("DELETE FROM schema_version")
        connection.close()
    again = LocalStore(tmp_path / "store")
    assert list(again.search()) == [record]
    again.close()


def test_version_comes_with_the_rows(store: LocalStore, tmp_path: Path) -> None:
    """Killed while the headers are read: the third series is a pipe, at which the reader waits for ever."""
    records = [store.add(write_series(tmp_path / str(number), f"1.2.{number}")) for number in range(2)]
    store.close()
    root = tmp_path / "store"
    for file in root.glob("index.sqlite*"):
        file.unlink()
    pipe = root / "series" / "1.3" / "1.dcm"
    pipe.parent.mkdir()
    os.mkfifo(pipe)
    opener = start("import sys; from pathlib import Path; from wsi_dicom.stores.local import LocalStore\n"
                   "LocalStore(Path(sys.argv[1]))", root)  # fmt: skip
    writer = os.open(pipe, os.O_WRONLY)  # returns when the opener has got there
    opener.kill()
    opener.communicate()
    os.close(writer)
    shutil.rmtree(pipe.parent)
    again = LocalStore(root)
    assert list(again.search()) == records[::-1]
    again.close()
