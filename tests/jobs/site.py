"""A running server to upload to, and what its tests do again and again."""

from __future__ import annotations

import io
import socket
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.jobs.endless import endless
from tests.served import running
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.job_records import JOBS_FILE
from wsi_dicom_server.settings import ServerSettings

SAMPLE = Path(__file__).parents[2] / "sample_data" / "ihc-small.tif"


class Site:
    """A running server over a store of its own, and a client of it."""

    def __init__(self, root: Path, client: httpx.Client) -> None:
        self.root, self.client = root, client

    def upload(self, body: Any = b"", **options: Any) -> httpx.Response:
        return self.client.post("/uploads", content=body, params=options)

    def form(self, files: dict[str, bytes], **options: str) -> httpx.Response:
        parts = [("files", (name, content)) for name, content in files.items()]
        return self.client.post("/uploads", files=parts, params=options)

    def job(self, accepted: httpx.Response, until: Callable[[dict[str, Any]], bool] | None = None) -> dict[str, Any]:
        """The job as it is once it has ended, or `until` is true of it."""
        assert accepted.status_code == 202, accepted.text
        address = f"/jobs/{accepted.json()['ID']}"
        done = until or (lambda job: job["State"] not in ("Pending", "Running"))
        deadline = time.monotonic() + 120
        job: dict[str, Any]
        while not done(job := self.client.get(address).json()):
            assert time.monotonic() < deadline, job
            assert until is None or job["State"] in ("Pending", "Running"), job
            time.sleep(0.02)
        return job

    def hold(self) -> httpx.Response:
        """A job that has come to its middle, where it stays until it is ended; nothing of it is ever stored."""
        slides = {"broken.tif": endless(1, whole=False), "endless.tif": endless()}  # one done, with an error
        accepted = self.form(slides, compression="jpeg2000")
        self.job(accepted, lambda job: job["Progress"] >= 50)
        return accepted

    def cancel(self, accepted: httpx.Response) -> dict[str, Any]:
        """The job as it is once nothing is left of it."""
        assert self.client.delete(f"/jobs/{accepted.json()['ID']}").status_code == 202
        return self.job(accepted)

    def series(self) -> set[str]:
        with_store = LocalStore(self.root)
        try:
            return {record.series_uid for record in with_store.search()}
        finally:
            with_store.close()

    def leftovers(self) -> list[str]:
        """Everything in the store that is neither a whole series nor its index."""
        staged = [path.name for path in (self.root / "staging").glob("*")]
        stored = {path.name for path in (self.root / "series").glob("*")}
        return staged + sorted(stored - self.series())


@contextmanager
def site_at(root: Path, **settings: Any) -> Iterator[Site]:
    store = LocalStore(root)
    chosen = ServerSettings(**{"jobs_file": root / JOBS_FILE, **settings})
    try:
        with running(store, chosen) as address, httpx.Client(base_url=address, timeout=60) as client:
            yield Site(root, client)
    finally:
        store.close()


@contextmanager
def posting(site: Site, head: str, body: bytes = b"") -> Iterator[socket.socket]:
    """A connection with the beginning of an upload that no library would send so."""
    host = urlsplit(str(site.client.base_url))
    with socket.create_connection((host.hostname, host.port), timeout=30) as connection:
        connection.sendall(
            f"POST /uploads?name=x.tif HTTP/1.1\r\nHost: {host.netloc}\r\n{head}\r\n\r\n".encode() + body
        )
        yield connection


def eventually(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def zipped(files: dict[str, bytes]) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return body.getvalue()
