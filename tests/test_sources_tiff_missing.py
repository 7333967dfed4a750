"""What a TIFF does not hold: missing tiles, transparent pixels, and the background that stands for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage.transform import downscale_local_mean

from tests.contracts.source_contract import SourceContract, TifffileReader
from tests.tiff_ways import FADING, GRAY, ODD, PICTURE, RGBA
from tests.vendor_tiffs import drop_tiles
from wsi_dicom.errors import CorruptInput
from wsi_dicom.geometry import Region
from wsi_dicom.region import read_region
from wsi_dicom.slide import Slide, SourceOptions
from wsi_dicom.sources import open_slide


@pytest.mark.parametrize(("gray", "seen"), [(False, [10, 200, 30]), (True, [124])])
def test_background_is_as_wished(tmp_path: Path, gray: bool, seen: list[int]) -> None:
    """Of a missing tile, of what is transparent, and beyond the edges of a turned picture."""
    options = SourceOptions(color=(10, 200, 30))
    pixels = np.dstack([GRAY, FADING]) if gray else RGBA
    path = tmp_path / "alpha.tif"
    tifffile.imwrite(
        path, pixels, tile=(64, 64), extrasamples="unassalpha", planarconfig="contig", metadata=None,
        photometric="minisblack" if gray else "rgb", extratags=[(274, 3, 1, 3, True)],
    )  # fmt: skip
    drop_tiles(path, 0, [0])
    with open_slide(path, options=options) as slide:
        below, right = slide.tile(0, 0, 3)[201 - 192 :], slide.tile(0, 4, 0)[:, 307 - 256 :]
        assert (below == seen).all()
        assert (right == seen).all()
        assert (read_region(slide, 0, Region(307 - 64, 201 - 64, 64, 64)) == seen).all(), "the missing tile"
        assert (read_region(slide, 0, Region(100, 201 - 30, 60, 30)) == seen).all(), "transparent"
        assert not (read_region(slide, 0, Region(100, 0, 60, 60)) == seen).all()


@pytest.fixture
def halved(tmp_path: Path) -> Path:
    """Three levels, each an exact area average of the one before, tiled by 64."""
    path = tmp_path / "halved.tif"
    with tifffile.TiffWriter(path) as out:
        level = PICTURE[:384, :448]
        for _ in range(3):
            out.write(level, tile=(64, 64), compression="zlib", photometric="rgb", metadata=None)
            level = np.rint(downscale_local_mean(level, (2, 2, 1))).astype(np.uint8)
    return path


def test_tiles_that_a_coarse_level_lacks_come_from_the_finer_ones(halved: Path) -> None:
    with open_slide(halved) as slide:
        expected = [read_region(slide, number, level.bounds) for number, level in enumerate(slide.pyramid.levels)]
    drop_tiles(halved, 1, [5])
    drop_tiles(halved, 2, [0, 1, 3])
    with open_slide(halved) as slide:
        assert not slide.sparse
        for number, level in enumerate(slide.pyramid.levels):
            seen = read_region(slide, number, level.bounds).astype(int)
            assert np.abs(seen - expected[number]).max() <= number, f"level {number}: averages are rounded each time"
        assert slide.encoded_tile(2, 0, 0) is None


def test_a_tile_that_no_level_has_is_background(halved: Path) -> None:
    drop_tiles(halved, 0, [0, 1, 7, 8, 14, 15, 21, 22, 30])
    drop_tiles(halved, 1, [0, 4])
    drop_tiles(halved, 2, [0])
    with open_slide(halved, options=SourceOptions(color=(1, 2, 3))) as slide:
        assert not slide.sparse, "9 of 42"
        for level, height in ((0, 64), (1, 64)):
            assert (slide.tile(level, 0, 0)[:height] == [1, 2, 3]).all()
        rebuilt = slide.tile(2, 0, 0)
        assert (rebuilt[:32, :32] == [1, 2, 3]).all()
        assert (rebuilt[:, 33:].std(axis=(0, 1)) > 5).all()
        assert slide.absent(0, 0, 0)
        assert slide.absent(1, 0, 0)
        assert not slide.absent(2, 0, 0)


class TestSparse(SourceContract):
    """A quarter of the finest level is missing, and everything over one of its corners."""

    class Reader(TifffileReader):
        def __init__(self, path: Path) -> None:
            with tifffile.TiffFile(path) as file:
                self._levels = [level.asarray() for level in file.pages]
            self._levels = [np.where(level.any(axis=2, keepdims=True), level, 255) for level in self._levels]
            self.sizes = [(level.shape[1], level.shape[0]) for level in self._levels]

    reader = Reader

    @pytest.fixture
    def path(self, halved: Path) -> Path:
        drop_tiles(halved, 0, [0, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 17])
        drop_tiles(halved, 1, [0, 1])
        return halved

    def test_it_is_known_as_sparse(self, slide: Slide) -> None:
        assert slide.sparse
        assert [slide.absent(0, column, 0) for column in range(7)] == [True] * 4 + [False] * 3
        assert [slide.absent(1, column, 0) for column in range(4)] == [True, True, False, False]


@pytest.mark.parametrize("plane", range(3))
def test_a_tile_that_lacks_a_plane_is_damaged(tmp_path: Path, plane: int) -> None:
    path = tmp_path / "planar.tif"
    pixels = np.ascontiguousarray(np.moveaxis(ODD, 2, 0))
    tifffile.imwrite(path, pixels, tile=(64, 64), photometric="rgb", planarconfig="separate", metadata=None)
    count = -(-ODD.shape[0] // 64) * -(-ODD.shape[1] // 64)
    drop_tiles(path, 0, [1, 1 + count, 1 + 2 * count, 2 + plane * count])
    with open_slide(path) as slide:
        assert np.array_equal(slide.tile(0, 0, 0), ODD[:64, :64])
        assert slide.absent(0, 1, 0)
        assert (slide.tile(0, 1, 0) == 255).all()
        assert not slide.absent(0, 2, 0)
        with pytest.raises(CorruptInput, match=r"planar\.tif: level 0, tile column 2, row 0: it lacks some of the 3"):
            slide.tile(0, 2, 0)
