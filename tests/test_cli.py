"""The commands as a user types them: what they print, what they leave, how they fail."""

from __future__ import annotations

import errno
import json
import os
import pty
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import openslide
import pytest
import tifffile

from tests.conftest import Run
from tests.oracles import assert_conformant
from wsi_dicom.stores.local import LocalStore

SAMPLE = Path(__file__).parent.parent / "sample_data" / "ihc-small.tif"
LARGE = SAMPLE.with_name("ihc-8k.svs")


@pytest.fixture
def cmu(slides: Path) -> Path:
    return slides / "aperio" / "CMU-1-Small-Region.svs"


def test_the_whole_way(run: Run, cmu: Path, tmp_path: Path) -> None:
    """A slide to a series, the list, a look at it, back to a TIFF, and away with it."""
    said = run("dicomize", cmu).stdout
    uid = re.search(r"^series +(\S+)$", said, re.MULTILINE)[1]
    orthanc = re.search(r"^orthanc +(\S+)$", said, re.MULTILINE)[1]
    assert uid in run("wsi-dicom", "list").stdout
    (listed,) = json.loads(run("wsi-dicom", "list", "--json").stdout)
    assert (listed["series_uid"], listed["orthanc_id"]) == (uid, orthanc)
    told = json.loads(run("wsi-dicom", "info", uid, "--json").stdout)
    assert [told["levels"][0][side] for side in ("width", "height")] == [2220, 2967]
    assert told["levels"][0]["um_per_pixel"] == [0.499, 0.499]
    assert set(told["associated"]) == {"label", "overview", "thumbnail"}
    for name in (uid, orthanc, orthanc[:9], uid[:20], orthanc.upper()):
        run("dicom2tiff", name, "out.tif")
        assert openslide.OpenSlide(tmp_path / "here" / "out.tif").dimensions == (2220, 2967)
    run("wsi-dicom", "validate", uid)
    run("wsi-dicom", "delete", uid, "--yes")
    assert run("wsi-dicom", "list").stdout == ""


def test_orthancs_spelling_of_booleans(run: Run) -> None:
    for spelling in ("--pyramid", "--pyramid=1", "--pyramid=true"):
        done = json.loads(run("dicomize", SAMPLE, spelling, "--json").stdout)
        assert done["instances"] == 4
    for spelling in ("--no-pyramid", "--pyramid=0"):
        assert json.loads(run("dicomize", spelling, SAMPLE, "--json").stdout)["instances"] == 2
    assert "neither 1 nor 0" in run("dicomize", SAMPLE, "--pyramid=maybe", code=2).stderr


def test_folder(run: Run, tmp_path: Path, tool: Callable[[str], str]) -> None:
    run("dicomize", SAMPLE, "--pyramid", "--folder", "out")
    files = sorted((tmp_path / "here" / "out").iterdir())
    assert [path.name for path in files] == [f"wsi-{number:06}.dcm" for number in range(4)]
    assert_conformant(files, tool)
    assert "exists already" in run("dicomize", SAMPLE, "--folder", "out", code=2).stderr
    assert sorted((tmp_path / "here" / "out").iterdir()) == files


def test_the_sample_dataset_is_a_dataset(run: Run, tmp_path: Path, tool: Callable[[str], str]) -> None:
    (tmp_path / "sample.json").write_text(run("dicomize", "--sample-dataset").stdout)
    done = json.loads(run("dicomize", SAMPLE, "--dataset", tmp_path / "sample.json", "--json").stdout)
    assert_conformant(Path(done["location"]).glob("*.dcm"), tool)


def test_info_of_a_file(run: Run, cmu: Path) -> None:
    assert "2220 x 2967" in run("wsi-dicom", "info", cmu).stdout


def test_index_rebuild(run: Run, tmp_path: Path) -> None:
    uid = json.loads(run("dicomize", SAMPLE, "--json").stdout)["series"]
    before = json.loads(run("wsi-dicom", "list", "--json").stdout)
    for path in (tmp_path / "store").glob("index.sqlite*"):
        path.unlink()
    assert run("wsi-dicom", "index", "rebuild").stdout == "1 series\n"
    after = json.loads(run("wsi-dicom", "list", "--json").stdout)
    assert [record["series_uid"] for record in after] == [uid]
    assert {**after[0], "added": 0} == {**before[0], "added": 0}


@pytest.mark.parametrize("command", ["dicomize", "dicom2tiff", "wsi-dicom"])
def test_help_and_version(run: Run, command: str) -> None:
    assert "--help" in run(command, "--help").stdout
    assert re.fullmatch(rf"{command} \d+\.\d+\.\d+\n", run(command, "--version").stdout)


