"""Every image flavour in every encoding, judged by dciodvfy, dcentvfy, OpenSlide, wsidicom and pydicom."""

from __future__ import annotations

from collections.abc import Callable

import highdicom
import numpy as np
import openslide
import pydicom
import pytest
import wsidicom
from pydicom.dataset import Dataset

from tests.dicom_series import COLOUR_KINDS, KINDS, KINDS_OF_8_BITS, Series, complaints, frames, write_series
from wsi_dicom.geometry import Level
from wsi_dicom.slide import ImageFlavor, Pixels


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def series(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Series:
    return write_series(tmp_path_factory.mktemp(request.param.name), request.param, Dataset())


def difference(a: Pixels, b: Pixels) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def test_every_image_conforms(series: Series, tool: Callable[[str], str]) -> None:
    for file in series.files:
        assert complaints(tool, "dciodvfy", file) == [], file.name


def test_the_series_is_consistent(series: Series, tool: Callable[[str], str]) -> None:
    assert complaints(tool, "dcentvfy", *series.files) == []


def test_pydicom_decodes_every_frame(series: Series) -> None:
    for file in series.files:
        dataset = pydicom.dcmread(file)
        flavor, resampled = ImageFlavor(dataset.ImageType[2]), dataset.ImageType[3] == "RESAMPLED"
        picture = series.pictures[flavor, resampled]
        height, width = picture.shape[:2]
        level = Level(width, height, dataset.Columns, dataset.Rows)
        decoded = pydicom.pixels.pixel_array(file).reshape(level.tile_count, level.tile_height, level.tile_width, -1)
        for found, expected in zip(decoded, frames(picture, level), strict=True):
            assert difference(found, expected) < (1e-9 if series.kind.exact else 4), file.name


@pytest.mark.parametrize("series", COLOUR_KINDS, ids=lambda kind: kind.name, indirect=True)  # it reads no gray
def test_openslide_sees_the_slide(series: Series) -> None:
    with openslide.OpenSlide(series.files[0]) as slide:
        assert slide.properties["openslide.vendor"] == "dicom"
        assert slide.level_dimensions == ((500, 460), (250, 230))
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.5)
        assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(0.5)
        assert float(slide.properties["openslide.objective-power"]) == 20
        for level, resampled in ((0, False), (1, True)):
            expected = series.pictures[ImageFlavor.VOLUME, resampled]
            found = np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]))[:, :, :3]
            assert difference(found, expected) < (1e-9 if series.kind.exact else 4)
        assert {name: image.size for name, image in slide.associated_images.items()} == {
            "label": (121, 100),
            "macro": (301, 101),
            "thumbnail": (125, 115),
        }
        assert slide.color_profile is not None
        assert slide.color_profile.profile.device_class == "scnr"


@pytest.mark.parametrize("series", KINDS_OF_8_BITS, ids=lambda kind: kind.name, indirect=True)  # it makes 32 of 16
@pytest.mark.filterwarnings("ignore:The odd length pixel data:UserWarning")  # it hands pydicom one unpadded frame
def test_wsidicom_sees_the_slide(series: Series) -> None:
    with wsidicom.WsiDicom.open(series.folder) as slide:
        assert [(level.size.width, level.size.height) for level in slide.pyramids[0]] == [(500, 460), (250, 230)]
        assert slide.mpp.width == pytest.approx(0.5)
        limit = 1e-9 if series.kind.exact else 4
        for number, resampled in ((0, False), (1, True)):
            expected = series.pictures[ImageFlavor.VOLUME, resampled]
            height, width = expected.shape[:2]
            found = np.asarray(slide.read_region((0, 0), number, (width, height))).reshape(expected.shape)
            assert difference(found, expected) < limit
        label = series.pictures[ImageFlavor.LABEL, False]
        assert difference(np.asarray(slide.read_label()).reshape(label.shape), label) < limit
        overview = series.pictures[ImageFlavor.OVERVIEW, False]
        assert difference(np.asarray(slide.read_overview()).reshape(overview.shape), overview) < limit
        assert slide.metadata.equipment.manufacturer == "Aperio"


@pytest.mark.parametrize("series", COLOUR_KINDS, ids=lambda kind: kind.name, indirect=True)  # gray is (height, width)
def test_highdicom_puts_the_tiles_together(series: Series) -> None:
    for number, resampled in ((1, False), (2, True)):
        image = highdicom.imread(series.folder / f"{number}.dcm", lazy_frame_retrieval=True)
        found = image.get_total_pixel_matrix(apply_icc_profile=False)
        expected = series.pictures[ImageFlavor.VOLUME, resampled]
        assert difference(found, expected) < (1e-9 if series.kind.exact else 4)


def test_every_image_of_the_slide_agrees(series: Series) -> None:
    """What Slim, Bio-Formats and wsidicom compare before they call images those of one slide."""
    datasets = [pydicom.dcmread(file) for file in series.files]
    for keyword in (
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "SeriesNumber",
        "FrameOfReferenceUID",
        "ContainerIdentifier",
        "AcquisitionDateTime",
        "ImageOrientationSlide",
        "TotalPixelMatrixOriginSequence",
        "SpecimenDescriptionSequence",
        "DimensionOrganizationSequence",
    ):
        assert all(dataset[keyword].value == datasets[0][keyword].value for dataset in datasets), keyword
    volumes = [dataset for dataset in datasets if dataset.ImageType[2] == "VOLUME"]
    assert volumes[0].PyramidUID == volumes[1].PyramidUID
    assert not any("PyramidUID" in dataset for dataset in datasets if dataset.ImageType[2] != "VOLUME")


def test_a_derived_level_names_its_source(series: Series) -> None:
    base, lower = series.dataset("VOLUME"), series.dataset("VOLUME", "RESAMPLED")
    assert list(base.ImageType) == ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    assert list(lower.ImageType) == ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
    source = lower.SharedFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    assert source.ReferencedSOPInstanceUID == base.SOPInstanceUID
    assert lower.ReferencedSeriesSequence[0].SeriesInstanceUID == base.SeriesInstanceUID
    assert "ReferencedSeriesSequence" not in base
    codes = [item.CodeValue for item in lower.DerivationCodeSequence]
    assert codes == (["113085"] if lower.LossyImageCompression == "00" else ["113085", "113040"])


def test_the_compression_ratio_is_measured(series: Series) -> None:
    for file in series.files:
        dataset = pydicom.dcmread(file)
        if dataset.LossyImageCompression == "00":
            assert "LossyImageCompressionRatio" not in dataset
            continue
        stored = pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=dataset.NumberOfFrames)
        size = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.NumberOfFrames
        first, last = dataset.LossyImageCompressionRatio
        assert first == 8.5
        assert last == pytest.approx(size / sum(map(len, stored)), rel=0.01)
        assert len(dataset.LossyImageCompressionMethod) == 2


def test_what_a_scanner_says_is_cleaned(series: Series) -> None:
    dataset = series.dataset("VOLUME")
    assert dataset.ManufacturerModelName == "GT/450"
    assert dataset.DeviceSerialNumber == "SS" + "1" * 62
    assert dataset.SoftwareVersions == "1.0"
    assert dataset.AcquisitionDateTime == "20240229123000.000000"
    assert dataset.ContainerIdentifier == dataset.SpecimenDescriptionSequence[0].SpecimenIdentifier == "S24-17"
    assert dataset.PatientName == ""
    assert dataset.PatientID == ""
    assert series.dataset("LABEL").BarcodeValue == "S24-17"
    assert dataset.ContributingEquipmentSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
