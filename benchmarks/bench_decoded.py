"""Pictures that have to be decoded, through IIIF: `wsi-dicom serve` against IIPImage on the same pyramid.

wrk with 2 threads and 16 connections asks for parts of the slide at random places; the servers take turns, figures are
medians, ratios those within each turn. Both encode with the same JPEG quality, and decode one picture at a time in each
process. Ours keeps no answers here; IIPImage keeps decoded tiles, as it always does. What an answer costs is told in
processor time too, of all processes of a server, which depends less on what else the machine does. One answer that is
not a success ends the benchmark.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench_serve import SECONDS, load, store_slide
from build_slide import FOLDER
from measure import COMMANDS, print_table, verdict
from servers import iipsrv, wsi_dicom

RUNS = 5
PICTURES = 4000
PLACES = random.Random(0)  # noqa: S311 - no secrets
JPEG_QUALITY = 75
"""IIPImage's own."""
LIMIT = 1.5
OURS = "`wsi-dicom serve`, 1 worker"
OURS_TWO = "`wsi-dicom serve`, 2 workers"
IIPIMAGE = "IIPImage, 1 process behind nginx"


class Load(NamedTuple):
    """Answers per second of the clock, and seconds of processor time that one took."""

    rate: float
    cost: float


def part(width: int, size: str) -> Callable[[int], str]:
    """Squares of `width` pixels anywhere on a slide, at a size in IIIF's words."""
    return lambda side: f"{PLACES.randrange(side - width)},{PLACES.randrange(side - width)},{width},{width}/{size}"


CASES: dict[str, tuple[Callable[[int], str], str]] = {
    "512 x 512 pixels, JPEG": (part(512, "512,"), "jpg"),
    "512 x 512 pixels scaled by 0.7, JPEG": (part(512, "358,"), "jpg"),
    "512 x 512 pixels scaled by 0.3, JPEG": (part(512, "154,"), "jpg"),
    "the whole slide, up to 1024 wide, JPEG": (lambda _: f"full/{PLACES.randrange(900, 1025)},", "jpg"),
    "256 x 256 pixels, PNG; IIPImage: JPEG": (part(256, "256,"), "png"),
}
"""What is asked for of a slide of so many pixels a side, and its format. IIPImage 1.1 writes nothing but JPEG."""


def processor_seconds() -> float:
    """That all processes which descend from this one, and still run, have used so far."""
    ticks, parents = dict[int, int](), dict[int, int]()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
                continue
            parents[int(entry.name)], ticks[int(entry.name)] = int(fields[1]), int(fields[11]) + int(fields[12])
    found, waiting = 0, [os.getpid()]
    while waiting:
        children = [process for process, parent in parents.items() if parent == waiting[-1]]
        waiting[-1:] = children
        found += sum(ticks[child] for child in children)
    return found / os.sysconf("SC_CLK_TCK")


def loaded(port: int, paths: Path) -> Load:
    """The servers that nobody asks cost nothing."""
    before = processor_seconds()
    rate = load(port, paths)
    return Load(rate, (processor_seconds() - before) / (rate * SECONDS))


def turns(ports: dict[str, int], addresses: dict[str, list[str]], folder: Path, runs: int) -> dict[str, list[Load]]:
    measured: dict[str, list[Load]] = {title: [] for title in ports}
    paths = folder / "paths"
    for _ in range(runs):
        for title, port in ports.items():
            paths.write_text("\n".join(addresses[title]) + "\n")
            measured[title].append(loaded(port, paths))
    return measured


def ratio(measured: dict[str, list[Load]], better: Callable[[Load, Load], float], title: str) -> float:
    """`better` of a server and IIPImage, in the median of the turns."""
    return median(better(*pair) for pair in zip(measured[title], measured[IIPIMAGE], strict=True))


def print_case(name: str, measured: dict[str, list[Load]], compared: bool) -> None:
    per_core = ratio(measured, lambda ours, theirs: theirs.cost / ours.cost, OURS)
    rows = [
        [
            title,
            f"{median(turn.rate for turn in loads):,.0f}",
            f"{ratio(measured, lambda ours, theirs: ours.rate / theirs.rate, title):.2f}",
            f"{median(turn.cost for turn in loads) * 1e3:.2f}",
            f"{ratio(measured, lambda ours, theirs: theirs.cost / ours.cost, title):.2f}",
        ]
        for title, loads in measured.items()
    ]
    note = f"Limit: {LIMIT} x IIPImage per core: {per_core:.2f}: {verdict(per_core >= LIMIT)}."
    header = ["", "answers/s", "of IIPImage", "CPU ms an answer", "answers per CPU second, of IIPImage"]
    print_table(name, header, rows, [note] if compared else [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=16384, help="pixels per side (default: 16384)")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"turns (default: {RUNS})")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="decoded-") as name, ExitStack() as servers:
        folder = Path(name)
        store, tiff = folder / "store", folder / "slide.tif"
        series = store_slide(asked.size, store)["series"]
        subprocess.run([COMMANDS / "dicom2tiff", "--store", store, series, tiff], check=True, capture_output=True)
        options = ("--answer-bytes", "1", "--decoders", "1", "--jpeg-quality", str(JPEG_QUALITY))
        ports = {
            OURS: servers.enter_context(wsi_dicom(store, "--workers", "1", *options)),
            OURS_TWO: servers.enter_context(wsi_dicom(store, "--workers", "2", *options)),
            IIPIMAGE: servers.enter_context(iipsrv(folder, 1)),
        }
        for case, (place, suffix) in CASES.items():
            pictures = [f"{place(asked.size)}/0/default" for _ in range(PICTURES)]
            ours = [f"/iiif/2/tiles/{series}/{picture}.{suffix}" for picture in pictures]
            theirs = [f"/?IIIF={tiff}/{picture}.jpg" for picture in pictures]
            addresses = {OURS: ours, OURS_TWO: ours, IIPIMAGE: theirs}
            print_case(case, turns(ports, addresses, folder, asked.runs), compared=suffix == "jpg")


if __name__ == "__main__":
    main()