class TestBadInput:
    """One line on standard error, exit code 2, nothing left behind."""

    @pytest.fixture(autouse=True)
    def nothing_is_left(self, tmp_path: Path) -> None:
        yield
        store = tmp_path / "store"
        if store.exists():
            assert not list((store / "series").iterdir())
            assert not list((store / "staging").iterdir())
        assert not [path for path in (tmp_path / "here").iterdir() if path.name.startswith((".", "out"))]

    def test_a_missing_file(self, run: Run) -> None:
        assert "nowhere.svs" in run("dicomize", "nowhere.svs", code=2).stderr

    def test_a_folder(self, run: Run, tmp_path: Path) -> None:
        assert str(tmp_path) in run("dicomize", tmp_path, code=2).stderr

    def test_not_a_slide(self, run: Run) -> None:
        assert "test_cli.py" in run("dicomize", __file__, code=2).stderr

    def test_an_empty_file(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "empty.svs").touch()
        assert "empty.svs" in run("dicomize", tmp_path / "empty.svs", code=2).stderr

    @pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.999])
    def test_a_truncated_slide(self, run: Run, cmu: Path, tmp_path: Path, share: float) -> None:
        whole = cmu.read_bytes()
        (tmp_path / "cut.svs").write_bytes(whole[: int(len(whole) * share)])
        assert "cut.svs" in run("dicomize", tmp_path / "cut.svs", code=2).stderr

    def test_a_tile_that_is_not_jpeg(self, run: Run, cmu: Path, tmp_path: Path) -> None:
        bad = tmp_path / "bad.svs"
        shutil.copy(cmu, bad)
        with tifffile.TiffFile(cmu) as tiff:
            offset = tiff.pages[0].dataoffsets[25]
        with bad.open("r+b") as file:
            file.seek(offset)
            file.write(random.Random(1).randbytes(1000))
        said = run("dicomize", bad, code=2).stderr
        assert "bad.svs" in said
        assert "column 5, row 2" in said

    def test_a_loop_of_directories(self, run: Run, slides: Path) -> None:
        run("dicomize", slides / "malformed" / "tiff" / "test_ifd_loop_to_first.tif", code=2)

    @pytest.mark.parametrize(
        "text", ["", "{", "[1, 2]", '{"PatientName": {"a": 1}}', '{"Rows": "7"}', '{"Nonsense": "1"}']
    )
    def test_a_bad_dataset(self, run: Run, tmp_path: Path, text: str) -> None:
        (tmp_path / "bad.json").write_text(text)
        run("dicomize", SAMPLE, "--dataset", tmp_path / "bad.json", code=2)

    def test_a_store_that_cannot_be_written(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert "file" in run("dicomize", SAMPLE, "--store", tmp_path / "file" / "store", code=2).stderr

    def test_no_space_left(self, run: Run, tmp_path: Path) -> None:
        """A limit on the size of files stands for a full disk: both end a write with an OSError."""
        said = subprocess.run(
            ["bash", "-c", f"ulimit -f 1000; trap '' XFSZ; {Path(sys.executable).parent}/dicomize {LARGE} --pyramid"],
            capture_output=True, text=True, check=False,
            env={**os.environ, "WSI_DICOM_STORE": str(tmp_path / "store")},
        )  # fmt: skip
        assert said.returncode == 2
        assert os.strerror(errno.EFBIG) in said.stderr
        assert len(said.stderr.splitlines()) == 1

    @pytest.mark.parametrize("name", ["1.2.3.4.5", "00000000", "no-such-thing", "../../etc", "1", ""])
    def test_an_unknown_series(self, run: Run, name: str, tmp_path: Path) -> None:
        LocalStore(tmp_path / "store").rebuild()
        run("dicom2tiff", name, "out.tif", code=2)
        run("wsi-dicom", "info", name, code=2)
        run("wsi-dicom", "delete", name, "--yes", code=2)

    def test_a_store_that_is_not_there(self, run: Run, tmp_path: Path) -> None:
        for command in (["wsi-dicom", "list"], ["dicom2tiff", "1.2.3.4", "out.tif"], ["wsi-dicom", "index", "rebuild"]):
            run(*command, code=2)
        assert not (tmp_path / "store").exists()

    def test_unknown_options(self, run: Run) -> None:
        assert "--pyramide" in run("dicomize", SAMPLE, "--pyramide", code=2).stderr
        run("dicomize", code=2)
        run("wsi-dicom", "frobnicate", code=2)
        run("dicomize", SAMPLE, "--jpeg-quality", "101", code=2)
        run("dicomize", SAMPLE, "--smooth", code=2)


def test_an_ambiguous_beginning_lists_what_it_may_mean(run: Run) -> None:
    uids = [json.loads(run("dicomize", SAMPLE, "--json").stdout)["series"] for _ in range(2)]
    said = run("dicom2tiff", "2.25.", "out.tif", code=2).stderr
    assert all(uid in said for uid in uids)


@pytest.mark.parametrize("command", [["wsi-dicom"], ["wsi-dicom", "index"]])
def test_a_command_of_commands_alone_tells_what_there_is(run: Run, command: list[str]) -> None:
    alone = run(*command)
    assert alone.stdout == run(*command, "--help").stdout
    assert len(alone.stdout.splitlines()) > 5
    assert alone.stderr == ""


def test_the_bar_shows_a_name_as_it_is(tmp_path: Path) -> None:
    """Square brackets are markup to what draws the bar."""
    source = shutil.copy(SAMPLE, tmp_path / "a[red]b.tif")
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [Path(sys.executable).parent / "dicomize", source], stdout=subprocess.DEVNULL, stderr=theirs, check=True,
            env={**os.environ, "WSI_DICOM_STORE": str(tmp_path / "store"), "COLUMNS": "150", "TERM": "xterm"},
        )  # fmt: skip
        assert done.returncode == 0
        assert b"a[red]b.tif" in os.read(ours, 1 << 16)
    finally:
        os.close(ours)
        os.close(theirs)
