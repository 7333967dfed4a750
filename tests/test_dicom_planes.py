"""Focal planes, channels, sparse and split levels: by the checkers, and as other readers see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pydicom
import pytest
from highdicom.spatial import PixelToReferenceTransformer
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.tag import Tag
from skimage.color import rgb2lab
from wsidicom import WsiDicom

from tests.dicom_series import GRAY, KINDS, METADATA, VOLUME, Kind, complaints
from tests.oracles import SPARSE_IS_NOT_FULL
from tests.test_dicom_dataset import LEVEL, additions, at, dataset_of, describe, item
from wsi_dicom.dicom.character_sets import CharacterSet
from wsi_dicom.dicom.cielab import srgb_from_cielab
from wsi_dicom.dicom.dataset import image_dataset
from wsi_dicom.dicom.description import Concatenation, FramePositions, ImageDescription
from wsi_dicom.dicom.settings import SeriesSettings
from wsi_dicom.dicom.uids import SeriesIdentity
from wsi_dicom.dicom.writer import InstanceWriter
from wsi_dicom.geometry import Plane
from wsi_dicom.metadata import OpticalPath

CHANNELS = (
    OpticalPath("DAPI", "nuclei", fluorescence=True, excitation_nm=405.0, emission_nm=461.4, color=(0, 0, 255)),
    OpticalPath("FITC", fluorescence=True, emission_nm=519.0, color=(0, 255, 0)),
)


def gray_of(number: int) -> int:
    return 20 + 9 * number


def write_image(path: Path, description: ImageDescription, kind: Kind, **options: Any) -> Dataset:
    """Each frame has the one gray `gray_of` its number."""
    identity = SeriesIdentity.deterministic(str(path.parent))
    volume = replace(VOLUME, depth_um=description.focal_planes * (description.focal_spacing_um or 1.0))
    dataset = image_dataset(identity, description, METADATA, volume, Dataset(), **options)
    pixels = np.ones((256, 256, kind.pixel_format.samples), "u1" if kind.pixel_format.bits == 8 else "u2")
    frames = [kind.encode(pixels * gray_of(number)) for number in range(description.frame_count)]
    with InstanceWriter(path, dataset, frame_count=len(frames), largest_total=sum(map(len, frames))) as writer:
        for frame in frames:
            writer.write(frame)
    return pydicom.dcmread(path)


def grays(folder: Path, z: float = 0.0, path: str = "0") -> list[int]:
    """What wsidicom sees in the four tiles of the finest level of a plane."""
    with WsiDicom.open(folder) as slide:
        tiles = [np.asarray(slide.read_tile(0, (x, y), z=z, path=path)) for y in range(2) for x in range(2)]
    return [int(np.atleast_3d(tile)[10, 10, 0]) for tile in tiles]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name in ("gray-jpeg", "gray-16", "jpeg-ycbcr")])
def test_focal_planes_and_channels(tmp_path: Path, tool: Callable[[str], str], kind: Kind) -> None:
    paths = CHANNELS if kind.pixel_format.samples == 1 else ()
    described = describe(
        pixel_format=kind.pixel_format,
        encoding=kind.encoding,
        focal_planes=3,
        focal_spacing_um=0.5,
        optical_paths=paths,
    )
    dataset = write_image(tmp_path / "1.dcm", described, kind)
    assert complaints(tool, "dciodvfy", tmp_path / "1.dcm") == []
    assert complaints(tool, "dcentvfy", tmp_path / "1.dcm") == []
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert measures.SpacingBetweenSlices == measures.SliceThickness == 0.0005
    assert dataset.ImagedVolumeDepth == 1.5
    frame = 0
    for path in [path.identifier for path in paths] or ["0"]:
        for focal in range(3):
            expected = [gray_of(number) for number in range(frame, frame + 4)]
            assert grays(tmp_path, focal * 0.5, path) == pytest.approx(expected, abs=2)
            frame += 4


def test_what_is_told_of_a_channel(tmp_path: Path) -> None:
    first, second = write_image(
        tmp_path / "1.dcm", describe(pixel_format=GRAY, encoding=KINDS[5].encoding, optical_paths=CHANNELS), KINDS[5]
    ).OpticalPathSequence
    assert first.OpticalPathDescription == "nuclei"
    assert first.IlluminationTypeCodeSequence[0].CodeMeaning == "Epifluorescence illumination"
    assert first.IlluminationWaveLength == 405.0
    assert "IlluminationColorCodeSequence" not in first
    assert first.ImagePathFilterPassThroughWavelength == 461
    assert second.IlluminationColorCodeSequence[0].CodeMeaning == "Full Spectrum"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.pixel_format.samples == 1])
def test_the_palette_goes_from_black_to_the_colour(kind: Kind) -> None:
    path = OpticalPath("1", fluorescence=True, color=(255, 128, 0))
    dataset = dataset_of(pixel_format=kind.pixel_format, encoding=kind.encoding, optical_paths=(path,))
    most = 2**kind.pixel_format.bits - 1
    gray = np.array([0, most // 2, most], f"u{kind.pixel_format.bits // 8}")
    palette = dataset.OpticalPathSequence[0].PaletteColorLookupTableSequence[0]
    palette.set_original_encoding(False, True)
    shown = apply_color_lut(gray, palette) / 257
    assert shown == pytest.approx(np.outer(gray / most, path.color), abs=0.01)
    plain = dataset_of(pixel_format=kind.pixel_format, encoding=kind.encoding, optical_paths=(OpticalPath("1"),))
    assert "PaletteColorLookupTableSequence" not in plain.OpticalPathSequence[0]
    assert "ICCProfile" not in plain.OpticalPathSequence[0]


@pytest.mark.parametrize("identifiers", [("x" * 17, "b"), ("a", "a"), ("", "b"), ("a", "a ")])
def test_identifiers_that_cannot_be_used_are_numbered(identifiers: tuple[str, str]) -> None:
    dataset = dataset_of(optical_paths=tuple(map(OpticalPath, identifiers)))
    assert [item.OpticalPathIdentifier for item in dataset.OpticalPathSequence] == ["0", "1"]


def test_a_sparse_level(tmp_path: Path, tool: Callable[[str], str]) -> None:
    positions = at((1, 0), (0, 1))
    dataset = write_image(tmp_path / "1.dcm", describe(positions=positions, absent_color=(255, 255, 255)), KINDS[0])
    found = complaints(tool, "dciodvfy", tmp_path / "1.dcm")
    assert [line for line in found if SPARSE_IS_NOT_FULL not in line] == []
    assert complaints(tool, "dcentvfy", tmp_path / "1.dcm") == []
    assert dataset.DimensionOrganizationType == "TILED_SPARSE"
    assert dataset.NumberOfFrames == 2
    assert grays(tmp_path) == pytest.approx([255, gray_of(0), gray_of(1), 255], abs=2)
    with openslide.OpenSlide(tmp_path / "1.dcm") as slide:
        for tile, expected in (((0, 0), (0, 0)), ((1, 0), (gray_of(0), 255)), ((0, 1), (gray_of(1), 255))):
            x, y = 256 * tile[0] + 5, 256 * tile[1] + 5
            red, _, _, alpha = slide.read_region((x, y), 0, (1, 1)).getpixel((0, 0))
            assert (red, alpha) == pytest.approx(expected, abs=2)


def test_positions_agree_with_each_other_and_with_highdicom(tmp_path: Path) -> None:
    planes = [Plane(p, f) for p in range(2) for f in range(2)]
    described = describe(
        pixel_format=GRAY,
        encoding=KINDS[5].encoding,
        positions=FramePositions.of_places(LEVEL, planes, range(16)),
        focal_planes=2,
        focal_spacing_um=0.5,
        optical_paths=CHANNELS,
    )
    dataset = write_image(tmp_path / "1.dcm", described, KINDS[5], settings=SeriesSettings(12.5, 30.25))
    assert [item.DimensionIndexPointer for item in dataset.DimensionIndexSequence] == [
        Tag(keyword)
        for keyword in (
            "ColumnPositionInTotalImagePixelMatrix",
            "RowPositionInTotalImagePixelMatrix",
            "ZOffsetInSlideCoordinateSystem",
            "OpticalPathIdentifier",
        )
    ]
    orientation = [float(value) for value in dataset.ImageOrientationSlide]
    origin = dataset.TotalPixelMatrixOriginSequence[0]
    to_slide = PixelToReferenceTransformer(
        (float(origin.XOffsetInSlideCoordinateSystem), float(origin.YOffsetInSlideCoordinateSystem), 0.0),
        orientation,
        [float(v) for v in dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing],
    )
    tiles = [(column, row, plane) for plane in planes for row in range(2) for column in range(2)]
    for (column, row, plane), groups in zip(tiles, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        place = groups.PlanePositionSlideSequence[0]
        x, y = 256 * column, 256 * row
        assert (place.ColumnPositionInTotalImagePixelMatrix, place.RowPositionInTotalImagePixelMatrix) == (x + 1, y + 1)
        expected = to_slide(np.array([[x, y]]))[0]
        assert [place.XOffsetInSlideCoordinateSystem, place.YOffsetInSlideCoordinateSystem] == pytest.approx(
            expected[:2], abs=1e-6
        )
        assert place.ZOffsetInSlideCoordinateSystem == plane.focal_plane * 0.5
        path = groups.OpticalPathIdentificationSequence[0].OpticalPathIdentifier
        assert path == CHANNELS[plane.optical_path].identifier
        index = groups.FrameContentSequence[0].DimensionIndexValues
        assert list(index) == [column + 1, row + 1, plane.focal_plane + 1, plane.optical_path + 1]
    assert grays(tmp_path, 0.5, "FITC") == pytest.approx([gray_of(number) for number in range(12, 16)], abs=2)


@pytest.mark.parametrize("chosen", [CharacterSet.UTF8, CharacterSet.LATIN1, CharacterSet.CHINESE])
def test_frames_name_their_optical_path_in_the_character_set_of_the_image(tmp_path: Path, chosen: CharacterSet) -> None:
    described = describe(
        pixel_format=GRAY,
        encoding=KINDS[5].encoding,
        positions=at((1, 0), (0, 1), planes=[Plane(0), Plane(1)]),
        optical_paths=(OpticalPath("Zügel"), OpticalPath("Ä")),
    )
    dataset = write_image(tmp_path / "1.dcm", described, KINDS[5], settings=SeriesSettings(character_set=chosen))
    groups = dataset.PerFrameFunctionalGroupsSequence
    named = [group.OpticalPathIdentificationSequence[0].OpticalPathIdentifier for group in groups]
    assert named == ["Zügel", "Zügel", "Ä", "Ä"]
    assert {path.OpticalPathIdentifier for path in dataset.OpticalPathSequence} == set(named)


def test_a_split_level(tmp_path: Path, tool: Callable[[str], str]) -> None:
    tiles = [(column, row) for row in range(2) for column in range(2)]
    for number, first in enumerate((0, 3), start=1):
        described = describe(
            sop_instance_uid=f"2.25.{number}",
            positions=at(*tiles[first : first + 3]),
            concatenation=Concatenation("2.25.10", number, 2, first, "2.25.11"),
        )
        dataset = write_image(tmp_path / f"{number}.dcm", described, KINDS[0])
        assert dataset.ConcatenationFrameOffsetNumber == first
        found = complaints(tool, "dciodvfy", tmp_path / f"{number}.dcm")
        assert [line for line in found if SPARSE_IS_NOT_FULL not in line] == []
    assert complaints(tool, "dcentvfy", *tmp_path.iterdir()) == []
    assert grays(tmp_path) == pytest.approx([gray_of(0), gray_of(1), gray_of(2), gray_of(0)], abs=2)
    with openslide.OpenSlide(tmp_path / "1.dcm") as slide:
        assert slide.read_region((5, 5), 0, (1, 1)).getpixel((0, 0))[0] == pytest.approx(gray_of(0), abs=2)
        assert slide.read_region((260, 260), 0, (1, 1)).getpixel((0, 0))[0] == pytest.approx(gray_of(0), abs=2)


def test_the_user_may_move_a_sparse_level() -> None:
    given = additions(
        TotalPixelMatrixOriginSequence=item(XOffsetInSlideCoordinateSystem="1", YOffsetInSlideCoordinateSystem="2"),
        ImageOrientationSlide=["1", "0", "0", "0", "1", "0"],
    )
    frame = dataset_of(given, positions=at((1, 1))).PerFrameFunctionalGroupsSequence[0]
    place = frame.PlanePositionSlideSequence[0]
    assert place.XOffsetInSlideCoordinateSystem == pytest.approx(1 + 256 * 0.0005)
    assert place.YOffsetInSlideCoordinateSystem == pytest.approx(2 + 256 * 0.00025)


@pytest.mark.parametrize("color", [(255, 255, 255), (0, 0, 0), (200, 30, 90), (0, 255, 0), (3, 2, 1)])
def test_the_colour_of_absent_tiles(color: tuple[int, int, int]) -> None:
    expected = rgb2lab(np.array([[color]]) / 255, illuminant="D65")[0, 0]
    stored = dataset_of(absent_color=color, positions=at((0, 0))).RecommendedAbsentPixelCIELabValue
    found = stored[0] / 655.35, stored[1] / 257 - 128, stored[2] / 257 - 128
    # lightness is nearly that of D65; a and b depend on how white is adapted
    assert found[0] == pytest.approx(expected[0], abs=4)
    assert srgb_from_cielab(stored) == color
    if color == (255, 255, 255):
        assert list(stored) == [65535, 32896, 32896]
