"""What every test may ask for: the real slides, the programs that serve as oracles, and a place for artefacts."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.metadata import entry_points
from pathlib import Path

import click.testing
import pytest
from click.testing import CliRunner
from pydicom.dataset import Dataset

from wsi_dicom.convert import DicomizeOptions, dicomize
from wsi_dicom.stores import SeriesRecord
from wsi_dicom.stores.local import LocalStore

Run = Callable[..., subprocess.CompletedProcess[str] | click.testing.Result]

CHECKOUT = Path(__file__).resolve().parent.parent
IN_CI = os.environ.get("CI") == "true"
SLIDES = Path(os.environ.get("WSI_DICOM_TEST_SLIDES") or CHECKOUT.parent / "shared" / "slides")

DEBIAN_PACKAGES = {
    "chromium": "chromium",
    "dciodvfy": "dicom3tools",
    "dcentvfy": "dicom3tools",
    "dcmcjpeg": "dcmtk",
    "dcmconv": "dcmtk",
    "dcmdjpeg": "dcmtk",
    "dcmdump": "dcmtk",
    "dcmmkdir": "dcmtk",
    "echoscu": "dcmtk",
    "file": "file",
    "nginx": "nginx-light",
    "storescp": "dcmtk",
    "tiffcp": "libtiff-tools",
    "tiffinfo": "libtiff-tools",
}


@pytest.fixture(scope="session")
def slides() -> Path:
    """Folder of real scanner slides: WSI_DICOM_TEST_SLIDES, else ../shared/slides beside the checkout."""
    if not SLIDES.is_dir():
        message = f"no test slides in {SLIDES}: set WSI_DICOM_TEST_SLIDES to their folder"
        if IN_CI:
            pytest.fail(message)
        pytest.skip(message)
    return SLIDES


@pytest.fixture(scope="session")
def tool() -> Callable[[str], str]:
    """Finds a program by name: `tool("dciodvfy")` is its path.

    A missing one fails the test and names its Debian package. WSI_DICOM_ALLOW_MISSING_TOOLS=1 makes that a skip, except
    where CI=true.
    """

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            message = f"{name} is not installed: apt-get install {DEBIAN_PACKAGES[name]}"
            if os.environ.get("WSI_DICOM_ALLOW_MISSING_TOOLS") == "1" and not IN_CI:
                pytest.skip(message)
            pytest.fail(message)
        return path

    return find


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a command with a store of its own, in an empty folder: `run("dicomize", path, code=2, COLUMNS="80")`.

    Code 2 comes with one line of what is wrong.
    """
    (tmp_path / "here").mkdir()
    environment = {**os.environ, "WSI_DICOM_STORE": str(tmp_path / "store"), "COLUMNS": "200"}

    def start(*words: object, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).parent / str(words[0])
        done = subprocess.run(
            [program, *map(str, words[1:])],
            capture_output=True,
            text=True,
            cwd=tmp_path / "here",
            env={**environment, **more},
            check=False,
            timeout=120,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        if code == 2:
            assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        return done

    return start


@pytest.fixture
def run_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """As `run`, in this process: a hundred starts of an interpreter would take minutes."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    log, at_the_end = logging.getLogger(), signal.getsignal(signal.SIGTERM)
    handlers, level = list(log.handlers), log.level

    def start(*words: object, code: int = 0, typed: str | None = None, **more: str) -> click.testing.Result:
        (command,) = entry_points(group="console_scripts", name=str(words[0]))
        environment = {"WSI_DICOM_STORE": str(tmp_path / "store"), "COLUMNS": "200", **more}
        done = CliRunner().invoke(
            command.load(), [str(word) for word in words[1:]], typed, prog_name=command.name, env=environment
        )
        log.handlers[:] = handlers
        log.setLevel(level)
        assert done.exit_code == code, done.output
        assert code != 2 or len(done.stderr.splitlines()) == 1
        return done

    yield start
    signal.signal(signal.SIGTERM, at_the_end)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStore]:
    """One that is empty at first, for all tests of a module."""
    with closing(LocalStore(tmp_path_factory.mktemp("store"))) as store:
        yield store


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> SeriesRecord:
    """The sample in a store: three levels of JPEG, label, overview, thumbnail; a patient's name."""
    additions = Dataset()
    additions.PatientName, additions.PatientID, additions.AccessionNumber = (
        "Featherstonehaugh^Jane",
        "MRN-4711",
        "ACC-99",
    )
    additions.PatientBirthDate, additions.StudyDate = "19470203", "20240314"
    store = LocalStore(tmp_path_factory.mktemp("stored") / "store")
    return dicomize(CHECKOUT / "sample_data" / "ihc-8k.svs", store, DicomizeOptions(additions=additions)).series


@pytest.fixture
def dicom2tiff(run_inside: Run, stored: SeriesRecord) -> Run:
    """The command in this process, with the store of `stored`: `dicom2tiff(stored.series_uid, "out.tif", code=2)`."""
    store = str(stored.folder.parent.parent)
    return lambda *words, **more: run_inside("dicom2tiff", *words, **{"WSI_DICOM_STORE": store, **more})


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Folder for what people want to look at after a run, such as screenshots; git ignores it."""
    folder = CHECKOUT / "artifacts"
    folder.mkdir(exist_ok=True)
    return folder
