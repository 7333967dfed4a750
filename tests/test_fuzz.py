"""A short run of `python -m tests.fuzz`, the same every time: broken slides are refused in one line, or done with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import SLIDES
from tests.fuzz.run import Run, jobs_with, make_specimens
from tests.fuzz.specimens import makers
from tests.fuzz.trial import Verdict


@pytest.mark.parametrize(("dicom", "count"), [(True, 80), (False, 130)], ids=["DICOM", "others"])
def test_broken_slides_are_done_with_or_refused(
    tmp_path: Path, tool: Callable[[str], str], dicom: bool, count: int
) -> None:
    """What fails is told as the words that `python -m tests.fuzz` takes to do it again."""
    tool("dciodvfy")
    (tmp_path / "kept").mkdir()
    kinds = makers(SLIDES if SLIDES.is_dir() else None)
    chosen = {kind: kinds[kind] for kind in kinds if kind.startswith("dicom") is dicom}
    specimens = make_specimens(chosen, tmp_path)
    trials = list(Run(specimens, tmp_path / "kept", jobs=2).broken(range(count)))
    assert [str(trial) for trial in trials if trial.wrong] == []
    counts = Counter(trial.outcome.verdict for trial in trials)
    assert min(counts[Verdict.DONE], counts[Verdict.REFUSED]) > count // 10
    assert {(trial.specimen.kind, trial.job) for trial in trials} == {
        (kind, job) for kind in chosen for job in jobs_with(kind)
    }
