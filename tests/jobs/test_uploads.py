"""Uploads that a server refuses, and what it says to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs.site import Site, posting, site_at
from tests.served import until
from wsi_dicom_server import upload_files
from wsi_dicom_server.routes import uploads

BAD_NAMES = ["..", "../x.tif", "a/../../x.tif", "/etc/x.tif", "a//x.tif", "a\\x.tif", "x\0.tif", "x\n.tif"]
BAD_NAMES += ["x" * 300, "\u00e9" * 150, "x\u202eftt.exe", "x\u200b.tif", "./x.tif", "x/."]


@pytest.mark.parametrize("name", ["", "/".join("a" * 20), ".hidden.tif", *BAD_NAMES])
def test_bad_names(site: Site, name: str) -> None:
    answer = site.upload(b"x", name=name)
    assert answer.status_code == 400
    assert answer.json()["Message"]
    if name and '"' not in name:
        quoted = name.replace("\\", "\\\\").encode()
        body = b'--b\r\nContent-Disposition: form-data; name="f"; filename="' + quoted + b'"\r\n\r\nx\r\n--b--\r\n'
        form = {"Content-Type": "multipart/form-data; boundary=b"}
        assert site.client.post("/uploads", content=body, headers=form).status_code == 400


PART = b'--b\r\nContent-Disposition: form-data; name="f"; filename="x.tif"\r\n\r\n'


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", PART + b"data"),
        ("multipart/form-data; boundary=b", PART + b"data\r\n--b\r\n"),
        ("multipart/form-data; boundary=other", PART + b"data\r\n--b--\r\n"),
        ("multipart/form-data", PART + b"data\r\n--b--\r\n"),
        (f"multipart/form-data; boundary={'b' * 5000}", b"x"),
        ("multipart/form-data; boundary=b", b"--b--\r\n"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\nx\r\n--b--\r\n'),
        ("multipart/form-data; boundary=b", PART.replace(b"x.tif", b"\xff.tif") + b"x\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", PART + b"x\r\n" + PART + b"x\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"X: y\r\n" * 1000 + b"\r\n"),
        ("multipart/form-data; boundary=b", PART + b"x\r\n" + PART.replace(b"x.tif", b"x.tif/y") + b"x\r\n--b--\r\n"),
    ],
)  # fmt: skip
def test_bad_forms(site: Site, kind: str, body: bytes) -> None:
    answer = site.client.post("/uploads", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 400
    assert str(site.root) not in answer.text


def test_bad_options(site: Site) -> None:
    assert site.upload(b"x", name="x.tif", pyramid="yes").status_code == 400
    assert "expected one of none, jpeg" in site.upload(b"x", name="x.tif", compression="lzw").json()["Message"]
    assert site.upload(b"x").status_code == 400


def test_more_than_the_limit(site: Site) -> None:
    with posting(site, "Content-Length: 30000001") as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
    pieces = (b"x" * 1_000_000 for _ in range(31))  # whose length nobody tells before
    assert site.upload(pieces, name="x.tif").status_code == 413


@pytest.mark.parametrize(
    ("head", "body"), [("Content-Length: 1000", b"x" * 500), ("Transfer-Encoding: chunked", b"3\r\nxxx\r\n")]
)
def test_a_client_that_stops(site: Site, head: str, body: bytes) -> None:
    before = site.client.get("/jobs").json()
    with posting(site, head, body):
        until(lambda: bool(site.leftovers()))
    until(lambda: not site.leftovers())
    assert site.client.get("/jobs").json() == before


def test_a_client_that_falls_silent(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_SILENT_S", 0.2)
    with posting(site, "Content-Length: 9", b"x") as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 408")


def test_pages_of_other_sites_and_readers_may_not(tmp_path: Path, site: Site) -> None:
    answer = site.client.post("/uploads?name=x.tif", content=b"x", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert site.client.delete("/jobs/1", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    with site_at(tmp_path / "public", allow_anonymous=True) as public:
        assert public.upload(b"x", name="x.tif").status_code == 401
        assert public.client.get("/jobs").status_code == 401


def test_read_only(tmp_path: Path) -> None:
    with site_at(tmp_path / "store", jobs_file=None) as site:
        assert site.upload(b"x", name="x.tif").status_code == site.client.get("/jobs").status_code == 404
    assert not (tmp_path / "store").exists()


def test_no_room_on_the_disk(tmp_path: Path) -> None:
    """More is to be left free than there is; test_ends has a disk that becomes full."""
    with site_at(tmp_path / "store", keep_free=1 << 60) as site:
        with posting(site, "Content-Length: 1000") as connection:  # refused before anything comes
            assert connection.recv(100).startswith(b"HTTP/1.1 507")
        answer = site.upload((b"x" for _ in range(3)), name="x.tif")  # whose length nobody tells before
        assert (answer.status_code, answer.json()["OrthancError"]) == (507, "The file storage is full")
        assert site.form({"a.tif": b"x", "b.tif": b"x"}).status_code == 507
        assert site.client.get("/jobs").json() == []
    assert site.leftovers() == []


def test_too_many_files(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_files, "_MOST_FILES", 3)
    answer = site.form({f"{number}.tif": b"x" for number in range(4)})
    assert answer.status_code == 413
    assert "put them into a zip archive" in answer.json()["Message"]
