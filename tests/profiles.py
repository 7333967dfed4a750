"""A profile whose colours are not those of sRGB, and what they are there."""

from __future__ import annotations

import imagecodecs
import numpy as np

WIDE = bytes(imagecodecs.cms_profile("adobergb"))


def in_srgb(pixels: np.ndarray) -> np.ndarray:
    """By LittleCMS through another library."""
    srgb = bytes(imagecodecs.cms_profile("srgb"))
    return imagecodecs.cms_transform(np.ascontiguousarray(pixels), WIDE, srgb, colorspace="rgb", outcolorspace="rgb")
