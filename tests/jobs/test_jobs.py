"""Uploads to a real server: what becomes of them, and that nothing is left of what fails."""

from __future__ import annotations

import io
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pydicom
import pytest

from tests.contracts.store_contract import write_series
from tests.jobs.site import LARGE, LONG, SAMPLE, Site, eventually, posting, site_at, zipped
from tests.oracles import images
from tests.test_sources_openslide import Mirax, write_vms
from wsi_dicom_server import job_records
from wsi_dicom_server.job_records import JOBS_FILE, JobRecords

# --- what works ------------------------------------------------------------------------------------------------------


def test_a_slide_becomes_a_series(site: Site) -> None:
    accepted = site.upload(SAMPLE.read_bytes(), name="a slide.tif", pyramid="1", compression="jpeg2000")
    assert accepted.headers["location"] == f"{site.client.base_url}/jobs/{accepted.json()['ID']}"
    assert accepted.json()["State"] == "Pending"
    job = site.job(accepted)
    assert (job["State"], job["Progress"], job["ErrorCode"]) == ("Success", 100, 0)
    assert job["Content"]["Name"] == "a slide.tif"
    (uid,) = job["Content"]["Series"]
    assert job["CreationTime"] <= job["CompletionTime"]
    volumes = images(site.root / "series" / uid)["VOLUME"]
    assert len(volumes) > 2  # the source has two levels
    assert pydicom.uid.JPEG2000Lossless in {volume.file_meta.TransferSyntaxUID for volume in volumes}
    assert site.client.get(f"/tiles/{uid}/0/0/0").status_code == 200
    assert site.client.get(f"/viewer/{uid}").status_code == 200


def test_the_same_slide_twice_is_one_series(site: Site) -> None:
    """Also at the same time."""
    accepted = [site.upload(SAMPLE.read_bytes(), name=name) for name in ("one.tif", "two.tif")]
    jobs = [site.job(each) for each in accepted]
    assert [job["State"] for job in jobs] == ["Success"] * 2
    assert jobs[0]["Content"]["Series"] == jobs[1]["Content"]["Series"]


def test_dicom_is_stored_as_it_is(site: Site, tmp_path: Path) -> None:
    files = {f"disk/{path.name}": path.read_bytes() for path in write_series(tmp_path / "a")}
    job = site.job(site.form(files))
    (uid,) = job["Content"]["Series"]
    assert job["Content"]["Name"] == "disk"
    stored = {path.read_bytes() for path in (site.root / "series" / uid).iterdir()}
    assert stored == set(files.values())
    assert site.job(site.form(files))["Content"]["Series"] == [uid]  # once more changes nothing
    changed = pydicom.dcmread(io.BytesIO(next(iter(files.values()))))
    changed.SOPInstanceUID = changed.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    more = io.BytesIO()
    changed.save_as(more)
    job = site.job(site.form({"more.dcm": more.getvalue()}))
    assert job["State"] == "Failure"
    assert "is in the store already, without 1 of these files" in job["ErrorDescription"]
    assert len(list((site.root / "series" / uid).iterdir())) == len(files)


def test_other_dicom_and_slides_in_one_upload(site: Site, slides: Path, tmp_path: Path) -> None:
    """A CT, two series of slides, a TIFF, and what people's systems put beside them."""
    files = {
        "ct.dcm": (slides / "dicom_other" / "CT_small.dcm").read_bytes(),
        "s/slide.tif": SAMPLE.read_bytes(),
        "s/.DS_Store": b"x",
        "s/readme.txt": b"nothing",
    }
    for name in "ab":
        files |= {f"{name}/{path.name}": path.read_bytes() for path in write_series(tmp_path / name)}
    job = site.job(site.form(files))
    assert (job["State"], len(job["Content"]["Series"])) == ("Success", 4), job
    assert set(job["Content"]["Series"]) <= site.series()
    assert job["Content"]["Name"] == "ct.dcm and 8 more"


@pytest.mark.parametrize("kind", ["mirax", "vms"])
def test_a_slide_in_several_files(site: Site, tmp_path: Path, kind: str) -> None:
    """Of which some are pictures by themselves."""
    if kind == "mirax":
        Mirax(tmp_path)
    else:
        write_vms(tmp_path)
    files = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(files) > 2
    accepted = site.form(files) if kind == "vms" else site.upload(zipped(files), name="slide.zip")
    job = site.job(accepted)
    assert (job["State"], len(job["Content"]["Series"])) == ("Success", 1), job


