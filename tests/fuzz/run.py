"""Many trials: which slide, how it is broken, and what is done with it, follows from a number, the seed."""

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

from tests.fuzz.mutations import mutated, tiff_numbers
from tests.fuzz.numbers import Number
from tests.fuzz.specimens import Maker
from tests.fuzz.trial import Job, Outcome, Verdict
from tests.fuzz.worker import Worker

_OF_MEDIA = (*(Job.READ,) * 5, *(Job.CONVERT,) * 2, *(Job.TIFF,) * 2)
"""Mostly reading: it is faster, and most of what can go wrong is in it."""
_OF_DICOM = (*_OF_MEDIA, Job.STORE)


@dataclass(frozen=True)
class Specimen:
    """A whole slide: all that lies in `folder`, of which `opened` (relative to it) is opened."""

    kind: str
    name: str
    folder: Path
    opened: Path
    fields: Mapping[Path, Sequence[Number]]
    """Of each file, what may be broken on purpose."""
    jobs: Sequence[Job]
    """What is done with it, one or the other."""


class Trial(NamedTuple):
    """`seed` None: the slide was whole."""

    specimen: Specimen
    job: Job
    seed: int | None
    outcome: Outcome

    @property
    def wrong(self) -> bool:
        """A whole slide is not to be refused either."""
        return self.outcome.verdict is not Verdict.DONE and (self.seed is None or self.outcome.verdict is Verdict.WRONG)

    def __str__(self) -> str:
        kind, told = self.specimen.kind, f"{self.outcome.verdict}: {self.outcome.text}"
        if self.seed is None:
            return f"{kind}, {self.specimen.name}, {self.job}, as it was made: {told}"
        return f"--kind '{kind}' --seed {self.seed} --count 1 ({self.specimen.name}, {self.job}): {told}"


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
            made.setdefault(kind, []).append(Specimen(kind, name, place, opened, fields, jobs_with(kind)))
    return made


def jobs_with(kind: str) -> Sequence[Job]:
    """What may be done with slides of a kind, the likely more than once."""
    if kind == "dicom media":
        return _OF_MEDIA
    return _OF_DICOM if kind.startswith("dicom") else (Job.CONVERT,)


class Run:
    """Trials in `jobs` processes. What turns out wrong is kept in `folder`, by its seed."""

    def __init__(self, specimens: Mapping[str, Sequence[Specimen]], folder: Path, jobs: int) -> None:
        self._specimens, self._folder, self._jobs = specimens, folder, jobs

    def whole(self) -> Iterator[Trial]:
        """Every slide as it was made."""
        every = [specimen for kind in self._specimens.values() for specimen in kind]
        return self._trials([(specimen, job, None) for specimen in every for job in sorted({*specimen.jobs})])

    def broken(self, seeds: range) -> Iterator[Trial]:
        """One of each kind in turn."""
        return self._trials([(*self._chosen(seed), seed) for seed in seeds])

    def _chosen(self, seed: int) -> tuple[Specimen, Job]:
        kinds, dice = list(self._specimens.values()), random.Random(f"slide {seed}")
        specimen = dice.choice(kinds[seed % len(kinds)])
        return specimen, dice.choice(specimen.jobs)

    def _trials(self, wanted: Sequence[tuple[Specimen, Job, int | None]]) -> Iterator[Trial]:
        idle: SimpleQueue[Worker] = SimpleQueue()

        def tried(specimen: Specimen, job: Job, seed: int | None) -> Trial:
            worker = idle.get()
            try:
                return Trial(specimen, job, seed, self._try(worker, specimen, job, seed))
            finally:
                idle.put(worker)

        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            for number in range(self._jobs):
                idle.put(stack.enter_context(Worker(scratch / f"worker{number}")))
            with ThreadPoolExecutor(self._jobs) as pool:
                yield from pool.map(lambda one: tried(*one), wanted)

    def _try(self, worker: Worker, specimen: Specimen, job: Job, seed: int | None) -> Outcome:
        place = self._folder / (f"{specimen.kind} {specimen.folder.name} {job}" if seed is None else str(seed))
        shutil.rmtree(place, ignore_errors=True)  # of an earlier run
        shutil.copytree(specimen.folder, place)
        if seed is not None:
            _break_in(place, specimen, random.Random(seed))
        outcome = worker.attempt(place / specimen.opened, job, seed)
        if outcome.verdict is not Verdict.WRONG:
            shutil.rmtree(place)
        return outcome


def _break_in(place: Path, specimen: Specimen, dice: random.Random) -> None:
    """One file of the copy of a slide in `place`; of several, now and then one is missing, or there twice."""
    name = dice.choice(list(specimen.fields))
    if len(specimen.fields) > 1 and name != specimen.opened and dice.random() < 0.1:
        if dice.random() < 0.5:
            (place / name).unlink()
        else:
            shutil.copy(place / name, place / name.with_stem("copy"))
        return
    broken = mutated((place / name).read_bytes(), specimen.fields[name], dice)
    (place / name).write_bytes(broken)
