"""Cutting the finest level into blocks, and decoding them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

from wsi_dicom.decoded_cache import kept_tiles
from wsi_dicom.frames import in_order
from wsi_dicom.geometry import Level, Plane, Region
from wsi_dicom.patch import Patch
from wsi_dicom.pyramid.halving import widened
from wsi_dicom.pyramid.presence import Presence
from wsi_dicom.region import empty_pixels, read_region
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


class Block(NamedTuple):
    """A decoded block with its margin."""

    position: BlockPosition
    patch: Patch


class BlockDecoder:
    """Decodes every block once, a few ahead of who takes them.

    With a `margin` a block has so many pixels of its neighbours around it. Left and right they are copied from one to
    the other. What lies above was decoded by the block above, which also decodes the row of tiles below it and hands it
    down, so that no tile is decoded twice. With a `presence` the tiles that the slide lacks are marked there, and not
    decoded.
    """

    def __init__(
        self,
        slide: Slide,
        source_level: int,
        plane: Plane,
        grid: BlockGrid,
        margin: int,
        presence: Presence | None,
        pool: Executor,
        threads: int,
    ) -> None:
        self._slide, self._source_level, self._plane = slide, source_level, plane
        self._grid, self._margin, self._presence = grid, margin, presence
        self._pool, self._threads = pool, threads
        retiled = grid.levels[0] != slide.pyramid.level(source_level)  # then blocks share tiles of the source
        self._tiles = kept_tiles(slide, source_level, plane) if retiled else None
        self._handed_down: list[list[Patch]] = [[] for _ in range(grid.blocks)]

    def blocks(self) -> Iterator[Block]:
        """Band by band, left to right."""
        for band in range(self._grid.bands):
            positions = (BlockPosition(band, number) for number in range(self._grid.blocks))
            decoded = in_order(self._pool, self._decode, positions, ahead=self._threads + 1)
            blocks = (Block(*block) for block in decoded)
            yield from self._with_sides(blocks) if self._margin else blocks

    def _with_sides(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """Fills the margins of each at its left and right: it is ready when the one at its right is decoded."""
        left: Block | None = None
        for block in blocks:
            if left is not None:
                left.patch.paste(self._own_columns(block))
                block.patch.paste(self._own_columns(left))
                yield left
            left = block
        if left is not None:
            yield left

    def _own_columns(self, block: Block) -> Patch:
        own, height = self._grid.region(block.position, 0), block.patch.region.height
        return block.patch.cut(Region(own.x, block.patch.region.y, own.width, height))

    def _decode(self, position: BlockPosition) -> Patch:
        """All of a block but what `_with_sides` fills."""
        base, own = self._grid.levels[0], self._grid.region(position, 0)
        patch = self._empty(widened(own, self._margin, base))
        top = own.y
        for above in self._handed_down[position.number]:
            patch.paste(above)
            top = above.region.bottom
        self._read(patch.cut(Region(own.x, top, own.width, own.bottom - top)))
        rows = -(-self._margin // base.tile_height) * base.tile_height
        below = Region(own.x, own.bottom, own.width, rows).intersection(base.bounds)
        self._handed_down[position.number] = []
        if not below.empty:
            next_rows = self._empty(below)
            self._read(next_rows)
            patch.paste(next_rows)
            above = patch.cut(Region(own.x, own.bottom - self._margin, own.width, self._margin)).copy()
            self._handed_down[position.number] = [above, next_rows]
        return patch

    def _empty(self, region: Region) -> Patch:
        return Patch(region, empty_pixels(region, self._slide.pyramid.pixel_format))

    def _read(self, patch: Patch) -> None:
        if patch.region.empty:  # the block above decoded all of it: the slide's last row of tiles
            return
        absent: set[tuple[int, int]] | None = None if self._presence is None else set()
        read_region(
            self._slide,
            self._source_level,
            patch.region,
            self._plane,
            max_pixels=MAX_BLOCK_PIXELS,
            absent=absent,
            into=patch.pixels,
            tiles=self._tiles,
        )
        if self._presence is not None and absent:
            self._presence.mark_absent(absent)