def test_zip(site: Site, tmp_path: Path) -> None:
    inside = {f"x/{path.name}": path.read_bytes() for path in write_series(tmp_path / "a")}
    archive = zipped({**inside, "y/slide.tif": SAMPLE.read_bytes(), "__MACOSX/x/._base.dcm": b"x"})
    job = site.job(site.upload(archive, name="all.zip"))
    assert (job["State"], len(job["Content"]["Series"])) == ("Success", 2), job


def test_progress_and_polling(site: Site) -> None:
    accepted = site.upload(LARGE.read_bytes(), **LONG)
    running = site.job(accepted, lambda job: 0 < job["Progress"] < 100)
    assert running["State"] == "Running"
    assert "CompletionTime" not in running
    assert accepted.json()["ID"] == site.client.get("/jobs").json()[0]
    assert site.client.get("/jobs", params={"expand": ""}).json()[0]["Content"]["Name"] == "long.svs"
    assert site.client.delete(f"/jobs/{accepted.json()['ID']}").status_code == 202
    assert site.job(accepted)["State"] == "Cancelled"
    ended = site.client.get(f"/jobs/{accepted.json()['ID']}")
    again = site.client.get(ended.request.url, headers={"If-None-Match": ended.headers["etag"]})
    assert again.status_code == 304
    assert site.client.delete(ended.request.url).status_code == 204  # an ended one is forgotten
    assert site.client.get(ended.request.url).status_code == site.client.delete(ended.request.url).status_code == 404
    # names of files may be those of patients
    assert stat.S_IMODE((site.root / JOBS_FILE).stat().st_mode) == 0o600


# --- what fails later ------------------------------------------------------------------------------------------------


def cut(path: Path) -> bytes:
    """A slide whose last tiles are not what they claim to be."""
    data = bytearray(path.read_bytes())
    half = len(data) // 3
    data[half : half + 60_000] = bytes(60_000)
    return bytes(data)


def failure(site: Site, accepted: httpx.Response) -> str:
    before = site.series()
    job = site.job(accepted)
    assert (job["State"], job["ErrorCode"], job["Content"]["Series"]) == ("Failure", -1, []), job
    words: str = job["ErrorDescription"]
    assert str(site.root.parent) not in words
    assert "staging" not in words
    assert site.series() == before
    return words


def test_what_is_no_slide(site: Site) -> None:
    assert failure(site, site.upload(b"just words", name="notes.txt")).startswith("notes.txt: not a slide; none of")
    assert "among these 2 files" in failure(site, site.form({"a.txt": b"a", "b.txt": b"b"}))


def test_one_of_two_fails(site: Site) -> None:
    """In the middle; the other one is stored."""
    job = site.job(site.form({"broken.svs": cut(LARGE), "good.tif": SAMPLE.read_bytes()}, pyramid="1"))
    assert (job["State"], job["ErrorCode"]) == ("Failure", -1)
    assert job["ErrorDescription"].startswith("broken.svs")
    (uid,) = job["Content"]["Series"]
    assert uid in site.series()


def test_broken_dicom(site: Site, tmp_path: Path) -> None:
    paths = write_series(tmp_path / "a")
    files = {path.name: path.read_bytes() for path in paths}
    files["small.dcm"] = files["small.dcm"][:400]
    assert failure(site, site.form(files)).startswith("small.dcm")
    twice = {"a.dcm": paths[0].read_bytes(), "b.dcm": paths[0].read_bytes()}
    assert "are the same SOP instance" in failure(site, site.form(twice))


