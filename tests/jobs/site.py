"""A running server to upload to, and what its tests do again and again."""

from __future__ import annotations

import io
import os
import signal
import socket
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.jobs.endless import endless
from tests.processes import having_open
from tests.served import running, until
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

    def job(self, accepted: httpx.Response, progress: int = 100) -> dict[str, Any]:
        """The job as it is once it has ended, or come so far."""
        assert accepted.status_code == 202, accepted.text
        told: list[dict[str, Any]] = []

        def reached() -> bool:
            told[:] = [self.client.get(f"/jobs/{accepted.json()['ID']}").json()]
            return told[0]["State"] not in ("Pending", "Running") or told[0]["Progress"] >= progress

        until(reached)
        return told[0]

    def hold(self) -> httpx.Response:
        """A job that has come to its middle, where its process is stopped; nothing of it is ever stored."""
        slides = {"broken.tif": endless(1, whole=False), "endless.tif": endless()}  # one done, with an error
        accepted = self.form(slides, compression="jpeg2000")
        assert self.job(accepted, 51)["State"] == "Running"
        until(lambda: len(self._converting()) == 1)
        for process in self._converting():
            os.kill(process, signal.SIGSTOP)
        return accepted

    def let_go(self) -> None:
        """What was held goes on, and sees that it is to end."""
        for process in self._converting():
            os.kill(process, signal.SIGCONT)

    def _converting(self) -> set[int]:
        return having_open(lambda name: name.startswith(str(self.root)) and name.endswith("/endless.tif"))

    def cancel(self, accepted: httpx.Response) -> dict[str, Any]:
        """The job as it is once nothing is left of it."""
        answer = self.client.delete(f"/jobs/{accepted.json()['ID']}")
        assert answer.status_code == 202, answer.text
        if answer.json()["State"] == "Running":
            self.let_go()
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


def zipped(files: dict[str, bytes]) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return body.getvalue()
