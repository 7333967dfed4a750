"""Aperio SVS against OpenSlide and tifffile: the real slide, the sample, and JPEG 2000 slides made here."""

from __future__ import annotations

import io
import logging
import struct
from datetime import datetime
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image
from skimage.data import immunohistochemistry
from skimage.transform import downscale_local_mean

from tests.contracts.source_contract import CopiedJpegContract, OpenslideReader, SourceContract, scan
from wsi_dicom.codecs import codec_for
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.errors import UnsupportedFormat, UnsupportedStack
from wsi_dicom.geometry import FIRST_PLANE, Plane, Region
from wsi_dicom.metadata import OpticalPath
from wsi_dicom.region import read_region
from wsi_dicom.slide import Encoding, ImageFlavor, Slide, SourceOptions
from wsi_dicom.sources import open_slide

SAMPLE = Path(__file__).parent.parent / "sample_data" / "ihc-8k.svs"


@pytest.fixture
def cmu(slides: Path) -> Path:
    return slides / "aperio" / "CMU-1-Small-Region.svs"


class TestCmuRegion(SourceContract, CopiedJpegContract):
    reader = OpenslideReader

    @pytest.fixture
    def path(self, cmu: Path) -> Path:
        return cmu

    def test_tiles_are_marked_as_rgb(self, slide: Slide) -> None:
        assert slide.encoding(0) == Encoding(JPEG_BASELINE, "RGB")
        tile = slide.encoded_tile(0, 3, 4)
        assert tile is not None
        with Image.open(io.BytesIO(tile.data)) as picture:
            assert picture.info["adobe_transform"] == 0


class TestSample(SourceContract, CopiedJpegContract):
    reader = OpenslideReader

    @pytest.fixture
    def path(self) -> Path:
        return SAMPLE


@pytest.mark.parametrize("name", ["cmu", "sample"])
def test_metadata_agrees_with_openslide(name: str, cmu: Path) -> None:
    path = cmu if name == "cmu" else SAMPLE
    with open_slide(path) as slide, openslide.OpenSlide(path) as other:
        theirs = {key[7:]: value for key, value in other.properties.items() if key.startswith("aperio.")}
        assert slide.metadata.properties == theirs
        spacing = slide.pyramid.spacing
        assert spacing is not None
        assert spacing.x_mm * 1000 == pytest.approx(float(other.properties["openslide.mpp-x"]))
        assert spacing.y_mm * 1000 == pytest.approx(float(other.properties["openslide.mpp-y"]))
        assert slide.metadata.objective_power == float(other.properties["openslide.objective-power"])
        assert (slide.metadata.icc_profile is None) == (other.color_profile is None) == (name == "cmu")


def test_scanner_of_the_cmu_region(cmu: Path) -> None:
    with open_slide(cmu) as slide:
        assert slide.metadata.serial_number == "CPAPERIOCS"
        assert slide.metadata.acquired == datetime(2009, 12, 29, 9, 59, 15)
        assert slide.metadata.manufacturer == "Aperio"
        assert slide.metadata.software_versions == ("Aperio Image Library v11.2.1", "Aperio Image Library v10.0.51")


@pytest.mark.parametrize("name", ["cmu", "sample"])
def test_associated_images_agree_with_openslide(name: str, cmu: Path) -> None:
    path = cmu if name == "cmu" else SAMPLE
    names = {ImageFlavor.LABEL: "label", ImageFlavor.OVERVIEW: "macro", ImageFlavor.THUMBNAIL: "thumbnail"}
    with open_slide(path) as slide, openslide.OpenSlide(path) as other:
        assert set(slide.associated) == set(names)
        for flavor, image in slide.associated.items():
            expected = np.asarray(other.associated_images[names[flavor]].convert("RGB"))
            assert np.array_equal(image.pixels(), expected)
            assert expected.shape == (image.height, image.width, 3)
            encoded = image.encoded()
            assert (image.lossy_method is None) == (flavor == ImageFlavor.LABEL) == (encoded is None)
            if encoded is not None:
                decoded = codec_for(JPEG_BASELINE).decode(encoded, image.width, image.height, image.pixel_format)
                with Image.open(io.BytesIO(encoded.data)) as picture:
                    assert np.array_equal(np.asarray(picture), decoded)
                # chroma is smoothed across strips that have become one picture, so only RGB stays exact
                smoothing = 0 if encoded.encoding.photometric == "RGB" else 3
                assert np.abs(decoded.astype(int) - expected).mean() <= smoothing / 2
                assert encoded.encoding.photometric == ("RGB" if name == "cmu" else "YBR_FULL_422")


