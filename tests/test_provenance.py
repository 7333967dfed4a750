"""Provenance files: what they tell, against hashlib and the files themselves; and that they appear whole."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest

from wsi_dicom.errors import NotFound, StoreError
from wsi_dicom.provenance import Provenance, describe_file, software_versions


def provenance(folder: Path, **changes: object) -> Provenance:
    source = folder / "slide.svs"
    source.write_bytes(b"slide" * 1000)
    output = folder / "1.dcm"
    output.write_bytes(b"dicom")
    values = {
        "inputs": [describe_file(source)],
        "outputs": [describe_file(output, "2.25.1")],
        "parameters": {"pyramid": True, "quality": 90, "dataset": folder / "Zoë.json"},
        "plan": ["level 0: copy", "level 1: derive"],
        "started": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "finished": datetime(2026, 1, 2, 3, 4, 6),
        "warnings": ["tells no spacing"],
        "series_uid": "2.25.2",
    }
    return Provenance(**{**values, **changes})


def test_what_it_tells(tmp_path: Path) -> None:
    path = tmp_path / "provenance.json"
    provenance(tmp_path).write(path)
    told = json.loads(path.read_text(encoding="utf-8"))
    assert told["format"] == "wsi-dicom provenance 1"
    (source,) = told["inputs"]
    assert (source["name"], source["size"]) == ("slide.svs", 5000)
    assert source["sha256"] == hashlib.sha256(b"slide" * 1000).hexdigest()
    assert datetime.fromisoformat(source["modified"]).timestamp() == pytest.approx(path.stat().st_mtime, abs=60)
    assert (told["outputs"][0]["sop_instance_uid"], told["outputs"][0]["name"]) == ("2.25.1", "1.dcm")
    assert told["parameters"] == {"pyramid": True, "quality": 90, "dataset": str(tmp_path / "Zoë.json")}
    assert told["plan"] == ["level 0: copy", "level 1: derive"]
    assert told["warnings"] == ["tells no spacing"]
    assert told["started"] == "2026-01-02T03:04:05+00:00"
    assert datetime.fromisoformat(told["finished"]).utcoffset() is not None
    assert told["versions"]["numpy"] == np.__version__
    assert told["versions"]["pydicom"] == pydicom.__version__


def test_what_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        describe_file(tmp_path / "missing.svs")
    with pytest.raises(StoreError, match=r"provenance\.json: cannot be written: No such file or directory"):
        provenance(tmp_path).write(tmp_path / "missing" / "provenance.json")
    folder = tmp_path / "folder"
    folder.mkdir()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StoreError, match="folder: cannot be written: Is a directory"):
        provenance(tmp_path).write(folder)
    assert sorted(path for path in tmp_path.iterdir() if path.name not in ("slide.svs", "1.dcm")) == [
        path for path in before if path.name not in ("slide.svs", "1.dcm")
    ]


def test_an_older_one_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "provenance.json"
    path.write_text("old")
    provenance(tmp_path).write(path)
    assert json.loads(path.read_text(encoding="utf-8"))["warnings"] == ["tells no spacing"]
    assert {found.name for found in tmp_path.iterdir()} == {"provenance.json", "slide.svs", "1.dcm"}


def test_names_that_are_no_unicode(tmp_path: Path) -> None:
    name = os.fsdecode(b"slide\xff.svs")
    path = tmp_path / "provenance.json"
    provenance(tmp_path, warnings=[name]).write(path)
    assert json.loads(path.read_text(encoding="utf-8"))["warnings"] == [name]


def test_versions_name_this_program() -> None:
    assert {"wsi-dicom", "python", "system", "imagecodecs"} <= set(software_versions())
