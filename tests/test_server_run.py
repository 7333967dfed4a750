from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.processes import listening
from tests.served import add_sample, until
from wsi_dicom.errors import InvalidRequest
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.serve import serve
from wsi_dicom_server.settings import ServerSettings

SERVE = """
import sys
from pathlib import Path
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.serve import serve
from wsi_dicom_server.settings import ServerSettings
serve(ServerSettings(port=0), LocalStore(Path(sys.argv[1])), ready=lambda address: print(address, flush=True))
"""


def test_it_tells_its_address_serves_and_stops_when_interrupted(tmp_path: Path):
    command = [sys.executable, "-c", SERVE, str(tmp_path / "store")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:")
            answer = httpx.get(address, timeout=90)
            assert answer.status_code == 200
            assert "server" not in answer.headers
            server.send_signal(signal.SIGINT)
            _, errors = server.communicate(timeout=90)
        finally:
            server.kill()
    assert server.returncode == 0
    assert errors == ""


def test_a_port_in_use_is_one_line(tmp_path: Path):
    store = LocalStore(tmp_path / "store")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidRequest, match=f"cannot serve on 127.0.0.1 port {port}.*choose another"):
            serve(ServerSettings(port=port), store)
    with pytest.raises(InvalidRequest, match="cannot serve on no such host"):
        serve(ServerSettings(host="no such host"), store)
    store.close()


@contextmanager
def workers(store: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`wsi-dicom serve` with two of them, and its address."""
    program = Path(sys.executable).with_name("wsi-dicom")
    command = [program, "serve", "--store", store, "--port", "0", "--workers", "2", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server, server.stdout.readline().rpartition(" ")[2].strip()
        finally:
            server.kill()


def test_workers_share_the_socket_and_the_store(tmp_path: Path):
    with closing(LocalStore(tmp_path / "store")) as store:
        series = add_sample(store)
    with workers(store.root) as (server, address):
        tile = f"{address}tiles/{series.series_uid}/0/0/0"
        first = httpx.get(tile, timeout=30)
        assert first.headers["content-type"] == "image/jpeg"
        until(lambda: len(listening(address)) == 3)  # two, and the process that looks after them
        for _ in range(20):  # each on a connection of its own, which either of them may take
            assert httpx.get(tile).headers["etag"] == first.headers["etag"]
        one = min(listening(address) - {server.pid})
        os.kill(one, signal.SIGKILL)
        until(lambda: len(listening(address) - {one}) == 3)
        assert httpx.get(tile, timeout=30).content == first.content
        server.send_signal(signal.SIGTERM)
        _, errors = server.communicate(timeout=30)
        assert server.returncode == 0
        assert errors == ""
        assert listening(address) == set()


def test_workers_write_to_the_log(tmp_path: Path):
    with closing(LocalStore(tmp_path / "store")) as store:
        series = add_sample(store)
        for file in (store.root / "series" / series.series_uid).iterdir():
            file.unlink()
    with workers(store.root) as (server, address):
        assert httpx.get(f"{address}tiles/{series.series_uid}/0/0/0", timeout=30).status_code == 500
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=30)
    assert series.series_uid in errors
    assert {line.partition(":")[0] for line in errors.splitlines()} <= {"error", "warning"}


def test_workers_that_may_not_serve_are_not_started(tmp_path: Path):
    LocalStore(tmp_path / "store").close()
    with workers(tmp_path / "store", "--user-header", "X-User") as (server, _):
        _, errors = server.communicate(timeout=30)
    assert server.returncode == 2
    assert len(errors.splitlines()) == 1
    assert "--trusted-proxies" in errors
