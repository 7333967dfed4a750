"""Copying the tiles of a slide against `cp`, which moves the same bytes with nothing to understand.

Commands take turns in one run; figures are medians, peaks the highest. Sources are in the page cache.
"""

from __future__ import annotations

from pathlib import Path

from build_slide import FOLDER, TILE, slide_path
from measure import DICOMIZE, Command, Converter, parser, print_costs, ready, take_turns, verdict

BUILDERS = {"tif": "build_slide.py", "ndpi": "build_ndpi.py"}
SIZES = {"tif": 70000, "ndpi": 63488}
LIMIT = 2.0
LIMIT_MB = 120


def against_cp(title: str, converter: Converter, slide: Path, tile: Path, runs: int) -> None:
    """A table of a converter that copies; `tile` is a slide of one."""
    commands: dict[str, Command] = {
        f"start-up: {converter.shown('TILE')}, a slide of one tile": converter.command(tile),
        "`cp SLIDE`": lambda folder: ["cp", slide, folder],
        "`cp SLIDE`, then `sync` of the copy": lambda folder: [
            *("sh", "-c", 'cp "$1" "$2" && sync "$2"', "sh"),
            *(slide, folder / "copy"),
        ],
        converter.shown("SLIDE"): converter.command(slide),
    }
    costs = take_turns(commands, FOLDER, runs)
    start, plain, synced, ours = (costs[name] for name in commands)
    work = ours.wall - start.wall
    print_costs(
        f"{title}, {slide.stat().st_size / 1e6:.0f} MB",
        costs,
        [
            f"Without start-up: {work / plain.wall:.2f} x `cp`, {work / synced.wall:.2f} x `cp` and `sync`: "
            f"{converter.name} syncs what it writes. Limits: {LIMIT:.0f} x `cp` and start-up: "
            f"{verdict(work <= LIMIT * plain.wall)}; {LIMIT:.0f} x `cp` and `sync`, and start-up: "
            f"{verdict(work <= LIMIT * synced.wall)}; {LIMIT_MB} MB: {verdict(ours.peak_mb < LIMIT_MB)}."
        ],
    )


def main() -> None:
    parsing = parser(__doc__, None)
    parsing.add_argument("--kind", choices=BUILDERS, help="only this kind of slide (default: both)")
    arguments = parsing.parse_args()
    for kind, builder in BUILDERS.items():
        if arguments.kind in (None, kind):
            size = arguments.size or SIZES[kind]
            slide, tile = ready(slide_path(size, kind), builder, size), ready(slide_path(TILE), BUILDERS["tif"], TILE)
            against_cp(f"Copying {kind.upper()}, {size} x {size} pixels", DICOMIZE, slide, tile, arguments.runs)


if __name__ == "__main__":
    main()
