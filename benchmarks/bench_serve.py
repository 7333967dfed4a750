"""Tile requests per second of `wsi-dicom serve` against nginx serving the same bytes as files, IIPImage and Orthanc.

wrk with 2 threads and 16 connections asks for every tile of a rebuilt pyramid in random order; the servers take turns,
figures are medians, ratios those within each turn. Everything is in the page cache. One answer that is not a success
ends the benchmark. IIPImage has the same pyramid as a TIFF, and Orthanc the same DICOM files; both are also asked for
few tiles, which they keep.
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
from measure import COMMANDS, print_table, ready, verdict
from servers import iipsrv, nginx, orthanc, wsi_dicom

SECONDS = 3
RUNS = 9
FEW = 100
LUA = Path(__file__).with_name("random_tiles.lua")
OURS = {f"`wsi-dicom serve`, {workers}": workers for workers in ("1 worker", "2 workers")}
NGINX = "nginx, files, 2 workers"
IIPIMAGE = "IIPImage, 2 processes behind nginx"
IIPIMAGE_FEW = f"{IIPIMAGE}, {FEW} tiles"
ORTHANC = "Orthanc"
ORTHANC_FEW = f"{ORTHANC}, {FEW} tiles"


def store_slide(size: int, store: Path) -> dict[str, str]:
    """What dicomize tells of the slide in the store."""
    slide = ready(slide_path(size), "build_slide.py", size)
    answer = subprocess.run(
        [COMMANDS / "dicomize", slide, "--pyramid", "--store", store, "--json"],
        check=True,
        capture_output=True,
        text=True,
    )
    told: dict[str, str] = json.loads(answer.stdout)
    return told


def fetch_tiles(port: int, series: str, root: Path) -> list[str]:
    """Writes every tile to the file below `root` that its path names; gives the paths."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    paths = []
    for z, (columns, rows) in enumerate(tiles_count(port, series)):
        for x in range(columns):
            folder = root / "tiles" / series / str(z) / str(x)
            folder.mkdir(parents=True)
            for y in range(rows):
                paths.append(f"/tiles/{series}/{z}/{x}/{y}")
                (folder / str(y)).write_bytes(fetch(connection, paths[-1]))
    connection.close()
    return paths


def tiles_count(port: int, series: str) -> list[tuple[int, int]]:
    """Columns and rows of each level, the finest first."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    counts: list[tuple[int, int]] = json.loads(fetch(connection, f"/pyramids/{series}"))["TilesCount"]
    connection.close()
    return counts


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
        ["wrk", "-t2", "-c16", f"-d{SECONDS}s", "--timeout", "30s", "-s", LUA, f"http://127.0.0.1:{port}", "--", paths],
        check=True,
        capture_output=True,
        text=True,
    )
    requests, microseconds, errors = (float(word) for word in answer.stdout.splitlines()[-1].split())
    if errors or not requests:
        sys.exit(f"{errors:.0f} errors in {requests:.0f} answers:\n{answer.stdout}")
    return requests / microseconds * 1e6


def iip_paths(tiff: Path, counts: list[tuple[int, int]]) -> list[str]:
    """Of all tiles; IIPImage counts levels from the coarsest, and the tiles of each through its rows."""
    return [
        f"/?FIF={tiff}&JTL={len(counts) - 1 - level},{tile}"
        for level, (columns, rows) in enumerate(counts)
        for tile in range(columns * rows)
    ]


def orthanc_id(store: Path) -> str:
    listed = subprocess.run(
        [COMMANDS / "wsi-dicom", "list", "--store", store, "--json"], check=True, capture_output=True, text=True
    )
    identifier: str = json.loads(listed.stdout)[0]["orthanc_id"]
    return identifier


def times(rates: dict[str, list[float]], title: str, peer: str) -> float:
    """How many times as fast as the peer: the median of the turns."""
    return median(ours / theirs for ours, theirs in zip(rates[title], rates[peer], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=24576, help="pixels per side (default: 24576)")
    size = parser.parse_args().size
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="files-") as name, ExitStack() as servers:
        folder = Path(name)
        store, tiff = folder / "store", folder / "slide.tif"
        series = store_slide(size, store)["series"]
        subprocess.run([COMMANDS / "dicom2tiff", "--store", store, series, tiff], check=True, capture_output=True)
        ports = {
            title: servers.enter_context(wsi_dicom(store, "--workers", workers[0])) for title, workers in OURS.items()
        }
        port = ports[next(iter(OURS))]
        tiles = fetch_tiles(port, series, folder / "root")
        ports[NGINX] = servers.enter_context(nginx(folder, "files", 2, f"root {folder / 'root'};"))
        ports[IIPIMAGE] = ports[IIPIMAGE_FEW] = servers.enter_context(iipsrv(folder, 2))
        files = sorted((store / "series" / series).glob("*.dcm"))
        ports[ORTHANC] = ports[ORTHANC_FEW] = servers.enter_context(orthanc(folder, files))
        iip = iip_paths(tiff, tiles_count(port, series))
        identifier = orthanc_id(store)
        of_orthanc = [f"/wsi{tile.replace(series, identifier)}" for tile in tiles]
        asked = dict.fromkeys(ports, tiles) | {IIPIMAGE: iip, IIPIMAGE_FEW: iip[:FEW]}
        asked |= {ORTHANC: of_orthanc, ORTHANC_FEW: of_orthanc[:FEW]}
        rates: dict[str, list[float]] = {title: [] for title in ports}
        for _ in range(RUNS):
            for title, port in ports.items():
                paths = folder / "paths"
                paths.write_text("\n".join(asked[title]) + "\n")
                rates[title].append(load(port, paths))
        size_kb = sum((folder / "root" / tile[1:]).stat().st_size for tile in tiles) / len(tiles) / 1e3
    one, two = OURS
    # Within each turn: how fast the machine is changes from one turn to the next.
    targets = [
        ("one worker 0.35 x nginx", times(rates, one, NGINX), 0.35),
        ("two 0.6 x", times(rates, two, NGINX), 0.6),
        ("two 3 x IIPImage's best", min(times(rates, two, peer) for peer in (IIPIMAGE, IIPIMAGE_FEW)), 3),
        ("two 1.5 x Orthanc's best", min(times(rates, two, peer) for peer in (ORTHANC, ORTHANC_FEW)), 1.5),
    ]
    print_table(
        f"Serving {len(tiles)} tiles of {size_kb:.0f} kB in random order, median of {RUNS} x {SECONDS} s",
        ["", "requests/s", "of nginx"],
        [[title, f"{median(rates[title]):,.0f}", f"{times(rates, title, NGINX):.2f}"] for title in rates],
        [f"Limit, {words}: {ratio:.2f}: {verdict(ratio >= limit)}." for words, ratio, limit in targets],
    )


if __name__ == "__main__":
    main()
