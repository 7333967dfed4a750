"""A series made from a series: what its images say of themselves stays true."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.array_slide import ArraySlide
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.convert import DicomizeOptions, UidChoice, dicomize
from wsi_dicom.dicom.character_sets import CharacterSet
from wsi_dicom.dicom.deidentify import DatePolicy, DeidentifyOptions
from wsi_dicom.dicom.settings import SeriesSettings
from wsi_dicom.dicom.slide import open_series
from wsi_dicom.geometry import FIRST_PLANE, Plane
from wsi_dicom.metadata import OpticalPath, SlideMetadata
from wsi_dicom.plan import PlanOptions
from wsi_dicom.slide import Pixels
from wsi_dicom.stores.folder import FolderStore

SAMPLE = Path(__file__).parent.parent / "sample_data" / "ihc-small.tif"


class StackWithGaps(ArraySlide):
    """Two channels of three focal planes, of which nobody scanned the middle one."""

    def __init__(self) -> None:
        super().__init__(np.zeros((128, 128, 1), np.uint8), (64, 64))
        self.pyramid = replace(self.pyramid, focal_planes=3, focal_spacing_um=2.0, optical_paths=2)
        self.sparse, self.background = True, (0, 0, 0)
        channels = (OpticalPath("Zügel", fluorescence=True), OpticalPath("B", fluorescence=True))
        self.metadata = SlideMetadata(optical_paths=channels)

    def absent(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> bool:
        return plane.focal_plane == 1 or (column == 0) == (plane.focal_plane == 0)

    def tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> Pixels:
        return np.full((64, 64, 1), 10 + 10 * plane.focal_plane + column + 100 * plane.optical_path, np.uint8)


def series(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def made_from(source: Path, folder: Path, options: DicomizeOptions) -> list[Dataset]:
    """By level, finest first."""
    dicomize(source, FolderStore(folder), options)
    images = (dcmread(file, stop_before_pixels=True) for file in series(folder))
    return sorted(
        (image for image in images if image.ImageType[2] == "VOLUME"), key=lambda image: -image.TotalPixelMatrixColumns
    )


@pytest.mark.parametrize("characters", [CharacterSet.UTF8, CharacterSet.LATIN1])
def test_a_plane_that_nobody_scanned_stays_one(tmp_path: Path, characters: CharacterSet) -> None:
    slide = StackWithGaps()
    options = DicomizeOptions(settings=SeriesSettings(character_set=characters))
    dicomize(slide, FolderStore(tmp_path / "out"), options)
    with open_series(series(tmp_path / "out")) as back:
        assert back.pyramid.planes == slide.pyramid.planes
        assert back.pyramid.focal_spacing_um == 2.0
        assert [path.identifier for path in back.metadata.optical_paths] == ["Zügel", "B"]
        for plane in slide.pyramid.planes:
            for column, row in slide.pyramid.base.tiles():
                absent = slide.absent(0, column, row, plane)
                assert back.absent(0, column, row, plane) == absent
                expected = 0 if absent else slide.tile(0, column, row, plane)
                assert (back.tile(0, column, row, plane) == expected).all()


def test_absent_parts_of_coarser_levels_are_background(tmp_path: Path) -> None:
    lossless = PlanOptions(pyramid=True, compression=Compression.NONE)
    dicomize(StackWithGaps(), FolderStore(tmp_path / "out"), DicomizeOptions(plan=lossless))
    with open_series(series(tmp_path / "out")) as slide:
        coarse = slide.tile(1, 0, 0)
        assert (coarse[:, 32:] == 11).all()
        assert (coarse[:, :32] == 0).all()


def test_levels_keep_their_own_history_of_loss(tmp_path: Path) -> None:
    levels = made_from(SAMPLE, tmp_path / "first", DicomizeOptions(plan=PlanOptions(pyramid=True)))
    again = made_from(tmp_path / "first", tmp_path / "again", DicomizeOptions())
    assert [image.LossyImageCompressionMethod for image in again] == [
        image.LossyImageCompressionMethod for image in levels
    ]
    assert list(again[1].LossyImageCompressionMethod) == ["ISO_10918_1", "ISO_10918_1"]
    for image, before in zip(again, levels, strict=True):
        assert image.LossyImageCompressionRatio == pytest.approx(before.LossyImageCompressionRatio)


def test_what_was_derived_stays_derived(tmp_path: Path) -> None:
    encoded = made_from(SAMPLE, tmp_path / "first", DicomizeOptions(plan=PlanOptions(reencode=True, levels=1)))
    assert encoded[0].ImageType[0] == "DERIVED"
    copied = made_from(tmp_path / "first", tmp_path / "copied", DicomizeOptions())
    assert copied[0].ImageType == encoded[0].ImageType
    assert encoded[0].DerivationDescription in copied[0].DerivationDescription


def test_depth_and_origin_are_the_source_s_unless_told(tmp_path: Path) -> None:
    deep = SeriesSettings(offset_x_mm=5, offset_y_mm=6, imaged_depth_mm=0.0075)
    made_from(SAMPLE, tmp_path / "first", DicomizeOptions(settings=deep))
    kept = made_from(tmp_path / "first", tmp_path / "kept", DicomizeOptions())[0]
    assert kept.ImagedVolumeDepth == pytest.approx(7.5)
    assert kept.TotalPixelMatrixOriginSequence[0].XOffsetInSlideCoordinateSystem == 5
    moved = made_from(
        tmp_path / "first", tmp_path / "moved", DicomizeOptions(settings=SeriesSettings(offset_x_mm=1, offset_y_mm=2))
    )[0]
    assert moved.TotalPixelMatrixOriginSequence[0].XOffsetInSlideCoordinateSystem == 1


def test_deterministic_uids_tell_all_options_apart(tmp_path: Path) -> None:
    key = b"a key that is long enough"
    choices = [
        DicomizeOptions(),
        DicomizeOptions(source="tiff"),
        DicomizeOptions(pseudonym_key=key),
        DicomizeOptions(deidentify=DeidentifyOptions(key)),
        DicomizeOptions(deidentify=DeidentifyOptions(key, DatePolicy.KEEP)),
        DicomizeOptions(plan=PlanOptions(sampling=(1, 1))),
    ]
    uids = []
    for number, options in enumerate(choices):
        told = replace(options, uids=UidChoice.DETERMINISTIC)
        uids.append(dicomize(SAMPLE, FolderStore(tmp_path / str(number)), told).series.series_uid)
    assert len(set(uids)) == len(choices)


def test_a_stream_that_ends_early_is_broken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An EOI and zeros in the middle of a scan: libjpeg would fill the rest with gray."""
    import tifffile

    with tifffile.TiffFile(SAMPLE) as file:
        page = file.pages[0]
        begin, length = page.dataoffsets[5], page.databytecounts[5]
    data = bytearray(SAMPLE.read_bytes())
    middle = begin + length // 2
    data[middle : begin + length - 2] = b"\xff\xd9" + bytes(length - 2 - length // 2 - 2)
    path = tmp_path / "early.tif"
    path.write_bytes(data)
    caplog.set_level(logging.WARNING)
    told = DicomizeOptions(plan=PlanOptions(verify=True), blank_bad_tiles=True)
    done = dicomize(path, FolderStore(tmp_path / "out"), told)
    assert [(bad.level, bad.column, bad.row) for bad in done.bad_tiles] == [(0, 5, 0)]
    assert "ends after" in done.bad_tiles[0].reason
