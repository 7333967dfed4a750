"""Tile requests per second of one `wsi-dicom serve` worker against nginx serving the same bytes as files.

wrk with 2 threads and 16 connections asks for every tile of a rebuilt pyramid in random order; the servers take turns,
figures are medians. Everything is in the page cache. One answer that is not a success ends the benchmark.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from build_slide import FOLDER, slide_path
from measure import COMMANDS, print_table, ready
from servers import nginx, wsi_dicom

SECONDS = 8
RUNS = 3
LUA = Path(__file__).with_name("random_tiles.lua")
OURS = "`wsi-dicom serve`, 1 worker"
NGINX_ONE = "nginx, files, 1 worker"
NGINX = {NGINX_ONE: 1, "nginx, files, 2 workers": 2}


def store_slide(size: int, store: Path) -> str:
    """SeriesInstanceUID of the slide in the store."""
    slide = ready(slide_path(size), "build_slide.py", size)
    answer = subprocess.run(
        [COMMANDS / "dicomize", slide, "--pyramid", "--store", store, "--json"],
        check=True,
        capture_output=True,
        text=True,
    )
    series: str = json.loads(answer.stdout)["series"]
    return series


def fetch_tiles(port: int, series: str, root: Path) -> list[str]:
    """Writes every tile to the file below `root` that its path names; gives the paths."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    counts = json.loads(fetch(connection, f"/pyramids/{series}"))["TilesCount"]
    paths = []
    for z, (columns, rows) in enumerate(counts):
        for x in range(columns):
            folder = root / "tiles" / series / str(z) / str(x)
            folder.mkdir(parents=True)
            for y in range(rows):
                paths.append(f"/tiles/{series}/{z}/{x}/{y}")
                (folder / str(y)).write_bytes(fetch(connection, paths[-1]))
    connection.close()
    return paths


def fetch(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        sys.exit(f"{path}: {response.status} {body[:200]!r}")
    return body


def load(port: int, paths: Path) -> float:
    """Requests per second. Exits when any answer was an error."""
    answer = subprocess.run(
        ["wrk", "-t2", "-c16", f"-d{SECONDS}s", "-s", LUA, f"http://127.0.0.1:{port}", "--", paths],
        check=True,
        capture_output=True,
        text=True,
    )
    requests, microseconds, errors = (float(word) for word in answer.stdout.splitlines()[-1].split())
    if errors or not requests:
        sys.exit(f"{errors:.0f} errors in {requests:.0f} answers:\n{answer.stdout}")
    return requests / microseconds * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=24576, help="pixels per side (default: 24576)")
    size = parser.parse_args().size
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="files-") as name, ExitStack() as servers:
        folder = Path(name)
        store = folder / "store"
        series = store_slide(size, store)
        port = servers.enter_context(wsi_dicom(store))
        tiles = fetch_tiles(port, series, folder / "root")
        paths = folder / "paths"
        paths.write_text("\n".join(tiles) + "\n")
        ports = {OURS: port}
        for title, workers in NGINX.items():
            ports[title] = servers.enter_context(nginx(folder / "root", workers, folder))
        rates: dict[str, list[float]] = {title: [] for title in ports}
        for _ in range(RUNS):
            for title, port in ports.items():
                rates[title].append(load(port, paths))
        size_kb = sum((folder / "root" / tile[1:]).stat().st_size for tile in tiles) / len(tiles) / 1e3
    middle = {title: median(listed) for title, listed in rates.items()}
    print_table(
        f"Serving {len(tiles)} tiles of {size_kb:.0f} kB in random order, median of {RUNS} x {SECONDS} s",
        ["", "requests/s", "of nginx, 1 worker"],
        [[title, f"{rate:,.0f}", f"{rate / middle[NGINX_ONE]:.2f}"] for title, rate in middle.items()],
    )


if __name__ == "__main__":
    main()
