"""Flat pictures made larger, to a multiple of a number, in background colour."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from wsi_dicom.background import background_samples, fill
from wsi_dicom.errors import InvalidRequest, OutOfBounds
from wsi_dicom.geometry import FIRST_PLANE, Level, Plane, Region
from wsi_dicom.region import read_region
from wsi_dicom.slide import EncodedTile, Encoding, Pixels, Slide, SlideBase, SourceOptions

_TILE_SIDE: Final = 512
_MAX_PADDING: Final = 65_535


def padded(slide: Slide, options: SourceOptions) -> Slide:
    """`slide` with sides that are multiples of `options.padding`: itself when they are, or when it has several levels.

    Raises InvalidRequest for a padding outside 1 to 65,535.
    """
    padding = options.padding
    if not 1 <= padding <= _MAX_PADDING:
        raise InvalidRequest(f"a padding of {padding} pixels is outside 1 to {_MAX_PADDING}")
    base = slide.pyramid.base
    if len(slide.pyramid.levels) > 1 or (base.width % padding == 0 and base.height % padding == 0):
        return slide
    return PaddedSlide(slide, padding, options.background)


class PaddedSlide(SlideBase):
    """Satisfies Slide, over one of a single level. Nothing is copied: what is stored has another size."""

    def __init__(self, slide: Slide, padding: int, background: tuple[int, int, int]) -> None:
        self._slide, self.background = slide, background
        self.name, self.files, self.metadata = slide.name, slide.files, slide.metadata
        self.associated, self.sparse = slide.associated, slide.sparse
        width, height = (
            -(-side // padding) * padding for side in (slide.pyramid.base.width, slide.pyramid.base.height)
        )
        self.pyramid = replace(slide.pyramid, levels=(Level(width, height, _TILE_SIDE, _TILE_SIDE),))

    def absent(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> bool:
        region = self._region(level, column, row, plane)
        return all(self._slide.absent(level, *tile, plane) for tile in self._slide.pyramid.level(level).tiles(region))

    def encoding(self, level: int) -> Encoding | None:
        self.pyramid.level(level)
        return None

    def lossy_method(self, level: int) -> str | None:
        return self._slide.lossy_method(level)

    def stored_bytes(self, level: int) -> int:
        return self._slide.stored_bytes(level)

    def encoded_tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> EncodedTile | None:
        self._region(level, column, row, plane)
        return None

    def tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> Pixels:
        region, pixel_format = self._region(level, column, row, plane), self.pyramid.pixel_format
        colour = background_samples(self.background, pixel_format)
        pixels: Pixels = np.empty((_TILE_SIDE, _TILE_SIDE, pixel_format.samples), colour.dtype)
        fill(pixels, colour)
        stored = region.intersection(self._slide.pyramid.base.bounds)
        if not stored.empty:
            pixels[: stored.height, : stored.width] = read_region(self._slide, level, stored, plane)
        return pixels

    def _region(self, level: int, column: int, row: int, plane: Plane) -> Region:
        if plane not in self.pyramid.planes:
            raise OutOfBounds(f"{self.name}: there is no optical path {plane[0]}, focal plane {plane[1]}")
        grid = self.pyramid.level(level)
        grid.tile_index(column, row)
        return grid.tile_region(column, row)

    def close(self) -> None:
        self._slide.close()
