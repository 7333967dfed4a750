"""Many slides in one run of dicomize: what is converted, what is told of it, and how it ends when it must."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import NoReturn

import pydicom
import pytest

from tests.conftest import Run
from tests.oracles import images
from wsi_dicom.batch import Job, dicomize_all
from wsi_dicom.convert import DicomizeOptions
from wsi_dicom.stores.local import LocalStore

SAMPLE = Path(__file__).parent.parent / "sample_data" / "ihc-small.tif"
LARGE = SAMPLE.with_name("ihc-8k.svs")
DICOMIZE = Path(sys.executable).parent / "dicomize"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two slides, and what is none."""
    folder = tmp_path / "slides"
    folder.mkdir()
    for name in ("a.tif", "b.tif"):
        shutil.copy(SAMPLE, folder / name)
    (folder / "notes.txt").write_text("no slide")
    (folder / ".hidden.tif").write_bytes(SAMPLE.read_bytes())
    return folder


def lines(run: Run, *words: object, code: int = 0, **more: str) -> dict[str, dict[str, object]]:
    """What --json tells of each slide, in the order of its lines."""
    told = [json.loads(line) for line in run("dicomize", *words, "--json", code=code, **more).stdout.splitlines()]
    return {line.pop("slide"): line for line in told}


def test_goes_on_after_a_failure(run: Run, folder: Path, tmp_path: Path) -> None:
    """The table is whole where no terminal sets its width."""
    done = run(
        "dicomize", folder / "a.tif", folder / "notes.txt", "nowhere.svs", folder / "b.tif", code=1, COLUMNS="80"
    )
    series = [record.series_uid for record in LocalStore(tmp_path / "store").search()]
    assert len(series) == 2
    rows = [line for line in done.stdout.splitlines() if line.startswith("│")]
    assert [row.split()[1] for row in rows] == ["a.tif", "notes.txt", "nowhere.svs", "b.tif"]
    assert all(any(uid in row for row in rows) for uid in series)
    assert f"{folder / 'notes.txt'}: not a slide; none of these formats: DICOM, Aperio SVS" in rows[1]
    assert "JPEG XL" in rows[1]
    assert done.stdout.endswith("2 of 4 slides are in the destination, 2 failed\n")
    assert "nowhere.svs: FAILED: nowhere.svs: no such file" in done.stderr


