"""The command, and files that are no images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.validation.breaking import BASE, LABEL, assert_found, change, setting, validated
from wsi_dicom.errors import NotFound, UnsupportedFormat
from wsi_dicom.validation import validate_series


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


def test_no_files() -> None:
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
    assert (told["instances"], told["errors"]) == (5, 2)
    assert told["findings"][0] == {
        "severity": "error",
        "clause": "PS3.3 C.8.12.4.1.1",
        "instance": "1.dcm",
        "message": "ImageType has 5 values, 4 are allowed",
    }


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
