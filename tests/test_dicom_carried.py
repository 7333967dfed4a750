"""What a series made from another DICOM series takes over from it, by pydicom, wsidicom and the DICOM checkers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filereader import dcmread
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid
from wsidicom import WsiDicom

from tests.foreign_series import TILE, Picture, header, jpeg_frames, native_frames, save, save_native
from tests.oracles import assert_conformant, frames, images
from wsi_dicom.convert import DicomizeOptions, dicomize
from wsi_dicom.dicom.slide import DicomSlide, open_series
from wsi_dicom.plan import PlanOptions
from wsi_dicom.sources import open_slide
from wsi_dicom.stores.folder import FolderStore


def described_source(folder: Path) -> Path:
    """One colour level whose header says everything that a laboratory's system does, in Latin-1."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "119376003", "SCT", "Tissue spécimen"
    specimen = Dataset()
    specimen.SpecimenIdentifier, specimen.SpecimenUID = "S-1-A", "1.2.3.4"
    specimen.IssuerOfTheSpecimenIdentifierSequence = Sequence()
    specimen.SpecimenTypeCodeSequence = Sequence([code])
    specimen.SpecimenPreparationSequence = Sequence()
    specimen.add_new(0x00091001, "LO", "private")
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = "11.5", "32"
    path = Dataset()
    path.OpticalPathIdentifier, path.ObjectiveLensPower = "B", "40"
    path.OpticalPathDescription = "Brightfield with a grün filter"
    path.IlluminationTypeCodeSequence = path.IlluminationColorCodeSequence = Sequence([code])
    picture = Picture(width=3 * TILE, height=2 * TILE)
    picture.attributes = {
        "SpecificCharacterSet": "ISO_IR 100",
        "PatientName": "Müller^Jürgen",
        "PatientBirthDate": "19500203",
        "PatientSex": "F",
        "StudyDate": "20240102",
        "StudyDescription": "Größe",
        "SeriesDescription": "Scan",
        "AccessionNumber": "A1",
        "InstitutionName": "Spital",
        "ContainerIdentifier": "S-1",
        "SpecimenDescriptionSequence": [specimen],
        "OpticalPathSequence": [path],
        "FrameOfReferenceUID": "1.2.3.9",
        "TotalPixelMatrixOriginSequence": [origin],
        "ImageOrientationSlide": ["0", "1", "0", "1", "0", "0"],
        "AcquisitionDateTime": "20240102101112",
        "ImagedVolumeWidth": 0.048,
        "ImagedVolumeHeight": 0.032,
        "LossyImageCompression": "01",
        "LossyImageCompressionMethod": "ISO_10918_1",
        "LossyImageCompressionRatio": "7",
        "PyramidUID": "1.2.3.10",
        "SeriesNumber": 5,
    }
    data = header(picture)
    data.add_new(0x00091002, "LO", "private")
    return save(folder / "image.dcm", data, picture.syntax, encapsulate(jpeg_frames(6)))


def test_what_is_carried_over(tmp_path: Path) -> None:
    with open_slide(described_source(tmp_path)) as slide:
        assert isinstance(slide, DicomSlide)
        carried = slide.carried_attributes()
        again = slide.carried_attributes()
        source = slide.instances[0].header
    assert str(carried.PatientName) == "Müller^Jürgen"
    for keyword in ("PatientID", "PatientBirthDate", "StudyInstanceUID", "StudyDescription", "FrameOfReferenceUID"):
        assert carried[keyword].value == source[keyword].value
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "PyramidUID", "Rows", "ImageType"):
        assert keyword not in carried
    assert carried.TotalPixelMatrixOriginSequence[0].XOffsetInSlideCoordinateSystem == 11.5
    assert carried.SpecimenDescriptionSequence[0].SpecimenUID == "1.2.3.4"
    assert not any(element.tag.is_private for element in carried.iterall())
    assert "ObjectiveLensPower" not in carried.OpticalPathSequence[0]
    assert carried.OpticalPathSequence[0].OpticalPathIdentifier == "B"
    carried.SpecimenDescriptionSequence[0].SpecimenUID = "9.9"
    assert again.SpecimenDescriptionSequence[0].SpecimenUID == "1.2.3.4"


@pytest.mark.filterwarnings("ignore:.*Invalid value:UserWarning")  # pydicom, of what is invalid on purpose
def test_what_dicom_does_not_allow_stays_behind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    two = [Dataset(), Dataset()]
    for item in two:
        item.SpecimenIdentifier = "same"
    picture = Picture()
    picture.attributes = {
        "SpecimenDescriptionSequence": two,
        "FrameOfReferenceUID": "1.2",
        "ExtendedDepthOfField": "YES",
    }
    data = header(picture)
    data.PatientSex, data.StudyDate = "XX", "20240102"
    data.add_new("ContainerTypeCodeSequence", "LO", "no sequence")
    path = save(tmp_path / "image.dcm", data, picture.syntax, encapsulate(jpeg_frames(6)))
    path.write_bytes(path.read_bytes().replace(b"20240102", b"Jan 2024"))
    with open_series([path]) as slide:
        carried = slide.carried_attributes()
    assert carried.PatientID == "P1"
    for keyword in (
        "SpecimenDescriptionSequence",
        "FrameOfReferenceUID",
        "ExtendedDepthOfField",
        "PatientSex",
        "StudyDate",
        "ContainerTypeCodeSequence",
    ):
        assert keyword not in carried
    assert "PatientSex" in caplog.text
    assert "XX" not in caplog.text
    assert "Jan 2024" not in caplog.text


