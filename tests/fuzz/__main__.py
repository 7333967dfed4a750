"""Breaks small slides of every kind, and converts or reads them: `python -m tests.fuzz --count 10000 --jobs 2`.

Each must become a valid series, or show its tiles, or be refused in one line, in bounded time and memory, and leave
nothing behind. What does otherwise is printed, kept in a folder, and makes the command exit with 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from itertools import chain
from pathlib import Path

from tests.conftest import CHECKOUT, SLIDES
from tests.fuzz.run import Run, make_specimens
from tests.fuzz.specimens import makers
from tests.fuzz.trial import Verdict


def main() -> int:
    known = makers(SLIDES if SLIDES.is_dir() else None)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="slides to break (default: 10000)")
    parser.add_argument("--seed", type=int, default=0, help="of the first; the others follow (default: 0)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--kind", action="append", choices=list(known), help="only these (default: all)")
    parser.add_argument("--keep", type=Path, default=CHECKOUT / "var" / "fuzz", help="folder for what goes wrong")
    given = parser.parse_args()
    chosen = {kind: known[kind] for kind in given.kind or known}
    given.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(make_specimens(chosen, Path(folder)), given.keep, given.jobs)
        begun = time.monotonic()
        counts, wrong = Counter[tuple[str, Verdict]](), 0
        for trial in chain(run.whole(), run.broken(range(given.seed, given.seed + given.count))):
            counts[trial.specimen.kind, trial.outcome.verdict] += 1
            print(f"{counts.total()} slides", end="\r", file=sys.stderr)
            if trial.wrong:
                wrong += 1
                print(trial, flush=True)
    for kind in chosen:
        print(f"{kind}:", ", ".join(f"{counts[kind, verdict]} {verdict}" for verdict in Verdict))
    print(f"{counts.total()} slides in {time.monotonic() - begun:.0f} s, {wrong} wrong (kept in {given.keep})")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
