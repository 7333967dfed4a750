"""Jobs that are ended in the middle, by whom and however it may be: nothing is left of them, and none is forgotten."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.jobs.endless import endless
from tests.jobs.site import SAMPLE, Site, posting, site_at
from tests.processes import listening
from tests.served import until
from wsi_dicom_server import job_records
from wsi_dicom_server.job_records import JOBS_FILE, JobRecord, JobRecords

Busy = tuple[Site, httpx.Response]


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Busy]:
    """A server that takes two jobs, and its only one, in the middle."""
    with site_at(tmp_path_factory.mktemp("busy") / "store", waiting_jobs=2) as site:
        held = site.hold()
        yield site, held
        assert site.cancel(held)["State"] == "Cancelled"
        assert site.leftovers() == []
        assert site.series() == set()


def test_progress_and_polling(busy: Busy) -> None:
    site, held = busy
    address = f"/jobs/{held.json()['ID']}"
    job = site.client.get(address).json()
    assert (job["State"], job["Content"]["Series"]) == ("Running", [])
    assert "CompletionTime" not in job
    assert site.client.get("/jobs").json() == [job["ID"]]
    assert site.client.get("/jobs", params={"expand": ""}).json()[0]["Content"]["Name"] == "broken.tif and 1 more"
    # names of files may be those of patients
    assert stat.S_IMODE((site.root / JOBS_FILE).stat().st_mode) == 0o600


def test_too_many_wait_and_one_is_cancelled(busy: Busy) -> None:
    site, held = busy
    waits = site.upload(SAMPLE.read_bytes(), name="x.tif")
    answer = site.upload(b"x", name="x.tif")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    address = f"/jobs/{waits.json()['ID']}"
    assert site.client.delete(address).json()["State"] == "Pending"
    job = site.job(waits)
    assert (job["State"], job["ErrorCode"], job["ErrorDescription"]) == ("Cancelled", 0, "Cancelled")
    assert site.client.get(f"/jobs/{held.json()['ID']}").json()["State"] == "Running"
    ended = site.client.get(address)
    assert site.client.get(address, headers={"If-None-Match": ended.headers["etag"]}).status_code == 304
    assert site.client.delete(address).status_code == 204  # an ended one is forgotten
    assert site.client.get(address).status_code == site.client.delete(address).status_code == 404
    assert site.cancel(site.upload(b"x", name="x.txt"))["State"] == "Cancelled"  # there is room again


def test_two_processes_over_one_store(tmp_path: Path) -> None:
    """What one was given, the other one knows and cancels, and they run one at a time."""
    with site_at(tmp_path / "store") as one, site_at(tmp_path / "store") as other:
        held = one.hold()
        waits = other.upload(SAMPLE.read_bytes(), name="x.tif")
        assert one.client.get("/jobs").json() == [waits.json()["ID"], held.json()["ID"]]
        assert other.client.get(f"/jobs/{waits.json()['ID']}").json()["State"] == "Pending"
        assert other.cancel(held)["State"] == "Cancelled"
        assert one.job(waits)["State"] == "Success"
        assert one.leftovers() == []
        assert len(one.series()) == 1


def buried(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[JobRecord]:
    """All jobs, as another process sees them once theirs have been silent for a while."""
    with monkeypatch.context() as patch:
        patch.setattr(job_records, "_SILENT_S", 0.0)
        return JobRecords(root / JOBS_FILE).all()


LOST = "the server ended before this was done; upload it again"


def test_a_process_taken_for_dead_ends_its_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a machine was suspended: what others were told stays true."""
    with site_at(tmp_path / "store") as site:
        runs, waits = site.hold(), site.upload(SAMPLE.read_bytes(), name="x.tif")
        assert {(job.state, job.error) for job in buried(site.root, monkeypatch)} == {("Failure", LOST)}
        site.let_go()
        until(lambda: not site.leftovers())
        assert {site.job(job)["State"] for job in (runs, waits)} == {"Failure"}
    assert site.series() == set()


