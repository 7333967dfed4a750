"""A folder of small slides in one batch, against one slide after the other: are all cores busy?

Both take turns in one run; figures are medians, peaks those of the largest process.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from build_slide import FOLDER, slide_path
from measure import COMMANDS, Command, Cost, Words, parser, print_costs, ready, take_turns

OPTIONS = ["--pyramid", "--jpeg-quality", "80"]
BATCH = f"`dicomize FOLDER {' '.join(OPTIONS)} --store DIR`"
SINGLE = f"`for SLIDE in FOLDER/*; do dicomize SLIDE {' '.join(OPTIONS)} --store DIR; done`"
LOOP = 'folder=$1; store=$2; shift 2; for slide in "$folder"/*; do "$@" "$slide" --store "$store" || exit; done'


def bench(size: int, slides: int, runs: int) -> None:
    slide = ready(slide_path(size), "build_slide.py", size)
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="batch-") as name:
        folder = Path(name)
        for number in range(slides):
            (folder / f"slide-{number:02}.tif").hardlink_to(slide)
        dicomize: Words = [COMMANDS / "dicomize", *OPTIONS]
        commands: dict[str, Command] = {
            BATCH: lambda store: [*dicomize, folder, "--store", store],
            SINGLE: lambda store: ["sh", "-c", LOOP, "sh", folder, store, *dicomize],
        }
        costs = take_turns(commands, FOLDER, runs)
    batch, single = (costs[name] for name in commands)
    print_costs(
        f"{slides} slides of {size} x {size} pixels, {slide.stat().st_size / 1e6:.0f} MB each",
        costs,
        [
            f"The batch has {busy(batch):.0%} of all processor time while it runs, start-up included, where one slide "
            f"after the other has {busy(single):.0%}, and is {single.wall / batch.wall:.2f} x as fast."
        ],
    )


def busy(cost: Cost) -> float:
    """The share of all cores that was used."""
    return cost.cpu / (cost.wall * (os.cpu_count() or 1))


def main() -> None:
    parsing = parser(__doc__, 4096)
    parsing.add_argument("--slides", type=int, default=20, help="how many (default: 20)")
    arguments = parsing.parse_args()
    bench(arguments.size, arguments.slides, arguments.runs)


if __name__ == "__main__":
    main()
