"""Tiles that a file lacks, made from what the finer levels have there.

Aperio's scanners leave tiles out, most often at the edges of coarse levels, although the finer levels have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from wsi_dicom.geometry import Level, Region
from wsi_dicom.slide import Pixels
from wsi_dicom.tiff.level import TiffLevel

_MAX_FINER_PIXELS: Final = 1 << 25
"""Of the finer level for one tile: 96 MiB in 8-bit colour. Enough for tiles of 362 pixels at a sixteenth."""


def finer_region(coarse: Level, fine: Level, region: Region) -> Region:
    """What `fine` has of a region of `coarse`. The ratio is taken as a whole number where rounded sizes allow it."""
    x, right = _scaled(region.x, region.right, coarse.width, fine.width)
    y, bottom = _scaled(region.y, region.bottom, coarse.height, fine.height)
    return Region(x, y, right - x, bottom - y).intersection(fine.bounds)


def _scaled(start: int, stop: int, coarse: int, fine: int) -> tuple[int, int]:
    whole = round(fine / coarse)
    if abs(fine - whole * coarse) <= whole:
        return start * whole, stop * whole
    return start * fine // coarse, -(-stop * fine // coarse)


def finer_source(levels: Sequence[TiffLevel], number: int, column: int, row: int) -> tuple[int, Region] | None:
    """Where to take a tile of level `number` from: the nearest finer level that has anything there, and what of it.

    None when none has, and when a tile would need too much of it.
    """
    visible = levels[number].level.tile_region(column, row)
    for finer in range(number - 1, -1, -1):
        area = finer_region(levels[number].level, levels[finer].level, visible)
        if levels[finer].stores_any(area):
            return (finer, area) if area.width * area.height <= _MAX_FINER_PIXELS else None
    return None


def averaged(finer: Pixels, size: Region) -> Pixels:
    """The area average of pixels in the width and height of `size`."""
    import cv2

    pixels = cv2.resize(finer, (size.width, size.height), interpolation=cv2.INTER_AREA)
    return np.asarray(pixels).reshape(size.height, size.width, -1)
