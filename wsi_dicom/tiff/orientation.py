"""Slides whose pixels are stored turned or mirrored (field Orientation, TIFF 6.0 section 8), shown upright."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from wsi_dicom.background import background_samples, fill
from wsi_dicom.errors import OutOfBounds
from wsi_dicom.geometry import FIRST_PLANE, Level, Plane, Pyramid, Region, Spacing
from wsi_dicom.region import read_region
from wsi_dicom.slide import EncodedTile, Encoding, Pixels, Slide, SlideBase

_STRIP_TILE_SIDE: Final = 512  # turned strips would be tiles as high as the picture


class _Turn(NamedTuple):
    """How stored pixels become upright ones: rows and columns exchanged first, then the columns, the rows reversed."""

    transposed: bool
    mirrored: bool
    flipped: bool

    def stored(self, region: Region, upright: Level) -> Region:
        """Where a region of the upright level is stored."""
        x = upright.width - region.right if self.mirrored else region.x
        y = upright.height - region.bottom if self.flipped else region.y
        if self.transposed:
            return Region(y, x, region.height, region.width)
        return Region(x, y, region.width, region.height)

    def upright(self, pixels: Pixels) -> Pixels:
        turned = pixels.swapaxes(0, 1) if self.transposed else pixels
        return turned[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1]


_TURNS: Final = {
    2: _Turn(transposed=False, mirrored=True, flipped=False),
    3: _Turn(transposed=False, mirrored=True, flipped=True),
    4: _Turn(transposed=False, mirrored=False, flipped=True),
    5: _Turn(transposed=True, mirrored=False, flipped=False),
    6: _Turn(transposed=True, mirrored=True, flipped=False),
    7: _Turn(transposed=True, mirrored=True, flipped=True),
    8: _Turn(transposed=True, mirrored=False, flipped=True),
}


class TurnedSlide(SlideBase):
    """Satisfies Slide, over one that is stored in `orientation` 2 to 8. Nothing is copied: every tile is decoded.

    Associated images are taken as they are.
    """

    def __init__(self, stored: Slide, orientation: int, background: tuple[int, int, int]) -> None:
        self._stored, self._turn, self.background = stored, _TURNS[orientation], background
        self.name, self.metadata, self.associated = stored.name, stored.metadata, stored.associated
        self.files, self.sparse = stored.files, stored.sparse
        pyramid = stored.pyramid
        spacing = pyramid.spacing
        if spacing is not None and self._turn.transposed:
            spacing = Spacing(spacing.y_mm, spacing.x_mm)
        self.pyramid = Pyramid(
            tuple(self._upright(level) for level in pyramid.levels),
            pyramid.pixel_format,
            spacing,
            pyramid.focal_planes,
            pyramid.optical_paths,
            pyramid.focal_spacing_um,
        )

    def _upright(self, level: Level) -> Level:
        width, height, tile_width, tile_height = level.width, level.height, level.tile_width, level.tile_height
        if self._turn.transposed:
            width, height, tile_width, tile_height = height, width, tile_height, tile_width
        upright = Level(width, height, tile_width, tile_height)
        large = max(tile_width, tile_height) > _STRIP_TILE_SIDE
        return upright.retiled(_STRIP_TILE_SIDE, _STRIP_TILE_SIDE) if large and level.columns == 1 else upright

    def absent(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> bool:
        region = self._region(level, column, row)[1]
        tiles = self._stored.pyramid.level(level).tiles(region)
        return all(self._stored.absent(level, *tile, plane) for tile in tiles)

    def encoding(self, level: int) -> Encoding | None:
        self.pyramid.level(level)
        return None

    def lossy_method(self, level: int) -> str | None:
        return self._stored.lossy_method(level)

    def stored_bytes(self, level: int) -> int:
        return self._stored.stored_bytes(level)

    def encoded_tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> EncodedTile | None:
        self._region(level, column, row)
        if plane not in self.pyramid.planes:
            raise OutOfBounds(f"{self.name}: the slide has no optical path {plane[0]} with a focal plane {plane[1]}")
        return None

    def tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> Pixels:
        visible, stored = self._region(level, column, row)
        pixels = self._turn.upright(read_region(self._stored, level, stored, plane))
        grid = self.pyramid.level(level)
        if (visible.width, visible.height) == (grid.tile_width, grid.tile_height):
            return np.ascontiguousarray(pixels)
        tile: Pixels = np.empty((grid.tile_height, grid.tile_width, pixels.shape[2]), pixels.dtype)
        fill(tile, background_samples(self.background, self.pyramid.pixel_format))
        tile[: visible.height, : visible.width] = pixels
        return tile

    def _region(self, level: int, column: int, row: int) -> tuple[Region, Region]:
        """The visible pixels of a tile, upright and as stored."""
        grid = self.pyramid.level(level)
        grid.tile_index(column, row)
        visible = grid.tile_region(column, row)
        return visible, self._turn.stored(visible, grid)

    def close(self) -> None:
        self._stored.close()
