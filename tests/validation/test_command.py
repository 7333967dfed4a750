"""The command, and files that are no images."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conftest import Run
from tests.validation.breaking import BASE, LABEL, assert_found, change, setting, validated
from wsi_dicom.errors import NotFound, UnsupportedFormat
from wsi_dicom.validation import validate_series
from wsi_dicom_cli.main import main


def test_foreign_files(copy_of: Callable[[str], Path], slides: Path) -> None:
    folder = copy_of("jpeg-ycbcr")
    (folder / "notes.txt").write_text("no DICOM")
    shutil.copy(slides / "dicom_wsi" / "highdicom" / "sm_annotations.dcm", folder / "annotations.dcm")
    findings = validated(folder)
    assert [str(finding) for finding in findings] == [
        "error    PS3.10 7  notes.txt: is not a DICOM file",
        "warning  wsi-dicom  annotations.dcm: is no whole-slide image and is not looked into",
    ]


def test_a_deflated_data_set(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("native")
    change(folder / BASE, lambda dataset: setattr(dataset.file_meta, "TransferSyntaxUID", "1.2.840.10008.1.2.1.99"))
    assert_found(validated(folder), "warning", "OpenSlide", BASE, "cannot read the transfer syntax")


def test_no_files(slides: Path) -> None:
    with pytest.raises(UnsupportedFormat, match="and 6 more: no whole-slide image to check"):
        validate_series(sorted((slides / "dicom_other").iterdir()))
    with pytest.raises(UnsupportedFormat):
        validate_series([])
    with pytest.raises(NotFound):
        validate_series([Path("missing.dcm")])


def test_the_command(run: Run, copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("jpeg-ycbcr")
    assert run("wsi-dicom", "validate", folder).stdout == "no errors in 5 instances\n"
    change(folder / BASE, setting(ImageType=["DERIVED", "PRIMARY", "VOLUME", "NONE", "X"]))
    change(folder / LABEL, setting(AcquisitionDateTime="2024"))
    lines = run("wsi-dicom", "validate", folder, code=1).stdout.splitlines()
    assert lines[0] == "error    PS3.3 C.8.12.4.1.1  1.dcm: ImageType has 5 values, 4 are allowed"
    assert lines[-2].startswith("warning  Bio-Formats  4.dcm: ")
    assert lines[-1] == "2 errors, 1 warning in 5 instances"
    told = json.loads(run("wsi-dicom", "validate", folder, "--json", code=1).stdout)
    assert (told["instances"], told["errors"], told["warnings"]) == (5, 2, 1)
    assert told["findings"][0] == {
        "severity": "error",
        "clause": "PS3.3 C.8.12.4.1.1",
        "instance": "1.dcm",
        "message": "ImageType has 5 values, 4 are allowed",
    }


def test_what_files_have_in_common_is_told_once(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("jpeg-ycbcr")
    for name in (BASE, LABEL):
        change(folder / name, setting(FocusMethod="NONE"))
    said = CliRunner().invoke(main, ["validate", str(folder)])
    assert said.output.splitlines() == [
        "error    PS3.3 C.8.12.4  1.dcm and 1 more: FocusMethod is NONE; AUTO, MANUAL is allowed",
        "2 errors in 5 instances",
    ]
    assert said.exit_code == 1


def test_archives_and_media(copy_of: Callable[[str], Path], tmp_path: Path, tool: Callable[[str], str]) -> None:
    """A zip archive; a DICOMDIR, by its name, by its folder, and beside the files that it lists."""
    folder = copy_of("jpeg-ycbcr")
    archive = Path(shutil.make_archive(str(tmp_path / "slide"), "zip", folder))
    medium = tmp_path / "medium"
    (medium / "SLIDE").mkdir(parents=True)
    for number, file in enumerate(sorted(folder.iterdir())):
        shutil.copy(file, medium / "SLIDE" / f"IM{number}")
    command = [tool("dcmmkdir"), "--no-xfer-check", "--invent", "--recurse", "SLIDE"]
    subprocess.run(command, cwd=medium, check=True)
    shutil.copy(medium / "DICOMDIR", folder)
    for place in (archive, medium / "DICOMDIR", medium, folder):
        said = CliRunner().invoke(main, ["validate", str(place)])
        assert said.output == "no errors in 5 instances\n", place
    empty = tmp_path / "empty.zip"
    with zipfile.ZipFile(empty, "w") as made_empty:
        made_empty.writestr("a.txt", "no DICOM")
    said = CliRunner().invoke(main, ["validate", str(empty)])
    assert (said.exit_code, "empty.zip holds no DICOM file" in said.output) == (2, True)


def test_the_command_on_the_store(run: Run, slides: Path, tmp_path: Path) -> None:
    series = json.loads(run("dicomize", slides / "aperio" / "CMU-1-Small-Region.svs", "--json").stdout)["series"]
    assert run("wsi-dicom", "validate", series[:20]).stdout == "no errors in 4 instances\n"
    stored = next((tmp_path / "store").rglob("*.dcm"))
    assert run("wsi-dicom", "validate", stored).stdout == "no errors in 1 instance\n"


def test_the_command_on_nothing(run: Run, tmp_path: Path) -> None:
    for nothing in ("1.2.3.4.5", tmp_path):
        said = run("wsi-dicom", "validate", nothing, code=2)
        assert len(said.stderr.splitlines()) == 1
        assert said.stdout == ""
