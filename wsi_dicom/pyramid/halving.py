"""Halving: an average of 2 x 2 pixels, so that one pixel is exactly the middle of four of the finer level.

To smooth, a 5-tap binomial filter comes before each halving: Burt and Adelson, "The Laplacian Pyramid as a Compact
Image Code", 1983, with a = 3/8. Their REDUCE keeps every second pixel and so moves the picture by half a pixel from
level to level; the average does not. Beyond the picture its edge is repeated.
"""

from __future__ import annotations

import numpy as np

from wsi_dicom.geometry import Level, Region
from wsi_dicom.patch import Patch

MARGIN = 2
"""How far the smoothing filter reaches to each side, in pixels of the finer level."""

_BINOMIAL = np.array([1, 4, 6, 4, 1], dtype=np.float32) / 16


def margin(halvings: int) -> int:
    """How many pixels around a region matter to the same region after so many smoothed halvings."""
    return MARGIN * ((1 << halvings) - 1)


def widened(region: Region, by: int, level: Level) -> Region:
    """`region` and `by` pixels on each side of it, inside the level."""
    return Region(region.x - by, region.y - by, region.width + 2 * by, region.height + 2 * by).intersection(
        level.bounds
    )


def halve(patch: Patch, level: Level, target: Region, *, smooth: bool) -> Patch:
    """The pixels of `target`, a region of `level.halved()`, from a patch of `level`.

    The patch must hold what `target` needs of the picture: its doubled size, and MARGIN more on each side to smooth.
    """
    import cv2

    reach = MARGIN if smooth else 0
    need = Region(
        2 * target.x - reach, 2 * target.y - reach, 2 * target.width + 2 * reach, 2 * target.height + 2 * reach
    )
    held = patch.cut(need.intersection(level.bounds))
    pixels = held.pixels
    samples = pixels.shape[2]
    if held.region != need:
        pixels = cv2.copyMakeBorder(
            pixels,
            held.region.y - need.y,
            need.bottom - held.region.bottom,
            held.region.x - need.x,
            need.right - held.region.right,
            cv2.BORDER_REPLICATE,
        )
    if smooth:
        pixels = cv2.sepFilter2D(pixels, -1, _BINOMIAL, _BINOMIAL)[reach:-reach, reach:-reach]
    half = cv2.resize(pixels, (target.width, target.height), interpolation=cv2.INTER_AREA)
    return Patch(target, half.reshape(target.height, target.width, samples))
