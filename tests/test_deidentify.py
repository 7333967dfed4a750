"""De-identification, by what is left in the bytes of files, and by other people's checkers and readers."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from wsidicom import WsiDicom

from tests.dicom_series import KINDS, METADATA, VOLUME, complaints
from tests.foreign_series import Picture, header, save
from tests.oracles import frames, images, scan
from tests.test_dicom_dataset import at, describe
from tests.test_tiff_copying import encoded, talkative
from wsi_dicom.convert import DicomizeOptions, dicomize
from wsi_dicom.dicom.additions import check_additions
from wsi_dicom.dicom.assumptions import WIDTH_ASSUMED
from wsi_dicom.dicom.dataset import image_dataset
from wsi_dicom.dicom.deidentify import (
    DatePolicy,
    DeidentifyOptions,
    deidentify,
    pseudonym,
    pseudonymous,
    random_key,
    read_key,
    secret_key,
)
from wsi_dicom.dicom.json_model import dataset_of
from wsi_dicom.dicom.uids import SeriesIdentity
from wsi_dicom.dicom.writer import InstanceWriter
from wsi_dicom.errors import InvalidRequest, NotFound
from wsi_dicom.geometry import Level, Spacing
from wsi_dicom.slide import ImageFlavor
from wsi_dicom.stores.folder import FolderStore

KEY = b"0123456789abcdef"
WORD = "SECRETWORD"
IDENTITY = SeriesIdentity.deterministic("slide", datetime(2024, 3, 4, 5, 6, 7))
SPECIMEN = {
    "Identifier": WORD,
    "Description": WORD,
    "AnatomicStructure": "Liver",
    "Fixative": "Formalin",
    "Sampling": "Block sectioning",
    "ParentIdentifier": f"{WORD}-A",
    "ParentType": "tissue specimen",
    "Stains": ["hematoxylin", "eosin"],
}
USER = {
    "PatientID": WORD,
    "PatientName": f"{WORD}^Jane",
    "PatientBirthDate": "19700131",
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.77",
    "StudyDate": "20230215",
    "AccessionNumber": "A-17",
    "Specimen": SPECIMEN,
    "Container": {"Identifier": WORD},
}


def additions(**more: object) -> Dataset:
    return dataset_of({**USER, **more}, "test")


def one_image(options: DeidentifyOptions, given: Dataset | None = None, **changes: object) -> Dataset:
    description = describe(**changes)
    metadata = replace(METADATA, slide_identifier=WORD, barcode=WORD)
    dataset = image_dataset(IDENTITY, description, metadata, VOLUME, additions() if given is None else given)
    deidentify(dataset, options)
    return dataset


def written(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def write_slide(folder: Path, options: DeidentifyOptions) -> list[Path]:
    """Two levels of one tile each."""
    paths = []
    for number, side in enumerate((256, 128)):
        level = Level(side, side, 256, 256)
        uid = IDENTITY.instance_uid(str(number))
        dataset = one_image(
            options,
            level=level,
            sop_instance_uid=uid,
            instance_number=number + 1,
            spacing=Spacing(0.0005 * 256 / side, 0.0005 * 256 / side),
            resampled=bool(number),
            source_uid=IDENTITY.instance_uid("0") if number else None,
        )
        frame = KINDS[0].encode(np.full((256, 256, 3), 90, "u1"))
        paths.append(folder / f"{dataset.SOPInstanceUID}.dcm")
        with InstanceWriter(paths[-1], dataset, frame_count=1, largest_total=len(frame)) as writer:
            writer.write(frame)
    return paths


@pytest.mark.parametrize("dates", list(DatePolicy))
def test_a_deidentified_series_is_conformant_and_one_slide(
    tmp_path: Path, tool: Callable[[str], str], dates: DatePolicy
) -> None:
    files = write_slide(tmp_path, DeidentifyOptions(KEY, dates))
    for file in files:
        assert complaints(tool, "dciodvfy", file) == []
        dataset = pydicom.dcmread(file)
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
        assert dataset.PatientIdentityRemoved == "YES"
        assert WORD.encode() not in file.read_bytes()
    assert complaints(tool, "dcentvfy", *files) == []
    with WsiDicom.open(tmp_path) as slide:
        assert len(slide.pyramids[0]) == 2
    finest, coarser = (pydicom.dcmread(file) for file in files)
    source = coarser.SharedFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    assert source.ReferencedSOPInstanceUID == finest.SOPInstanceUID
    assert coarser.ReferencedSeriesSequence[0].SeriesInstanceUID == finest.SeriesInstanceUID


def texts_that_users_may_give() -> dict[str, object]:
    """Every attribute of the data dictionary that holds text, each with the word that must not come out again."""
    found: dict[str, object] = {}
    for tag, (vr, multiplicity, _name, retired, keyword) in DicomDictionary.items():
        if retired or not keyword or tag >> 16 < 8 or multiplicity not in ("1", "1-n"):
            continue
        if vr in ("LO", "LT", "SH", "ST", "UC", "UT", "PN", "AE"):
            found[keyword] = WORD
        elif vr in ("DA", "DT"):
            found[keyword] = "20230215"
        elif vr == "UI":
            found[keyword] = "1.2.826.0.1.3680043.8.498.77"
    return found


def test_nothing_that_a_user_may_add_comes_through() -> None:
    given = texts_that_users_may_give()
    for keyword in list(given):
        try:
            check_additions(dataset_of({keyword: given[keyword]}, "test"))
        except InvalidRequest:
            del given[keyword]
    # what is written as the user says it, to be seen: the equipment, and the channel
    for keyword in ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "PositionReferenceIndicator"):
        del given[keyword]
    assert len(given) > 800
    given["OpticalPathSequence"] = [{"ObjectiveLensPower": "20"}]
    given["ReferencedPatientSequence"] = [{"PatientName": WORD}]
    given["SpecimenDescriptionSequence"] = [{"SpecimenDetailedDescription": WORD, "SpecimenIdentifier": WORD}]
    raw = dataset_of(given, "test")
    raw.add_new(0x00091001, "LO", WORD)
    for dates in (DatePolicy.REMOVE, DatePolicy.SHIFT):
        content = written(one_image(DeidentifyOptions(KEY, dates), raw))
        for leak in (WORD.encode(), b"20230215", b"1.2.826.0.1.3680043.8.498.77"):
            assert leak not in content, re.search(b".{40}" + leak, content, re.DOTALL)


CODE = {"CodeValue": "1", "CodingSchemeDesignator": "99LAB", "CodeMeaning": "a meaning"}
CODE_TEXTS = (*CODE, "LongCodeValue", "CodingSchemeVersion")
LOCALIZATION = "SpecimenLocalizationContentItemSequence"


def stuffed(*own: str, **more: object) -> dict[str, object]:
    """An item of the attributes `more`, with the word in every text but its `own`."""
    return {key: value for key, value in texts_that_users_may_give().items() if key not in own} | more


def test_nothing_comes_through_in_the_items_of_sequences() -> None:
    code = stuffed(*CODE_TEXTS, **CODE)
    content = stuffed(ValueType="CODE", ConceptNameCodeSequence=[code], ConceptCodeSequence=[code])
    equipment = "Manufacturer", "ManufacturerModelName", "SoftwareVersions"
    given = {
        "ContributingEquipmentSequence": [stuffed(*equipment, PurposeOfReferenceCodeSequence=[code])],
        "OpticalPathSequence": [
            stuffed("OpticalPathIdentifier", "OpticalPathDescription", IlluminationTypeCodeSequence=[code])
        ],
        "ContainerTypeCodeSequence": [code],
        "TotalPixelMatrixOriginSequence": [stuffed()],
        "SpecimenDescriptionSequence": [
            stuffed(
                SpecimenTypeCodeSequence=[code],
                PrimaryAnatomicStructureSequence=[code | {"PrimaryAnatomicStructureModifierSequence": [code]}],
                SpecimenLocalizationContentItemSequence=[content],
                SpecimenPreparationSequence=[stuffed(SpecimenPreparationStepContentItemSequence=[content])],
            )
        ],
    }
    raw = dataset_of(given, "test")
    assert written(image_dataset(IDENTITY, describe(), METADATA, VOLUME, raw)).count(WORD.encode()) > 5000
    for dates in (DatePolicy.REMOVE, DatePolicy.SHIFT):
        content = written(one_image(DeidentifyOptions(KEY, dates), raw))
        for leak in (WORD.encode(), b"20230215", b"1.2.826.0.1.3680043.8.498.77"):
            assert leak not in content, re.search(b".{40}" + leak, content, re.DOTALL)
        assert content.count(b"a meaning") == 10  # as many codes as were given


def test_several_specimens_say_where_they_lie(tmp_path: Path, tool: Callable[[str], str]) -> None:
    def localized(number: int, *items: dict[str, object]) -> dict[str, object]:
        return {"SpecimenIdentifier": f"S{number}", "SpecimenUID": f"1.2.{number}", LOCALIZATION: list(items)}

    def code(value: str, meaning: str, scheme: str = "DCM") -> list[dict[str, str]]:
        return [{"CodeValue": value, "CodingSchemeDesignator": scheme, "CodeMeaning": meaning}]

    def content(kind: str, name: list[dict[str, str]], **value: object) -> dict[str, object]:
        return {"ValueType": kind, "ConceptNameCodeSequence": name, **value}

    red, mm = code("371240000", "Red color", "SCT"), code("mm", "mm", "UCUM")
    text = content("TEXT", code("111718", "Location of Specimen"), TextValue=WORD)
    coded = content("CODE", code("111723", "Visual Marking of Specimen"), ConceptCodeSequence=red)
    name = code("111719", "Location of specimen X offset")
    number = content("NUMERIC", name, NumericValue="7.5", MeasurementUnitsCodeSequence=mm)
    unnamed = content("CODE", [], ConceptCodeSequence=red)
    described = [localized(1, text, unnamed), localized(2, text, coded, number)]
    patient = {"PatientID": "1", "StudyID": "1"}
    given = dataset_of(patient | {"SpecimenDescriptionSequence": described}, "test")
    dataset = one_image(DeidentifyOptions(KEY), given)
    (said,), (mark, offset) = (specimen[LOCALIZATION].value for specimen in specimens(dataset))
    assert (said.ConceptNameCodeSequence[0].CodeMeaning, said.TextValue) == ("Location of Specimen", "removed")
    assert (mark.ValueType, mark.ConceptCodeSequence[0].CodeMeaning) == ("CODE", "Red color")
    assert (offset.ValueType, offset.NumericValue) == ("NUMERIC", 7.5)
    assert offset.MeasurementUnitsCodeSequence[0].CodeValue == "mm"
    assert methods(dataset) == ["113100", "113104"]
    only = one_image(DeidentifyOptions(KEY), dataset_of({"SpecimenDescriptionSequence": described[:1]}, "test"))
    assert LOCALIZATION not in specimens(only)[0]
    path = tmp_path / "1.dcm"
    frame = KINDS[0].encode(np.full((256, 256, 3), 90, "u1"))
    with InstanceWriter(path, dataset, frame_count=4, largest_total=4 * len(frame)) as writer:
        for _ in range(4):
            writer.write(frame)
    assert complaints(tool, "dciodvfy", path) == []


def specimens(dataset: Dataset) -> list[Dataset]:
    return list(dataset.SpecimenDescriptionSequence)


def test_assumptions_are_still_told() -> None:
    for dates in DatePolicy:
        dataset = one_image(DeidentifyOptions(KEY, dates), additions(ImageComments=WORD), image_comments=WIDTH_ASSUMED)
        assert dataset.ImageComments == WIDTH_ASSUMED
    assert "ImageComments" not in one_image(DeidentifyOptions(KEY), additions(ImageComments=WORD))


def test_the_same_key_gives_the_same_slide_and_another_none_of_it() -> None:
    options = DeidentifyOptions(KEY)
    first, second, other = one_image(options), one_image(options), one_image(DeidentifyOptions(random_key()))
    assert written(first) == written(second)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID", "ContainerIdentifier"):
        assert first[keyword].value != other[keyword].value
        assert first[keyword].value not in (WORD, USER.get(keyword))
    assert first.StudyInstanceUID == options.uid("1.2.826.0.1.3680043.8.498.77")
    assert first.StudyInstanceUID.is_valid
    assert first.SOPClassUID == pydicom.uid.VLWholeSlideMicroscopyImageStorage


@pytest.mark.parametrize("flavor", [ImageFlavor.LABEL, ImageFlavor.OVERVIEW])
def test_what_is_written_on_glass_is_not_deidentified(flavor: ImageFlavor) -> None:
    with pytest.raises(ValueError, match="shows what is written on the glass"):
        one_image(DeidentifyOptions(KEY), flavor=flavor, level=Level(50, 20, 50, 20), spacing=None)


def test_what_users_give_is_theirs_and_stays_as_it_is() -> None:
    given = additions()
    before = given.to_json()
    one_image(DeidentifyOptions(KEY), given)
    assert given.to_json() == before


def test_specimens_keep_their_codes_and_get_other_names() -> None:
    dataset = one_image(DeidentifyOptions(KEY))
    specimen = dataset.SpecimenDescriptionSequence[0]
    assert dataset.ContainerIdentifier == specimen.SpecimenIdentifier  # both were the same
    assert specimen.PrimaryAnatomicStructureSequence[0].CodeMeaning == "Liver"
    items = [
        item
        for step in specimen.SpecimenPreparationSequence
        for item in step.SpecimenPreparationStepContentItemSequence
    ]
    values = [item.ConceptCodeSequence[0].CodeValue for item in items if item.ValueType == "CODE"]
    assert {"431510009", "12710003", "36879007", "434472006"} <= set(values)
    texts = {item.TextValue for item in items if item.ValueType == "TEXT"}
    assert specimen.SpecimenIdentifier in texts
    assert len(texts) == 2  # its own, and its parent's; no descriptions
    assert methods(dataset) == ["113100", "113104"]


def methods(dataset: Dataset) -> list[str]:
    return [item.CodeValue for item in dataset.DeidentificationMethodCodeSequence]


def test_dates() -> None:
    removed = one_image(DeidentifyOptions(KEY))
    assert removed["StudyDate"].is_empty
    assert removed.AcquisitionDateTime == "19000101000000"
    assert removed.LongitudinalTemporalInformationModified == "REMOVED"

    kept = one_image(DeidentifyOptions(KEY, DatePolicy.KEEP))
    assert kept.StudyDate == "20230215"
    assert kept.AcquisitionDateTime == "20240229123000.000000"
    assert kept["PatientBirthDate"].is_empty
    assert methods(kept) == ["113100", "113104", "113106"]

    shifted = one_image(DeidentifyOptions(KEY, DatePolicy.SHIFT))
    days = datetime(2023, 2, 15) - datetime.strptime(shifted.StudyDate, "%Y%m%d")
    assert 1 <= days.days <= 3650
    assert datetime(2024, 2, 29) - datetime.strptime(shifted.AcquisitionDateTime[:8], "%Y%m%d") == days
    assert shifted.AcquisitionDateTime[8:] == "123000.000000"
    assert methods(shifted) == ["113100", "113104", "113107"]
    assert shifted.LongitudinalTemporalInformationModified == "MODIFIED"


def test_all_slides_of_a_patient_are_moved_alike_and_those_of_another_not() -> None:
    options = DeidentifyOptions(KEY, DatePolicy.SHIFT)
    dates = {
        patient: {
            one_image(options, additions(PatientID=patient, StudyInstanceUID=study)).StudyDate
            for study in ("1.2.3", "1.2.4")
        }
        for patient in ("A", "B", "C")
    }
    assert all(len(found) == 1 for found in dates.values())
    assert len({*dates["A"], *dates["B"], *dates["C"]}) == 3


@pytest.mark.parametrize("value", ["2023", "00010203", "20230230", "20230230101112"])
def test_dates_that_cannot_be_moved_are_removed(value: str) -> None:
    given = additions()
    given.AcquisitionDateTime = value  # as a DICOM source may have it: in JSON impossible dates are refused
    given.StudyDate = given.SeriesDate = value[:8] if len(value) >= 8 else "00010203"
    for dates in (DatePolicy.SHIFT, DatePolicy.REMOVE):
        dataset = one_image(DeidentifyOptions(KEY, dates), given)
        assert dataset.AcquisitionDateTime == "19000101000000"
        assert "SeriesDate" not in dataset
        assert dataset["StudyDate"].is_empty


def test_positions_of_frames_are_left_alone_and_unparsed() -> None:
    dataset = one_image(DeidentifyOptions(KEY), positions=at((0, 0), (0, 1), (1, 0), (1, 1)))
    read = pydicom.dcmread(io.BytesIO(written(dataset)))
    assert len(read.PerFrameFunctionalGroupsSequence) == 4
    organization = read.DimensionOrganizationSequence[0].DimensionOrganizationUID
    assert {item.DimensionOrganizationUID for item in read.DimensionIndexSequence} == {organization}


def test_pseudonym() -> None:
    moment = datetime(2026, 1, 2, 3, 4)
    name = pseudonym("Doe^Jane", moment, KEY)
    assert re.fullmatch(r"260102-0304-[0-9a-f]{4}", name)
    assert name == pseudonym("Doe^Jane", moment, KEY)
    assert name != pseudonym("Doe^John", moment, KEY)
    assert name != pseudonym("Doe^Jane", moment, KEY[::-1])


def test_many_may_share_a_pseudonym_but_none_an_identifier() -> None:
    moment = datetime(2026, 1, 2, 3, 4)
    public = {pseudonymous(f"Doe^{number}", str(number), moment, KEY) for number in range(2000)}
    assert len({name for name, _ in public}) < 2000  # the hash in it has 16 bits
    assert len({patient for _, patient in public}) == 2000


@pytest.mark.parametrize("patient", ["17", ""])
def test_pseudonym_and_identifier_of_a_patient(patient: str) -> None:
    name, identifier = pseudonymous("Doe^Jane", patient, datetime(2026, 1, 2, 3, 4), KEY)
    assert name == pseudonym("Doe^Jane", datetime(2026, 1, 2, 3, 4), KEY)
    later = pseudonymous("Doe^Jane", patient, datetime(2026, 1, 2, 3, 5), KEY)
    assert later[0] != name
    assert later[1] == identifier == DeidentifyOptions(KEY).identifier(patient or "Doe^Jane")
    given = additions(PatientName="Doe^Jane", PatientID=patient)
    dataset = one_image(DeidentifyOptions(KEY, pseudonym=name), given)
    assert (dataset.PatientName, dataset.PatientID) == (name, identifier)


def test_keys(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("correct horse battery staple\n")
    assert read_key(path) == secret_key("correct horse battery staple")
    path.write_text("short")
    with pytest.raises(InvalidRequest, match="has 5 bytes; at least 16"):
        read_key(path)
    path.write_bytes(b"\xff" * 20)
    with pytest.raises(InvalidRequest, match="is not UTF-8 text"):
        read_key(path)
    with pytest.raises(NotFound):
        read_key(tmp_path / "none")
    assert "key" not in repr(DeidentifyOptions(KEY))
    assert random_key() != random_key()


def test_streams_that_name_the_patient(tmp_path: Path) -> None:
    """What is copied has no comments and no Exif; its scans stay as they are."""
    silent = encoded("420")
    picture = Picture(256, 256, 128, frames=4)
    path = save(tmp_path / "a.dcm", header(picture), picture.syntax, encapsulate([talkative(tile) for tile in silent]))
    done = dicomize(path, FolderStore(tmp_path / "series"), DicomizeOptions(deidentify=DeidentifyOptions(KEY)))
    (dataset,) = images(tmp_path / "series")["VOLUME"]
    assert [scan(frame) for frame in frames(dataset)] == [scan(tile) for tile in silent]
    assert not any(b"Featherstonehaugh" in output.read_bytes() for output in done.outputs)
