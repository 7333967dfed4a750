"""What OpenSlide reads: real slides, and MIRAX, Hamamatsu VMS and VMU slides that we write."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from ctypes import c_uint32
from pathlib import Path

import numpy as np
import openslide
import pytest
from openslide import lowlevel
from PIL import Image

from tests.contracts.source_contract import OpenslideReader, SourceContract
from tests.openslide_slides import SCANNED, SIDE, TISSUE, Mirax, mosaic, write_vms, write_vmu
from wsi_dicom.errors import CodecError, CorruptInput, UnsupportedFormat
from wsi_dicom.geometry import Spacing
from wsi_dicom.slide import ImageFlavor, Slide, SourceOptions
from wsi_dicom.sources import open_slide
from wsi_dicom.sources.openslide_slide import FORMAT


@pytest.fixture
def mirax(tmp_path: Path) -> Mirax:
    return Mirax(tmp_path)


class TestMirax(SourceContract):
    reader = OpenslideReader

    @pytest.fixture
    def path(self, mirax: Mirax) -> Path:
        return mirax.path

    def test_tiles_show_what_was_scanned_on_white(self, slide: Slide) -> None:
        expected = mosaic()
        for column, row in slide.pyramid.base.tiles():
            window = expected[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
            assert np.array_equal(slide.tile(0, column, row), window)

    def test_what_was_not_scanned_is_absent(self, slide: Slide) -> None:
        assert slide.sparse
        base, coarse = slide.pyramid.levels
        assert {tile for tile in base.tiles() if not slide.absent(0, *tile)} == SCANNED
        scanned = {tile for tile in coarse.tiles() if not slide.absent(1, *tile)}
        assert scanned == {(column // 2, row // 2) for column, row in SCANNED}

    def test_what_is_looked_at_first_is_not_changed_by_it(self, slide: Slide) -> None:
        for tile in slide.pyramid.base.tiles():
            before = slide.tile(0, *tile)
            slide.absent(0, *tile)
            assert np.array_equal(slide.tile(0, *tile), before)
            assert np.array_equal(slide.tile(0, *tile), before)

    def test_metadata(self, slide: Slide) -> None:
        assert slide.pyramid.spacing == Spacing(0.00025, 0.00025)
        assert slide.metadata.manufacturer == "3DHISTECH"
        assert slide.metadata.objective_power == 20
        assert slide.metadata.properties["mirax.GENERAL.SLIDE_ID"] == "MADE-HERE"

    def test_images_stored_as_png_lost_nothing(self, slide: Slide) -> None:
        assert slide.lossy_method(0) is None

    def test_associated_images(self, slide: Slide, path: Path) -> None:
        with openslide.OpenSlide(path) as other:
            assert set(slide.associated) == {ImageFlavor.LABEL, ImageFlavor.OVERVIEW}
            for flavor, name in ((ImageFlavor.LABEL, "label"), (ImageFlavor.OVERVIEW, "macro")):
                image, theirs = slide.associated[flavor], other.associated_images[name]
                assert (image.width, image.height) == theirs.size
                assert image.lossy_method == "ISO_10918_1"
                assert np.array_equal(image.pixels(), np.asarray(theirs)[:, :, :3])

    def test_files_are_those_of_the_dataset(self, slide: Slide, mirax: Mirax) -> None:
        names = ["Data0000.dat", "Index.dat", "Slidedat.ini"]
        assert slide.files == (mirax.path, *(mirax.folder / name for name in names))
        stored = (mirax.folder / "Data0000.dat").stat().st_size
        assert stored <= sum(slide.stored_bytes(level) for level in range(2)) <= 1.2 * stored


class TestMiraxWithStagePositions(SourceContract):
    """Images that lie off the grid by an odd number: in the coarser level pixels become half transparent."""

    reader = OpenslideReader
    tolerance = 1  # the reader composes what was divided by the opacity and rounded

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return Mirax(tmp_path, columns=12, shift=37).path

    def test_tiles_are_absent_where_nothing_at_all_is_stored(self, slide: Slide, path: Path) -> None:
        with openslide.OpenSlide(path) as other:
            for level, grid in enumerate(slide.pyramid.levels):
                for column, row in grid.tiles():
                    inside = grid.tile_region(column, row)
                    stored = argb(other, level, inside.x, inside.y, inside.width, inside.height)[:, :, 3].any()
                    assert slide.absent(level, column, row) != stored

    def test_transparency_is_composed_exactly(self, path: Path) -> None:
        background = (240, 130, 3)
        with FORMAT.open(path, SourceOptions(color=background)) as slide, openslide.OpenSlide(path) as other:
            partly = 0
            for level, grid in enumerate(slide.pyramid.levels):
                for column, row in grid.tiles():
                    place = column * grid.tile_width, row * grid.tile_height
                    premultiplied = argb(other, level, *place, grid.tile_width, grid.tile_height)
                    alpha = premultiplied[:, :, 3:] / 255
                    partly += int(((alpha > 0) & (alpha < 1)).sum())
                    exact = premultiplied[:, :, :3] + (1 - alpha) * background
                    inside = grid.tile_region(column, row)
                    seen = np.s_[: inside.height, : inside.width]
                    assert np.abs(slide.tile(level, column, row)[seen] - exact[seen]).max() <= 0.5
            assert partly > 50


def argb(slide: openslide.OpenSlide, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
    """A region as the C library gives it, colours multiplied by the opacity: (height, width, 4), red first."""
    buffer = (width * height * c_uint32)()
    scale = int(slide.level_downsamples[level])
    lowlevel._read_region(slide._osr, buffer, x * scale, y * scale, level, width, height)
    return np.frombuffer(buffer, np.uint8).reshape(height, width, 4)[:, :, [2, 1, 0, 3]].astype(float)


def test_mirax_stored_as_jpeg_is_lossy(tmp_path: Path) -> None:
    with open_slide(Mirax(tmp_path, "JPEG").path) as slide:
        assert slide.lossy_method(0) == "ISO_10918_1"


def test_background_is_chosen(mirax: Mirax) -> None:
    with open_slide(mirax.path, options=SourceOptions(color=(1, 2, 3))) as slide:
        assert (slide.tile(0, 3, 0) == (1, 2, 3)).all()


def test_a_broken_image_breaks_its_tile_alone(mirax: Mirax) -> None:
    offset, size = mirax.stored[1, 1]
    with (mirax.folder / "Data0000.dat").open("r+b") as data:
        data.seek(offset)
        data.write(bytes(size))
    expected = mosaic()
    with open_slide(mirax.path) as slide:

        def read(tile: tuple[int, int]) -> bool:
            column, row = tile
            try:
                pixels = slide.tile(0, column, row)
            except CodecError:
                return False
            window = expected[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
            return np.array_equal(pixels, window)

        tiles = list(slide.pyramid.base.tiles()) * 5
        with ThreadPoolExecutor(4) as pool:
            for tile, good in zip(tiles, pool.map(read, tiles), strict=True):
                assert good == (tile != (1, 1))
        with pytest.raises(CodecError, match=r"slide\.mrxs: level 0, tile column 1, row 1: "):
            slide.absent(0, 1, 1)


def test_mirax_without_its_folder_is_no_picture(mirax: Mirax) -> None:
    mirax.folder.rename(mirax.folder.with_name("elsewhere"))
    with pytest.raises(CorruptInput, match=r"the folder .*slide with its Slidedat\.ini is missing"):
        open_slide(mirax.path)


@pytest.mark.parametrize("cut", [3, 30, 100])
def test_mirax_with_a_truncated_index(mirax: Mirax, cut: int) -> None:
    index = mirax.folder / "Index.dat"
    index.write_bytes(index.read_bytes()[:cut])
    with pytest.raises(CorruptInput, match="OpenSlide cannot open it"):
        open_slide(mirax.path)


@pytest.mark.parametrize(
    "told", ["BitsPerPixel=35\nPixelOrder=RGB", "BitsPerPixel=36\nPixelOrder=BGR", "PixelOrder=RGB"]
)
def test_vmu_on_which_openslide_crashes(tmp_path: Path, told: str) -> None:
    path = write_vmu(tmp_path)
    path.write_text(path.read_text().replace("BitsPerPixel=36\nPixelOrder=RGB", told))
    with pytest.raises(CorruptInput, match=r"slide\.vmu: does not tell that its pixels are RGB of 36 bits"):
        open_slide(path)


class TestVmu(SourceContract):
    """OpenSlide gives the upper 8 of 12 bits."""

    reader = OpenslideReader

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write_vmu(tmp_path)

    def test_pixels_are_those_that_were_written(self, slide: Slide) -> None:
        grid = slide.pyramid.base
        for column, row in grid.tiles():
            inside = grid.tile_region(column, row)
            pixels = slide.tile(0, column, row)[: inside.height, : inside.width]
            assert np.array_equal(pixels, TISSUE[inside.y : inside.bottom, inside.x : inside.right])

    def test_metadata(self, slide: Slide) -> None:
        assert not slide.sparse
        assert slide.lossy_method(0) is None
        assert slide.pyramid.spacing == Spacing(0.00025, 0.00025)
        assert slide.metadata.objective_power == 40
        assert slide.stored_bytes(0) > TISSUE[:384].nbytes
        assert [file.name for file in slide.files] == ["slide.vmu", "base.ngr", "map.ngr"]


class TestVms(SourceContract):
    reader = OpenslideReader

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write_vms(tmp_path)

    def test_pixels_are_those_of_the_picture(self, slide: Slide, path: Path) -> None:
        with Image.open(path.with_name("base.jpg")) as picture:
            assert np.array_equal(slide.tile(0, 0, 0), np.asarray(picture))
        assert slide.lossy_method(0) == "ISO_10918_1"
        assert list(slide.associated) == [ImageFlavor.OVERVIEW]


REAL = {
    "aperio": "aperio/CMU-1-Small-Region.svs",
    "hamamatsu": "hamamatsu/test3-DAPI-2-(387).ndpi",
    "dicom": "dicom_wsi/cytomine_cmu1/1.2.826.0.1.3680043.8.498.48407760015771729984593744789552618416.dcm",
    "lossless dicom": "dicom_wsi/gcp_single/bone_jpeg2000.dcm",
}


@pytest.mark.parametrize("kind", REAL)
class TestReal(SourceContract):
    """Real slides, most of which we read ourselves unless told to take OpenSlide."""

    reader = OpenslideReader
    tiles_compared = 4

    @pytest.fixture
    def path(self, slides: Path, kind: str) -> Path:
        return slides / REAL[kind]

    @pytest.fixture
    def slide(self, path: Path) -> Slide:
        with open_slide(path, "openslide") as slide:
            yield slide

    def test_a_closed_slide_reads_no_more(self, path: Path) -> None:
        with open_slide(path, "openslide") as slide:
            slide.tile(0, 0, 0)
        with pytest.raises(ValueError, match="closed"):
            slide.tile(0, 0, 0)

    def test_openslide_claims_it(self, path: Path) -> None:
        assert FORMAT.detect(path, path.read_bytes()[: 64 << 10])

    def test_properties_are_all_there(self, slide: Slide, path: Path) -> None:
        with openslide.OpenSlide(path) as other:
            assert slide.metadata.properties == dict(other.properties)
            assert slide.pyramid.spacing is not None
            assert slide.pyramid.spacing.x_mm * 1000 == pytest.approx(float(other.properties["openslide.mpp-x"]))
            assert (slide.metadata.icc_profile is None) == (other.color_profile is None)
            assert not slide.sparse

    def test_associated_images(self, slide: Slide, path: Path) -> None:
        names = {"label": ImageFlavor.LABEL, "macro": ImageFlavor.OVERVIEW, "thumbnail": ImageFlavor.THUMBNAIL}
        with openslide.OpenSlide(path) as other:
            assert set(slide.associated) == {names[name] for name in other.associated_images}
            for name, theirs in other.associated_images.items():
                assert np.array_equal(slide.associated[names[name]].pixels(), np.asarray(theirs.convert("RGB")))


def test_associated_images_have_the_share_that_the_slide_has(slides: Path) -> None:
    path = slides / "aperio" / "CMU-1-Small-Region.svs"
    with open_slide(path, "openslide") as slide:
        pixels = sum(level.width * level.height for level in slide.pyramid.levels)
        share = path.stat().st_size / (3 * pixels)
        for image in slide.associated.values():
            assert image.stored_bytes == pytest.approx(share * 3 * image.width * image.height, rel=1e-3)


def test_scanners(slides: Path) -> None:
    with open_slide(slides / REAL["hamamatsu"], "openslide") as slide:
        told = slide.metadata
        assert (told.manufacturer, told.model, told.serial_number) == ("Hamamatsu", "C9600-12", "950291")
        assert told.software_versions == ("NDP.scan 2.5.89",)
        assert told.acquired is not None
        assert told.acquired.isoformat() == "2017-02-07T13:06:43"
    with open_slide(slides / REAL["lossless dicom"], "openslide") as slide:
        assert slide.lossy_method(0) is None
    with open_slide(slides / REAL["dicom"], "openslide") as slide:
        assert slide.lossy_method(0) == "ISO_10918_1"


def test_plain_tiff_is_left_to_our_own_reader(slides: Path) -> None:
    path = slides / "generic_tiff" / "empaia_CMU-small.tiff"
    assert not FORMAT.detect(path, path.read_bytes()[: 64 << 10])
    with open_slide(path, "openslide") as slide:
        assert (slide.pyramid.base.width, slide.pyramid.base.height) == (718, 514)


def test_what_openslide_does_not_know(slides: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFormat, match="OpenSlide does not know"):
        open_slide(slides / "jpeg_jp2" / "XYC.png", "openslide")
    with pytest.raises(UnsupportedFormat, match="not folders"):
        open_slide(tmp_path, "openslide")
