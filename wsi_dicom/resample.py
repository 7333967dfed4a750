"""Parts of a slide at another size, mirrored and turned."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wsi_dicom.geometry import Plane, Region
from wsi_dicom.region import read_region
from wsi_dicom.slide import Pixels, Slide

_BAND_PIXELS: Final = 1 << 23
_SUM_PIXELS: Final = 1 << 15


def resampled(slide: Slide, index: int, source: Region, plane: Plane, width: int, height: int) -> Pixels:
    """The pixels of `source`, a region of level `index`, as (height, width, samples).

    Axes that shrink become area averages, exactly as if scaled in one piece; a source larger than a band and the result
    is read in bands, so that memory holds the result and a band. Raises CorruptInput, CodecError.
    """
    if source.width * source.height <= max(_BAND_PIXELS, width * height):
        pixels = read_region(slide, index, source, plane, max_pixels=source.width * source.height)
    else:
        bands = _narrow_bands(slide, index, source, plane, min(width, source.width))
        pixels = _averaged_rows(bands, source.height, min(height, source.height))
    return scaled(pixels, width, height)


def scaled(pixels: Pixels, width: int, height: int) -> Pixels:
    """By area averages when both axes shrink, which keeps detail honest, else by Lanczos."""
    import cv2

    if pixels.shape[:2] == (height, width):
        return pixels
    shrinks = width <= pixels.shape[1] and height <= pixels.shape[0]
    return with_samples(
        cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4)
    )


def turned(pixels: Pixels, mirror: bool, degrees: float) -> Pixels:
    """Mirrored left to right if asked, then turned clockwise.

    By multiples of 90 degrees exactly. By others, the smallest rectangle that holds the turned picture: it has a sample
    more, alpha, which is 0 outside of the picture.
    """
    if mirror:
        pixels = pixels[:, ::-1]
    if degrees % 90 == 0:
        return np.ascontiguousarray(np.rot90(pixels, -int(degrees) // 90))
    return _rotated(np.ascontiguousarray(pixels), degrees)


def turned_size(width: int, height: int, degrees: float) -> tuple[int, int]:
    """Pixels across and down of what `turned` makes."""
    if degrees % 180 == 0:
        return width, height
    if degrees % 90 == 0:
        return height, width
    cosine, sine = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    return max(1, round(width * cosine + height * sine)), max(1, round(width * sine + height * cosine))


def with_samples(pixels: NDArray[Any]) -> Pixels:
    """OpenCV drops the last axis of gray pictures."""
    return pixels if pixels.ndim == 3 else pixels[:, :, np.newaxis]


def _rotated(pixels: Pixels, degrees: float) -> Pixels:
    import cv2

    height, width = pixels.shape[:2]
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    across, down = turned_size(width, height, degrees)
    x, y = (width - 1) / 2, (height - 1) / 2  # centre goes to centre
    matrix = np.array(
        [
            [cosine, -sine, (across - 1) / 2 - cosine * x + sine * y],
            [sine, cosine, (down - 1) / 2 - sine * x - cosine * y],
        ]
    )
    inside = np.full((height, width), np.iinfo(pixels.dtype).max, pixels.dtype)
    alpha = cv2.warpAffine(inside, matrix, (across, down), flags=cv2.INTER_LINEAR)
    # repeated at its edges, so that no black of the outside bleeds in: alpha takes that away again
    colours = cv2.warpAffine(pixels, matrix, (across, down), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.dstack((colours, alpha))


def _narrow_bands(slide: Slide, index: int, source: Region, plane: Plane, width: int) -> Iterator[Pixels]:
    """The source from top to bottom, scaled to `width`; by rows of tiles where they fit, which decodes none twice."""
    tile_height, most = slide.pyramid.level(index).tile_height, max(1, _BAND_PIXELS // source.width)
    y = source.y
    while y < source.bottom:
        bottom = min((y // tile_height + 1) * tile_height, y + most, source.bottom)
        band = Region(source.x, y, source.width, bottom - y)
        narrow = scaled(read_region(slide, index, band, plane, max_pixels=band.width * band.height), width, band.height)
        step = max(1, _SUM_PIXELS // width)
        yield from (narrow[top : top + step] for top in range(0, band.height, step))
        y = bottom


def _averaged_rows(bands: Iterator[Pixels], source_height: int, height: int) -> Pixels:
    """Means over the rows that each of `height` rows covers, in parts too, of bands with `source_height` rows together.

    A mean is the difference between the sums of all rows above its lower and above its upper edge.
    """
    edges = np.arange(1, height + 1) * source_height / height
    first = next(bands)
    means = np.empty((height, *first.shape[1:]), first.dtype)
    above = upper = np.zeros((1, *first.shape[1:]))
    y = row = 0
    for band in chain((first,), bands):
        sums = np.cumsum(band, axis=0, dtype=np.float64)
        sums += above
        end = int(np.searchsorted(edges, y + len(band), side="right"))
        if end > row:
            last = np.ceil(edges[row:end]).astype(np.intp) - 1 - y
            beyond = (last + 1 + y - edges[row:end])[:, np.newaxis, np.newaxis]
            lower = sums[last] - beyond * band[last]
            means[row:end] = np.rint(np.diff(lower, axis=0, prepend=upper) * (height / source_height))
            upper = lower[-1:]
        above, y, row = sums[-1:], y + len(band), end
    return means
