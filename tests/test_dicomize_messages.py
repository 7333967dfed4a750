"""What dicomize says: of bad values and contradictions, in its help, as warnings, and with --verbose."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import Run

SAMPLE = Path(__file__).parent.parent / "sample_data" / "ihc-small.tif"


@pytest.fixture
def run(run_inside: Run) -> Run:
    return run_inside


BAD = [
    ("--jpeg-quality=0", "--jpeg-quality"), ("--quality=fine", "fine"), ("--levels=0", "--levels"),
    ("--tile-width=8", "16 to 4096"), ("--tile-height=5000", "16 to 4096"), ("--compression=zip", "zip"),
    ("--subsampling=411", "411"), ("--color=red", "red"), ("--color=1,2,256", "256"), ("--padding=0", "--padding"),
    ("--repaint=2", "neither 1 nor 0"), ("--spacing=0", "--spacing"), ("--spacing=1,2,3", "--spacing"),
    ("--imaged-width=0", "imaged width"), ("--imaged-height=nan", "imaged width"), ("--imaged-depth=0", "imaged depth"),
    ("--offset-x=inf", "offsets"), ("--offset-y=nan", "offsets"), ("--objective-power=0", "objective power"),
    ("--optical-path=dark", "dark"), ("--encoding=klingon", "latin1"), ("--study-uid=abc", "StudyInstanceUID"),
    ("--series-uid=1..2", "SeriesInstanceUID"), ("--uids=none", "random"), ("--dates=forget", "forget"),
    ("--on-bad-tile=hide", "hide"), ("--threads=0", "--threads"), ("--max-size=-1", "--max-size"),
    ("--icc-profile=nowhere.icc", "nowhere.icc: no such file"), ("--icc-profile=.", "--icc-profile"),
    (f"--icc-profile={SAMPLE}", "is not an ICC profile"), ("--icc-profile=/proc/self/mem", "cannot be read"),
    ("--dataset=nowhere.json", "nowhere.json"), ("--metadata-csv=nowhere.csv", "nowhere.csv"),
    ("--key-file=nowhere", "nowhere"), ("--key=short", "at least 16"), ("--folder-pattern=x.dcm", "pattern"),
    ("--provenance=nowhere/p.json", "nowhere/p.json"), ("--skip-existing", "--uids deterministic"),
    ("--cytomine-compression=gif", "gif"), ("--cytomine-image=7", "--cytomine-url"),
]  # fmt: skip


@pytest.mark.parametrize(("word", "message"), BAD, ids=[word for word, _ in BAD])
def test_bad_values(run: Run, tmp_path: Path, word: str, message: str) -> None:
    """`run` sees to it that there is one line, and no traceback."""
    more = ["--folder=out"] if "folder" in word else []
    assert message in run("dicomize", SAMPLE, word, *more, code=2).stderr
    assert list((tmp_path / "here").iterdir()) == []


def test_options_that_contradict_each_other(run: Run) -> None:
    for words in (
        ["--force-openslide", "--source=tiff"],
        ["--spacing=0.001", "--imaged-width=15"],
        ["--skip-existing", "--uids=deterministic", "--folder=out"],
        ["--skip-existing", "--uids=deterministic", "--series-uid=1.2.3"],
        ["--skip-existing", "--uids=deterministic", "--deidentify"],
    ):
        run("dicomize", SAMPLE, *words, code=2)


def test_help_names_every_option_under_a_heading(run: Run) -> None:
    said = run("dicomize", "--help", COLUMNS="80").stdout
    headings = ["Input:", "Levels and tiles:", "Scale and place:", "Metadata:", "Privacy:", "Output:", "Options:"]
    assert [line for line in said.splitlines() if re.fullmatch(r"[A-Z][a-z ]+:", line)] == headings
    # what follows an option on its line, or on the next one, explains it
    entries = re.split(r"\n  (?=-)", said)[1:]
    assert len(entries) > 55
    assert all(re.search(r"(\s{2,}|\n\s+)\S", entry) for entry in entries)
    assert "--no-label" in said
    assert "--no-pyramid" not in said


def test_warnings_of_the_library_are_lines(run: Run, slides: Path) -> None:
    said = run("dicomize", slides / "ome_tiff" / "multi-channel-z-series.ome.tif", "--json").stderr.splitlines()
    assert said[0].startswith("warning: multi-channel-z-series.ome.tif: pixels of type int8")
    assert all(line.startswith("warning: ") for line in said)


def test_verbose_tells_what_is_done(run: Run) -> None:
    said = run("dicomize", SAMPLE, "--verbose=1").stderr
    assert re.search(r"^info: ihc-small.tif: level 0: copy", said, re.MULTILINE)
