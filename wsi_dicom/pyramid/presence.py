"""Which parts of the finest level the source really has."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from wsi_dicom.geometry import Level, Region


class Presence:
    """A mark for each tile of the source's level, so that derived tiles of nothing but absent ones stay absent too.

    Written and read by many threads, each of which asks only after what it, or who handed it the pixels, has marked.
    """

    def __init__(self, source: Level) -> None:
        self._source = source
        self._absent = np.zeros((source.rows, source.columns), dtype=bool)

    def mark_absent(self, tiles: Iterable[tuple[int, int]]) -> None:
        for column, row in tiles:
            self._absent[row, column] = True

    def lacks(self, region: Region, scale: int) -> bool:
        """Whether all of `region`, of a level `scale` times as coarse, is absent."""
        source = self._source
        area = Region(region.x * scale, region.y * scale, region.width * scale, region.height * scale)
        inside = area.intersection(source.bounds)
        columns = slice(inside.x // source.tile_width, -(-inside.right // source.tile_width))
        rows = slice(inside.y // source.tile_height, -(-inside.bottom // source.tile_height))
        return bool(self._absent[rows, columns].all())
