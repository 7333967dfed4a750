"""Parts of slides against slices of numpy arrays: any region, levels, optical paths, focal planes."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from tests.array_slide import ArraySlide
from tests.foreign_series import TILE, Picture, native_frames, save_native
from tests.oracles import scan, tiff_tiles
from tests.test_dicom2tiff import SAMPLE
from wsi_dicom.codecs import codec_for
from wsi_dicom.codecs.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN
from wsi_dicom.convert import TiffOptions, dicom_to_tiff
from wsi_dicom.errors import NotFound, OutOfBounds
from wsi_dicom.geometry import Plane, Region
from wsi_dicom.part import PartOptions, part_of
from wsi_dicom.region import read_region
from wsi_dicom.slide import EncodedTile, Encoding, Slide
from wsi_dicom.sources import open_slide

Drawn = tuple[ArraySlide, np.ndarray, Region, frozenset[tuple[int, int]]]
RAW = Encoding(EXPLICIT_VR_LITTLE_ENDIAN, "RGB")


@st.composite
def regions(draw: st.DrawFn) -> Drawn:
    """A slide of noise, its pixels, a region of it, and the tiles that it lacks. Many regions begin or end at tiles."""
    width, height = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    tile = draw(st.integers(16, 40)), draw(st.integers(16, 40))
    pixels = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, (height, width, 3), np.uint8)

    def span(side: int, step: int) -> tuple[int, int]:
        edges = st.sampled_from([*range(0, side, step), side])
        low = draw(st.one_of(edges.filter(lambda edge: edge < side), st.integers(0, side - 1)))
        return low, draw(st.one_of(edges.filter(lambda edge: edge > low), st.integers(low + 1, side)))

    (left, right), (top, bottom) = span(width, tile[0]), span(height, tile[1])
    places = st.tuples(st.integers(0, (width - 1) // tile[0]), st.integers(0, (height - 1) // tile[1]))
    missing = draw(st.frozensets(places, max_size=2))
    slide = ArraySlide(pixels, tile, encoding=draw(st.sampled_from([RAW, None])), missing=missing)
    return slide, pixels, Region(left, top, right - left, bottom - top), missing


def outside(slide: Slide, region: Region) -> np.ndarray:
    """Of the whole grid of tiles: where a pixel of the slide is that is not in the region."""
    base = slide.pyramid.base
    mask = np.zeros((base.rows * base.tile_height, base.columns * base.tile_width), bool)
    mask[: base.height, : base.width] = True
    mask[region.y : region.bottom, region.x : region.right] = False
    return mask


@settings(deadline=None)
@given(regions())
def test_a_region(drawn: Drawn) -> None:
    """Its pixels are the slide's; stored tiles are given away where they show nothing else, and only there."""
    slide, pixels, region, missing = drawn
    part, mask = part_of(slide, PartOptions(region=region)), outside(slide, region)
    expected = pixels[region.y : region.bottom, region.x : region.right]
    base = part.pyramid.base
    assert (base.width, base.height) == (region.width, region.height)
    np.testing.assert_array_equal(read_region(part, 0, base.bounds), expected)
    aligned = region.x % base.tile_width == 0 and region.y % base.tile_height == 0
    assert part.encoding(0) == (slide.encoding(0) if aligned else None)
    for column, row in base.tiles():
        stored = part.encoded_tile(0, column, row)
        first, top = region.x // base.tile_width + column, region.y // base.tile_height + row
        shared = mask[top * base.tile_height :, first * base.tile_width :][: base.tile_height, : base.tile_width]
        alone = aligned and not shared.any()
        assert (stored is not None) == (alone and slide.encoding(0) is not None and (first, top) not in missing)
        inside = base.tile_region(column, row)
        shown = expected[inside.y : inside.bottom, inside.x : inside.right]
        for tile in (part.tile(0, column, row), stored and decoded(stored.data, part)):
            if tile is not None:
                np.testing.assert_array_equal(tile[: inside.height, : inside.width], shown)
        if not alone:  # what is beyond the region is the background
            tile = part.tile(0, column, row)
            assert (tile[inside.height :] == 255).all()
            assert (tile[:, inside.width :] == 255).all()
            assert stored is None
    assert [tile and tile.data for row in range(base.rows) for tile in part.encoded_row(0, row)] == [
        tile and tile.data for tile in (part.encoded_tile(0, *place) for place in base.tiles())
    ]


