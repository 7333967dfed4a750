"""The one pass over a slide that writes its finest level and all levels below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from wsi_dicom.codecs import encode_tile
from wsi_dicom.frames import FrameSink, Progress, copied_row, in_order
from wsi_dicom.patch import Patch, side_by_side
from wsi_dicom.plan import Action, ConversionPlan
from wsi_dicom.pyramid.band import EncodedBand, PlacedTile
from wsi_dicom.pyramid.blocks import BlockDecoder, BlockGrid, BlockPosition, Neighbourhood
from wsi_dicom.pyramid.coarser import CoarserLevel
from wsi_dicom.pyramid.halving import halve, margin, widened
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
    pool: Executor,
    threads: int,
    scratch: Path,
    progress: Progress,
) -> None:
    """Writes the first level of `plan`, copied or encoded, and the others, derived from it.

    `scratch` is a folder for encoded tiles that have to wait. Raises CodecError, CorruptInput, StoreError.
    """
    grid = BlockGrid.of(tuple(level.output for level in plan.levels))
    around = margin(grid.halvings) if plan.smooth else 0
    decoder = BlockDecoder(slide, plan.levels[0].source_level, grid, around, pool, threads)
    coarser = _coarser_levels(plan, sinks, grid.halvings)
    grower = _BlockGrower(plan, grid)
    grown = (block for _, block in in_order(pool, grower.grow, decoder.neighbourhoods(), ahead=threads + 1))
    for band in range(grid.bands):
        if plan.levels[0].action is Action.COPY:
            first = band << grid.halvings
            for row in range(first, min(first + (1 << grid.halvings), grid.levels[0].rows)):
                for frame in copied_row(slide, plan.levels[0], plan.quality, row):
                    sinks[0].write(frame)
        coarsest = _write_band(grown, grid, sinks, scratch, progress)
        if coarser is not None:
            coarser.add(side_by_side(coarsest))
    for level in grid.levels[grid.halvings + 1 :]:
        progress(level.tile_count, level.width * level.height)


def _coarser_levels(plan: ConversionPlan, sinks: Sequence[FrameSink], halvings: int) -> CoarserLevel | None:
    """The chain of levels beyond those that grow from blocks, its finest first."""
    chain: CoarserLevel | None = None
    for number in range(len(plan.levels) - 1, halvings, -1):
        finer, level = plan.levels[number - 1].output, plan.levels[number]
        chain = CoarserLevel(finer, level, sinks[number], plan.quality, plan.smooth, chain)
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

    def __init__(self, plan: ConversionPlan, grid: BlockGrid) -> None:
        self._plan, self._grid = plan, grid

    def grow(self, neighbourhood: Neighbourhood) -> GrownBlock:
        plan, grid, position = self._plan, self._grid, neighbourhood.position
        patch = self._with_margin(neighbourhood)
        tiles = [self._encode(patch, position, 0)]
        for depth in range(1, grid.halvings + 1):
            own = grid.region(position, depth)
            target = widened(own, margin(grid.halvings - depth), grid.levels[depth]) if plan.smooth else own
            patch = halve(patch, grid.levels[depth - 1], target, smooth=plan.smooth)
            tiles.append(self._encode(patch, position, depth))
        return GrownBlock(position, tiles, patch)

    def _with_margin(self, neighbourhood: Neighbourhood) -> Patch:
        own = self._grid.region(neighbourhood.position, 0)
        if not self._plan.smooth:
            return neighbourhood.patches[0]
        area = widened(own, margin(self._grid.halvings), self._grid.levels[0])
        parts = (patch.cut(area) for patch in neighbourhood.patches)
        return side_by_side([part for part in parts if not part.region.empty])

    def _encode(self, patch: Patch, position: BlockPosition, depth: int) -> list[PlacedTile]:
        level = self._plan.levels[depth]
        if level.action is Action.COPY:
            return []
        region = self._grid.region(position, depth)
        return [
            PlacedTile(
                row, column, encode_tile(patch.tile(level.output, column, row), level.encoding, self._plan.quality)
            )
            for column, row in level.output.tiles(region)
        ]
