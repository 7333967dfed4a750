"""Attributes in JSON: both forms, against pydicom's own, and everything that can be wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from tests.dicom_series import KINDS, complaints, write_series
from wsi_dicom.dicom.json_model import read_dataset
from wsi_dicom.dicom.sample_dataset import sample_dataset
from wsi_dicom.errors import InvalidRequest, NotFound, WsiError

READABLE = {
    "PatientName": "Müller^Zoë=山田",
    "0010,0020": "42",
    "00100040": "F",
    "PatientBirthDate": "19700131",
    "SeriesNumber": 3,
    "AcquisitionDuration": "12.5",
    "NumberOfFocalPlanes": "2",
    "SoftwareVersions": ["1.0", "b"],
    "OtherPatientNames": "A\\B",
    "ImageComments": "two\nlines \\ and a backslash",
    "ObjectiveLensPower": None,
    "IssuerOfTheContainerIdentifierSequence": [],
    "SpecimenDescriptionSequence": [
        {
            "SpecimenIdentifier": "S1",
            "SpecimenUID": "1.2.1",
            "SpecimenLocalizationContentItemSequence": [{"ValueType": "TEXT", "TextValue": "left"}],
            "SpecimenTypeCodeSequence": [{"CodeValue": "430856003"}],
        },
        {
            "SpecimenIdentifier": "S2",
            "SpecimenUID": "1.2.2",
            "SpecimenLocalizationContentItemSequence": [{"ValueType": "TEXT", "TextValue": "right"}],
        },
    ],
}


def write(folder: Path, text: str) -> Path:
    path = folder / "dataset.json"
    path.write_text(text, encoding="utf-8")
    return path


def test_keywords(tmp_path: Path) -> None:
    dataset = read_dataset(write(tmp_path, json.dumps(READABLE)))
    assert dataset.PatientName.family_name == "Müller"
    assert dataset.PatientName.ideographic == "山田"
    assert (dataset.PatientID, dataset.PatientSex, dataset.SeriesNumber) == ("42", "F", 3)
    assert (dataset.AcquisitionDuration, dataset.NumberOfFocalPlanes) == (12.5, 2)
    assert list(dataset.SoftwareVersions) == ["1.0", "b"]
    assert list(dataset.OtherPatientNames) == ["A", "B"]
    assert dataset.ImageComments == "two\nlines \\ and a backslash"
    assert dataset["ObjectiveLensPower"].is_empty
    assert dataset["IssuerOfTheContainerIdentifierSequence"].is_empty
    assert [item.SpecimenIdentifier for item in dataset.SpecimenDescriptionSequence] == ["S1", "S2"]
    assert dataset.SpecimenDescriptionSequence[0].SpecimenTypeCodeSequence[0].CodeValue == "430856003"


def test_the_json_model_is_that_of_pydicom(tmp_path: Path) -> None:
    known = read_dataset(write(tmp_path, json.dumps(READABLE)))
    known.add_new(0x00091001, "LO", "private")
    known.add_new("EncryptedContent", "OB", b"\0\1\2\3")
    known.add_new("FrameIncrementPointer", "AT", [0x00181063, 0x00181065])
    known.add_new("OpticalPathSequence", "SQ", [])
    written = known.to_json()
    for text in (written, f"[{written}]"):
        assert read_dataset(write(tmp_path, text)) == known == Dataset.from_json(written)


def test_both_forms_may_be_mixed(tmp_path: Path) -> None:
    text = '{"PatientID": "1", "00200010": {"vr": "SH", "Value": ["2"]}, "00100010": {"vr": "PN"}}'
    dataset = read_dataset(write(tmp_path, text))
    assert (dataset.PatientID, dataset.StudyID, dataset.PatientName) == ("1", "2", "")


def test_comments_and_a_byte_order_mark(tmp_path: Path) -> None:
    text = '\ufeff// first\n{ /* a "quoted" one\n over two lines */ "PatientID": "a//b /* c */", // last\n'
    text += '"StudyID":"\\"//"}'
    dataset = read_dataset(write(tmp_path, text))
    assert (dataset.PatientID, dataset.StudyID) == ("a//b /* c */", '"//')


def test_a_message_names_the_line_in_spite_of_comments(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"dataset\.json: is not JSON: .*line 4, column 3"):
        read_dataset(write(tmp_path, "{ // one\n/* two\n three */\n  oops: 1}"))


BAD = [
    ('{"Rows": 5}', "Rows follows from the pixels"),
    ('{"OpticalPathSequence": [{"ICCProfile": {"vr": "OB", "InlineBinary": "AAAA"}}]}', "ICCProfile of OpticalPath"),
    ('{"Specimen": "S1"}', "Specimen must be an object of Identifier"),
    ('{"Specimen": {"Fixitive": "x"}}', "Specimen: Fixitive is none of Identifier"),
    ('{"Specimen": {"Identifier": "1", "Fixative": "formaline"}}', r"Specimen\.Fixative: .*did you mean formalin"),
    ('{"Specimen": {"Identifier": "1", "Stains": ["eosin", 7]}}', r"Specimen\.Stains: must be a name, or a code"),
    ('{"Specimen": {"Identifier": "1", "Type": {"CodeValue": "1"}}}', r"Specimen\.Type: a code is an object of"),
    ('{"Specimen": {"Fixative": "formalin"}}', "Specimen: Identifier is needed"),
    ('{"Specimen": {"Identifier": "1", "Sampling": "Core sampling"}}', "only Sampling is given"),
    ('{"Specimen": {"Identifier": "%s"}}' % ("x" * 65), "SpecimenIdentifier: must be at most 64"),
    ('{"Specimen": {}, "SpecimenDescriptionSequence": []}', "SpecimenDescriptionSequence is given twice"),
    ('{"Container": {"Type": "bottle"}}', r"Container\.Type: is not a name of context group CID 8101"),
    ("{", "is not JSON"),
    ("", "is not JSON"),
    ("/* never closed", "is not JSON"),
    ('{"PatientID": "never closed', "is not JSON"),
    ("7", "must be one JSON object"),
    ("[{}, {}]", "must be one JSON object"),
    ('{"a": NaN}', "NaN is not a number"),
    ('{"SeriesNumber": 1' + "0" * 5000 + "}", "is not JSON"),
    ("[" * 100_000, "nested deeper"),
    ('{"SpecimenDescriptionSequence":[' * 17 + "{}" + "]}" * 17, "nested deeper than 16"),
    ('{"PatientID": "1", "PatientID": "2"}', "PatientID is given twice"),
    ('{"PatientID": "1", "0010,0020": "2"}', "0010,0020 is given twice"),
    ('{"PatientNmae": "1"}', r"PatientNmae: is not a DICOM keyword; did you mean PatientName\?"),
    ('{"qqqqqqqq": "1"}', "qqqqqqqq: is not a DICOM keyword$"),
    ('{"0002,0010": "1.2"}', "0002,0010: is not an attribute"),
    ('{"0010,0000": "8"}', "0010,0000: is not an attribute"),
    ('{"0009,1001": "x"}', "0009,1001: is not a standard attribute"),
    ('{"PatientID": "a\\\\b"}', "PatientID: has one value, not 2"),
    ('{"PatientID": ["a", "b"]}', "PatientID: has one value, not 2"),
    ('{"ImageOrientationSlide": "1"}', "ImageOrientationSlide: has 6 values, not 1"),
    ('{"RecommendedAbsentPixelCIELabValue": [1, 2]}', "RecommendedAbsentPixelCIELabValue: has 3 values, not 2"),
    ('{"ImageType": "A"}', "ImageType: has 2-n values, not 1"),
    ('{"PatientID": true}', "PatientID: its value must be a string or a number"),
    ('{"PatientID": [{}]}', "PatientID: its value must be"),
    ('{"PatientID": "%s"}' % ("x" * 65), "PatientID: must be at most 64 characters"),
    ('{"PatientID": "a\\u0007"}', "PatientID: must be at most 64 characters on one line"),
    ('{"PatientID": "\\ud800"}', "PatientID: must be"),
    ('{"ImageComments": "\\u0000"}', "ImageComments: must be"),
    ('{"PatientName": "%s"}' % ("x" * 65), "PatientName: must be a name"),
    ('{"PatientBirthDate": "20240231"}', "PatientBirthDate: must be a date, as YYYYMMDD"),
    ('{"PatientBirthDate": "1970-01-31"}', "PatientBirthDate: must be a date"),
    ('{"StudyTime": "25"}', "StudyTime: must be a time"),
    ('{"AcquisitionDateTime": "yesterday"}', "AcquisitionDateTime: must be a date and time"),
    ('{"PatientSex": "female"}', "PatientSex: must be at most 16 capital letters"),
    ('{"PatientAge": "40"}', "PatientAge: must be three digits"),
    ('{"SeriesNumber": "a"}', "SeriesNumber: must be a whole number"),
    ('{"SeriesNumber": 1.5}', "SeriesNumber: must be a whole number"),
    ('{"ObjectiveLensPower": "1e"}', "ObjectiveLensPower: must be a decimal number"),
    ('{"ObjectiveLensPower": "0.12345678901234567"}', "ObjectiveLensPower: must be a decimal number of at most 16"),
    ('{"AcquisitionDuration": "nan"}', "AcquisitionDuration: must be a valid value of vr FD"),
    ('{"NumberOfFocalPlanes": "70000"}', "NumberOfFocalPlanes: must be a valid value of vr US"),
    ('{"NumberOfFocalPlanes": 1.5}', "NumberOfFocalPlanes: must be"),
    ('{"SpecimenDescriptionSequence": "a"}', "SpecimenDescriptionSequence: is a sequence"),
    ('{"SpecimenDescriptionSequence": [1]}', "SpecimenDescriptionSequence: is a sequence"),
    ('{"SpecimenDescriptionSequence": [{}, {"SpecimenUID": "1.02"}]}', r"Sequence\[1\]\.SpecimenUID: must be a UID"),
    ('{"EncryptedContent": "00"}', "EncryptedContent: is binary"),
    ('{"PatientID": {"vr": "PN", "Value": ["x"]}}', "PatientID: has the vr LO, not PN"),
    ('{"PatientID": {"Value": ["x"]}}', "PatientID: must be an object with vr"),
    ('{"PatientID": {"vr": "LO", "Values": ["x"]}}', "PatientID: must be an object with vr"),
    ('{"PatientID": {"vr": "LO", "Value": "x"}}', "PatientID: Value must be an array"),
    ('{"PatientName": {"vr": "PN", "Value": ["x"]}}', "PatientName: a person's name must be an object"),
    ('{"PatientID": {"vr": "LO", "BulkDataURI": "file:///x"}}', "PatientID: refers to bulk data"),
    ('{"PatientID": {"vr": "LO", "InlineBinary": "AAAA"}}', "PatientID: InlineBinary must be"),
    ('{"EncryptedContent": {"vr": "OB", "InlineBinary": "*"}}', "EncryptedContent: "),
    ('{"00091001": {"vr": "ZZ", "Value": ["x"]}}', "00091001: ZZ is not a vr"),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InvalidRequest, match=message) as raised:
        read_dataset(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_what_may_name_a_patient_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_dataset(write(tmp_path, '{"PatientName": "%s"}' % ("Jane" * 20)))
    assert "Jane" not in str(raised.value)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        read_dataset(tmp_path / "missing.json")
    with pytest.raises(InvalidRequest, match="cannot be read: Is a directory"):
        read_dataset(tmp_path)
    path = tmp_path / "binary.json"
    path.write_bytes(b'{"PatientID": "\xff"}')
    with pytest.raises(InvalidRequest, match="is not UTF-8 text"):
        read_dataset(path)
    path.write_bytes(b" " * ((16 << 20) + 1))
    with pytest.raises(InvalidRequest, match="larger than the 16 MiB"):
        read_dataset(path)


KEYS = st.sampled_from([*READABLE, "00091001", "EncryptedContent", "FrameIncrementPointer", "StudyTime", "x"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
ENTRIES = st.fixed_dictionaries(
    {}, optional={"vr": st.sampled_from(["PN", "LO", "SQ", "OB", "AT", "US", "FD", "ZZ"]), "Value": st.lists(SCALARS)}
)
VALUES = st.recursive(
    SCALARS | ENTRIES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.dictionaries(KEYS, VALUES, max_size=4))
def test_any_json_is_a_dataset_or_a_clear_error(tmp_path: Path, content: dict[str, object]) -> None:
    path = write(tmp_path, json.dumps(content))
    with suppress(WsiError):  # anything else is a defect
        dataset = read_dataset(path)
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.save_as(tmp_path / "any.dcm", implicit_vr=False, little_endian=True)


def test_the_sample_gives_conformant_images(tmp_path: Path, tool: Callable[[str], str]) -> None:
    additions = read_dataset(write(tmp_path, sample_dataset()))
    folder = tmp_path / "series"
    folder.mkdir()
    series = write_series(folder, KINDS[0], additions)
    for file in series.files:
        assert complaints(tool, "dciodvfy", file) == []
        dataset = pydicom.dcmread(file)
        assert dataset.PatientName == "Doe^Jane"
        assert dataset.SpecimenDescriptionSequence[0].SpecimenUID.is_valid
        assert dataset.DimensionOrganizationSequence[0].DimensionOrganizationUID.is_valid
    assert complaints(tool, "dcentvfy", *series.files) == []


def test_the_sample_has_every_attribute_of_orthancs(tmp_path: Path) -> None:
    dataset = read_dataset(write(tmp_path, sample_dataset()))
    assert {element.keyword for element in dataset} >= {
        "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "SeriesNumber",
        "ReferringPhysicianName", "AccessionNumber", "FocusMethod", "ExtendedDepthOfField",
        "AcquisitionContextSequence", "AcquisitionDuration", "ContainerIdentifier",
        "IssuerOfTheContainerIdentifierSequence", "ContainerTypeCodeSequence", "SpecimenDescriptionSequence",
        "DimensionOrganizationSequence", "SpecimenLabelInImage", "BurnedInAnnotation",
    }  # fmt: skip


def test_the_examples_of_the_documentation(tmp_path: Path) -> None:
    text = (Path(__file__).parent.parent / "docs" / "metadata.md").read_text(encoding="utf-8")
    examples = [read_dataset(write(tmp_path, found)) for found in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
    assert [example.PatientID for example in examples] == ["12345678"] * 3


def test_the_example_with_a_specimen_gives_conformant_images(tmp_path: Path, tool: Callable[[str], str]) -> None:
    text = (Path(__file__).parent.parent / "docs" / "metadata.md").read_text(encoding="utf-8")
    found = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert found is not None
    folder = tmp_path / "series"
    folder.mkdir()
    for file in write_series(folder, KINDS[0], read_dataset(write(tmp_path, found[1]))).files:
        assert complaints(tool, "dciodvfy", file) == []
