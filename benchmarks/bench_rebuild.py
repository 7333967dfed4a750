"""Rebuilding the pyramid of a slide: against libvips, and what `--smooth` costs.

Commands take turns in one run; figures are medians, peaks the highest. Sources are in the page cache.
"""

from __future__ import annotations

import os
import sys

from build_slide import FOLDER, TILE, slide_path
from measure import COMMANDS, Command, parser, print_costs, ready, take_turns, verdict

VIPS = f"""
import sys, pyvips
pyvips.Image.new_from_file(sys.argv[1], access="sequential").tiffsave(
    sys.argv[2], tile=True, tile_width={TILE}, tile_height={TILE}, pyramid=True, compression="jpeg", Q=80, bigtiff=True)
"""
OPTIONS = ["--pyramid", "--jpeg-quality", "80"]
REBUILD = f"`dicomize SLIDE {' '.join(OPTIONS)} --store DIR`"
SMOOTH = "the same with `--smooth`"
LIBVIPS = "libvips: `tiffsave tile pyramid jpeg Q=80`"

SPEED_LIMIT = 1.3
SMOOTH_LIMIT = 1.15
LIMIT_MB = 300


def bench(size: int, runs: int) -> None:
    slide = ready(slide_path(size), "build_slide.py", size)
    commands: dict[str, Command] = {
        REBUILD: lambda folder: [COMMANDS / "dicomize", slide, *OPTIONS, "--store", folder],
        SMOOTH: lambda folder: [COMMANDS / "dicomize", slide, *OPTIONS, "--smooth", "--store", folder],
        LIBVIPS: lambda folder: [sys.executable, "-c", VIPS, slide, folder / "pyramid.tif"],
    }
    costs = take_turns(commands, FOLDER, runs, {"VIPS_CONCURRENCY": str(os.cpu_count())})
    ours, smooth, vips = (costs[name] for name in commands)
    speed, extra = vips.wall / ours.wall, smooth.wall / ours.wall
    print_costs(
        f"Rebuilding the pyramid, {size} x {size} pixels, {slide.stat().st_size / 1e6:.0f} MB",
        costs,
        [
            f"{speed:.2f} x the speed of libvips, with {ours.cpu / vips.cpu:.2f} x its processor time. libvips encodes "
            "the finest level again, where dicomize copies it, and does not sync. `--smooth` takes "
            f"{100 * (extra - 1):+.0f} % of time, {100 * (smooth.cpu / ours.cpu - 1):+.0f} % of processor time. "
            f"Limits: {SPEED_LIMIT} x the speed of libvips: {verdict(speed >= SPEED_LIMIT)}; {LIMIT_MB} MB: "
            f"{verdict(ours.peak_mb < LIMIT_MB)}, with `--smooth` {verdict(smooth.peak_mb < LIMIT_MB)}; "
            f"`--smooth` {100 * (SMOOTH_LIMIT - 1):+.0f} %: {verdict(extra <= SMOOTH_LIMIT)}."
        ],
    )


def main() -> None:
    arguments = parser(__doc__, 61440).parse_args()
    bench(arguments.size, arguments.runs)


if __name__ == "__main__":
    main()
