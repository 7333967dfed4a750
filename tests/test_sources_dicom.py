"""DICOM series as input: found, grouped and decoded; against pydicom and wsidicom."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filereader import dcmread
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless
from wsidicom import WsiDicom

from tests.contracts.source_contract import SourceContract
from tests.foreign_series import (
    TILE,
    Picture,
    header,
    jpeg_frames,
    native_frames,
    per_frame_groups,
    save,
    save_native,
    sparse,
)
from tests.oracles import images
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.convert import DicomizeOptions, dicomize
from wsi_dicom.dicom.slide import DicomSlide, open_series
from wsi_dicom.errors import CorruptInput, UnsupportedFormat
from wsi_dicom.geometry import FIRST_PLANE, Plane, Region
from wsi_dicom.plan import PlanOptions
from wsi_dicom.slide import Encoding, ImageFlavor, SourceOptions
from wsi_dicom.sources import open_slide
from wsi_dicom.stores.folder import FolderStore

GRID = [(1 + column * TILE, 1 + row * TILE) for row in range(2) for column in range(3)]


class WsidicomReader:
    """The one level of a file, as wsidicom sees it."""

    def __init__(self, path: Path) -> None:
        self._slide = WsiDicom.open(path)
        self.sizes = [(level.size.width, level.size.height) for level in self._slide.pyramid]

    def region(self, level: int, region: Region, plane: Plane = FIRST_PLANE) -> np.ndarray[Any, Any]:
        pixels = self._slide.read_region((region.x, region.y), level, (region.width, region.height))
        return np.asarray(pixels)[:, :, :3]


class TestJpegFile(SourceContract):
    reader = WsidicomReader
    tolerance = 2  # inverse DCTs of two libraries

    @pytest.fixture
    def path(self, slides: Path, tmp_path: Path) -> Path:
        return Path(shutil.copy(slides / "dicom_wsi" / "gcp_single" / "bone_jpeg.dcm", tmp_path))


@pytest.fixture
def real_series(slides: Path) -> Path:
    return slides / "dicom_wsi" / "cytomine_cmu1"


def test_a_file_brings_its_siblings_and_no_others(real_series: Path, slides: Path, tmp_path: Path) -> None:
    for path in (*real_series.glob("*.dcm"), slides / "dicom_wsi" / "highdicom" / "sm_image.dcm"):
        shutil.copy(path, tmp_path)
    (tmp_path / "broken.dcm").write_bytes(bytes(128) + b"DICM" + bytes(40))
    (tmp_path / "notes.txt").write_text("not an image")
    label = next(
        path for path in real_series.glob("*.dcm") if "LABEL" in dcmread(path, specific_tags=["ImageType"]).ImageType
    )
    with open_slide(tmp_path / label.name) as slide:
        assert isinstance(slide, DicomSlide)
        assert (slide.pyramid.base.width, slide.pyramid.base.height) == (2220, 2967)
        assert set(slide.associated) == {ImageFlavor.LABEL, ImageFlavor.OVERVIEW, ImageFlavor.THUMBNAIL}
        assert {path.name for path in slide.files} == {path.name for path in real_series.glob("*.dcm")}
        assert slide.files[0].name == label.name


def test_a_folder_of_one_slide(real_series: Path, slides: Path, tmp_path: Path) -> None:
    for path in (*real_series.glob("*.dcm"), slides / "dicom_other" / "CT_small.dcm"):
        shutil.copy(path, tmp_path / path.stem)
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + bytes(40))
    with open_slide(tmp_path) as slide:
        assert len(slide.files) == 4


def test_a_folder_of_two_slides_is_refused(slides: Path, tmp_path: Path) -> None:
    for name in ("gcp_single/bone_jpeg.dcm", "highdicom/sm_image.dcm"):
        shutil.copy(slides / "dicom_wsi" / name, tmp_path)
    with pytest.raises(
        UnsupportedFormat, match=r"2 whole-slide series; give a file of one of them, such as bone_jpeg\.dcm"
    ):
        open_slide(tmp_path)


def test_a_broken_file_in_a_folder_is_named(slides: Path, tmp_path: Path) -> None:
    shutil.copy(slides / "dicom_wsi" / "gcp_single" / "bone_jpeg.dcm", tmp_path)
    (tmp_path / "broken.dcm").write_bytes(bytes(128) + b"DICM" + bytes(40))
    with pytest.raises(CorruptInput, match=r"broken\.dcm"):
        open_slide(tmp_path)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("dicom_other/CT_small.dcm", "CT Image Storage"),
        ("dicom_wsi/highdicom/seg_image_sm_dots.dcm", "Segmentation Storage"),
        ("dicom_wsi/highdicom/sm_annotations.dcm", "Microscopy Bulk Simple Annotations Storage"),
    ],
)
def test_other_dicom_is_called_by_its_name(slides: Path, tmp_path: Path, name: str, kind: str) -> None:
    path = Path(shutil.copy(slides / name, tmp_path))
    for given in (path, tmp_path):
        with pytest.raises(UnsupportedFormat, match=f"not a whole-slide image: {kind}"):
            open_slide(given)


def test_folders_without_dicom(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFormat, match="a folder that is no slide"):
        open_slide(tmp_path)
    with pytest.raises(UnsupportedFormat, match="holds no DICOM file"):
        open_slide(tmp_path, source="dicom")


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_colour_by_plane(tmp_path: Path, kind: str) -> None:
    """Planar Configuration 1, which the standard forbids for whole slides and old writers have."""
    expected = native_frames(6, kind=kind)
    picture = Picture(photometric="RGB", attributes={"PlanarConfiguration": 1})
    data = header(picture)
    data.BitsAllocated = data.BitsStored = 8 * expected.itemsize
    data.HighBit = data.BitsStored - 1
    path = save(tmp_path / "image.dcm", data, ExplicitVRLittleEndian, expected.transpose(0, 3, 1, 2).tobytes())
    assert np.array_equal(dcmread(path).pixel_array, expected)
    with open_slide(path) as slide:
        assert slide.encoding(0) == Encoding(ExplicitVRLittleEndian, "RGB")
        for number, (column, row) in enumerate(slide.pyramid.base.tiles()):
            assert np.array_equal(slide.tile(0, column, row), expected[number])
            stored = slide.encoded_tile(0, column, row)
            assert stored is not None
            assert stored.data == expected[number].tobytes()


def twelve_bits(folder: Path, syntax: str) -> tuple[Path, np.ndarray[Any, Any]]:
    expected = native_frames(6, kind="u2", samples=1) >> 4
    data = header(Picture(photometric="MONOCHROME2"))
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    pixel_data = expected.tobytes()
    if syntax == JPEG2000Lossless:
        encoded = [
            imagecodecs.jpeg2k_encode(frame[:, :, 0], 0, codecformat="j2k", reversible=True, bitspersample=12)
            for frame in expected
        ]
        pixel_data = encapsulate(encoded)
    return save(folder / "image.dcm", data, syntax, pixel_data), expected


@pytest.mark.parametrize(("syntax", "copied"), [(ExplicitVRLittleEndian, True), (JPEG2000Lossless, False)])
def test_twelve_bits_keep_their_values(tmp_path: Path, syntax: str, copied: bool) -> None:
    """A stream of 12 bits cannot stand in an image of 16, as the standard wants it; bare values can."""
    path, expected = twelve_bits(tmp_path, syntax)
    with open_slide(path) as slide:
        assert slide.pyramid.pixel_format.bits == 16
        assert (slide.encoding(0) is not None) is copied
        assert (slide.encoded_tile(0, 0, 0) is not None) is copied
        for number, (column, row) in enumerate(slide.pyramid.base.tiles()):
            assert np.array_equal(slide.tile(0, column, row), expected[number])


@pytest.mark.parametrize("bits", [(32, 32, 31), (16, 12, 10), (8, 12, 11)])
def test_other_bits_are_refused(tmp_path: Path, bits: tuple[int, int, int]) -> None:
    data = header(Picture(photometric="MONOCHROME2"))
    data.BitsAllocated, data.BitsStored, data.HighBit = bits
    path = save(tmp_path / "image.dcm", data, ExplicitVRLittleEndian, bytes(6 * TILE * TILE * bits[0] // 8))
    with pytest.raises(
        UnsupportedFormat, match=rf"image\.dcm has pixels of 1 unsigned samples with {bits[1]} of {bits[0]}"
    ):
        open_slide(path)


def lab_words(lightness: float, a: float, b: float) -> list[int]:
    return [round(lightness * 655.35), round((a + 128) * 257), round((b + 128) * 257)]


COLOURS = [(100, 0, 0), (0, 0, 0), (95, 4, -6), (60, 45, -30), (50, -40, 35), (30, 20, 20), (5, 0, 0)]


@pytest.mark.parametrize("colour", COLOURS)
def test_absent_tiles_have_the_recommended_colour(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    lab = Image.frombytes("LAB", (1, 1), bytes([round(colour[0] * 2.55), colour[1] % 256, colour[2] % 256]))
    profiles = [ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")]
    expected = ImageCms.profileToProfile(lab, *profiles, outputMode="RGB").getpixel((0, 0))
    picture = sparse(Picture(), per_frame_groups(GRID[:1]))
    picture.attributes["RecommendedAbsentPixelCIELabValue"] = lab_words(*colour)
    path = save_native(tmp_path / "image.dcm", picture, native_frames(1))
    with open_slide(path) as slide:
        assert slide.sparse
        assert not slide.absent(0, 0, 0)
        assert slide.absent(0, 1, 1)
        tile = slide.tile(0, 1, 1)
        assert tile.shape == (TILE, TILE, 3)
        np.testing.assert_allclose(tile.astype(int), np.broadcast_to(expected, tile.shape), atol=2)
        assert slide.carried_attributes().RecommendedAbsentPixelCIELabValue == lab_words(*colour)
    with open_slide(path, options=SourceOptions(color=(9, 8, 7))) as slide:
        assert tuple(slide.tile(0, 1, 1)[3, 3]) == (9, 8, 7)
        assert "RecommendedAbsentPixelCIELabValue" not in slide.carried_attributes()


def test_positions_for_every_tile_are_not_sparse(tmp_path: Path) -> None:
    picture = sparse(Picture(), per_frame_groups(GRID[::-1]))
    with open_slide(save_native(tmp_path / "image.dcm", picture, native_frames(6))) as slide:
        assert not slide.sparse
        assert not any(slide.absent(0, column, row) for column, row in slide.pyramid.base.tiles())


def test_focal_planes_tell_their_distance(tmp_path: Path) -> None:
    measures, groups = Dataset(), Dataset()
    measures.SpacingBetweenSlices = "0.0015"
    groups.PixelMeasuresSequence = Sequence([measures])
    full = Picture(frames=12, attributes={"TotalPixelMatrixFocalPlanes": 2, "SharedFunctionalGroupsSequence": [groups]})
    with open_slide(save_native(tmp_path / "full.dcm", full, native_frames(12))) as slide:
        assert slide.pyramid.focal_spacing_um == 1.5
    told = sparse(Picture(), per_frame_groups([GRID[0]] * 3, z_um=[2.0, -1.0, 0.5]))
    with open_slide(save_native(tmp_path / "told.dcm", told, native_frames(3))) as slide:
        assert slide.pyramid.focal_planes == 3
        assert slide.pyramid.focal_spacing_um == 1.5


def test_optical_paths(tmp_path: Path) -> None:
    bright, blue = Dataset(), Dataset()
    bright.OpticalPathIdentifier = "0"
    blue.OpticalPathIdentifier, blue.OpticalPathDescription = "1", "DAPI"
    blue.IlluminationTypeCodeSequence = Sequence([Dataset()])
    blue.IlluminationTypeCodeSequence[0].CodeValue = "111743"
    blue.IlluminationWaveLength = 385.0
    blue.ImagePathFilterPassThroughWavelength = 450
    palette = Dataset()
    for name, full in zip(("Red", "Green", "Blue"), (0, 128, 255), strict=True):
        setattr(palette, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        table = (np.arange(256) / 255 * full * 257).round().astype("<u2")
        setattr(palette, f"{name}PaletteColorLookupTableData", table.tobytes())
    blue.PaletteColorLookupTableSequence = Sequence([palette])
    picture = Picture(frames=12, attributes={"OpticalPathSequence": [bright, blue]})
    with open_slide(save_native(tmp_path / "image.dcm", picture, native_frames(12, samples=1))) as slide:
        first, second = slide.metadata.optical_paths
        assert (first.identifier, first.fluorescence, first.color) == ("0", False, None)
        assert (second.identifier, second.description, second.fluorescence) == ("1", "DAPI", True)
        assert (second.excitation_nm, second.emission_nm, second.color) == (385.0, 450.0, (0, 128, 255))


def test_lossy_history(tmp_path: Path) -> None:
    for ratios, expected in (
        (["8.5", "20"], [("ISO_15444_1", 8.5), ("ISO_10918_1", 20.0)]),
        ("8", [("ISO_10918_1", None)]),
    ):
        picture = Picture()
        picture.attributes = {
            "LossyImageCompression": "01",
            "LossyImageCompressionMethod": ["ISO_15444_1", "ISO_10918_1"],
            "LossyImageCompressionRatio": ratios,
        }
        path = save(tmp_path / "image.dcm", header(picture), picture.syntax, encapsulate(jpeg_frames(6)))
        with open_series([path]) as slide:
            assert [(step.method, step.ratio) for step in slide.losses(0)] == expected
            assert slide.lossy_method(0) == "ISO_10918_1"


def test_a_sparse_series_stays_sparse(tmp_path: Path) -> None:
    """Copied, and in another compression; tiles without a frame get none, and keep their colour."""
    picture = sparse(Picture(3 * TILE, 2 * TILE), per_frame_groups([GRID[4], GRID[1]]))
    picture.attributes |= {"RecommendedAbsentPixelCIELabValue": lab_words(60, 45, -30), "LossyImageCompression": "01"}
    picture.attributes |= {"ImagedVolumeWidth": 0.048, "ImagedVolumeHeight": 0.032}
    source = save(tmp_path / "image.dcm", header(picture), picture.syntax, encapsulate(jpeg_frames(2)))
    for number, compression in enumerate((None, Compression.JPEG2000)):
        folder = tmp_path / str(number)
        dicomize(
            source, FolderStore(folder), DicomizeOptions(plan=PlanOptions(compression=compression, reencode=number > 0))
        )
        (new,) = images(folder)["VOLUME"]
        assert new.DimensionOrganizationType == "TILED_SPARSE"
        assert new.NumberOfFrames == 2
        assert list(new.RecommendedAbsentPixelCIELabValue) == lab_words(60, 45, -30)
        with open_slide(source) as old, open_slide(folder) as slide:
            for column, row in slide.pyramid.base.tiles():
                assert slide.absent(0, column, row) is old.absent(0, column, row)
                assert np.array_equal(slide.tile(0, column, row), old.tile(0, column, row))
        with open_slide(source) as old, WsiDicom.open(folder) as oracle:  # dciodvfy knows no missing frames
            for column, row in ((1, 0), (1, 1)):
                tile = np.asarray(oracle.read_tile(0, (column, row)))
                np.testing.assert_allclose(tile.astype(int), old.tile(0, column, row), atol=2)


def test_a_folder_of_other_things_is_none(slides: Path, tmp_path: Path) -> None:
    shutil.copy(slides / "dicom_wsi" / "gcp_single" / "bone_jpeg.dcm", tmp_path)
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text("something else")
    with pytest.raises(UnsupportedFormat, match="a folder that is no slide"):
        open_slide(tmp_path)
