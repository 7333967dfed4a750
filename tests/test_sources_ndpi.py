"""Hamamatsu NDPI against OpenSlide, tifffile and Pillow: the real slide, and slides made here."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image

from benchmarks.build_ndpi import (
    ASCII,
    FLOAT,
    SHORT,
    SLONG,
    JpegStripes,
    NdpiPage,
    encode_stripes,
    tissue,
)
from tests.contracts.source_contract import OpenslideReader, SourceContract, scan
from tests.ndpi_file import RESTART, Maker, assert_shows, maker, page, restart_intervals, whole
from tests.oracles import assert_conformant, frames, images
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.convert import DicomizeOptions, dicomize
from wsi_dicom.errors import OutOfBounds, UnsupportedFormat
from wsi_dicom.geometry import Level, Plane
from wsi_dicom.metadata import OpticalPath
from wsi_dicom.slide import Encoding, ImageFlavor, Slide
from wsi_dicom.sources import ndpi, ndpi_level, open_slide
from wsi_dicom.stores.local import LocalStore


@pytest.fixture
def dapi(slides: Path) -> Path:
    return slides / "hamamatsu" / "test3-DAPI-2-(387).ndpi"


class TestDapi(SourceContract):
    """The real slide. Its levels are 4:4:4 and one restart interval wide."""

    @pytest.fixture
    def path(self, dapi: Path) -> Path:
        return dapi

    def test_openslide_sees_the_same_pixels(self, slide: Slide, path: Path) -> None:
        reader = OpenslideReader(path)
        for number, level in enumerate(slide.pyramid.levels):
            for column, row in level.tiles():
                inside = level.tile_region(column, row)
                tile = slide.tile(number, column, row)[: inside.height, : inside.width]
                assert np.array_equal(tile, reader.region(number, inside))

    def test_restart_intervals_are_those_of_the_file(self, slide: Slide, path: Path) -> None:
        with tifffile.TiffFile(path) as file, path.open("rb") as raw:
            for number, level in enumerate(slide.pyramid.levels):
                stripes = file.pages[number]
                copied = []
                for row in range(level.rows):
                    (tile,) = slide.encoded_row(number, row)
                    assert tile == slide.encoded_tile(number, 0, row)
                    assert tile is not None
                    assert tile.encoding == slide.encoding(number) == Encoding(JPEG_BASELINE, "YBR_FULL_422")
                    markers = [found.group()[1] & 7 for found in RESTART.finditer(scan(tile.data))]
                    assert markers == [place % 8 for place in range(level.tile_height // 8 - 1)]
                    copied += restart_intervals(tile.data)
                for index, (offset, count) in enumerate(zip(stripes.dataoffsets, stripes.databytecounts, strict=True)):
                    raw.seek(offset)
                    assert raw.read(count).startswith(copied[index])
                    assert count - len(copied[index]) == 2 or index == len(stripes.dataoffsets) - 1
                assert set(copied[len(stripes.dataoffsets) :]) <= {copied[len(stripes.dataoffsets) - 1]}


def test_metadata_of_the_real_slide(dapi: Path) -> None:
    with open_slide(dapi) as slide, openslide.OpenSlide(dapi) as other:
        spacing, metadata = slide.pyramid.spacing, slide.metadata
        assert spacing is not None
        assert spacing.x_mm * 1000 == pytest.approx(float(other.properties["openslide.mpp-x"]))
        assert spacing.y_mm * 1000 == pytest.approx(float(other.properties["openslide.mpp-y"]))
        assert metadata.objective_power == float(other.properties["openslide.objective-power"])
        assert metadata.model == other.properties["tiff.Model"] == "C9600-12"
        assert metadata.software_versions == (other.properties["tiff.Software"],)
        assert metadata.acquired is not None
        assert metadata.acquired.strftime("%Y:%m:%d %H:%M:%S") == other.properties["tiff.DateTime"]
        assert metadata.serial_number == other.properties["hamamatsu.NDP.S/N"]
        theirs = {key[10:]: value for key, value in other.properties.items() if key.startswith("hamamatsu.")}
        theirs = {key: value for key, value in theirs.items() if not key.startswith(";") and key != "SourceLens"}
        assert {key: metadata.properties[key] for key in theirs} == theirs
        assert metadata.properties["NDP Shading Data.ExcitationWaveLength"] == "387"
        assert metadata.optical_paths == (
            OpticalPath("DAPI 2 (387)", "DAPI 2 (387)", fluorescence=True, excitation_nm=387, emission_nm=455),
        )


def test_macro_and_label_of_the_real_slide(dapi: Path) -> None:
    with open_slide(dapi) as slide, openslide.OpenSlide(dapi) as other:
        assert set(slide.associated) == {ImageFlavor.OVERVIEW, ImageFlavor.LABEL}
        expected = np.asarray(other.associated_images["macro"].convert("RGB"))
        macro, label = slide.associated[ImageFlavor.OVERVIEW], slide.associated[ImageFlavor.LABEL]
        assert np.array_equal(macro.pixels(), expected)
        encoded = macro.encoded()
        assert encoded is not None
        with Image.open(io.BytesIO(encoded.data)) as picture:
            assert np.array_equal(np.asarray(picture.convert("RGB")), expected)
        assert np.array_equal(label.pixels(), expected[:, : label.width])
        assert label.encoded() is None
        assert label.lossy_method == "ISO_10918_1"
        # the dark gap beside the label's glass lies at 292 to 327
        assert expected[:, 300 : label.width].mean() < 40
        assert label.width < 328


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return maker(tmp_path)


SIZE = 600, 717
"""Neither a multiple of restart intervals nor of MCUs."""


@pytest.mark.parametrize(
    ("sampling", "mcus", "tile"),
    [("4:4:4", 25, (200, 192)), ("4:2:2", 19, (304, 368)), ("4:2:0", 19, (304, 368)), ("4:2:0", 38, (608, 720))],
)
def test_intervals_become_tiles(make: Maker, sampling: str, mcus: int, tile: tuple[int, int]) -> None:
    width, height = SIZE
    stream = encode_stripes(tissue(width, height), mcus, sampling)
    path = make(page(stream, width, height))
    with open_slide(path) as slide:
        assert slide.pyramid.levels == (Level(width, height, *tile),)
        assert_shows(slide, 0, whole(stream))
        for row in range(slide.pyramid.base.rows):
            together = list(slide.encoded_row(0, row))
            assert together == [slide.encoded_tile(0, column, row) for column in range(slide.pyramid.base.columns)]


def test_openslide_sees_the_same_chroma(make: Maker) -> None:
    """OpenSlide decodes every interval alone, which for 4:2:2 has the borders of our tiles; it wants whole ones."""
    path = make(page(encode_stripes(tissue(608, 720), 19), 608, 720))
    reader = OpenslideReader(path)
    with open_slide(path) as slide:
        for column, row in slide.pyramid.base.tiles():
            inside = slide.pyramid.base.tile_region(column, row)
            pixels = slide.tile(0, column, row)[: inside.height, : inside.width]
            assert np.array_equal(pixels, reader.region(0, inside))


class TestMade(SourceContract):
    """Two levels and a macro picture; 4:4:4, for which OpenSlide's decoding of single intervals is exact."""

    reader = OpenslideReader

    @pytest.fixture
    def path(self, make: Maker) -> Path:
        fine, coarse = encode_stripes(tissue(512, 640), 16, "4:4:4"), encode_stripes(tissue(256, 320), 0, "4:4:4")
        macro = encode_stripes(tissue(200, 80), 0)
        return make(
            page(fine, 512, 640, 40),
            NdpiPage(256, 320, coarse.parts(), None, 20),
            NdpiPage(200, 80, macro.parts(), None, -1),
            NdpiPage(20, 8, [bytes(160)], None, -2, {258: (SHORT, [8]), 259: (SHORT, [1]), 277: (SHORT, [1])}),
        )

    def test_levels_have_the_sizes_that_the_other_reader_sees(self, slide: Slide, path: Path) -> None:
        sizes = [(level.width, level.height) for level in slide.pyramid.levels]
        assert sizes == self.reader(path).sizes[:2]  # OpenSlide adds levels by decoding coarsely

    def test_associated_images(self, slide: Slide, path: Path) -> None:
        with openslide.OpenSlide(path) as other:
            expected = np.asarray(other.associated_images["macro"].convert("RGB"))
        assert np.array_equal(slide.associated[ImageFlavor.OVERVIEW].pixels(), expected)
        assert np.array_equal(slide.associated[ImageFlavor.LABEL].pixels(), expected[:, :60])
        assert set(slide.associated) == {ImageFlavor.OVERVIEW, ImageFlavor.LABEL}

    def test_metadata(self, slide: Slide) -> None:
        assert slide.metadata.serial_number == "7"  # text that would fit into its field lies outside of it
        assert slide.metadata.objective_power == 40
        assert slide.metadata.optical_paths == ()
        assert slide.pyramid.spacing == (0.00025, 0.00025)

    def test_a_page_without_restart_markers_is_one_tile_that_is_copied_whole(self, slide: Slide) -> None:
        assert slide.pyramid.levels[1] == Level(256, 320, 256, 320)
        tile = slide.encoded_tile(1, 0, 0)
        assert tile is not None
        assert tile.data == b"".join(encode_stripes(tissue(256, 320), 0, "4:4:4").parts())


