"""A real server over a real store, for the tests of the web routes and of the pages in a browser."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from PIL import Image

from wsi_dicom.convert import DicomizeOptions, dicomize
from wsi_dicom.stores import SeriesRecord, SeriesStore
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.access.accounts import ACCESS_FILE, Accounts
from wsi_dicom_server.access.policy import Access
from wsi_dicom_server.access.principal import Scope
from wsi_dicom_server.app import create_app
from wsi_dicom_server.serve import uvicorn_config
from wsi_dicom_server.settings import ServerSettings

SAMPLE = Path(__file__).parent.parent / "sample_data" / "ihc-8k.svs"
"""Levels of 8192, 2048 and 512 pixels: the steps of 2 between them are not stored."""


def add_sample(store: LocalStore) -> SeriesRecord:
    """The sample slide with its own levels, every tile copied."""
    return dicomize(SAMPLE, store, DicomizeOptions()).series


def add_cytomine(store: LocalStore, slides: Path) -> SeriesRecord:
    """A foreign series: one level of 2220 x 2967 pixels in tiles of 240, a label, an overview and a thumbnail."""
    return store.add(sorted((slides / "dicom_wsi" / "cytomine_cmu1").glob("*.dcm")))


@contextmanager
def running(store: SeriesStore, settings: ServerSettings | None = None, access: Access | None = None) -> Iterator[str]:
    """The address of a server in a thread of this process, on a free port; with an access control of other clocks."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = create_app(settings or ServerSettings(), store)
        app.site.access = access or app.site.access
        server = uvicorn.Server(uvicorn_config(lambda: app))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            until(lambda: server.started or not thread.is_alive())
            assert thread.is_alive(), "the server ended while starting"
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=90)
            assert not thread.is_alive(), "the server did not stop"


def until(reached: Callable[[], bool]) -> None:
    """Waits for what nothing tells of when it comes about."""
    deadline = time.monotonic() + 90
    while not reached():
        assert time.monotonic() < deadline, "this did not come about within 90 s"
        time.sleep(0.02)


def known_reader(folder: Path) -> tuple[ServerSettings, dict[str, str]]:
    """A server that anybody may read from, with its accounts in `folder`; and the headers of somebody whom it knows."""
    token = Accounts(folder / ACCESS_FILE).create_token("reader", Scope.READ, None)
    settings = ServerSettings(access_file=folder / ACCESS_FILE, allow_anonymous=True)
    return settings, {"Authorization": f"Bearer {token}"}


@contextmanager
def client_of(store: SeriesStore, settings: ServerSettings | None = None) -> Iterator[httpx.Client]:
    """A client of a running server; it follows no redirect."""
    with running(store, settings) as address, httpx.Client(base_url=address, timeout=30) as client:
        yield client


def opened(answer: httpx.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))
