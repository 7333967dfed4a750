from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from wsi_dicom.errors import InvalidRequest
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.app import serve
from wsi_dicom_server.settings import ServerSettings

SERVE = """
import sys
from pathlib import Path
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.app import serve
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
