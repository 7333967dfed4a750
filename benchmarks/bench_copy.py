"""Copying the tiles of a slide against `cp`, which moves the same bytes with nothing to understand.

Commands take turns in one run; figures are medians, peaks the highest. Sources are in the page cache.
"""

from __future__ import annotations

from build_slide import FOLDER, TILE, slide_path
from measure import COMMANDS, Command, parser, print_costs, ready, take_turns, verdict

START = "start-up: `dicomize TILE --store DIR`, a slide of one tile"
CP = "`cp SLIDE`"
CP_SYNC = "`cp SLIDE`, then `sync` of the copy"
COPY = "`dicomize SLIDE --store DIR`"

BUILDERS = {"tif": "build_slide.py", "ndpi": "build_ndpi.py"}
SIZES = {"tif": 70000, "ndpi": 63488}
LIMIT = 2.0
LIMIT_MB = 120


def bench(size: int, kind: str, runs: int) -> None:
    slide, tile = ready(slide_path(size, kind), BUILDERS[kind], size), ready(slide_path(TILE), BUILDERS["tif"], TILE)
    commands: dict[str, Command] = {
        START: lambda folder: [COMMANDS / "dicomize", tile, "--store", folder],
        CP: lambda folder: ["cp", slide, folder],
        CP_SYNC: lambda folder: ["sh", "-c", 'cp "$1" "$2" && sync "$2"', "sh", slide, folder / "copy"],
        COPY: lambda folder: [COMMANDS / "dicomize", slide, "--store", folder],
    }
    costs = take_turns(commands, FOLDER, runs)
    start, plain, synced, ours = (costs[name] for name in commands)
    work = ours.wall - start.wall
    print_costs(
        f"Copying {kind.upper()}, {size} x {size} pixels, {slide.stat().st_size / 1e6:.0f} MB",
        costs,
        [
            f"Without start-up: {work / plain.wall:.2f} x `cp`, {work / synced.wall:.2f} x `cp` and `sync`: dicomize "
            f"syncs what it stores. Limits: {LIMIT:.0f} x `cp` and start-up: {verdict(work <= LIMIT * plain.wall)}; "
            f"{LIMIT:.0f} x `cp` and `sync`, and start-up: {verdict(work <= LIMIT * synced.wall)}; {LIMIT_MB} MB: "
            f"{verdict(ours.peak_mb < LIMIT_MB)}."
        ],
    )


def main() -> None:
    parsing = parser(__doc__, None)
    parsing.add_argument("--kind", choices=BUILDERS, help="only this kind of slide (default: both)")
    arguments = parsing.parse_args()
    for kind in BUILDERS:
        if arguments.kind in (None, kind):
            bench(arguments.size or SIZES[kind], kind, arguments.runs)


if __name__ == "__main__":
    main()
