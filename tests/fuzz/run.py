"""Many trials: which slide, how it is broken and with what options it is converted follows from a number, the seed."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from tests.fuzz.mutations import Number, mutated, tiff_numbers
from tests.fuzz.specimens import Maker
from tests.fuzz.trial import Outcome, Verdict
from tests.fuzz.worker import Worker


@dataclass(frozen=True)
class Specimen:
    """A whole slide: all that lies in `folder`, of which `opened` (relative to it) is opened."""

    kind: str
    name: str
    folder: Path
    opened: Path
    fields: Mapping[Path, Sequence[Number]]
    """Of each file, what may be broken on purpose."""


class Trial(NamedTuple):
    """`seed` None: the whole slide was converted."""

    specimen: Specimen
    seed: int | None
    outcome: Outcome

    @property
    def wrong(self) -> bool:
        """A whole slide is not to be refused either."""
        return self.outcome.verdict is not Verdict.CONVERTED and (
            self.seed is None or self.outcome.verdict is Verdict.WRONG
        )

    def __str__(self) -> str:
        kind, told = self.specimen.kind, f"{self.outcome.verdict}: {self.outcome.text}"
        if self.seed is None:
            return f"{kind}, {self.specimen.name}, as it was made: {told}"
        return f"--kind {kind} --seed {self.seed} --count 1 ({self.specimen.name}): {told}"


def make_specimens(makers: Mapping[str, Mapping[str, Maker]], folder: Path) -> dict[str, list[Specimen]]:
    """Makes the slides below `folder`, by kind."""
    made: dict[str, list[Specimen]] = {}
    for kind, by_name in makers.items():
        for number, (name, make) in enumerate(by_name.items()):
            place = folder / kind / str(number)
            place.mkdir(parents=True)
            opened = make(place).relative_to(place)
            fields = {
                path.relative_to(place): tiff_numbers(path) for path in sorted(place.rglob("*")) if path.is_file()
            }
            made.setdefault(kind, []).append(Specimen(kind, name, place, opened, fields))
    return made


class Run:
    """Trials in `jobs` processes. What turns out wrong is kept in `folder`, by its seed."""

    def __init__(self, specimens: Mapping[str, Sequence[Specimen]], folder: Path, jobs: int) -> None:
        self._specimens, self._folder, self._jobs = specimens, folder, jobs

    def whole(self) -> Iterator[Trial]:
        """Every slide as it was made."""
        return self._trials([(specimen, None) for kind in self._specimens.values() for specimen in kind])

    def broken(self, seeds: range) -> Iterator[Trial]:
        """One of each kind in turn."""
        return self._trials([(self._chosen(seed), seed) for seed in seeds])

    def _chosen(self, seed: int) -> Specimen:
        kinds = list(self._specimens.values())
        return random.Random(f"slide {seed}").choice(kinds[seed % len(kinds)])

    def _trials(self, wanted: Sequence[tuple[Specimen, int | None]]) -> Iterator[Trial]:
        idle: SimpleQueue[Worker] = SimpleQueue()

        def tried(specimen: Specimen, seed: int | None) -> Trial:
            worker = idle.get()
            try:
                return Trial(specimen, seed, self._try(worker, specimen, seed))
            finally:
                idle.put(worker)

        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            for number in range(self._jobs):
                idle.put(stack.enter_context(Worker(scratch / f"worker{number}")))
            with ThreadPoolExecutor(self._jobs) as pool:
                yield from pool.map(lambda pair: tried(*pair), wanted)

    def _try(self, worker: Worker, specimen: Specimen, seed: int | None) -> Outcome:
        place = self._folder / (f"{specimen.kind} {specimen.folder.name}" if seed is None else str(seed))
        shutil.rmtree(place, ignore_errors=True)  # of an earlier run
        shutil.copytree(specimen.folder, place)
        if seed is not None:
            dice = random.Random(seed)
            name = dice.choice(list(specimen.fields))
            broken = mutated((place / name).read_bytes(), specimen.fields[name], dice)
            (place / name).write_bytes(broken)
        outcome = worker.attempt(place / specimen.opened, seed)
        if outcome.verdict is not Verdict.WRONG:
            shutil.rmtree(place)
        return outcome
