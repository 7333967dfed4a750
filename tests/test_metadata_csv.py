"""Tables of metadata: what they say of which slide, and everything that can be wrong with them."""

from __future__ import annotations

import csv
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.sr.codedict import codes

from wsi_dicom.dicom.metadata_csv import read_metadata_csv
from wsi_dicom.errors import InvalidRequest, NotFound, WsiError

HEADER = "file,PatientID,PatientName,Specimen.Identifier,Specimen.Stains,Container.Identifier\n"
ROWS = HEADER + (
    "a.svs,1,Müller^Zoë,S1,hematoxylin | eosin,C1\n"
    'b.svs,2,"Doe, the^Jane",S2,,\n'
    "\n"
    "batch/c.svs,3,,S3,\"(1, 99LAB, Our stain, blue)\",\n"
)  # fmt: skip


def write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "slides.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_rows_and_columns(tmp_path: Path, encoding: str, newline: str) -> None:
    table = read_metadata_csv(write(tmp_path, ROWS.replace("\n", newline), encoding))
    assert list(table) == ["a.svs", "b.svs", "batch/c.svs"]
    first = table["a.svs"]
    assert (first.PatientID, first.PatientName, first.ContainerIdentifier) == ("1", "Müller^Zoë", "C1")
    specimen = first.SpecimenDescriptionSequence[0]
    items = specimen.SpecimenPreparationSequence[0].SpecimenPreparationStepContentItemSequence
    assert [item.ConceptCodeSequence[0].CodeValue for item in items[2:]] == [
        codes.SCT.HematoxylinStain.value,
        codes.SCT.WaterSolubleEosinStain.value,
    ]
    second = table["b.svs"]
    assert second.PatientName == "Doe, the^Jane"
    assert "ContainerIdentifier" not in second
    assert "SpecimenPreparationSequence" not in second.SpecimenDescriptionSequence[0]
    third = table["batch/c.svs"].SpecimenDescriptionSequence[0].SpecimenPreparationSequence[0]
    assert third.SpecimenPreparationStepContentItemSequence[2].ConceptCodeSequence[0].CodeMeaning == "Our stain, blue"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_of_spreadsheets(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "slides.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([["PatientID", "File", "ImageComments"], ["1", "a.svs", f'two\nlines {delimiter} "and" more']])
    found = read_metadata_csv(path)["a.svs"]
    assert (found.PatientID, found.ImageComments) == ("1", f'two\nlines {delimiter} "and" more')


def test_a_slide_finds_its_row_by_name_or_by_the_end_of_its_path(tmp_path: Path) -> None:
    table = read_metadata_csv(write(tmp_path, ROWS))
    assert table.of_slides([Path("/data/a.svs")])[0].PatientID == "1"
    assert table.of_slides([Path("/data/batch/c.svs")])[0].PatientID == "3"
    for other in ("/data/c.svs", "/data/other/c.svs", "/data/A.svs", "/data/xa.svs"):
        with pytest.raises(InvalidRequest, match=r"slides\.csv: has no row for \w+\.svs"):
            table.of_slides([Path(other)])[0]


def test_names_of_windows(tmp_path: Path) -> None:
    assert list(read_metadata_csv(write(tmp_path, "file\nbatch\\a.svs\n"))) == ["batch/a.svs"]


def test_the_example_of_the_documentation(tmp_path: Path) -> None:
    text = (Path(__file__).parent.parent / "docs" / "metadata.md").read_text(encoding="utf-8")
    found = re.search(r"```csv\n(.*?)```", text, re.DOTALL)
    assert found is not None
    assert list(read_metadata_csv(write(tmp_path, found[1]))) == ["a.svs", "batch2/b.ndpi"]


BAD = [
    ("", r"slides\.csv: is empty"),
    ("PatientID\n1\n", "has no column file"),
    ("file,PatientID,PatientID\n", "the column PatientID is there twice"),
    ("file,FILE\n", "the column file is there twice"),
    ("file,PatientNmae\n", r"PatientNmae is not known\. Did you mean PatientName\? .*Specimen\.Stains"),
    ("file,SpecimenDescriptionSequence\n", "SpecimenDescriptionSequence is not known"),
    ("file,Specimen.Stain\n", r"Did you mean Specimen\.Stains\?"),
    ("file,\n", r"\(without a name\) is not known"),
    ("file,PatientID\na.svs,1\na.svs,2\n", "line 3: a.svs has a row already"),
    ("file,PatientID\na.svs,1\n,2\n", "line 3: names no file"),
    ("file,PatientID\na.svs\n", "line 2: has 1 cells, where there are 2 columns"),
    ("file,PatientID\na.svs,1,2\n", "line 2: has 3 cells, where there are 2 columns"),
    ('file,PatientID\na.svs,"1\n', "is not CSV"),
    ("file,PatientSex\na.svs,female\n", "line 2: PatientSex: must be at most 16 capital letters"),
    ("file,PatientSex\na.svs,X\n", "line 2: PatientSex must be one of M, F, O"),
    ("file,Rows\na.svs,5\n", "line 2: Rows follows from the pixels"),
    ("file,Specimen.Fixative\na.svs,tea\n", r"line 2: Specimen\.Fixative: is not a name of context group CID 8114"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InvalidRequest, match=message) as raised:
        read_metadata_csv(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_what_may_name_a_patient_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_metadata_csv(write(tmp_path, f"file,PatientName\na.svs,{'Jane' * 20}\n"))
    assert "Jane" not in str(raised.value)


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        read_metadata_csv(tmp_path / "missing.csv")
    with pytest.raises(InvalidRequest, match="cannot be read: Is a directory"):
        read_metadata_csv(tmp_path)
    with pytest.raises(InvalidRequest, match="is not UTF-8 text"):
        read_metadata_csv(write(tmp_path, "file,PatientName\na.svs,Müller\n", "latin-1"))
    with pytest.raises(InvalidRequest, match="larger than the 64 MiB"):
        read_metadata_csv(write(tmp_path, " " * ((64 << 20) + 1)))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.sampled_from('file,;\t"\n\r PatientID|^1\\\u2028'), max_size=60), header=st.booleans())
def test_any_text_is_a_table_or_a_clear_error(tmp_path: Path, text: str, header: bool) -> None:
    with suppress(WsiError):  # anything else is a defect
        read_metadata_csv(write(tmp_path, HEADER + text if header else text))
