"""What clients are told of what went wrong: the words of its kind, and Orthanc's number."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.served import client_of
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.job_records import JOBS_FILE
from wsi_dicom_server.settings import ServerSettings


@pytest.mark.parametrize("damage", [b"no database at all " * 100, None], ids=["garbage", "folder"])
def test_a_damaged_file_of_jobs_is_not_a_series(
    tmp_path: Path, damage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    store = LocalStore(tmp_path / "store")
    jobs = tmp_path / JOBS_FILE
    if damage is None:
        jobs.mkdir()
    else:
        jobs.write_bytes(damage)
    with client_of(store, ServerSettings(jobs_file=jobs)) as client:
        answer = client.post("/uploads", params={"name": "x.tif"}, content=b"x")
    store.close()
    assert answer.status_code == 503
    assert answer.json()["OrthancStatus"] == 36
    assert answer.json()["Message"] == "the server cannot use its store now; its log has the details"
    assert str(jobs) in caplog.text
    assert not list((tmp_path / "store").glob("*/*"))


def test_what_is_the_client_s_fault_is_never_an_internal_error(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    with client_of(store, ServerSettings(jobs_file=tmp_path / JOBS_FILE, largest_upload=10)) as client:
        too_large = client.post("/uploads", params={"name": "x.tif"}, content=bytes(11))
        no_such_method = client.put("/uploads")
    store.close()
    told = [(answer.status_code, answer.json()["OrthancStatus"]) for answer in (too_large, no_such_method)]
    assert told == [(413, 8), (405, 8)]
