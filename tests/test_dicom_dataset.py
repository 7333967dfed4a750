"""The attributes of one image, and what a user may add to them."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pydicom
import pytest
from PIL import ImageCms
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.dicom_series import GRAY, KINDS, METADATA, RGB, VOLUME, complaints, write_series
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.dicom.additions import check_additions
from wsi_dicom.dicom.dataset import image_dataset
from wsi_dicom.dicom.description import ImageDescription
from wsi_dicom.dicom.uids import SeriesIdentity, orthanc_identifier
from wsi_dicom.errors import InvalidRequest
from wsi_dicom.geometry import Level, Spacing
from wsi_dicom.metadata import SlideMetadata
from wsi_dicom.slide import Encoding, ImageFlavor


def describe(**changes: object) -> ImageDescription:
    description = ImageDescription(
        flavor=ImageFlavor.VOLUME,
        instance_number=1,
        sop_instance_uid="2.25.7",
        level=Level(500, 460, 256, 256),
        spacing=Spacing(0.0005, 0.00025),
        pixel_format=RGB,
        encoding=KINDS[0].encoding,
    )
    return replace(description, **changes)


def dataset_of(additions: Dataset | None = None, metadata: SlideMetadata = METADATA, **changes: object) -> Dataset:
    identity = SeriesIdentity.deterministic("slide", datetime(2024, 1, 2, 3, 4, 5))
    return image_dataset(identity, describe(**changes), metadata, VOLUME, additions or Dataset())


def test_spacing_is_of_rows_first_and_never_too_long() -> None:
    measures = (
        dataset_of(spacing=Spacing(1 / 3000, 1 / 7000)).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    )
    assert measures.PixelSpacing == pytest.approx([1 / 7000, 1 / 3000], rel=1e-9)
    assert all(len(str(value)) <= 16 for value in measures.PixelSpacing)


def test_nominal_spacing_is_said_to_be_nominal() -> None:
    dataset = dataset_of(flavor=ImageFlavor.OVERVIEW, level=Level(1280, 431, 1280, 431), spacing=None)
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert measures.PixelSpacing == pytest.approx([25 / 431] * 2)
    assert "nominal" in dataset.ImageComments
    assert "ImageComments" not in dataset_of()


def test_without_spacing_the_imaged_volume_tells_it() -> None:
    measures = dataset_of(spacing=None).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert measures.PixelSpacing == pytest.approx([0.0005, 0.0005])


@pytest.mark.parametrize("profile_class", ["none", "display", "input", "gray", "cut"])
def test_the_profile_is_one_of_an_input_device(profile_class: str) -> None:
    display = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    given = {
        "none": None,
        "display": display,
        "input": display[:12] + b"scnr" + display[16:],
        "gray": display[:16] + b"GRAY" + display[20:],
        "cut": display[:200],
    }[profile_class]
    path = dataset_of(metadata=replace(METADATA, icc_profile=given)).OpticalPathSequence[0]
    opened = ImageCms.ImageCmsProfile(io.BytesIO(path.ICCProfile)).profile
    assert opened.device_class == "scnr"
    assert opened.xcolor_space.strip() == "RGB"
    assert path.get("ColorSpace") == (None if profile_class in ("display", "input") else "SRGB")
    if given is not None and profile_class in ("display", "input"):
        assert path.ICCProfile[128:] == given[128:]


def test_gray_has_no_profile() -> None:
    encoding = Encoding(JPEG_BASELINE, "MONOCHROME2")
    assert "ICCProfile" not in dataset_of(pixel_format=GRAY, encoding=encoding).OpticalPathSequence[0]


def test_the_same_seed_gives_the_same_bytes() -> None:
    def written() -> bytes:
        buffer = io.BytesIO()
        dataset_of().save_as(buffer, enforce_file_format=True)
        return buffer.getvalue()

    assert written() == written()


def test_uids_are_valid_and_distinct() -> None:
    identities = [SeriesIdentity.random(), SeriesIdentity.random(), SeriesIdentity.deterministic("a")]
    uids = [
        uid
        for identity in identities
        for uid in (
            identity.study_uid,
            identity.series_uid,
            identity.frame_of_reference_uid,
            identity.dimension_organization_uid,
            identity.pyramid_uid,
            identity.specimen_uid,
            identity.instance_uid("level 0"),
            identity.instance_uid("level 1"),
        )
    ]
    assert all(pydicom.uid.UID(uid).is_valid for uid in uids)
    assert len(set(uids)) == len(uids)
    assert SeriesIdentity.deterministic("a").series_uid == identities[2].series_uid


def test_orthanc_identifier_is_that_of_orthanc() -> None:
    # BRAINIX, of Orthanc's demonstration server and integration tests
    study_uid = "2.16.840.1.113669.632.20.1211.10000357775"
    assert orthanc_identifier("5Yp0E") == "16738bc3-e47ed42a-43ce044c-a3414a45-cb069bd0"
    assert orthanc_identifier("5Yp0E", study_uid) == "27f7126f-4f66fb14-03f4081b-f9341db2-53925988"


def test_time_zone_is_kept() -> None:
    eastern = timezone(timedelta(hours=-5))
    metadata = replace(METADATA, acquired=datetime(2024, 1, 1, tzinfo=eastern))
    assert dataset_of(metadata=metadata).AcquisitionDateTime == "20240101000000.000000-0500"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flavor": ImageFlavor.LABEL, "level": Level(70000, 10, 70000, 10)}, "65535"),
        ({"level": Level(1 << 33, 10, 512, 512)}, r"2\^32-1"),
        ({"level": Level(1 << 30, 1 << 30, 8, 8)}, r"2\^31-1 frames"),
    ],
)
def test_sizes_that_dicom_cannot_hold(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        describe(**changes)


# --- what a user adds ---


def additions(**values: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def item(**values: object) -> Sequence:
    return Sequence([additions(**values)])


def test_additions_go_over_what_the_slide_tells(tmp_path: Path, tool: Callable[[str], str]) -> None:
    given = additions(
        PatientName="Müller^Zoë",
        PatientID="1",
        StudyID="9",
        StudyInstanceUID="1.2.3",
        Manufacturer="Leica",
        AccessionNumber="",
        SeriesDescription="He",
        ContainerIdentifier="C1",
        SpecimenDescriptionSequence=item(SpecimenShortDescription="liver", SpecimenUID=""),
        OpticalPathSequence=item(ObjectiveLensNumericalAperture="0.75"),
        BurnedInAnnotation="NO",
        BarcodeValue="B1",
        Modality="SM",
        SpecimenLabelInImage="NO",
    )
    series = write_series(tmp_path, KINDS[0], given)
    for file in series.files:
        dataset = pydicom.dcmread(file)
        assert dataset.PatientName == "Müller^Zoë"
        assert dataset.StudyInstanceUID == "1.2.3"
        assert dataset.Manufacturer == "Leica"
        assert dataset.SeriesDescription == "He"
        specimen = dataset.SpecimenDescriptionSequence[0]
        assert specimen.SpecimenShortDescription == "liver"
        assert specimen.SpecimenIdentifier == dataset.ContainerIdentifier == "C1"
        assert specimen.SpecimenUID.is_valid
        assert dataset.OpticalPathSequence[0].ObjectiveLensNumericalAperture == 0.75
        assert "ICCProfile" in dataset.OpticalPathSequence[0]
        shows_label = dataset.ImageType[2] in ("LABEL", "OVERVIEW")
        assert dataset.BurnedInAnnotation == dataset.SpecimenLabelInImage == ("YES" if shows_label else "NO")
        assert dataset.get("BarcodeValue") == ("B1" if shows_label else None)
        assert complaints(tool, "dciodvfy", file) == []
    assert complaints(tool, "dcentvfy", *series.files) == []


def test_uids_that_the_user_gives_are_used_throughout() -> None:
    given = additions(
        SeriesInstanceUID="1.2.4",
        FrameOfReferenceUID="1.2.5",
        PyramidUID="1.2.6",
        DimensionOrganizationSequence=item(DimensionOrganizationUID="1.2.7"),
    )
    dataset = dataset_of(given, source_uid="2.25.8", resampled=True)
    assert dataset.SeriesInstanceUID == dataset.ReferencedSeriesSequence[0].SeriesInstanceUID == "1.2.4"
    assert dataset.FrameOfReferenceUID == "1.2.5"
    assert dataset.PyramidUID == "1.2.6"
    assert dataset.DimensionOrganizationSequence[0].DimensionOrganizationUID == "1.2.7"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (additions(Rows=5, SOPInstanceUID="1.2"), "SOPInstanceUID, Rows follow"),
        (additions(ImageType=["DERIVED", "PRIMARY", "VOLUME", "NONE"]), "ImageType follows"),
        (additions(Modality="CT"), "Modality"),
        (additions(SpecimenLabelInImage="YES"), "SpecimenLabelInImage"),
        (additions(TransferSyntaxUID="1.2"), "TransferSyntaxUID"),
        (additions(PatientSex="X"), "PatientSex must be one of M, F, O"),
        (additions(ExtendedDepthOfField="YES"), "NumberOfFocalPlanes and DistanceBetweenFocalPlanes"),
        (additions(OpticalPathSequence=[Dataset(), Dataset()]), "OpticalPathSequence must have one item"),
        (
            additions(SpecimenDescriptionSequence=[*item(SpecimenIdentifier="1"), *item(SpecimenIdentifier="2")]),
            "specimen 1 of 2 lacks SpecimenUID",
        ),
    ],
)
def test_additions_that_the_pixels_contradict(given: Dataset, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        check_additions(given)
    with pytest.raises(InvalidRequest, match=message):
        dataset_of(given)
