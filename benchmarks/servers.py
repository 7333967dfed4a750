"""The servers that are compared, on free ports of 127.0.0.1, and stopped by their own handle."""

from __future__ import annotations

import grp
import http.client
import os
import pwd
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from measure import COMMANDS

START_LIMIT = 20.0
"""Seconds that a server may take until it answers."""

NGINX = """
daemon off;
pid {folder}/nginx-{workers}.pid;
error_log stderr crit;
worker_processes {workers};
{user}
events {{ worker_connections 256; }}
http {{
    access_log off;
    sendfile on;
    default_type image/jpeg;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {root};
    }}
}}
"""


@contextmanager
def wsi_dicom(store: Path) -> Iterator[int]:
    """`wsi-dicom serve` with one worker; gives its port."""
    port = free_port()
    with running([COMMANDS / "wsi-dicom", "serve", "--store", store, "--port", str(port)], port):
        yield port


@contextmanager
def nginx(root: Path, workers: int, folder: Path) -> Iterator[int]:
    """nginx serving the files below `root`; its own files go into `folder`. Gives its port."""
    port = free_port()
    # started by root, nginx would let its workers run as a user who may not read the files
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    configuration = folder / f"nginx-{workers}.conf"
    configuration.write_text(
        NGINX.format(
            folder=folder, root=root, port=port, workers=workers, user=f"user {user} {group};" if user == "root" else ""
        )
    )
    with running(["nginx", "-p", folder, "-c", configuration], port):
        yield port


@contextmanager
def running(command: Sequence[str | Path], port: int) -> Iterator[None]:
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
    try:
        wait_for(process, port)
        yield
    finally:
        process.terminate()
        process.wait(timeout=START_LIMIT)


def wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    """Until the server answers anything. Exits when it ends or takes too long."""
    deadline = time.monotonic() + START_LIMIT
    while process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_LIMIT)
        try:
            connection.request("GET", "/")
            connection.getresponse()
        except OSError:
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()
    sys.exit(f"{process.args!r} did not answer on port {port} within {START_LIMIT:.0f} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
