"""Plain files in a folder of the user's choice: whole, in order, and never over others."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from tests.contracts.store_contract import write_series
from wsi_dicom.errors import InvalidRequest, StoreError
from wsi_dicom.stores.folder import FolderStore


def test_folder_takes_files_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    store = FolderStore(folder)
    with store.staging() as staging:
        files = write_series(staging)
        content = [file.read_bytes() for file in files]
        record = store.add(files)
    assert sorted(path.name for path in folder.iterdir()) == [f"wsi-{number:06d}.dcm" for number in range(3)]
    assert [path.read_bytes() for path in sorted(folder.iterdir())] == content
    assert (record.instance_count, record.folder) == (3, folder)


def test_folder_copies_from_elsewhere(tmp_path: Path) -> None:
    files = write_series(tmp_path / "in")
    FolderStore(tmp_path / "out", "%d.dcm").add(files)
    assert [(tmp_path / "out" / f"{n}.dcm").read_bytes() for n in range(3)] == [file.read_bytes() for file in files]
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_folder_overwrites_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "wsi-000001.dcm").write_text("precious")
    with pytest.raises(StoreError, match=r"wsi-000001\.dcm exists already"):
        FolderStore(folder).add(write_series(tmp_path / "in"))
    assert [path.name for path in folder.iterdir()] == ["wsi-000001.dcm"]
    assert (folder / "wsi-000001.dcm").read_text() == "precious"


@pytest.mark.parametrize(
    "pattern", ["", "wsi.dcm", "%d/%d.dcm", "../%d.dcm", "a/%d.dcm", "%s", "%z", "%(n)d", "%d%%\0"]
)
def test_folder_patterns(tmp_path: Path, pattern: str) -> None:
    if pattern == "%s":
        FolderStore(tmp_path / "out", pattern)
        return
    with pytest.raises(InvalidRequest, match="pattern"):
        FolderStore(tmp_path / "out", pattern)


def test_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "absent" / "out"):
        with pytest.raises(StoreError, match=str(folder)), FolderStore(folder).staging():
            pass


def test_folder_moves_only_out_of_its_own_staging(tmp_path: Path) -> None:
    files = write_series(tmp_path / "elsewhere" / ".wsi-dicom-mine")
    FolderStore(tmp_path / "out").add(files)
    assert all(file.exists() for file in files)


def test_folder_is_not_left_by_a_failure(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    store = FolderStore(folder)
    assert not folder.exists()
    with suppress(KeyError), store.staging() as staging:
        write_series(staging)
        raise KeyError
    assert not folder.exists()
