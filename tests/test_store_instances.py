"""Instances in the index of a store: found by either identifier, gone with their series, and made again from files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
from pydicom.filereader import dcmread

from tests.contracts.store_contract import write_series
from wsi_dicom.stores.local import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    store = LocalStore(tmp_path / "store")
    yield store
    store.close()


def test_instances_are_found(store: LocalStore, tmp_path: Path) -> None:
    assert store.find_instance("1.2.3") is None
    record = store.add(write_series(tmp_path / "in", InstanceNumber=7))
    store.add(write_series(tmp_path / "others"))
    found = store.instances(record)
    headers = {str(data.SOPInstanceUID): data for data in map(dcmread, sorted(record.folder.glob("*.dcm")))}
    assert [instance.sop_instance_uid for instance in found] == sorted(headers)
    for instance in found:
        header = headers[instance.sop_instance_uid]
        parts = (header.PatientID, header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID)
        digest = sha1("|".join(parts).encode()).hexdigest()  # noqa: S324 - Orthanc's choice
        assert instance.orthanc_id == "-".join(digest[start : start + 8] for start in range(0, 40, 8))
        assert (instance.series_uid, instance.number) == (record.series_uid, 7)
        assert instance.sop_class_uid == header.SOPClassUID
        assert instance.frames == header.NumberOfFrames
        assert dcmread(instance.path).SOPInstanceUID == instance.sop_instance_uid
        assert store.find_instance(instance.sop_instance_uid) == instance
        assert store.find_instance(instance.orthanc_id) == instance
        assert store.find_instance(instance.sop_instance_uid[:-1]) is None


def test_they_go_with_their_series(store: LocalStore, tmp_path: Path) -> None:
    record, other = store.add(write_series(tmp_path / "in")), store.add(write_series(tmp_path / "other"))
    (first, *_), kept = store.instances(record), store.instances(other)
    store.delete(record.series_uid)
    assert store.find_instance(first.sop_instance_uid) is None
    assert store.instances(record) == []
    assert store.instances(other) == kept
    assert store.add(write_series(tmp_path / "in", record.series_uid)).series_uid == record.series_uid


def test_a_rebuilt_index_has_them(store: LocalStore, tmp_path: Path) -> None:
    record = store.add(write_series(tmp_path / "in", InstanceNumber=3))
    before = store.instances(record)
    store.rebuild()
    assert store.instances(record) == before
    store.close()
    with sqlite3.connect(store.root / "index.sqlite") as index:  # as an earlier version of this program left it
        index.execute("DROP TABLE instances")
        index.execute("UPDATE schema_version SET version = 2")
    index.close()
    again = LocalStore(store.root)
    assert again.instances(record) == before
    again.close()


@pytest.mark.parametrize("told", [{"NumberOfFrames": "-4"}, {"Rows": 0}])
def test_what_makes_no_sense_keeps_nothing_out(
    store: LocalStore, tmp_path: Path, told: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    record = store.add(write_series(tmp_path / "in", **told))
    assert [instance.frames for instance in store.instances(record)] == [0, 0, 0]
    assert ("frames left out of the index" in caplog.text) == ("NumberOfFrames" in told)
