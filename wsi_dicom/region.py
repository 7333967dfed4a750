"""Reading a rectangle of pixels out of the tiles of a level, over any Slide."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wsi_dicom.background import background_samples, fill
from wsi_dicom.errors import InvalidRequest
from wsi_dicom.geometry import FIRST_PLANE, PixelFormat, Plane, Region
from wsi_dicom.slide import Pixels, Slide

MAX_PIXELS = 1 << 26
"""Pixels of the largest region read at once by default: 192 MiB in 8-bit colour."""


def read_region(
    slide: Slide,
    level: int,
    region: Region,
    plane: Plane = FIRST_PLANE,
    *,
    max_pixels: int = MAX_PIXELS,
    absent: set[tuple[int, int]] | None = None,
    into: Pixels | None = None,
    tiles: Callable[[int, int], Pixels] | None = None,
) -> Pixels:
    """The pixels of `region` of a level, shape (region.height, region.width, samples); background outside the picture.

    Given `absent`, the tiles (column, row) that the slide lacks are not read, stay background, and are added to it.
    Given `into`, of that shape, the pixels are put there, and it is returned. `tiles` gives the pixels of a tile by
    column and row, where the slide itself should not be asked.
    Memory is bounded by the region and one tile. Raises InvalidRequest (nothing asked for, or more than `max_pixels`),
    OutOfBounds (no such level), CorruptInput, CodecError.
    """
    grid = slide.pyramid.level(level)
    if region.empty:
        raise InvalidRequest(f"a region of {region.width} x {region.height} pixels is empty")
    if region.width * region.height > max_pixels:
        raise InvalidRequest(
            f"a region of {region.width} x {region.height} pixels of level {level} is over the limit of "
            f"{max_pixels} pixels; ask for a smaller region or a coarser level"
        )
    pixels = empty_pixels(region, slide.pyramid.pixel_format) if into is None else into
    if absent is not None or region.intersection(grid.bounds) != region:
        fill(pixels, background_samples(slide.background, slide.pyramid.pixel_format))
    for column, row in grid.tiles(region):
        if absent is not None and slide.absent(level, column, row, plane):
            absent.add((column, row))
            continue
        visible = grid.tile_region(column, row).intersection(region)
        tile = slide.tile(level, column, row, plane) if tiles is None else tiles(column, row)
        left, top = visible.x - column * grid.tile_width, visible.y - row * grid.tile_height
        x, y = visible.x - region.x, visible.y - region.y
        pixels[y : y + visible.height, x : x + visible.width] = tile[
            top : top + visible.height, left : left + visible.width
        ]
    return pixels


def empty_pixels(region: Region, pixel_format: PixelFormat) -> Pixels:
    """Room for the pixels of a region, shape (region.height, region.width, samples), not filled yet."""
    kind = np.uint8 if pixel_format.bits == 8 else np.uint16
    return np.empty((region.height, region.width, pixel_format.samples), dtype=kind)
