"""Converting a slide: copying its tiles against `cp`, rebuilding its pyramid against libvips.

All commands take turns in one run, so that a slow minute of the machine hits all of them; figures are medians, peaks
the highest. Sources are read once beforehand: all readers find them in the page cache.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from build_slide import FOLDER, TILE, slide_path
from measure import COMMANDS, Cost, cost_row, medians, print_table, run

Command = Callable[[Path, Path], Sequence[str | Path]]
"""From the slide and an empty folder for the output to the words of a command."""

VIPS = f"""
import sys, pyvips
pyvips.Image.new_from_file(sys.argv[1], access="sequential").tiffsave(
    sys.argv[2], tile=True, tile_width={TILE}, tile_height={TILE}, pyramid=True, compression="jpeg", Q=80, bigtiff=True)
"""

START = "start-up: `dicomize TILE --store DIR`, a slide of one tile"
CP = "`cp SLIDE`"
CP_SYNC = "`cp SLIDE`, then `sync` of the copy"
COPY = "`dicomize SLIDE --store DIR`"
REBUILD = "`dicomize SLIDE --pyramid --jpeg-quality 80 --store DIR`"
LIBVIPS = "libvips: `tiffsave tile pyramid jpeg Q=80`, 2 threads"

COMMAND_LINES: dict[str, Command] = {
    START: lambda _, folder: [COMMANDS / "dicomize", slide_path(TILE), "--store", folder],
    CP: lambda slide, folder: ["cp", slide, folder],
    CP_SYNC: lambda slide, folder: ["sh", "-c", 'cp "$1" "$2" && sync "$2"', "sh", slide, folder / "copy.tif"],
    COPY: lambda slide, folder: [COMMANDS / "dicomize", slide, "--store", folder],
    REBUILD: lambda slide, folder: [
        COMMANDS / "dicomize",
        slide,
        "--pyramid",
        "--jpeg-quality",
        "80",
        "--store",
        folder,
    ],
    LIBVIPS: lambda slide, folder: [sys.executable, "-c", VIPS, slide, folder / "pyramid.tif"],
}


def once(name: str, slide: Path) -> Cost:
    """One run into an empty folder on the slide's own disk, with nothing left to write from the run before."""
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="out-") as folder:
        os.sync()
        return run(COMMAND_LINES[name](slide, Path(folder)), {"VIPS_CONCURRENCY": "2"})


def take_turns(names: Sequence[str], slide: Path, runs: int) -> dict[str, Cost]:
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    for _ in range(runs):
        for name in names:
            costs[name].append(once(name, slide))
    return {name: medians(listed) for name, listed in costs.items()}


def report(size: int, what: str, costs: dict[str, Cost], notes: Sequence[str]) -> None:
    megabytes = slide_path(size).stat().st_size / 1e6
    title = f"{what}, {size} x {size} pixels, {megabytes:.0f} MB"
    rows = [cost_row(name, cost) for name, cost in costs.items()]
    print_table(title, ["", "wall s", "CPU s", "peak MB"], rows, notes)


def bench_copy(size: int, slide: Path, runs: int) -> None:
    costs = take_turns([START, CP, CP_SYNC, COPY], slide, runs)
    start, plain, synced, ours = (costs[name] for name in (START, CP, CP_SYNC, COPY))
    work = ours.wall - start.wall
    report(
        size,
        "Copying",
        costs,
        [
            f"Without start-up: {work / plain.wall:.2f} x `cp`, {work / synced.wall:.2f} x `cp` and `sync` "
            "(dicomize syncs what it stores). "
            f"Limits: 3 x `cp` and start-up: {verdict(work <= 3 * plain.wall)}; 3 x `cp` and `sync`, and start-up: "
            f"{verdict(work <= 3 * synced.wall)}; 150 MB: {verdict(ours.peak_mb < 150)}."
        ],
    )


def bench_rebuild(size: int, slide: Path, runs: int) -> None:
    costs = take_turns([REBUILD, LIBVIPS], slide, runs)
    ours, vips = costs[REBUILD], costs[LIBVIPS]
    report(
        size,
        "Rebuilding the pyramid",
        costs,
        [
            f"{ours.wall / vips.wall:.2f} x the wall clock and {ours.cpu / vips.cpu:.2f} x the processor time of "
            "libvips, which encodes the finest level again, where dicomize copies it, and does not sync. "
            f"Limits: 1.00 x: {verdict(ours.wall <= vips.wall)}; 300 MB: {verdict(ours.peak_mb < 300)}."
        ],
    )


def verdict(kept: bool) -> str:
    return "kept" if kept else "NOT KEPT"


BENCHMARKS = {"copy": bench_copy, "rebuild": bench_rebuild}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, action="append", help="pixels per side, may repeat (default: 24576)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each command, at least 3 (default: 3)")
    parser.add_argument("--only", choices=BENCHMARKS, help="one of the two benchmarks (default: both)")
    arguments = parser.parse_args()
    if arguments.runs < 3:
        parser.error("--runs: a median needs at least 3")
    for size in arguments.size or [24576]:
        slide = slide_path(size)
        for needed in (TILE, size):
            if not slide_path(needed).exists():  # in a process of its own: this one must stay small (see measure.run)
                run([sys.executable, Path(__file__).with_name("build_slide.py"), "--size", str(needed)])
        with slide.open("rb") as source, Path(os.devnull).open("wb") as nowhere:
            shutil.copyfileobj(source, nowhere, 1 << 20)
        for name, bench in BENCHMARKS.items():
            if arguments.only in (None, name):
                bench(size, slide, arguments.runs)


if __name__ == "__main__":
    main()