def test_joined_strips_keep_their_scans(cmu: Path) -> None:
    with open_slide(cmu) as slide, tifffile.TiffFile(cmu) as file:
        for flavor, page in ((ImageFlavor.THUMBNAIL, file.pages[1]), (ImageFlavor.OVERVIEW, file.pages[3])):
            encoded = slide.associated[flavor].encoded()
            assert encoded is not None
            stored = []
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
                file.filehandle.seek(offset)
                stored.append(scan(file.filehandle.read(count)))
            joined = scan(encoded.data)
            for number, strip in enumerate(stored):
                assert joined.startswith(strip)
                joined = joined[len(strip) :]
                if number < len(stored) - 1:
                    assert joined[:2] == bytes((0xFF, 0xD0 + number % 8))
                    joined = joined[2:]
            assert joined == b""


def test_missing_tiles_are_white(tmp_path: Path, cmu: Path) -> None:
    path = tmp_path / "sparse.svs"
    data = bytearray(cmu.read_bytes())
    with tifffile.TiffFile(cmu) as file:
        counts = file.pages.first.tags["TileByteCounts"].valueoffset
    data[counts + 4 * 11 : counts + 4 * 12] = bytes(4)  # byte count 0: the scanner saw nothing there
    path.write_bytes(data)
    with open_slide(path) as slide:
        row, column = divmod(11, slide.pyramid.base.columns)
        assert slide.encoded_tile(0, column, row) is None
        assert slide.tile(0, column, row).min() == 255
        assert slide.encoded_tile(0, column - 1, row) is not None
        assert not slide.sparse
    with open_slide(path, options=SourceOptions(color=(230, 231, 232))) as slide:
        assert (slide.tile(0, column, row) == [230, 231, 232]).all()


PICTURE: np.ndarray = immunohistochemistry()  # type: ignore[no-untyped-call]
HEADER = "Aperio Image Library v11.2.1 \r\n"
JPEG = {"photometric": "rgb", "compression": "jpeg", "metadata": None}
PROPERTIES = "|AppMag = 20|MPP = 0.4990|ScannerType = AT2"


def write_svs(path: Path, *, tiled_thumbnail: bool = False, properties: str = PROPERTIES) -> Path:
    """The pages of a small slide as Aperio orders and describes them: thumbnail in second place, a JPEG-coded label."""
    thumbnail = {"tile": (16, 16)} if tiled_thumbnail else {"rowsperstrip": 16}
    with tifffile.TiffWriter(path) as out:
        out.write(
            PICTURE, tile=(128, 128), description=f"{HEADER}512x512 [0,0 512x512] (128x128) JPEG/RGB Q=70{properties}",
            **JPEG,
        )  # fmt: skip
        out.write(PICTURE[::8, ::8], description=f"{HEADER}512x512 -> 64x64 - {properties}", **JPEG, **thumbnail)
        out.write(
            halved(halved(PICTURE)), tile=(64, 64), **JPEG,
            description=f"{HEADER}512x512 [0,0 512x512] (128x128) -> 128x128 JPEG/RGB Q=70{properties}",
        )  # fmt: skip
        out.write(PICTURE[:96, :80], subfiletype=1, description=f"{HEADER}label 80x96", rowsperstrip=16, **JPEG)
        out.write(PICTURE[:128, :200], subfiletype=9, description=f"{HEADER}macro 200x128", rowsperstrip=16, **JPEG)
    return path


def halved(pixels: np.ndarray) -> np.ndarray:
    return np.rint(downscale_local_mean(pixels, (2, 2, 1))).astype(np.uint8)


class TestWholeSlide(SourceContract):
    """Made here, against OpenSlide."""

    reader = OpenslideReader

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write_svs(tmp_path / "whole.svs")