def decoded(data: bytes, slide: Slide) -> np.ndarray:
    base, pixel_format = slide.pyramid.base, slide.pyramid.pixel_format
    codec = codec_for(EXPLICIT_VR_LITTLE_ENDIAN)
    return codec.decode(EncodedTile(data, RAW), base.tile_width, base.tile_height, pixel_format)


@settings(deadline=None)
@given(regions())
def test_absent_is_what_has_nothing_at_all(
    drawn: Drawn,
) -> None:
    slide, _, region, missing = drawn
    part, whole = part_of(slide, PartOptions(region=region)), slide.pyramid.base
    for column, row in part.pyramid.base.tiles():
        inside = part.pyramid.base.tile_region(column, row)
        shown = Region(region.x + inside.x, region.y + inside.y, inside.width, inside.height)
        assert part.absent(0, column, row) == (set(whole.tiles(shown)) <= missing)


@pytest.mark.parametrize(
    "sides", [(-1, 0, 1, 1), (0, -1, 1, 1), (0, 0, 1, 0), (0, 0, 0, 1), (0, 0, 91, 1), (0, 0, 1, 81), (90, 80, 1, 1)]
)
def test_regions_that_are_not_within(sides: tuple[int, int, int, int]) -> None:
    slide = ArraySlide(np.zeros((80, 90, 3), np.uint8))
    with pytest.raises(OutOfBounds, match="does not lie within the 90 x 80 pixels of level 0"):
        part_of(slide, PartOptions(region=Region(*sides)))


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[np.ndarray]]:
    """A series of 2 levels, 2 optical paths, 3 focal planes, and the pixels of its levels: path, focal plane, y, x."""
    folder = tmp_path_factory.mktemp("planes")
    paths = []
    for identifier in ("red", "7"):
        path = Dataset()
        path.OpticalPathIdentifier = identifier
        paths.append(path)
    expected = []
    for number, (columns, rows) in enumerate([(4, 2), (2, 1)]):
        count = 6 * columns * rows
        picture = Picture(
            columns * TILE, rows * TILE, frames=count, series_uid="1.2.3", study_uid="1.2",
            attributes={"OpticalPathSequence": paths, "NumberOfOpticalPaths": 2, "TotalPixelMatrixFocalPlanes": 3},
        )  # fmt: skip
        frames = native_frames(count, samples=1)
        save_native(folder / f"{number}.dcm", picture, frames)
        grid = frames.reshape(2, 3, rows, columns, TILE, TILE)
        expected.append(grid.transpose(0, 1, 2, 4, 3, 5).reshape(2, 3, rows * TILE, columns * TILE))
    return folder, expected


