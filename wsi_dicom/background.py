"""What is shown where a slide has nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_dicom.geometry import PixelFormat


def background_samples(background: tuple[int, int, int], pixel_format: PixelFormat) -> NDArray[Any]:
    """A colour (red, green, blue) of 8 bits as one pixel, shape (samples,); as gray its luma (ITU-R BT.601)."""
    red, green, blue = background
    values = background if pixel_format.samples == 3 else (round(0.299 * red + 0.587 * green + 0.114 * blue),)
    if pixel_format.bits == 8:
        return np.array(values, np.uint8)
    return np.array(values, np.uint16) * np.uint16(257)


def fill(pixels: NDArray[Any], colour: NDArray[Any]) -> None:
    """Makes all pixels one colour, of shape (samples,). To broadcast it takes thirty times as long (measured)."""
    pixels[:1] = colour
    pixels[1:] = pixels[:1]