@pytest.mark.parametrize("tiled", [False, True], ids=["strips", "tiles"])
def test_thumbnail_and_jpeg_coded_label(tmp_path: Path, tiled: bool) -> None:
    path = write_svs(tmp_path / "pictures.svs", tiled_thumbnail=tiled)
    with open_slide(path) as slide, tifffile.TiffFile(path) as file:
        assert [(level.width, level.height) for level in slide.pyramid.levels] == [(512, 512), (128, 128)]
        pages = {ImageFlavor.THUMBNAIL: 1, ImageFlavor.LABEL: 3, ImageFlavor.OVERVIEW: 4}
        assert set(slide.associated) == set(pages)
        for flavor, page in pages.items():
            image = slide.associated[flavor]
            expected = file.pages[page].asarray()
            assert np.array_equal(image.pixels(), expected)
            assert image.lossy_method == "ISO_10918_1"
            encoded = image.encoded()
            assert (encoded is None) == (tiled and flavor == ImageFlavor.THUMBNAIL), "tiles cannot be joined"
            if encoded is not None:
                with Image.open(io.BytesIO(encoded.data)) as picture:
                    assert np.abs(np.asarray(picture).astype(int) - expected).mean() < 1


def test_tiles_that_scanners_leave_out_are_rebuilt(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A byte count of 0, and garbage, in the coarse level; garbage at the edge of the fine one."""
    path = write_svs(tmp_path / "defects.svs")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        coarse = file.pages[2]
        counts = coarse.tags["TileByteCounts"].valueoffset
        for offset in (coarse.dataoffsets[3], file.pages[0].dataoffsets[3]):
            data[offset : offset + 20] = b"garbage of a scanner"
        data[counts : counts + coarse.tags["TileByteCounts"].dtype] = bytes(coarse.tags["TileByteCounts"].dtype)
    path.write_bytes(data)
    with open_slide(path) as slide:
        fine = read_region(slide, 0, Region(0, 0, 512, 512))
        assert (fine[:128, 384:512] == 255).all()
        assert "tile column 3, row 0 is no JPEG and taken as missing" in caplog.text
        for column, row in ((0, 0), (1, 1)):
            assert slide.encoded_tile(1, column, row) is None
            region = fine[256 * row : 256 * row + 256, 256 * column : 256 * column + 256]
            expected = downscale_local_mean(region, (4, 4, 1))
            assert np.abs(slide.tile(1, column, row) - expected).max() <= 1
        assert [tile is None for tile in slide.encoded_row(1, 1)] == [False, True]
        assert [tile is None for tile in slide.encoded_row(0, 0)] == [False, False, False, True]
        assert slide.encoded_tile(1, 1, 0) is not None


class TestFocalPlanes(SourceContract):
    """In the order of Aperio: all levels of the first plane, then those of the next; OffsetZ tells how deep."""

    class Reader:
        def __init__(self, path: Path) -> None:
            with tifffile.TiffFile(path) as file:
                pages = [page.asarray() for page in file.pages]
            upwards = (2, 0, 1)  # by OffsetZ
            self._levels = [
                [pages[(0, 3, 5)[plane]] for plane in upwards],
                [pages[(2, 4, 6)[plane]] for plane in upwards],
            ]
            self.sizes = [(512, 512), (256, 256)]

        def region(self, level: int, region: Region, plane: Plane = FIRST_PLANE) -> np.ndarray:
            return self._levels[level][plane.focal_plane][region.y : region.bottom, region.x : region.right]

    reader = Reader
    reader_knows_planes = True

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "stack.svs"
        with tifffile.TiffWriter(path) as out:
            for number, depth in enumerate(("TotalDepth = 4", "OffsetZ = 2", "OffsetZ = -2")):
                plane = np.roll(PICTURE, 40 * number, 1)
                out.write(plane, tile=(128, 128), description=f"{HEADER}512x512 (128x128)|{depth}", **JPEG)
                if not number:
                    out.write(PICTURE[::8, ::8], rowsperstrip=64, description=f"{HEADER}512x512 -> 64x64", **JPEG)
                out.write(halved(plane), tile=(128, 128), description=f"{HEADER}512x512 (128x128)|{depth}", **JPEG)
        return path

    def test_planes_are_counted_and_copied(self, slide: Slide) -> None:
        assert (slide.pyramid.focal_planes, slide.pyramid.optical_paths) == (3, 1)
        tiles = [slide.encoded_tile(0, 1, 1, plane) for plane in slide.pyramid.planes]
        assert None not in tiles
        assert len({tile.data for tile in tiles if tile is not None}) == 3
        assert ImageFlavor.THUMBNAIL in slide.associated


@pytest.mark.parametrize(
    ("properties", "power"),
    [("|AppMag = 20", 20.0), ("|AppMag = 40x", 40.0), ("|AppMag = 0", None), ("|AppMag = high", None), ("", None)],
)
def test_objective_power_may_be_missing(tmp_path: Path, properties: str, power: float | None) -> None:
    with open_slide(write_svs(tmp_path / "power.svs", properties=properties)) as slide:
        assert slide.metadata.objective_power == power


@pytest.mark.parametrize(
    ("header", "model", "versions"),
    [
        ("Aperio Leica Biosystems GT450 v1.0.1\r\n", "GT450", ("Aperio Leica Biosystems GT450 v1.0.1",)),
        ("Aperio Leica Biosystems GT450DX v2.0\r\n|ScannerType = ", "GT450DX", None),
        ("Aperio Leica Biosystems GT450 v1.0.1\r\n|ScannerType = GT450", "GT450", None),
        ("Aperio Image Library v12.0.15\r\n|ScannerType = SS5328|ScanScope ID = ", "SS5328", None),
        ("Aperio Image Library v12.0.15\r\n|Barcode = ", None, None),
    ],
)  # fmt: skip
def test_scanners(tmp_path: Path, header: str, model: str | None, versions: tuple[str, ...] | None) -> None:
    path = tmp_path / "scanner.svs"
    tifffile.imwrite(path, PICTURE, tile=(256, 256), description=header, photometric="rgb", metadata=None)
    with open_slide(path) as slide:
        metadata = slide.metadata
        assert metadata.model == model
        assert metadata.manufacturer == ("Leica Biosystems" if "Leica" in header else "Aperio")
        assert (metadata.serial_number, metadata.barcode) == (None, None)
        assert versions in (None, metadata.software_versions)


def test_fluorescence(tmp_path: Path) -> None:
    path = tmp_path / "channel.svs"
    description = (
        f"{HEADER}512x512|Dye = DAPI|Emission Wavelength = 461.0|Excitation Wavelength = 358|DisplayColor = 255"
    )
    tifffile.imwrite(path, PICTURE[:, :, 0], tile=(256, 256), description=description, metadata=None)
    with open_slide(path) as slide:
        assert slide.pyramid.pixel_format.samples == 1
        expected = OpticalPath("1", "DAPI", fluorescence=True, excitation_nm=358, emission_nm=461, color=(0, 0, 255))
        assert slide.metadata.optical_paths == (expected,)


def test_stack_of_planes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "stack.svs"
    pixels: np.ndarray = immunohistochemistry()  # type: ignore[no-untyped-call]
    with tifffile.TiffWriter(path) as writer:
        for number in range(2):
            writer.write(pixels, tile=(256, 256), description=f"Aperio Image Library|Plane = {number}", metadata=None)
    with pytest.raises(UnsupportedFormat, match=r"stack\.svs: a stack of 2 pages of 512 x 512 pixels"):
        open_slide(path)
    with pytest.raises(UnsupportedStack, match=r"stack\.svs: level 1 of 512 x 512 pixels is no smaller"):
        open_slide(path, "openslide")


def test_a_broken_label_costs_the_label_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_svs(tmp_path / "slide.svs")
    with tifffile.TiffFile(path) as file:
        field = file.pages[3].tags["StripOffsets"]
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, field.valueoffset, 2**31 - 1)
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING), open_slide(path) as slide:
        assert set(slide.associated) == {ImageFlavor.OVERVIEW, ImageFlavor.THUMBNAIL}
        assert len(slide.pyramid.levels) == 2
    assert "left out: slide.svs: IFD 3" in caplog.text


def test_a_colour_that_is_no_number(tmp_path: Path) -> None:
    path = tmp_path / "channel.svs"
    description = f"{HEADER}512x512|Emission Wavelength = 461.0|DisplayColor = {'9' * 5000}"
    tifffile.imwrite(path, PICTURE[:, :, 0], tile=(256, 256), description=description, metadata=None)
    with open_slide(path) as slide:
        assert slide.metadata.optical_paths[0].color is None


@pytest.mark.parametrize("written", ["01/02/0003", "01/02/0003|Time Zone = GMT-05:00", "01/02/3024"])
def test_year_that_no_slide_was_scanned_in(tmp_path: Path, written: str) -> None:
    path = tmp_path / "dated.svs"
    description = f"Aperio Image Library|Time = 10:11:12|Date = {written}"
    tifffile.imwrite(path, np.zeros((64, 64), np.uint8), tile=(64, 64), description=description, metadata=None)
    with open_slide(path) as slide:
        assert slide.metadata.acquired is None
