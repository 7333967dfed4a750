"""The attributes of one image, and what a user may add to them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import ImageCms
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.dicom_series import GRAY, KINDS, METADATA, RGB, VOLUME, complaints, write_series
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.dicom.additions import check_additions, merged
from wsi_dicom.dicom.assumptions import SPACING_NOMINAL, WIDTH_ASSUMED
from wsi_dicom.dicom.character_sets import CharacterSet
from wsi_dicom.dicom.dataset import image_dataset
from wsi_dicom.dicom.description import FramePositions, ImageDescription
from wsi_dicom.dicom.icc import input_device_profile
from wsi_dicom.dicom.settings import OpticalPathChoice, SeriesSettings
from wsi_dicom.dicom.uids import SeriesIdentity, orthanc_identifier
from wsi_dicom.dicom.writer import InstanceWriter
from wsi_dicom.errors import InvalidRequest
from wsi_dicom.geometry import Level, Plane, Spacing
from wsi_dicom.metadata import OpticalPath, SlideMetadata
from wsi_dicom.slide import Encoding, ImageFlavor

LEVEL = Level(500, 460, 256, 256)


def describe(**changes: object) -> ImageDescription:
    description = ImageDescription(
        flavor=ImageFlavor.VOLUME,
        instance_number=1,
        sop_instance_uid="2.25.7",
        level=LEVEL,
        spacing=Spacing(0.0005, 0.00025),
        pixel_format=RGB,
        encoding=KINDS[0].encoding,
    )
    return replace(description, **changes)


def at(*tiles: tuple[int, int], planes: Iterable[Plane] = (Plane(),)) -> FramePositions:
    """Frames at (column, row), of each plane in turn."""
    placed = np.array([(column, row, *plane) for plane in planes for column, row in tiles])
    columns, rows, optical_paths, focal_planes = placed.T
    return FramePositions(columns, rows, focal_planes, optical_paths)


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


def test_what_was_done_to_the_pixels_is_described() -> None:
    assert "DerivationDescription" not in dataset_of()
    assert dataset_of(derivation_description="stitched").DerivationDescription == "stitched"
    both = dataset_of(resampled=True, derivation_description="blank where tiles were bad")
    assert both.DerivationDescription == "Resampled from a finer level; blank where tiles were bad"


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
        (additions(ImageOrientationSlide=["0", "-1", "0", "-1", "0"]), "ImageOrientationSlide must be six numbers"),
        (additions(ImageOrientationSlide="1"), "ImageOrientationSlide must be six numbers"),
        (additions(ImageOrientationSlide=["0", "-1", "0", "-2", "0", "0"]), "two directions of length 1"),
        (additions(ImageOrientationSlide=["0", "-1", "0", "0", "-1", "0"]), "at a right angle"),
        (additions(ExtendedDepthOfField="YES"), "NumberOfFocalPlanes and DistanceBetweenFocalPlanes"),
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


@pytest.mark.parametrize(
    "orientation", [["1", "0", "0", "0", "1", "0"], ["0.7071", "0.7071", "0", "-0.7071", "0.7071", "0"]]
)
def test_orientations_of_slides(orientation: list[str]) -> None:
    assert dataset_of(additions(ImageOrientationSlide=orientation)).ImageOrientationSlide == list(
        map(float, orientation)
    )


@pytest.mark.parametrize(
    ("given", "begins"), [(None, ""), ("mine,\nof two lines", "mine,\nof two lines "), ("x" * 10240, "xx")]
)
def test_assumptions_are_told_after_the_users_comments(given: str | None, begins: str) -> None:
    overview = {"flavor": ImageFlavor.OVERVIEW, "level": Level(1280, 431, 1280, 431), "spacing": None}
    for changes, assumption in (({"image_comments": WIDTH_ASSUMED}, WIDTH_ASSUMED), (overview, SPACING_NOMINAL)):
        comments = dataset_of(additions(ImageComments=given), **changes).ImageComments
        assert comments.startswith(begins)
        assert comments.endswith(assumption)
        assert len(comments) == len(begins) + len(assumption) or len(comments) == 10240


# --- settings ---


def test_settings() -> None:
    settings = SeriesSettings(1.5, -2.25, objective_power=40.0, icc_profile=input_device_profile(None)[0])
    dataset = image_dataset(SeriesIdentity.random(), describe(), METADATA, VOLUME, additions(), settings)
    origin = dataset.TotalPixelMatrixOriginSequence[0]
    assert (origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem) == (1.5, -2.25)
    assert dataset.OpticalPathSequence[0].ObjectiveLensPower == 40
    assert "ColorSpace" not in dataset.OpticalPathSequence[0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"offset_x_mm": float("nan")}, "offsets are numbers"),
        ({"imaged_depth_mm": 0.0}, "imaged depth"),
        ({"objective_power": -1.0}, "objective power"),
        ({"icc_profile": b"no"}, "the ICC profile is not an ICC profile"),
    ],
)
def test_settings_that_make_no_sense(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        SeriesSettings(**values)


def test_light_may_be_left_untold() -> None:
    settings = SeriesSettings(optical_path=OpticalPathChoice.NONE)

    def written(given: Dataset, **changes: object) -> Dataset:
        return image_dataset(SeriesIdentity.random(), describe(**changes), METADATA, VOLUME, given, settings)

    assert "OpticalPathSequence" not in written(additions())
    code = item(CodeValue="111741", CodingSchemeDesignator="DCM", CodeMeaning="Transmission illumination")
    given = additions(OpticalPathSequence=item(IlluminationTypeCodeSequence=code))
    path = written(given).OpticalPathSequence[0]
    assert path.IlluminationTypeCodeSequence[0].CodeValue == "111741"
    assert "IlluminationColorCodeSequence" not in path
    assert "ICCProfile" in path
    assert len(written(additions(), optical_paths=CHANNELS).OpticalPathSequence) == 2


@pytest.mark.parametrize("chosen", list(CharacterSet))
def test_character_sets(tmp_path: Path, chosen: CharacterSet, tool: Callable[[str], str]) -> None:
    names = {
        "cyrillic": "Иванов",
        "greek": "Γιάννης",
        "hebrew": "דוד",
        "arabic": "قباني",
        "thai": "สมชาย",
        "ascii": "Doe",
    }
    names |= {"chinese": "王", "latin2": "Dvořák", "latin3": "Ĥ", "latin4": "Ķ", "latin5": "Ağa"}
    name = names.get(chosen.value, "Müller") + "^X"
    dataset = image_dataset(
        SeriesIdentity.random(),
        describe(),
        METADATA,
        VOLUME,
        additions(PatientName=name, PatientID="1", StudyID="1"),
        SeriesSettings(character_set=chosen),
    )
    path = tmp_path / "1.dcm"
    frame = KINDS[0].encode(np.zeros((256, 256, 3), "u1"))
    with InstanceWriter(path, dataset, frame_count=4, largest_total=4 * len(frame)) as writer:
        for _ in range(4):
            writer.write(frame)
    assert pydicom.dcmread(path).PatientName == name
    assert complaints(tool, "dciodvfy", path) == []


def test_text_that_a_character_set_cannot_hold() -> None:
    specimen = item(SpecimenShortDescription="naïve λ")
    for chosen, given, message in (
        (
            CharacterSet.LATIN1,
            additions(SpecimenDescriptionSequence=specimen),
            "SpecimenShortDescription .*U.03BB.* latin1",
        ),
        (CharacterSet.ASCII, additions(PatientName="Müller"), "PatientName .*U.00FC.* ascii"),
    ):
        with pytest.raises(InvalidRequest, match=message):
            image_dataset(
                SeriesIdentity.random(), describe(), METADATA, VOLUME, given, SeriesSettings(character_set=chosen)
            )
    assert CharacterSet("Latin1") is CharacterSet.LATIN1
    assert CharacterSet("UTF-8") is CharacterSet.UTF8


# --- optical paths of the user's ---

CHANNELS = (OpticalPath("DAPI", fluorescence=True), OpticalPath("FITC", fluorescence=True))


def test_what_is_said_of_one_optical_path_is_said_of_all() -> None:
    given = additions(OpticalPathSequence=item(ObjectiveLensNumericalAperture="0.8", OpticalPathIdentifier="x"))
    paths = dataset_of(given, optical_paths=CHANNELS).OpticalPathSequence
    assert [path.ObjectiveLensNumericalAperture for path in paths] == [0.8, 0.8]
    assert [path.OpticalPathIdentifier for path in paths] == ["DAPI", "FITC"]
    several = additions(OpticalPathSequence=[*item(OpticalPathIdentifier="a"), *item(OpticalPathIdentifier="b")])
    paths = dataset_of(several, optical_paths=CHANNELS, positions=at((0, 0), planes=[Plane(1)]))
    assert [path.OpticalPathIdentifier for path in paths.OpticalPathSequence] == ["a", "b"]
    frame = paths.PerFrameFunctionalGroupsSequence[0]
    assert frame.OpticalPathIdentificationSequence[0].OpticalPathIdentifier == "b"
    label = dataset_of(several, flavor=ImageFlavor.LABEL, level=Level(50, 20, 50, 20), spacing=None)
    assert len(label.OpticalPathSequence) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([Dataset()] * 3, "has 3 items, where the images have 2 optical paths"),
        ([*item(OpticalPathIdentifier="a"), *item(OpticalPathIdentifier="a")], "different OpticalPathIdentifier"),
    ],
)
def test_optical_paths_that_do_not_fit(given: list[Dataset], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        dataset_of(additions(OpticalPathSequence=given), optical_paths=CHANNELS)


def test_the_users_profile() -> None:
    display = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    given = additions(OpticalPathSequence=item(ICCProfile=display))
    path = dataset_of(given).OpticalPathSequence[0]
    assert path.ICCProfile[128:] == display[128:]
    assert path.ICCProfile[12:16] == b"scnr"
    assert "ColorSpace" not in path
    gray = dataset_of(given, pixel_format=GRAY, encoding=Encoding(JPEG_BASELINE, "MONOCHROME2"))
    assert "ICCProfile" not in gray.OpticalPathSequence[0]
    with pytest.raises(InvalidRequest, match=r"x\.json: ICCProfile of OpticalPathSequence is not an ICC profile"):
        check_additions(additions(OpticalPathSequence=item(ICCProfile=b"GRAY" * 50)), "x.json")


def test_merged_attributes() -> None:
    general = additions(
        PatientID="1",
        StudyID="2",
        SpecimenDescriptionSequence=item(SpecimenIdentifier="S", SpecimenShortDescription="liver"),
    )
    particular = additions(
        PatientID="3",
        StudyID="",
        SpecimenDescriptionSequence=item(SpecimenIdentifier="T"),
    )
    both = merged(general, particular)
    assert (both.PatientID, both.StudyID) == ("3", "2")
    specimen = both.SpecimenDescriptionSequence[0]
    assert (specimen.SpecimenIdentifier, specimen.SpecimenShortDescription) == ("T", "liver")
    assert general.SpecimenDescriptionSequence[0].SpecimenIdentifier == "S"
