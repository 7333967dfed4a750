"""A short run of `python -m tests.fuzz`: slides of every kind, broken, become series or are refused in one line."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.conftest import SLIDES
from tests.fuzz.run import Run, make_specimens
from tests.fuzz.specimens import makers
from tests.fuzz.trial import Verdict

COUNT = 160


def test_broken_slides_are_converted_or_refused(tmp_path: Path, tool: Callable[[str], str]) -> None:
    """Others every time; what fails is told as the words that `python -m tests.fuzz` takes to do it again."""
    tool("dciodvfy")
    (tmp_path / "kept").mkdir()
    specimens = make_specimens(makers(SLIDES if SLIDES.is_dir() else None), tmp_path)
    seed = random.SystemRandom().randrange(1 << 30)
    trials = list(Run(specimens, tmp_path / "kept", jobs=2).broken(range(seed, seed + COUNT)))
    assert [str(trial) for trial in trials if trial.wrong] == []
    counts = Counter(trial.outcome.verdict for trial in trials)
    assert min(counts[Verdict.CONVERTED], counts[Verdict.REFUSED]) > COUNT // 10
    assert {trial.specimen.kind for trial in trials} == set(specimens)
