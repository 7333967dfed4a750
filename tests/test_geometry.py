"""Grids and pyramids, over any sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_dicom.errors import OutOfBounds
from wsi_dicom.geometry import Level, Pyramid, Region, Spacing

sides = st.integers(1, 60)
levels = st.builds(Level, sides, sides, st.integers(1, 25), st.integers(1, 25))
regions = st.builds(Region, st.integers(-20, 70), st.integers(-20, 70), sides, sides)


@settings(deadline=None)
@given(level=levels)
def test_tiles_cover_every_pixel_once(level: Level) -> None:
    covered = np.zeros((level.height, level.width), int)
    tiles = list(level.tiles())
    assert [level.tile_index(*tile) for tile in tiles] == list(range(level.tile_count))
    for tile in tiles:
        inside = level.tile_region(*tile)
        covered[inside.y : inside.bottom, inside.x : inside.right] += 1
    assert (covered == 1).all()


@settings(deadline=None)
@given(level=levels, region=regions)
def test_tiles_of_a_region_are_those_that_touch_it(level: Level, region: Region) -> None:
    touching = [tile for tile in level.tiles() if not level.tile_region(*tile).intersection(region).empty]
    assert list(level.tiles(region)) == touching


@settings(deadline=None)
@given(level=levels, column=st.integers(-3, 62), row=st.integers(-3, 62))
def test_no_other_tiles_have_a_number(level: Level, column: int, row: int) -> None:
    if (column, row) in set(level.tiles()):
        assert level.tile_index(column, row) == row * level.columns + column
    else:
        with pytest.raises(OutOfBounds):
            level.tile_index(column, row)


@settings(deadline=None)
@given(one=regions, other=regions)
def test_intersection_holds_the_pixels_of_both(one: Region, other: Region) -> None:
    common = one.intersection(other)
    shared = [
        set(range(begin, end)) & set(range(other_begin, other_end))
        for begin, end, other_begin, other_end in (
            (one.x, one.right, other.x, other.right),
            (one.y, one.bottom, other.y, other.bottom),
        )
    ]
    assert common.empty == (not all(shared))
    if not common.empty:
        assert shared == [set(range(common.x, common.right)), set(range(common.y, common.bottom))]


@settings(deadline=None)
@given(width=st.integers(1, 200_000), height=st.integers(1, 200_000), tile=st.integers(16, 1024))
def test_halving_doubles_the_spacing_whatever_is_rounded(width: int, height: int, tile: int) -> None:
    """wsidicom refuses levels whose spacing is more than 0.7 % off a power of two."""
    grids = [Level(width, height, tile, tile)]
    while grids[-1].tile_count > 1:
        grids.append(grids[-1].halved())
    pyramid = Pyramid(tuple(grids), spacing=Spacing(0.00025, 0.0005))
    for number, level in enumerate(grids):
        assert (level.width, level.height) == (-(-width // 2**number), -(-height // 2**number))
        assert pyramid.level_spacing(number) == (0.00025 * 2**number, 0.0005 * 2**number)


@settings(deadline=None)
@given(width=st.integers(900, 9000), height=st.integers(900, 9000), parts=st.sampled_from([3, 5, 6, 7]))
def test_other_ratios_are_those_of_the_sizes(width: int, height: int, parts: int) -> None:
    finest, coarse = Level(width, height, 64, 64), Level(width // parts, height // parts, 64, 64)
    assert finest.scale(coarse) == (width / coarse.width, height / coarse.height)