def test_bad_zip(site: Site) -> None:
    """What the archives say themselves; test_bad_names shows which names are bad."""
    whole = zipped({"slide.tif": SAMPLE.read_bytes()})
    damaged = bytearray(whole)
    damaged[2000:2100] = bytes(100)
    swelling = {"a": os.urandom(1_000_000) + bytes(15_000_000), "b": bytes(15_000_000)}
    archives = {
        whole[:-100]: "is a zip archive that cannot be read",
        bytes(damaged): "is a zip archive that cannot be read",
        zipped({"x": bytes(25_000_000)}): "would swell to 25000000 bytes",
        zipped(swelling): "would swell to more than 30000000 bytes",
        zipped({"a": b"x", "a/b": b"x"}): "two files of one name",
        zipped({"../../../../escaped.tif": SAMPLE.read_bytes()}): "no name that a file can have here",
    }
    files = {f"{number}.zip": archive for number, archive in enumerate(archives)}
    told = failure(site, site.form(files))
    for words in archives.values():
        assert words in told
    assert list(site.root.parent.rglob("escaped*")) == []


# --- ends ------------------------------------------------------------------------------------------------------------


def test_cancel_in_the_middle_and_while_waiting(tmp_path: Path) -> None:
    with site_at(tmp_path / "store") as site:
        runs, waits = (site.upload(LARGE.read_bytes(), **LONG) for _ in range(2))
        site.job(runs, lambda job: job["Progress"] > 0)
        assert len(list((site.root / "staging").glob("*[!k]"))) == 3  # two uploads, a conversion
        assert site.client.delete(f"/jobs/{waits.json()['ID']}").json()["State"] == "Pending"
        assert site.job(waits)["State"] == "Cancelled"
        assert site.client.get(f"/jobs/{runs.json()['ID']}").json()["State"] == "Running"
        site.client.delete(f"/jobs/{runs.json()['ID']}")
        assert site.job(runs)["State"] == "Cancelled"
        assert site.leftovers() == []
        assert site.series() == set()


SERVE = [Path(sys.executable).parent / "wsi-dicom", "serve", "--port=0"]


@contextmanager
def served(root: Path) -> Iterator[tuple[subprocess.Popen[str], Site]]:
    """The command itself, which a test may end as it likes."""
    command = [*SERVE, "--store", root]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[-1]
            with httpx.Client(base_url=address, timeout=60) as client:
                yield server, Site(root, client)
        finally:
            server.kill()


def test_the_server_is_stopped_in_the_middle(tmp_path: Path) -> None:
    """Of a job, and of an upload."""
    with served(tmp_path / "store") as (server, site):
        accepted = site.upload(LARGE.read_bytes(), **LONG)
        site.job(accepted, lambda job: job["Progress"] > 0)
        before = len(site.leftovers())
        with posting(site, "Content-Length: 1000", b"x"):
            eventually(lambda: len(site.leftovers()) > before)
            server.send_signal(signal.SIGTERM)
            _, said = server.communicate(timeout=60)
    assert "Traceback" not in said
    assert list((tmp_path / "store" / "staging").iterdir()) == []
    assert site.series() == set()
    (job,) = JobRecords(tmp_path / "store" / JOBS_FILE).all()
    assert job.state == "Cancelled"


def test_the_server_is_killed_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path / "store") as (server, site):
        accepted = site.upload(LARGE.read_bytes(), **LONG)
        site.job(accepted, lambda job: job["Progress"] > 0)
        server.kill()
        server.communicate(timeout=60)  # the pipes end when the last of its processes does
    assert site.series() == set()  # opening the store clears away
    assert site.leftovers() == []
    (job,) = JobRecords(tmp_path / "store" / JOBS_FILE).all()
    assert job.state == "Running"
    monkeypatch.setattr(job_records, "_SILENT_S", 0.0)  # as when its server has been silent for a while
    (job,) = JobRecords(tmp_path / "store" / JOBS_FILE).all()
    assert (job.state, job.error) == ("Failure", "the server ended before this was done; upload it again")


def test_two_processes_over_one_store(tmp_path: Path) -> None:
    """What one was given, the other one knows and cancels."""
    with site_at(tmp_path / "store") as one, site_at(tmp_path / "store") as other:
        accepted = one.upload(LARGE.read_bytes(), **LONG)
        one.job(accepted, lambda job: job["Progress"] > 0)
        waits = other.upload(SAMPLE.read_bytes(), name="x.tif")
        assert one.client.get("/jobs").json() == [waits.json()["ID"], accepted.json()["ID"]]
        assert other.client.delete(f"/jobs/{accepted.json()['ID']}").status_code == 202
        assert one.job(accepted)["State"] == "Cancelled"
        assert one.job(waits)["State"] == "Success"
        assert one.leftovers() == []