def test_on_a_terminal_the_table_is_folded(folder: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        subprocess.run(
            [DICOMIZE, folder, "--store", tmp_path / "store"], stdout=theirs, stderr=subprocess.DEVNULL, check=True,
            env={**os.environ, "COLUMNS": "80", "TERM": "dumb"},
        )  # fmt: skip
        shown = os.read(ours, 1 << 16).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert max(map(len, shown.splitlines())) <= 80
    cells = "".join(line.split("│")[3].strip() for line in shown.splitlines() if "│" in line)
    assert all(record.series_uid in cells for record in LocalStore(tmp_path / "store").search())


def test_json_has_a_line_for_each_slide(run: Run, folder: Path) -> None:
    told = lines(run, folder, "nowhere.svs", code=1)
    assert list(told) == ["a.tif", "b.tif", "nowhere.svs"]
    assert told["nowhere.svs"] == {"error": "nowhere.svs: no such file"}
    for name in ("a.tif", "b.tif"):
        assert len(images(Path(str(told[name]["location"])))["VOLUME"]) == told[name]["instances"] == 2


def test_a_folder_without_slides(run: Run, tmp_path: Path) -> None:
    assert "no slide among its 0 files" in run("dicomize", tmp_path / "here", code=2).stderr


def test_dicom_as_input(run: Run, folder: Path, tmp_path: Path) -> None:
    """A folder of DICOM files is one slide; so is a series of the store."""
    run("dicomize", folder / "a.tif", "--folder=out")
    series = json.loads(run("dicomize", "out", "--levels=1", "--json").stdout)["series"]
    assert pydicom.dcmread(next((tmp_path / "store" / "series" / series).iterdir())).TotalPixelMatrixColumns == 1001
    told = lines(run, series, "out", "--pyramid")
    assert list(told) == [series, "out"]
    assert [line["instances"] for line in told.values()] == [4, 4]


def test_folders(run: Run, folder: Path, tmp_path: Path) -> None:
    run("dicomize", folder, "--folder=out", "--provenance=origins")
    out = tmp_path / "here" / "out"
    assert {path.relative_to(out).as_posix() for path in out.rglob("*.dcm")} == {
        f"{name}/wsi-{number:06d}.dcm" for name in "ab" for number in range(2)
    }
    origins = [json.loads(path.read_text()) for path in (tmp_path / "here" / "origins").iterdir()]
    assert {origin["inputs"][0]["name"] for origin in origins} == {"a.tif", "b.tif"}
    assert {origin["series_uid"] for origin in origins} == {
        pydicom.dcmread(path).SeriesInstanceUID for path in out.rglob("*0.dcm")
    }
    assert not (tmp_path / "store").exists()


def test_two_slides_of_one_name(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    other = shutil.copy(SAMPLE, tmp_path / "others" / "a.tif")
    assert list(lines(run, folder / "a.tif", other)) == [str(folder / "a.tif"), str(other)]
    assert "called a" in run("dicomize", folder / "a.tif", other, "--folder=out", code=2).stderr
    assert not (tmp_path / "here" / "out").exists()


def test_what_is_there_is_left(run: Run, folder: Path) -> None:
    words = ["--uids=deterministic", "--skip-existing"]
    series = json.loads(run("dicomize", folder / "a.tif", *words, "--json").stdout)["series"]
    assert run("dicomize", folder, *words).stdout.count("there already") == 2  # copies of one slide are one series
    again = lines(run, folder, *words)
    assert [(line["series"], line["skipped"]) for line in again.values()] == [(series, True)] * 2


def test_a_table_of_metadata(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "slides.csv").write_text("file,PatientID\na.tif,1\nb.tif,2\n")
    told = lines(run, folder, "--metadata-csv", tmp_path / "slides.csv")
    found = {name: images(Path(str(line["location"])))["VOLUME"][0].PatientID for name, line in told.items()}
    assert found == {"a.tif": "1", "b.tif": "2"}
    (tmp_path / "slides.csv").write_text("file,PatientID\na.tif,1\n")
    assert "no row for b.tif" in run("dicomize", folder, "--metadata-csv", tmp_path / "slides.csv", code=2).stderr


def test_warnings_of_the_processes_are_lines(run: Run, slides: Path) -> None:
    source = slides / "ome_tiff" / "multi-channel-z-series.ome.tif"
    said = run("dicomize", source, SAMPLE, "--spacing=0.0005").stderr.splitlines()
    warned = [line for line in said if "pixels of type int8" in line]
    assert [line.startswith("warning: multi-channel-z-series.ome.tif: ") for line in warned] == [True]


class TestEnd:
    """In the middle of a long run."""

    @pytest.fixture
    def started(self, tmp_path: Path) -> subprocess.Popen[str]:
        sources = [shutil.copy(LARGE, tmp_path / f"{number}.svs") for number in range(4)]
        words = ["--pyramid", "--compression=jpeg2000", "--reencode", "--verbose", "--store", tmp_path / "store"]
        signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs the tests in the background ignores it
        process = subprocess.Popen(
            [DICOMIZE, *sources, *words, "--threads=2"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        assert process.stderr is not None
        while "level 0: encode" not in process.stderr.readline():  # two slides are begun at once
            assert process.poll() is None
        return process

    @staticmethod
    def end_of(process: subprocess.Popen[str]) -> str:
        """All that it still says. The pipes end when the last of its processes does."""
        return process.communicate(timeout=240)[1]

    @pytest.mark.parametrize("told", ["Ctrl-C", "SIGTERM"])
    def test_interrupted(self, started: subprocess.Popen[str], tmp_path: Path, told: str) -> None:
        if told == "Ctrl-C":
            os.killpg(started.pid, signal.SIGINT)  # a terminal sends it to all
        else:
            started.terminate()
        said = self.end_of(started)
        assert started.returncode == 130
        assert said.endswith("dicomize: stopped\n")
        assert "Traceback" not in said
        assert list((tmp_path / "store" / "staging").iterdir()) == []
        assert list((tmp_path / "store" / "series").iterdir()) == []

    def test_killed(self, started: subprocess.Popen[str], tmp_path: Path) -> None:
        """Nobody can tell the others then: they see for themselves."""
        started.kill()
        self.end_of(started)
        store = LocalStore(tmp_path / "store")
        assert list(store.search()) == []
        assert list((tmp_path / "store" / "staging").iterdir()) == []


def kill_this_process() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_a_process_that_dies_takes_nobody_with_it(tmp_path: Path) -> None:
    destination = partial(LocalStore, tmp_path / "store")
    jobs = [Job("deadly", kill_this_process, destination, DicomizeOptions())]
    jobs += [Job(f"{number}", SAMPLE, destination, DicomizeOptions()) for number in range(3)]
    outcomes = {outcome.job.name: outcome for outcome in dicomize_all(jobs, 2)}
    assert [outcomes[f"{number}"].failure for number in range(3)] == [None] * 3
    assert outcomes["deadly"].done is None
    assert "was killed" in str(outcomes["deadly"].failure)
    assert len(list(LocalStore(tmp_path / "store").search())) == 3
