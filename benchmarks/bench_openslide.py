"""A slide that OpenSlide reads, encoded anew, beside the time that OpenSlide alone takes to decode it.

The same tiles, in as many threads. Commands take turns in one run; figures are medians, peaks the highest.
"""

from __future__ import annotations

import os
import sys

from build_slide import FOLDER, TILE, slide_path
from measure import COMMANDS, Command, parser, print_costs, ready, take_turns

ALONE = """
import sys
from concurrent.futures import ThreadPoolExecutor
import openslide

slide, threads = openslide.OpenSlide(sys.argv[1]), int(sys.argv[2])
width, height = slide.dimensions
side = int(slide.properties["openslide.level[0].tile-width"])
places = [(x, y) for y in range(0, height, side) for x in range(0, width, side)]

with ThreadPoolExecutor(threads) as pool:
    for _ in pool.map(lambda place: slide.read_region(place, 0, (side, side)) and None, places):
        pass
"""
OPTIONS = ["--source", "openslide", "--reencode"]
START = f"start-up: `dicomize TILE {' '.join(OPTIONS)}`, a slide of one tile"
START_ALONE = "start-up: OpenSlide alone, one tile"
DECODE = "OpenSlide alone, all cores: `read_region` of every tile"
DICOMIZE = f"`dicomize SLIDE {' '.join(OPTIONS)}`"


def bench(size: int, runs: int) -> None:
    slide, tile = (ready(slide_path(side), "build_slide.py", side) for side in (size, TILE))
    threads = str(os.cpu_count())
    commands: dict[str, Command] = {
        START: lambda folder: [COMMANDS / "dicomize", tile, *OPTIONS, "--store", folder],
        START_ALONE: lambda _: [sys.executable, "-c", ALONE, tile, threads],
        DECODE: lambda _: [sys.executable, "-c", ALONE, slide, threads],
        DICOMIZE: lambda folder: [COMMANDS / "dicomize", slide, *OPTIONS, "--threads", threads, "--store", folder],
    }
    costs = take_turns(commands, FOLDER, runs)
    start, start_alone, decode, ours = (costs[name].wall for name in commands)
    work, alone, megapixels = ours - start, decode - start_alone, size * size / 1e6
    print_costs(
        f"Through OpenSlide, {size} x {size} pixels in tiles of {TILE}",
        costs,
        [
            f"Without start-up: OpenSlide alone decodes {megapixels / alone:.0f} MP/s; dicomize decodes with it, "
            f"encodes as JPEG and writes {megapixels / work:.0f} MP/s: {work / alone:.2f} x the time."
        ],
    )


def main() -> None:
    arguments = parser(__doc__, 12288).parse_args()
    bench(arguments.size, arguments.runs)


if __name__ == "__main__":
    main()
