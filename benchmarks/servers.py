"""The servers that are compared, on free ports of 127.0.0.1, and stopped by their own handle."""

from __future__ import annotations

import grp
import http.client
import json
import os
import pwd
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from measure import COMMANDS

START_LIMIT = 60.0
"""Seconds that a server may take until it answers."""

NGINX = """
daemon off;
pid {folder}/{name}.pid;
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
    {more}
    server {{
        listen 127.0.0.1:{port};
        location / {{ {location} }}
    }}
}}
"""


@contextmanager
def wsi_dicom(store: Path, *options: str) -> Iterator[int]:
    """`wsi-dicom serve`; gives its port."""
    port = free_port()
    with running([COMMANDS / "wsi-dicom", "serve", "--store", store, "--port", str(port), *options], port):
        yield port


@contextmanager
def nginx(folder: Path, name: str, workers: int, location: str, more: str = "") -> Iterator[int]:
    """nginx with one location, and `more` beside the server; its files go into `folder`. Gives its port."""
    port = free_port()
    # started by root, nginx would let its workers run as a user who may not read the files
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    configuration = folder / f"{name}.conf"
    configuration.write_text(
        NGINX.format(
            folder=folder,
            name=name,
            port=port,
            workers=workers,
            location=location,
            more=more,
            user=f"user {user} {group};" if user == "root" else "",
        )
    )
    with running(["nginx", "-p", folder, "-c", configuration], port):
        yield port


@contextmanager
def iipsrv(folder: Path, processes: int) -> Iterator[int]:
    """IIPImage behind nginx, as its documentation advises: each process takes one connection at a time."""
    with ExitStack() as servers:
        ports = [free_port() for _ in range(processes)]
        for port in ports:
            servers.enter_context(
                _listening(["/usr/lib/iipimage-server/iipsrv.fcgi", "--bind", f"127.0.0.1:{port}"], port)
            )
        upstream = "".join(f"server 127.0.0.1:{port};" for port in ports)
        yield servers.enter_context(
            nginx(
                folder,
                "iipsrv",
                processes,
                "fastcgi_pass iipsrv; fastcgi_param QUERY_STRING $query_string; "
                "fastcgi_param REQUEST_METHOD $request_method; fastcgi_param REQUEST_URI $request_uri;",
                f"upstream iipsrv {{ {upstream} }}",
            )
        )


@contextmanager
def orthanc(folder: Path, files: Iterable[Path]) -> Iterator[int]:
    """Orthanc with its whole-slide plugin and these DICOM files."""
    port, data = free_port(), folder / "orthanc"
    data.mkdir()
    configuration = folder / "orthanc.json"
    configuration.write_text(
        json.dumps(
            {
                "StorageDirectory": str(data),
                "IndexDirectory": str(data),
                "Plugins": ["/usr/share/orthanc/plugins/libOrthancWSI.so"],
                "HttpPort": port,
                "RemoteAccessAllowed": False,
                "AuthenticationEnabled": False,
                "DicomServerEnabled": False,
                "HttpThreadsCount": 50,
                "KeepAlive": True,
            }
        )
    )
    with running(["Orthanc", configuration], port):
        for file in files:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("POST", "/instances", file.read_bytes())
            if (status := connection.getresponse().status) != 200:
                sys.exit(f"Orthanc refuses {file.name}: {status}")
            connection.close()
        yield port


@contextmanager
def running(command: Sequence[str | Path], port: int) -> Iterator[None]:
    """A server of HTTP."""
    with _started(command) as process:
        wait_for(process, port)
        yield


@contextmanager
def _listening(command: Sequence[str | Path], port: int) -> Iterator[None]:
    """A server of something else, which takes connections."""
    with _started(command) as process:
        deadline = time.monotonic() + START_LIMIT
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield


@contextmanager
def _started(command: Sequence[str | Path]) -> Iterator[subprocess.Popen[bytes]]:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        [str(word) for word in command], stdout=quiet, stderr=quiet if command[0] == "Orthanc" else None
    )
    try:
        yield process
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