def test_half_a_code_is_not_carried_over(tmp_path: Path) -> None:
    """Of a specimen the rest is: what is missing there is filled in."""
    codes = []
    for meaning in ("Biopsy", "Resec?tion"):
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "86273004", "SCT", meaning
        codes.append(code)
    specimen = Dataset()
    specimen.SpecimenIdentifier, specimen.SpecimenShortDescription = "S1", "col?n"
    picture = Picture()
    picture.attributes = {"ProcedureCodeSequence": codes, "SpecimenDescriptionSequence": [specimen]}
    path = save(tmp_path / "image.dcm", header(picture), picture.syntax, encapsulate(jpeg_frames(6)))
    path.write_bytes(path.read_bytes().replace(b"c?t", b"c\x01t").replace(b"l?n", b"l\x07n"))
    with open_series([path]) as slide:
        carried = slide.carried_attributes()
    assert [code.CodeMeaning for code in carried.ProcedureCodeSequence] == ["Biopsy"]
    (kept,) = carried.SpecimenDescriptionSequence
    assert kept.SpecimenIdentifier == "S1"
    assert "SpecimenShortDescription" not in kept


def test_label_text_comes_from_the_label(tmp_path: Path) -> None:
    volume = Picture()
    label = Picture(flavor="LABEL", width=TILE, height=TILE, frames=1, series_uid=volume.series_uid)
    label.attributes = {"LabelText": "S-1 A", "BarcodeValue": "B12"}
    files = [
        save_native(tmp_path / "volume.dcm", volume, native_frames(6)),
        save_native(tmp_path / "label.dcm", label, native_frames(1)),
    ]
    with open_series(files) as slide:
        assert slide.carried_attributes().LabelText == "S-1 A"
        assert slide.metadata.barcode == "B12"


@pytest.fixture
def repacked(tmp_path: Path) -> tuple[Path, Path]:
    """A described source and the folder of the series made from it, with its pyramid built."""
    source = described_source(tmp_path)
    folder = tmp_path / "new"
    dicomize(source, FolderStore(folder), DicomizeOptions(plan=PlanOptions(pyramid=True)))
    return source, folder


def test_a_series_made_from_another(repacked: tuple[Path, Path], tool: Callable[[str], str]) -> None:
    source, folder = repacked
    old, volumes = dcmread(source), images(folder)["VOLUME"]
    new = volumes[0]
    assert len(volumes) == 3
    assert [frame.removesuffix(b"\0") for frame in frames(new)] == jpeg_frames(6)
    assert new.SeriesInstanceUID != old.SeriesInstanceUID
    assert new.SOPInstanceUID != old.SOPInstanceUID
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "AccessionNumber", "AcquisitionDateTime"):
        assert new[keyword].value == old[keyword].value
    assert str(new.PatientName) == "Müller^Jürgen"
    assert new.StudyDescription == "Größe"
    assert new.SpecimenDescriptionSequence[0].SpecimenTypeCodeSequence[0].CodeMeaning == "Tissue spécimen"
    assert new.OpticalPathSequence[0].ObjectiveLensPower == 40
    assert list(new.ImageOrientationSlide) == [0, 1, 0, 1, 0, 0]
    assert_conformant(folder.glob("*.dcm"), tool)
    with WsiDicom.open(folder) as oracle:
        assert [(level.size.width, level.size.height) for level in oracle.pyramid] == [(48, 32), (24, 16), (12, 8)]


def test_the_users_attributes_win(tmp_path: Path) -> None:
    additions = Dataset()
    additions.PatientID, additions.StudyInstanceUID = "P2", generate_uid()
    source, folder = described_source(tmp_path), tmp_path / "new"
    dicomize(source, FolderStore(folder), DicomizeOptions(additions=additions))
    new = images(folder)["VOLUME"][0]
    assert (new.PatientID, new.StudyInstanceUID) == ("P2", additions.StudyInstanceUID)
    assert new.AccessionNumber == "A1"


def test_real_series_packed_anew(slides: Path, tmp_path: Path, tool: Callable[[str], str]) -> None:
    real_series = slides / "dicom_wsi" / "cytomine_cmu1"
    dicomize(real_series, FolderStore(tmp_path / "new"), DicomizeOptions())
    new = images(tmp_path / "new")
    old = {data.ImageType[2]: data for data in map(dcmread, real_series.glob("*.dcm"))}
    assert set(new) == set(old)
    assert [f.rstrip(b"\0") for f in frames(new["VOLUME"][0])] == [f.rstrip(b"\0") for f in frames(old["VOLUME"])]
    assert new["VOLUME"][0].FrameOfReferenceUID == old["VOLUME"].FrameOfReferenceUID
    assert_conformant((tmp_path / "new").glob("*.dcm"), tool)
