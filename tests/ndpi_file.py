"""NDPI files that are made here, and what must be seen in them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.build_ndpi import JpegStripes, NdpiPage, write_ndpi
from tests.contracts.source_contract import scan
from wsi_dicom.geometry import FIRST_PLANE, Plane
from wsi_dicom.slide import Slide

RESTART = re.compile(rb"\xff[\xd0-\xd7]")


Maker = Callable[..., Path]


def maker(folder: Path) -> Maker:
    """Writes pages as made.ndpi."""

    def write(*pages: NdpiPage, begin: int = 12) -> Path:
        write_ndpi(folder / "made.ndpi", pages, begin)
        return folder / "made.ndpi"

    return write


def whole(stream: JpegStripes) -> NDArray[np.uint8]:
    """The pixels of a whole stream, by Pillow."""
    with Image.open(io.BytesIO(b"".join(stream.parts()))) as picture:
        return np.asarray(picture.convert("RGB"))


def page(stream: JpegStripes, width: int, height: int, magnification: float = 20, **others) -> NdpiPage:
    return NdpiPage(width, height, stream.parts(), stream.starts(), magnification, **others)


def restart_intervals(stream: bytes) -> list[bytes]:
    return RESTART.split(scan(stream))


def assert_shows(slide: Slide, level: int, expected: NDArray[np.uint8], plane: Plane = FIRST_PLANE) -> None:
    """Every pixel is that of the whole stream, except beside tile borders, where chroma is smoothed across."""
    grid = slide.pyramid.levels[level]
    for column, row in grid.tiles():
        inside = grid.tile_region(column, row)
        tile = slide.tile(level, column, row, plane)[: inside.height, : inside.width].astype(int)
        difference = np.abs(tile - expected[inside.y : inside.bottom, inside.x : inside.right])
        assert difference[1:-1, 1:-1].max() == 0, f"column {column}, row {row}"
        assert difference.mean() < 0.5