def test_text_fields(make: Maker) -> None:
    fields = {
        65427: (ASCII, "S24-17 A1"),
        65468: (ASCII, "0017"),
        65449: (ASCII, "NDP.S/N=9\r\nA = b=c \r\nnothing\r\n;Part\r;K=v\r\nZ=1\r\n"),
        65434: (ASCII, "Brightfield"),
        65451: (FLOAT, [0.0]),
    }
    with open_slide(make(page(encode_stripes(tissue(64, 64), 8, "4:4:4"), 64, 64, fields=fields))) as slide:
        assert slide.metadata.slide_identifier == "S24-17 A1"
        assert slide.metadata.barcode == "0017"
        assert slide.metadata.optical_paths == ()
        told = {"NDP.S/N": "9", "A": "b=c", "Part.K": "v", "Z": "1", "Reference": "S24-17 A1"}
        assert slide.metadata.properties == told | {"XOffsetFromSlideCentre": "0", "YOffsetFromSlideCentre": "0"}


def test_where_the_stream_and_the_fields_disagree_the_stream_is_believed(make: Maker) -> None:
    fine, coarse = encode_stripes(tissue(512, 640), 16, "4:4:4"), encode_stripes(tissue(256, 319), 0)
    path = make(page(fine, 512, 640, 40), NdpiPage(257, 320, coarse.parts(), None, 20))
    with open_slide(path) as slide:
        assert slide.pyramid.levels[1] == Level(256, 319, 256, 319)
        assert np.array_equal(slide.tile(1, 0, 0), whole(coarse))