@contextmanager
def served(root: Path, *options: str, blocks: str = "unlimited") -> Iterator[tuple[subprocess.Popen[str], Site]]:
    """The command itself, which a test may end as it likes. Its files may have so many blocks of 512 bytes."""
    program = str(Path(sys.executable).with_name("wsi-dicom"))
    serve = [program, "serve", "--port=0", "--store", str(root), *options]
    command = ["sh", "-c", f'ulimit -f {blocks} && exec "$@"', "sh", *serve]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[-1]
            with httpx.Client(base_url=address, timeout=60) as client:
                site = Site(root, client)
                try:
                    yield server, site
                finally:
                    site.let_go()
        finally:
            server.kill()


@contextmanager
def half_uploaded(site: Site) -> Iterator[socket.socket]:
    before = len(site.leftovers())
    with posting(site, "Content-Length: 1000", b"x") as connection:
        until(lambda: len(site.leftovers()) > before)
        yield connection


def test_the_server_is_stopped_in_the_middle(tmp_path: Path) -> None:
    """Of a job, and of an upload."""
    with served(tmp_path / "store") as (server, site):
        site.hold()
        with half_uploaded(site) as connection:
            server.send_signal(signal.SIGTERM)
            assert connection.recv(100).startswith(b"HTTP/1.1 50")  # after some seconds; then jobs are ended
            site.let_go()
            _, said = server.communicate(timeout=60)
    assert "Traceback" not in said
    assert list((tmp_path / "store" / "staging").iterdir()) == []
    assert site.series() == set()
    (job,) = JobRecords(tmp_path / "store" / JOBS_FILE).all()
    assert job.state == "Cancelled"


def test_the_server_is_killed_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path / "store") as (server, site):
        site.hold()
        with half_uploaded(site):
            server.kill()
            site.let_go()
            server.communicate(timeout=60)  # the pipes end when the last of its processes does
    assert len(list((site.root / "staging").glob("*.lock"))) == 3  # two uploads, a conversion
    assert site.series() == set()  # opening the store clears away
    assert site.leftovers() == []
    (job,) = JobRecords(site.root / JOBS_FILE).all()
    assert job.state == "Running"
    assert [(job.state, job.error) for job in buried(site.root, monkeypatch)] == [("Failure", LOST)]


def children(process: int) -> set[int]:
    return {int(word) for path in Path(f"/proc/{process}/task").glob("*/children") for word in path.read_text().split()}


def test_one_of_two_workers_is_killed_then_their_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path / "store", "--workers=2") as (server, site):
        address = str(site.client.base_url)
        until(lambda: len(listening(address)) == 3)
        held = site.hold()
        before = listening(address)
        (owner,) = (worker for worker in before - {server.pid} if children(worker))
        os.kill(owner, signal.SIGKILL)
        site.let_go()
        until(lambda: owner not in listening(address) and len(listening(address)) == 3)
        until(lambda: not site.leftovers())
        assert [(job.state, job.error) for job in buried(site.root, monkeypatch)] == [("Failure", LOST)]
        assert site.job(held)["State"] == "Failure"
        assert site.job(site.upload(SAMPLE.read_bytes(), name="x.tif"))["State"] == "Success"  # nobody is in its way
        site.hold()
        server.kill()
        site.let_go()
        _, said = server.communicate(timeout=60)
        assert "Traceback" not in said
        assert listening(address) == set()
    assert site.leftovers() == []
    assert len(site.series()) == 1
    assert [job.state for job in JobRecords(site.root / JOBS_FILE).all()] == ["Cancelled", "Success", "Failure"]


def test_the_disk_is_full(tmp_path: Path) -> None:
    """Of the files of an upload, then of what is made of it."""
    with served(tmp_path / "store", blocks="8192") as (_, site):
        answer = site.upload(bytes(6_000_000), name="x.tif")
        assert answer.status_code == 507
        assert answer.json()["Message"] == "the server's disk has no room for this upload"
        assert site.leftovers() == []
        job = site.job(site.upload(endless(), name="x.tif", compression="none"))
        assert (job["State"], job["ErrorDescription"]) == ("Failure", "the server's disk has no room for this")
        assert site.leftovers() == []
