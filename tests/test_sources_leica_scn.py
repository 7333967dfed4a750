"""Leica SCN against OpenSlide and tifffile: files made here, as no real one is at hand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from numpy.typing import NDArray

from tests.contracts.source_contract import SourceContract, scan
from tests.vendor_tiffs import Page, ScnImage, levels, picture, scn_description, write
from wsi_dicom.errors import CorruptInput, UnsupportedFormat
from wsi_dicom.geometry import FIRST_PLANE, Plane, Region
from wsi_dicom.metadata import OpticalPath
from wsi_dicom.slide import ImageFlavor
from wsi_dicom.sources import open_slide

SLIDE = (26_000_000, 76_000_000)
OVERVIEW = ScnImage((0, 0, *SLIDE), [(130, 380, 0, 0, 0, 0)])
VIEW = (5_000_000, 20_000_000, 300 * 250, 200 * 250)  # 0.25 um per pixel
CHANNELS = (
    '<channelSettings><channel index="0" name="405|Empty" rgb="#0000ff"><fluorescenceCube><excitationFilter>BP 405/60'
    "</excitationFilter><suppressionFilter>470/50</suppressionFilter></fluorescenceCube></channel>"
    '<channel index="1" name="L5" rgb="#00ff00"/></channelSettings>'
)


class MainReader:
    """The image after the overview, by tifffile: axes C, Z, Y, X and, in colour, S."""

    def __init__(self, path: Path) -> None:
        with tifffile.TiffFile(path) as file:
            main = file.series[1]
            self._levels = [level.asarray(squeeze=False) for level in main.levels]
        self.sizes = [(level.shape[3], level.shape[2]) for level in self._levels]

    def region(self, level: int, region: Region, plane: Plane = FIRST_PLANE) -> NDArray[np.unsignedinteger]:
        pixels = self._levels[level][plane.optical_path, plane.focal_plane]
        return pixels[region.y : region.bottom, region.x : region.right].reshape(region.height, region.width, -1)


def make(path: Path, images: list[ScnImage], pages: list[Page]) -> Path:
    overview = Page(picture(130, 380), scn_description([OVERVIEW, *images], SLIDE), 64)
    return write(path, [overview, *pages], bigtiff=True)


def brightfield(path: Path, *more: ScnImage) -> Path:
    """300 x 200 pixels and a level of a quarter."""
    main = ScnImage(VIEW, [(300, 200, 0, 0, 0, 1), (75, 50, 1, 0, 0, 2)])
    pages = [Page(pixels, None, 64, um=0.25 * 4**number) for number, pixels in enumerate(levels(picture(300, 200), 4))]
    return make(path, [main, *more], pages)


def planes(path: Path, *, gap: int = 1) -> Path:
    """Two channels of three focal planes, in the order of their numbers in the XML, not in that of the directories."""
    base = picture(300, 200)
    dimensions, pages = [], []
    for r, pixels in enumerate(levels(base, 4)):
        for z in (2, 0, 1):
            for c in (0, 1):
                dimensions.append((pixels.shape[1], pixels.shape[0], r, c * gap, z, len(pages) + 1))
                pages.append(Page(np.roll(pixels[:, :, c], 9 * z, 0), None, 64))
    return make(path, [ScnImage(VIEW, dimensions, "fluorescence", CHANNELS)], pages)


class TestBrightfield(SourceContract):
    reader = MainReader

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return brightfield(tmp_path / "slide.scn")


class TestFluorescenceStack(SourceContract):
    reader = MainReader
    reader_knows_planes = True

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return planes(tmp_path / "stack.scn")


def test_openslide_sees_the_same_area(tmp_path: Path) -> None:
    path = brightfield(tmp_path / "slide.scn")
    assert openslide.OpenSlide.detect_format(path) == "leica"
    with open_slide(path) as slide, openslide.OpenSlide(path) as other:
        region = other.read_region((VIEW[0] // 250, VIEW[1] // 250), 0, (300, 200)).convert("RGB")
        for column, row in slide.pyramid.base.tiles():
            inside = slide.pyramid.base.tile_region(column, row)
            expected = np.asarray(region)[inside.y : inside.bottom, inside.x : inside.right]
            assert np.array_equal(slide.tile(0, column, row)[: inside.height, : inside.width], expected)


def test_metadata_agrees_with_openslide(tmp_path: Path) -> None:
    path = brightfield(tmp_path / "slide.scn")
    with open_slide(path) as slide, openslide.OpenSlide(path) as other:
        told, theirs = slide.metadata, other.properties
        for name in ("objective", "aperture", "illumination-source"):
            assert told.properties[name] == theirs[f"leica.{name}"]
        assert told.objective_power == float(theirs["openslide.objective-power"]) == 20
        assert told.barcode == theirs["openslide.barcode"] == "SLIDE123"
        assert slide.pyramid.spacing is not None
        assert slide.pyramid.spacing.x_mm * 1000 == pytest.approx(float(theirs["openslide.mpp-x"]))
        assert slide.pyramid.spacing.y_mm * 1000 == pytest.approx(float(theirs["openslide.mpp-y"]))
        assert told.model == "Leica SCN400"
        assert told.software_versions == ("1.5.1.10804 2011/06/29",)
        assert told.acquired == datetime(2011, 11, 2, 12, 34, 56, 789000, UTC)
        assert told.optical_paths == ()


def test_bar_code_of_the_first_version_of_the_schema_is_plain(tmp_path: Path) -> None:
    path = brightfield(tmp_path / "slide.scn")
    changes = (b"scn/2010/10/01", b"scn/2010/03/10"), (b"<barcode>U0xJREUxMjM=</barcode>", b" " * 25)
    data = path.read_bytes()
    for old, new in (*changes, (b'<collection name="c" ', b'<collection barcode="0400" ')):
        data = data.replace(old, new, 1)
    path.write_bytes(data)
    with open_slide(path) as slide, openslide.OpenSlide(path) as other:
        assert slide.metadata.barcode == other.properties["leica.barcode"] == "0400"


def test_the_image_of_the_whole_slide_is_the_overview(tmp_path: Path) -> None:
    path = brightfield(tmp_path / "slide.scn")
    with open_slide(path) as slide, openslide.OpenSlide(path) as other:
        assert set(slide.associated) == {ImageFlavor.OVERVIEW}
        expected = np.asarray(other.associated_images["macro"].convert("RGB"))
        assert np.array_equal(slide.associated[ImageFlavor.OVERVIEW].pixels(), expected)


def test_tiles_are_copied_from_all_planes(tmp_path: Path) -> None:
    path = planes(tmp_path / "stack.scn")
    with open_slide(path) as slide, tifffile.TiffFile(path) as file, path.open("rb") as raw:
        for number, level in enumerate(slide.pyramid.levels):
            pages = file.series[1].levels[number].pages
            for plane in slide.pyramid.planes:
                page = pages[plane.optical_path * 3 + plane.focal_plane]
                for index, (column, row) in enumerate(level.tiles()):
                    raw.seek(page.dataoffsets[index])
                    tile = slide.encoded_tile(number, column, row, plane)
                    assert tile is not None
                    assert scan(tile.data) == scan(raw.read(page.databytecounts[index]))


@pytest.mark.parametrize("gap", [1, 2])
def test_channels_are_optical_paths_and_focal_planes_keep_their_distance(tmp_path: Path, gap: int) -> None:
    with open_slide(planes(tmp_path / "stack.scn", gap=gap)) as slide:
        assert (slide.pyramid.optical_paths, slide.pyramid.focal_planes) == (2, 3)
        assert slide.pyramid.focal_spacing_um == 1.5
        assert slide.metadata.optical_paths == (
            OpticalPath("0", "405|Empty", True, 405, 470, (0, 0, 255)),
            OpticalPath("1", "L5", True, None, None, (0, 255, 0)),
        )


def test_several_areas_come_to_openslide(tmp_path: Path) -> None:
    view = (VIEW[0], VIEW[1] + 400 * 250, *VIEW[2:])
    second = ScnImage(view, [(300, 200, 0, 0, 0, 1), (75, 50, 1, 0, 0, 2)])
    path = brightfield(tmp_path / "areas.scn", second)
    with pytest.raises(UnsupportedFormat, match=r"areas\.scn: .* 2 scanned areas"):
        open_slide(path, "scn")
    with open_slide(path) as slide, openslide.OpenSlide(path) as other:
        assert (slide.pyramid.base.width, slide.pyramid.base.height) == other.dimensions


def test_another_scan_of_the_same_area_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_slide(brightfield(tmp_path / "twice.scn", ScnImage(VIEW, [(300, 200, 0, 0, 0, 1)]))) as slide:
        assert len(slide.pyramid.levels) == 2
    assert "left out: twice.scn: another scan, 'image_2'" in caplog.text


def test_resolution_of_other_focal_planes_is_left_out(tmp_path: Path) -> None:
    pages = [Page(picture(300, 200), None, 64), Page(picture(75, 50), None, 64)]
    image = ScnImage(VIEW, [(300, 200, 0, 0, 1, 1), (75, 50, 1, 0, 0, 2)])
    with open_slide(make(tmp_path / "slide.scn", [image], pages)) as slide:
        assert [level.width for level in slide.pyramid.levels] == [300]


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ([], UnsupportedFormat, "no area was scanned"),
        ([ScnImage(VIEW, [(300, 200, 0, 0, 0, 7)])], CorruptInput, "directory 7, but the file has 4"),
        ([ScnImage(VIEW, [(300, 200, 0, 0, 0, 1), (300, 200, 0, 1, 1, 2)])], CorruptInput, "lacks focal planes"),
        (
            [ScnImage(VIEW, [(300, 200, 0, 0, 0, 1), (300, 200, 0, 0, 1, 2), (75, 50, 1, 0, 0, 3)])],
            UnsupportedFormat,
            "optical path 0, focal plane 1",
        ),
    ],
)
def test_descriptions_that_do_not_fit_the_file(
    tmp_path: Path, images: list[ScnImage], error: type[Exception], message: str
) -> None:
    pages = [Page(pixels, None, 64) for pixels in (picture(300, 200), picture(300, 200), picture(75, 50))]
    path = make(tmp_path / "broken.scn", images, pages)
    with pytest.raises(error, match=rf"^broken\.scn: .*{message}"):
        open_slide(path, "scn")