def test_intervals_that_do_not_divide_the_rows_are_not_torn_apart(make: Maker) -> None:
    stream = encode_stripes(tissue(320, 320), 7, "4:2:0")
    with open_slide(make(page(stream, 320, 320))) as slide:
        assert slide.pyramid.levels == (Level(320, 320, 320, 320),)
        assert np.array_equal(slide.tile(0, 0, 0), whole(stream))
        tile = slide.encoded_tile(0, 0, 0)
        assert tile is not None
        assert tile.data == b"".join(stream.parts())


def test_a_level_too_high_for_jpeg(make: Maker) -> None:
    band = encode_stripes(tissue(128, 64), 8, "4:4:4")
    stream = JpegStripes(band.head, band.stripes * 1100).with_size(128, 70400)
    with open_slide(make(page(stream, 128, 70400))) as slide:
        level = slide.pyramid.base
        assert (level.width, level.height, level.tile_width, level.tile_height) == (128, 70400, 64, 64)
        for row in (0, 1, 1023, 1024, 1099):
            assert np.array_equal(np.hstack([slide.tile(0, 0, row), slide.tile(0, 1, row)]), whole(band))


def test_rows_of_many_bytes_are_read_in_groups(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(page(encode_stripes(tissue(640, 256), 8, "4:4:4"), 640, 256))
    with open_slide(path) as slide:
        at_once = [list(slide.encoded_row(0, row)) for row in range(slide.pyramid.base.rows)]
        for limit in (1, 5000, 20000):
            monkeypatch.setattr(ndpi_level, "_READ_AT_ONCE", limit)
            assert [list(slide.encoded_row(0, row)) for row in range(slide.pyramid.base.rows)] == at_once
    assert len({tile for row in at_once for tile in row}) == 40


class TestFocalPlanes:
    """Made: planes of 128 x 128 at +2000, -2000 and 0 nm, in this order, and coarser levels of some of them."""

    @staticmethod
    def _page(seed: int, side: int, focus: int, magnification: float) -> tuple[JpegStripes, NdpiPage]:
        pixels = np.roll(tissue(side, side), 31 * seed, axis=1)
        stream = encode_stripes(pixels, side // 8, "4:4:4")
        return stream, page(stream, side, side, magnification, fields={65424: (SLONG, [focus])})

    def test_planes_from_the_lowest_up(self, make: Maker, caplog: pytest.LogCaptureFixture) -> None:
        fine = {focus: self._page(seed, 128, focus, 40) for seed, focus in enumerate((2000, -2000, 0))}
        coarse = {focus: self._page(seed, 64, focus, 20) for seed, focus in enumerate((0, 2000, -2000, 4000))}
        coarsest = {focus: self._page(seed, 32, focus, 10) for seed, focus in enumerate((0, 2000))}
        path = make(*(made for group in (fine, coarse, coarsest) for _, made in group.values()))
        with caplog.at_level(logging.WARNING), open_slide(path) as slide:
            assert "made.ndpi: left out: 32 x 32 pixels in 2 of 3 focal planes" in caplog.text
            assert [(level.width, level.height) for level in slide.pyramid.levels] == [(128, 128), (64, 64)]
            assert slide.pyramid.focal_planes == 3
            assert slide.pyramid.focal_spacing_um == 2
            for number, focus in enumerate((-2000, 0, 2000)):
                plane = Plane(0, number)
                assert_shows(slide, 0, whole(fine[focus][0]), plane)
                assert_shows(slide, 1, whole(coarse[focus][0]), plane)
                encoded = slide.encoded_tile(0, 0, 0, plane)
                assert encoded is not None
                assert list(slide.encoded_row(0, 0, plane)) == [encoded]
                assert restart_intervals(encoded.data) == fine[focus][0].stripes
            with pytest.raises(OutOfBounds):
                slide.tile(0, 0, 0, Plane(0, 3))
            with pytest.raises(OutOfBounds):
                slide.tile(0, 0, 0, Plane(1, 0))

    def test_planes_become_frames(self, make: Maker, tool: Callable[[str], str], tmp_path: Path) -> None:
        made = {focus: self._page(seed, 128, focus, 40) for seed, focus in enumerate((1000, 0))}
        store = LocalStore(tmp_path / "store")
        folder = dicomize(make(*(made for _, made in made.values())), store, DicomizeOptions()).series.folder
        assert_conformant(folder.glob("*.dcm"), tool)
        (dataset,) = images(folder)["VOLUME"]
        assert [restart_intervals(frame) for frame in frames(dataset)] == [made[0][0].stripes, made[1000][0].stripes]
        assert dataset.TotalPixelMatrixFocalPlanes == 2

    def test_a_plane_of_another_colour_model_makes_levels_not_copyable(self, make: Maker) -> None:
        ycbcr = encode_stripes(tissue(128, 128), 16, "4:4:4")
        adobe_rgb = bytes.fromhex("FFEE000E41646F626500648000000000")
        rgb = JpegStripes(ycbcr.head.replace(ycbcr.head[2:20], adobe_rgb, 1), ycbcr.stripes)  # in place of JFIF
        path = make(
            page(ycbcr, 128, 128, 40),
            page(rgb, 128, 128, 40, fields={65424: (SLONG, [1000])}),
        )
        with open_slide(path) as slide:
            assert slide.pyramid.focal_planes == 2
            assert slide.encoding(0) is None
            assert slide.encoded_tile(0, 0, 0) is None
            assert list(slide.encoded_row(0, 0)) == [None]
            assert np.array_equal(slide.tile(0, 0, 0, Plane(0, 1)), whole(rgb))

    def test_uneven_distances_are_averaged(self, make: Maker, caplog: pytest.LogCaptureFixture) -> None:
        pages = [self._page(seed, 128, focus, 40)[1] for seed, focus in enumerate((0, 1000, 3000))]
        with caplog.at_level(logging.WARNING), open_slide(make(*pages)) as slide:
            assert slide.pyramid.focal_spacing_um == 1.5
            assert "focal planes are 1000 to 2000 nm apart" in caplog.text


def test_what_is_not_read_is_refused_by_name(make: Maker) -> None:
    stream = encode_stripes(tissue(64, 64), 8, "4:4:4")
    with pytest.raises(UnsupportedFormat, match="compression 22610 is not supported in NDPI"):
        ndpi.FORMAT.open(make(page(stream, 64, 64, fields={259: (SHORT, [22610])})))
    with pytest.raises(UnsupportedFormat, match="none of 1 pages has a magnification"):
        ndpi.FORMAT.open(make(page(stream, 64, 64, -2)))
    progressive = JpegStripes(stream.head.replace(b"\xff\xc0", b"\xff\xc2"), stream.stripes)
    with pytest.raises(UnsupportedFormat, match="JPEG other than baseline"):
        ndpi.FORMAT.open(make(page(progressive, 64, 64)))
    tall = encode_stripes(tissue(64, 64), 0).with_size(40000, 40000)
    with pytest.raises(UnsupportedFormat, match="without usable restart markers of 40000 x 40000 pixels; the limit is"):
        ndpi.FORMAT.open(make(NdpiPage(40000, 40000, tall.parts(), None, 20)))