@pytest.mark.parametrize("focal", [None, 1, 3])
@pytest.mark.parametrize("path", [None, "red", "7", "2"])
@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("region", [None, Region(16, 0, 32, 32), Region(10, 4, 40, 28)])
def test_levels_and_planes(
    planes: tuple[Path, list[np.ndarray]], level: int, path: str | None, focal: int | None, region: Region | None
) -> None:
    paths = [0, 1] if path is None else [["red", "7"].index(path) if path in ("red", "7") else int(path) - 1]
    depths = [0, 1, 2] if focal is None else [focal - 1]
    levels = [kept[np.ix_(paths, depths)] for kept in planes[1][level:]]
    if region is not None:
        x, y, right, bottom = (side >> level for side in (region.x, region.y, region.right, region.bottom))
        levels = [levels[0][:, :, y:bottom, x:right]]
    with open_slide(planes[0]) as slide, part_of(slide, PartOptions(level, region, path, focal)) as part:
        pyramid = part.pyramid
        assert (pyramid.optical_paths, pyramid.focal_planes) == (len(paths), len(depths))
        assert [(one.height, one.width) for one in pyramid.levels] == [one.shape[2:] for one in levels]
        for number, (at_path, at_depth) in product(range(len(levels)), np.ndindex(len(paths), len(depths))):
            shown = read_region(part, number, pyramid.level(number).bounds, Plane(at_path, at_depth))
            np.testing.assert_array_equal(shown[:, :, 0], levels[number][at_path, at_depth])
        with pytest.raises(OutOfBounds):
            part.tile(0, 0, 0, Plane(0, len(depths)))
        with pytest.raises(OutOfBounds):
            part.encoded_tile(0, 0, 0, Plane(len(paths), 0))


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"level": 2}, OutOfBounds, "has no level 2; it has 0 to 1"),
        ({"focal_plane": 4}, OutOfBounds, "has no focal plane 4; it has 1 to 3"),
        ({"focal_plane": 0}, OutOfBounds, "has no focal plane 0; it has 1 to 3"),
        ({"optical_path": "green"}, NotFound, "has no optical path green; choose one of red, 7"),
        ({"optical_path": "3"}, NotFound, "has no optical path 3; choose one of red, 7"),
        ({"optical_path": "9" * 5000}, NotFound, "has no optical path 9"),
    ],
)
def test_parts_that_there_are_not(
    planes: tuple[Path, list[np.ndarray]], options: dict[str, Any], error: type[Exception], said: str
) -> None:
    with open_slide(planes[0]) as slide, pytest.raises(error, match=said):
        part_of(slide, PartOptions(**options))


def exported(output: Path, region: Region, level: int = 0) -> tifffile.TiffFile:
    with open_slide(SAMPLE) as slide:
        dicom_to_tiff(slide, output, TiffOptions(part=PartOptions(level, region)))
    return tifffile.TiffFile(output)


def shown_by_openslide(region: Region, level: int = 0, path: Path = SAMPLE) -> np.ndarray:
    with openslide.OpenSlide(path) as slide:
        area = slide.read_region((region.x, region.y), level, (region.width, region.height))
    return np.asarray(area)[:, :, :3]


@pytest.mark.parametrize(
    ("region", "kept"),
    [
        (Region(512, 256, 768, 512), {(column, row) for column in range(3) for row in range(2)}),
        (Region(512, 256, 700, 512), {(0, 0), (1, 0), (0, 1), (1, 1)}),  # its last column shows more than the region
        (Region(512, 256, 700, 500), {(0, 0), (1, 0)}),
        (Region(7680, 7936, 512, 256), {(0, 0), (1, 0)}),  # up to the end of the slide
        (Region(513, 256, 768, 512), set()),
    ],
)
def test_stored_tiles_of_a_region_are_copied(region: Region, kept: set[tuple[int, int]], tmp_path: Path) -> None:
    """The scans of a JPEG slide, in the file that is written; the others are encoded, and show the same."""
    with exported(tmp_path / "out.tif", region) as ours, tifffile.TiffFile(SAMPLE) as theirs:
        page = ours.pages[0]
        stored, across = list(tiff_tiles(theirs.pages[0])), -(-region.width // 256)
        source_scans = [scan(tile) for tile in stored]
        for index, tile in enumerate(tiff_tiles(page)):
            column, row = index % across, index // across
            source = (region.y // 256 + row) * 32 + region.x // 256 + column
            assert (scan(tile) == source_scans[source]) == ((column, row) in kept)
        area = shown_by_openslide(region)
        assert np.abs(page.asarray().astype(int) - area).mean() < (3 if kept else 4)
        assert len(ours.pages) == 1  # no label, overview or thumbnail: they show more


def test_a_region_of_a_coarser_level(tmp_path: Path) -> None:
    with exported(tmp_path / "out.tif", Region(2048, 1024, 3072, 2048), level=1) as ours:
        area = shown_by_openslide(Region(2048, 1024, 768, 512), level=1)
        np.testing.assert_array_equal(shown_by_openslide(Region(0, 0, 768, 512), path=tmp_path / "out.tif"), area)
        numerator, denominator = ours.pages[0].tags["XResolution"].value
        assert numerator / denominator == pytest.approx(10_000)  # a quarter of the finest level's
