"""Grids of tiles and pyramids of levels: pure arithmetic, no input or output.

`x`, `y`, `width`, `height` are pixels of one level; `column`, `row` are tiles of one level. Level 0 is the finest.
Spacing is in millimetres per pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from wsi_dicom.errors import InvalidRequest, OutOfBounds

TILE_SIDE = 512
"""Of tiles, where nothing else says how large they should be."""


class Spacing(NamedTuple):
    """Distance between pixel centres, in mm: along x (between columns) and along y (between rows)."""

    x_mm: float
    y_mm: float

    def scaled(self, factor_x: float, factor_y: float) -> Spacing:
        return Spacing(self.x_mm * factor_x, self.y_mm * factor_y)


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of pixels of one level. May reach outside it; `intersection` clips."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bottom(self) -> int:
        return self.y + self.height

    @property
    def empty(self) -> bool:
        return self.width <= 0 or self.height <= 0

    def intersection(self, other: Region) -> Region:
        """The common part; `empty` when there is none."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        return Region(x, y, min(self.right, other.right) - x, min(self.bottom, other.bottom) - y)


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """What one pixel is: `samples` 1 (gray) or 3 (colour), `bits` 8 or 16 per sample, unsigned."""

    samples: int = 3
    bits: int = 8

    @property
    def gray(self) -> bool:
        return self.samples == 1

    @property
    def bytes_per_pixel(self) -> int:
        return self.samples * self.bits // 8


class Plane(NamedTuple):
    """One of the pictures that lie over each other: which optical path and which focal plane, counted from 0."""

    optical_path: int = 0
    focal_plane: int = 0


FIRST_PLANE = Plane()


@dataclass(frozen=True, slots=True)
class Level:
    """One level's size and its grid of tiles, in pixels. Tiles at the right and lower edge reach beyond the picture."""

    width: int
    height: int
    tile_width: int
    tile_height: int

    def __post_init__(self) -> None:
        if min(self.width, self.height, self.tile_width, self.tile_height) < 1:
            raise InvalidRequest(
                f"a level of {self.width} x {self.height} pixels in tiles of {self.tile_width} x {self.tile_height}: "
                "all four must be at least 1"
            )

    @property
    def columns(self) -> int:
        """Tiles from left to right."""
        return -(-self.width // self.tile_width)

    @property
    def rows(self) -> int:
        """Tiles from top to bottom."""
        return -(-self.height // self.tile_height)

    @property
    def tile_count(self) -> int:
        return self.columns * self.rows

    @property
    def bounds(self) -> Region:
        return Region(0, 0, self.width, self.height)

    def tile_index(self, column: int, row: int) -> int:
        """Row-major number of a tile. Raises OutOfBounds."""
        # every tile that is copied or served passes here: no property is asked twice
        if 0 <= column * self.tile_width < self.width and 0 <= row * self.tile_height < self.height:
            return row * -(-self.width // self.tile_width) + column
        raise OutOfBounds(
            f"tile column {column}, row {row} is outside the {self.columns} x {self.rows} tiles of this level"
        )

    def tile_region(self, column: int, row: int) -> Region:
        """The pixels of a tile that lie inside the picture."""
        x, y = column * self.tile_width, row * self.tile_height
        return Region(x, y, min(self.tile_width, self.width - x), min(self.tile_height, self.height - y))

    def tiles(self, region: Region | None = None) -> Iterator[tuple[int, int]]:
        """(column, row) of every tile that touches `region` (default: all), row by row."""
        area = self.bounds if region is None else region.intersection(self.bounds)
        if area.empty:
            return
        for row in range(area.y // self.tile_height, -(-area.bottom // self.tile_height)):
            for column in range(area.x // self.tile_width, -(-area.right // self.tile_width)):
                yield column, row

    def halved(self) -> Level:
        """The next coarser level: half the size, rounded up so that no pixel is lost; the same tiles."""
        return Level(-(-self.width // 2), -(-self.height // 2), self.tile_width, self.tile_height)

    def retiled(self, tile_width: int, tile_height: int) -> Level:
        return Level(self.width, self.height, tile_width, tile_height)

    def scale(self, coarser: Level) -> tuple[float, float]:
        """How many of its pixels one of `coarser` spans, along x and y.

        Levels are halved again and again, and their sizes rounded: where a power of two explains both sizes it is that
        (readers such as wsidicom want it within 1 %, which small sizes are not), else the quotients.
        """
        longer = max(self.width, self.height) / max(coarser.width, coarser.height)
        power = 2.0 ** round(math.log2(longer))
        if abs(self.width / power - coarser.width) < 1 and abs(self.height / power - coarser.height) < 1:
            return power, power
        return self.width / coarser.width, self.height / coarser.height


@dataclass(frozen=True, slots=True)
class Pyramid:
    """All levels of a slide, finest first, and what they have in common.

    `spacing` is that of level 0, None when the source does not tell it. `focal_spacing_um` is the distance between
    focal planes in micrometres.
    """

    levels: tuple[Level, ...]
    pixel_format: PixelFormat = PixelFormat()
    spacing: Spacing | None = None
    focal_planes: int = 1
    optical_paths: int = 1
    focal_spacing_um: float | None = None

    @property
    def planes(self) -> tuple[Plane, ...]:
        """All planes in the order of DICOM's frames: focal planes of the first optical path, then of the next."""
        return tuple(Plane(path, focal) for path in range(self.optical_paths) for focal in range(self.focal_planes))

    @property
    def has_channels(self) -> bool:
        """Whether its optical paths are grays, which may be laid over each other in colours."""
        return self.pixel_format.gray and self.optical_paths > 1

    def __post_init__(self) -> None:
        if not self.levels:
            raise InvalidRequest("a pyramid needs at least one level")

    @property
    def base(self) -> Level:
        return self.levels[0]

    def level(self, index: int) -> Level:
        """Raises OutOfBounds."""
        if not 0 <= index < len(self.levels):
            raise OutOfBounds(f"level {index} is outside the {len(self.levels)} levels of this slide")
        return self.levels[index]

    def downsample(self, index: int) -> float:
        """How many pixels of level 0 one pixel of this level spans: the mean of both axes."""
        level = self.level(index)
        return (self.base.width / level.width + self.base.height / level.height) / 2

    def level_spacing(self, index: int) -> Spacing | None:
        if self.spacing is None:
            return None
        return self.spacing.scaled(*self.base.scale(self.level(index)))

    def on_level(self, region: Region, index: int) -> Region:
        """A region of level 0 in the pixels of another level, rounded to whole ones and never empty."""
        level = self.level(index)
        across, down = self.base.width / level.width, self.base.height / level.height
        x, y = min(round(region.x / across), level.width - 1), min(round(region.y / down), level.height - 1)
        right, bottom = max(round(region.right / across), x + 1), max(round(region.bottom / down), y + 1)
        return Region(x, y, right - x, bottom - y)

    def best_level(self, downsample: float) -> int:
        """The coarsest level that is at least as fine as `downsample` asks (0.5 % of slack for rounded sizes)."""
        best = 0
        for index in range(1, len(self.levels)):
            if self.downsample(index) <= downsample * 1.005:
                best = index
        return best
