"""Generic TIFF: each way of storing pixels against tifffile."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.contracts.source_contract import SourceContract
from tests.tiff_ways import WAYS, write_way
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.geometry import FIRST_PLANE, Plane, Region
from wsi_dicom.slide import Encoding, Slide
from wsi_dicom.sources import open_slide

LOSSY = {
    "webp, lossy": "WEBP",
    "lerc, lossy": "LERC",
    "jpeg xl, lossy": "ISO_18181_1",
    "jpeg xr, lossy": "ISO_29199_2",
    "alpha, jpeg xl": "ISO_18181_1",  # nothing was lost, but the header of such a stream is not read
} | dict.fromkeys((way for way in WAYS if re.search(r"jpeg($|,| strips)", way)), "ISO_10918_1")


class ShownReader:
    """What tifffile decodes, as it is meant to be seen: on white, with palette, in 8 or 16 bits."""

    def __init__(self, path: Path) -> None:
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            stored = page.asarray().astype(float)
            if page.planarconfig == 2:
                stored = np.moveaxis(stored, 0, 2)
            stored = stored.reshape(*stored.shape[:2], -1)
            whitest = 255 if page.bitspersample <= 8 else 65535
            if page.photometric.name == "PALETTE":
                stored = page.colormap.T[stored[:, :, 0].astype(int)] >> 8
            elif page.bitspersample < 8:
                stored = stored * 255 / (2**page.bitspersample - 1)
            if page.photometric.name == "MINISWHITE":
                stored = whitest - stored
            self._pixels = self._on_white(stored, [kind.name for kind in page.extrasamples], whitest)
        self.sizes = [(self._pixels.shape[1], self._pixels.shape[0])]

    def _on_white(self, stored: np.ndarray, extra: list[str], whitest: int) -> np.ndarray:
        if not extra:
            return np.floor(stored + 0.5).astype(int)
        colours, alpha = stored[:, :, : -len(extra)], stored[:, :, -len(extra)][:, :, np.newaxis] / whitest
        if extra == ["UNASSALPHA"]:
            colours = colours * alpha
        if extra != ["UNSPECIFIED"]:
            colours = colours + (1 - alpha) * whitest
        return np.floor(colours + 0.5).astype(int)

    def region(self, level: int, region: Region, plane: Plane = FIRST_PLANE) -> np.ndarray:
        return self._pixels[region.y : region.bottom, region.x : region.right]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The file of a way, written once for all tests."""
    folder = tmp_path_factory.mktemp("ways")

    @cache
    def write(way: str) -> Path:
        path = folder / f"{list(WAYS).index(way)}.tif"
        write_way(path, way)
        return path

    return write


@pytest.mark.parametrize("way", WAYS)
class TestWaysOfStoringPixels(SourceContract):
    reader = ShownReader
    tiles_compared = 12

    @pytest.fixture
    def path(self, written: Callable[[str], Path], way: str) -> Path:
        return written(way)

    def test_loss_is_told(self, slide: Slide, way: str) -> None:
        assert slide.lossy_method(0) == LOSSY.get(way)


def test_gray_jpeg_is_copied(tmp_path: Path) -> None:
    path = tmp_path / "gray.tif"
    write_way(path, "jpeg, gray")
    with open_slide(path) as slide:
        assert slide.encoding(0) == Encoding(JPEG_BASELINE, "MONOCHROME2")
        assert slide.encoded_tile(0, 1, 1) is not None
