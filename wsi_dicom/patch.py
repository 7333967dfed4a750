"""A piece of a level's pixels together with where it lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wsi_dicom.geometry import Level, Region
from wsi_dicom.slide import Pixels


@dataclass(frozen=True, slots=True)
class Patch:
    """`pixels`, shape (region.height, region.width, samples), are those of `region` of some level."""

    region: Region
    pixels: Pixels

    def cut(self, region: Region) -> Patch:
        """The part of this patch inside `region`: a view, not a copy."""
        inside = region.intersection(self.region)
        left, top = inside.x - self.region.x, inside.y - self.region.y
        return Patch(inside, self.pixels[top : top + inside.height, left : left + inside.width])

    def copy(self) -> Patch:
        """Pixels of its own: what a larger patch was cut for may then be forgotten."""
        return Patch(self.region, self.pixels.copy())

    def paste(self, other: Patch) -> None:
        """Puts those pixels of `other` that lie in this patch into it."""
        inside = other.cut(self.region)
        if not inside.region.empty:
            self.cut(inside.region).pixels[:] = inside.pixels

    def tile(self, level: Level, column: int, row: int) -> Pixels:
        """A whole tile of `level`, contiguous; what lies beyond this patch is white."""
        inside = self.cut(level.tile_region(column, row)).pixels
        if inside.shape[:2] == (level.tile_height, level.tile_width):
            return np.ascontiguousarray(inside)
        white = np.iinfo(inside.dtype).max
        whole = np.full((level.tile_height, level.tile_width, inside.shape[2]), white, dtype=inside.dtype)
        whole[: inside.shape[0], : inside.shape[1]] = inside
        return whole


def side_by_side(patches: Sequence[Patch]) -> Patch:
    """Patches of equal height that follow each other from left to right, as one."""
    if len(patches) == 1:
        return patches[0]
    first = patches[0].region
    region = Region(first.x, first.y, sum(patch.region.width for patch in patches), first.height)
    return Patch(region, np.concatenate([patch.pixels for patch in patches], axis=1))


def stacked(patches: Sequence[Patch]) -> Patch:
    """Patches of equal width that follow each other from top to bottom, as one."""
    if len(patches) == 1:
        return patches[0]
    first = patches[0].region
    region = Region(first.x, first.y, first.width, sum(patch.region.height for patch in patches))
    return Patch(region, np.concatenate([patch.pixels for patch in patches], axis=0))
