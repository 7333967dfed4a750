"""Samples on a display of 8 bits (PS3.3 C.11.2.1.3)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_dicom.metadata import Window
from wsi_dicom.slide import Pixels


def eight_bits(pixels: Pixels, window: Window | None) -> Pixels:
    """Pixels of 8 bits as they are, of 16 through the window; without one, all 16 bits are spread."""
    if pixels.dtype == np.uint8:
        return pixels
    return (pixels >> 8).astype(np.uint8) if window is None else windowed(pixels, window)


def windowed(pixels: Pixels, window: Window) -> Pixels:
    """Pixels of 8 or 16 bits as the grays, of 8 bits, that the window shows them in."""
    return _shades(window).take(pixels)


def grays(values: NDArray[Any], window: Window) -> NDArray[np.uint8]:
    """The gray of each value, which may be any number."""
    with np.errstate(over="ignore"):  # infinitely far is black or white
        distance = (values - window.center) / window.width
    light = 1 / (1 + np.exp(np.clip(-4 * distance, -700, 700))) if window.sigmoid else np.clip(distance + 0.5, 0, 1)
    shades: NDArray[np.uint8] = np.rint(255 * light).astype(np.uint8)
    return shades


@lru_cache(maxsize=64)  # 64 KiB each; a picture of many channels has as many windows
def _shades(window: Window) -> NDArray[np.uint8]:
    """The gray of each value of 16 bits."""
    return grays(np.arange(1 << 16), window)
