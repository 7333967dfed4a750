"""Cutting the finest level into blocks, and decoding them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

from wsi_dicom.frames import in_order
from wsi_dicom.geometry import Level, Region
from wsi_dicom.patch import Patch, stacked
from wsi_dicom.region import read_region
from wsi_dicom.slide import Slide

BLOCK_SIDE = 1024
"""Blocks are at most this wide and high (but at least two tiles): 3 MB of colour pixels, which a cache can hold.

With 2048 a rebuild takes as long and 70 to 120 MB more (measured at 24,576 pixels).
"""

MAX_BLOCK_PIXELS = 1 << 27
"""Two by two of the largest tiles, and the row of tiles below."""

BLOCK_HALVINGS = 3
"""Halvings of one block at most. With tiles of 256 there are two; the levels beyond have 1/48 of the pixels in all."""


class BlockPosition(NamedTuple):
    """A block's place: the band from the top, and the number from the left."""

    band: int
    number: int


@dataclass(frozen=True, slots=True)
class BlockGrid:
    """How `levels`, finest first, are cut into blocks of `1 << halvings` tiles a side."""

    levels: tuple[Level, ...]
    halvings: int

    @classmethod
    def of(cls, levels: tuple[Level, ...]) -> BlockGrid:
        side = max(levels[0].tile_width, levels[0].tile_height)
        halvings = 1
        while halvings < min(BLOCK_HALVINGS, len(levels) - 1) and side << (halvings + 1) <= BLOCK_SIDE:
            halvings += 1
        return cls(levels, halvings)

    @property
    def bands(self) -> int:
        """Rows of blocks."""
        return -(-self.levels[0].rows // (1 << self.halvings))

    @property
    def blocks(self) -> int:
        """Blocks in a band."""
        return -(-self.levels[0].columns // (1 << self.halvings))

    def region(self, position: BlockPosition, depth: int) -> Region:
        """The pixels of a block in the level `depth` halvings below the finest, up to `halvings`."""
        level = self.levels[depth]
        tiles = 1 << (self.halvings - depth)
        width, height = tiles * level.tile_width, tiles * level.tile_height
        return Region(position.number * width, position.band * height, width, height).intersection(level.bounds)


class Neighbourhood(NamedTuple):
    """A decoded block, with those at its left and right when their pixels are needed."""

    position: BlockPosition
    patches: list[Patch]


class BlockDecoder:
    """Decodes every block once, a few ahead of who takes them.

    With a `margin` a block also holds the margin of pixels above it, and the row of tiles below it. These rows are
    handed on to the block below, so that no tile is decoded twice.
    """

    def __init__(
        self, slide: Slide, source_level: int, grid: BlockGrid, margin: int, pool: Executor, threads: int
    ) -> None:
        self._slide, self._source_level, self._grid, self._margin = slide, source_level, grid, margin
        self._pool, self._threads = pool, threads
        self._handed_down: list[Patch | None] = [None] * grid.blocks

    def neighbourhoods(self) -> Iterator[Neighbourhood]:
        """Band by band, left to right."""
        for band in range(self._grid.bands):
            positions = (BlockPosition(band, number) for number in range(self._grid.blocks))
            left: list[Patch] = []
            waiting: tuple[BlockPosition, Patch] | None = None
            for position, patch in in_order(self._pool, self._decode, positions, ahead=self._threads + 1):
                self._hand_down(position, patch)
                if not self._margin:
                    yield Neighbourhood(position, [patch])
                    continue
                if waiting is not None:
                    here, beside = waiting[1], self._edge(patch, patch.region.x)
                    yield Neighbourhood(waiting[0], [*left, here, beside])
                    left = [self._edge(here, here.region.right - self._margin)]
                waiting = position, patch
            if waiting is not None:
                yield Neighbourhood(waiting[0], [*left, waiting[1]])

    def _edge(self, patch: Patch, x: int) -> Patch:
        """The columns of a block that its neighbour needs."""
        return patch.cut(Region(x, patch.region.y, self._margin, patch.region.height)).copy()

    def _decode(self, position: BlockPosition) -> Patch:
        own = self._grid.region(position, 0)
        above = self._handed_down[position.number]
        top = own.y if above is None else above.region.bottom
        tile_height = self._grid.levels[0].tile_height
        below = -(-self._margin // tile_height) * tile_height
        fresh = Region(own.x, top, own.width, own.bottom + below - top).intersection(self._grid.levels[0].bounds)
        patches = [] if above is None else [above]
        if not fresh.empty:  # else the block above decoded all of this one: the slide's last row of tiles
            patches.append(
                Patch(fresh, read_region(self._slide, self._source_level, fresh, max_pixels=MAX_BLOCK_PIXELS))
            )
        return stacked(patches)

    def _hand_down(self, position: BlockPosition, patch: Patch) -> None:
        own = self._grid.region(position, 0)
        if self._margin and own.bottom < self._grid.levels[0].height:
            first = own.bottom - self._margin
            rows = patch.cut(Region(own.x, first, own.width, patch.region.bottom - first))
            self._handed_down[position.number] = rows.copy()
