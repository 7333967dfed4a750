"""The one pass over a slide that writes its finest level and all levels below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from wsi_dicom.codecs import encode_tile
from wsi_dicom.frames import FrameSink, Progress, in_order, level_rows
from wsi_dicom.geometry import Plane
from wsi_dicom.patch import Patch, side_by_side
from wsi_dicom.plan import ConversionPlan
from wsi_dicom.pyramid.band import EncodedBand, PlacedTile
from wsi_dicom.pyramid.blocks import Block, BlockDecoder, BlockGrid, BlockPosition
from wsi_dicom.pyramid.coarser import CoarserLevel
from wsi_dicom.pyramid.halving import halve, margin, widened
from wsi_dicom.pyramid.presence import Presence
from wsi_dicom.slide import Slide


@dataclass(frozen=True, slots=True)
class GrownBlock:
    """The encoded tiles of a block, a list for each level from the finest, and its coarsest pixels."""

    position: BlockPosition
    tiles: list[list[PlacedTile]]
    coarsest: Patch


def build_pyramid(
    slide: Slide,
    plan: ConversionPlan,
    sinks: Sequence[FrameSink],
    *,
    plane: Plane,
    pool: Executor,
    threads: int,
    scratch: Path,
    progress: Progress,
) -> None:
    """Writes one plane of the first level of `plan`, kept or encoded, and of the others, derived from it.

    `scratch` is a folder for encoded tiles that have to wait. Raises CodecError, CorruptInput, StoreError.
    """
    grid = BlockGrid.of(tuple(level.output for level in plan.levels))
    around = margin(grid.halvings) if plan.smooth else 0
    base = plan.levels[0]
    presence = Presence(slide.pyramid.level(base.source_level)) if base.sparse else None
    decoder = BlockDecoder(slide, base.source_level, plane, grid, around, presence, pool, threads)
    coarser = _coarser_levels(plan, sinks, grid.halvings, presence)
    grower = _BlockGrower(plan, grid, presence)
    kept = level_rows(slide, plan, 0, plane, pool, threads) if base.action.keeps_tiles else iter(())
    grown = (block for _, block in in_order(pool, grower.grow, decoder.blocks(), ahead=threads + 1))
    for _ in range(grid.bands):
        coarsest = _write_band(grown, grid, sinks, scratch, progress)
        for _, frames in islice(kept, 1 << grid.halvings):  # after decoding: what turned out broken may be replaced
            for frame in frames:
                sinks[0].write(frame)
        if coarser is not None:
            coarser.add(side_by_side(coarsest))
    for level in grid.levels[grid.halvings + 1 :]:
        progress(level.tile_count, level.width * level.height)


def _coarser_levels(
    plan: ConversionPlan, sinks: Sequence[FrameSink], halvings: int, presence: Presence | None
) -> CoarserLevel | None:
    """The chain of levels beyond those that grow from blocks, its finest first."""
    chain: CoarserLevel | None = None
    for number in range(len(plan.levels) - 1, halvings, -1):
        finer = plan.levels[number - 1].output
        chain = CoarserLevel(finer, plan, number, sinks[number], presence, chain)
    return chain


def _write_band(
    grown: Iterator[GrownBlock], grid: BlockGrid, sinks: Sequence[FrameSink], scratch: Path, progress: Progress
) -> list[Patch]:
    """Takes the blocks of one band, writes their tiles in order and returns their coarsest pixels."""
    coarsest: list[Patch] = []
    with ExitStack() as stack:
        bands = [stack.enter_context(EncodedBand(scratch)) for _ in range(grid.halvings + 1)]
        for _ in range(grid.blocks):
            block = next(grown)
            for band, tiles in zip(bands, block.tiles, strict=True):
                band.add(tiles)
            coarsest.append(block.coarsest)
            for depth in range(grid.halvings + 1):
                region = grid.region(block.position, depth)
                progress(sum(1 for _ in grid.levels[depth].tiles(region)), region.width * region.height)
        for band, sink in zip(bands, sinks, strict=False):
            band.write_to(sink)
    return coarsest


class _BlockGrower:
    """Halves and encodes blocks; called from many threads."""

    def __init__(self, plan: ConversionPlan, grid: BlockGrid, presence: Presence | None) -> None:
        self._plan, self._grid, self._presence = plan, grid, presence

    def grow(self, block: Block) -> GrownBlock:
        plan, grid, (position, patch) = self._plan, self._grid, block
        tiles = [self._encode(patch, position, 0)]
        for depth in range(1, grid.halvings + 1):
            own = grid.region(position, depth)
            target = widened(own, margin(grid.halvings - depth), grid.levels[depth]) if plan.smooth else own
            patch = halve(patch, grid.levels[depth - 1], target, smooth=plan.smooth)
            tiles.append(self._encode(patch, position, depth))
        return GrownBlock(position, tiles, patch)

    def _encode(self, patch: Patch, position: BlockPosition, depth: int) -> list[PlacedTile]:
        level = self._plan.levels[depth]
        if level.action.keeps_tiles:
            return []
        region = self._grid.region(position, depth)
        return [
            PlacedTile(row, column, self._encoded_tile(patch, depth, column, row))
            for column, row in level.output.tiles(region)
        ]

    def _encoded_tile(self, patch: Patch, depth: int, column: int, row: int) -> bytes | None:
        level = self._plan.levels[depth]
        if self._presence is not None and self._presence.lacks(level.output.tile_region(column, row), 1 << depth):
            return None
        return encode_tile(patch.tile(level.output, column, row), level.encoding, self._plan.quality)
