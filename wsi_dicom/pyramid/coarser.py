"""Growing a level from rows of pixels of the finer one."""

from __future__ import annotations

from wsi_dicom.codecs import encode_tile
from wsi_dicom.frames import FrameSink
from wsi_dicom.geometry import Level, Region
from wsi_dicom.patch import Patch, stacked
from wsi_dicom.plan import ConversionPlan
from wsi_dicom.pyramid.halving import MARGIN, halve
from wsi_dicom.pyramid.presence import Presence


class CoarserLevel:
    """Takes the finer level from top to bottom; writes its own tiles, and feeds the level below, as soon as it can."""

    def __init__(
        self,
        finer: Level,
        plan: ConversionPlan,
        number: int,
        sink: FrameSink,
        presence: Presence | None,
        coarser: CoarserLevel | None,
    ) -> None:
        """`number` is that of its own level in `plan`."""
        self._finer, self._plan, self._number, self._sink = finer, plan.levels[number], number, sink
        self._quality, self._smooth = plan.quality, plan.smooth
        self._presence, self._coarser = presence, coarser
        self._waiting: list[Patch] = []  # rows of the finer level that are still needed
        self._grown: list[Patch] = []  # rows of this level that do not fill a row of tiles yet
        self._row = 0

    def add(self, rows: Patch) -> None:
        """The next rows of the finer level, over its whole width."""
        held = stacked([*self._waiting, rows])
        level = self._plan.output
        reach = MARGIN if self._smooth else 0
        complete = held.region.bottom == self._finer.height
        begin = self._grown[-1].region.bottom if self._grown else self._row * level.tile_height
        end = level.height if complete else (held.region.bottom - reach) // 2
        if end <= begin:
            self._waiting = [held]
            return
        target = Region(0, begin, level.width, end - begin)
        self._grown.append(halve(held, self._finer, target, smooth=self._smooth))
        first = 2 * end - reach
        rest = held.cut(Region(0, first, self._finer.width, self._finer.height - first))
        self._waiting = [] if rest.region.empty else [rest.copy()]
        self._write_rows_of_tiles()

    def _write_rows_of_tiles(self) -> None:
        level = self._plan.output
        grown = stacked(self._grown)
        while self._row < level.rows:
            row = level.tile_region(0, self._row)
            if row.bottom > grown.region.bottom:
                break
            for column in range(level.columns):
                self._sink.write(self._encoded_tile(grown, column))
            if self._coarser is not None:
                self._coarser.add(grown.cut(Region(0, row.y, level.width, row.height)))
            self._row += 1
        begin = self._row * level.tile_height
        rest = grown.cut(Region(0, begin, level.width, level.height))
        self._grown = [] if rest.region.empty else [rest.copy()]

    def _encoded_tile(self, grown: Patch, column: int) -> bytes | None:
        level = self._plan.output
        if self._presence is not None and self._presence.lacks(level.tile_region(column, self._row), 1 << self._number):
            return None
        return encode_tile(grown.tile(level, column, self._row), self._plan.encoding, self._quality)
