"""Samples that were YCbCr before they came to a codec that knows nothing of it (PS3.3 C.7.6.3.1.2)."""

from __future__ import annotations

from typing import Final

import numpy as np

from wsi_dicom.slide import Pixels

YCBCR: Final = ("YBR_FULL", "YBR_FULL_422")
"""Photometric interpretations of such samples."""


def to_rgb(ycbcr: Pixels) -> Pixels:
    """Shape (height, width, 3), full range."""
    import cv2

    return np.asarray(cv2.cvtColor(np.ascontiguousarray(ycbcr[:, :, [0, 2, 1]]), cv2.COLOR_YCrCb2RGB), ycbcr.dtype)


def from_rgb(rgb: Pixels) -> Pixels:
    """Shape (height, width, 3), full range."""
    import cv2

    swapped = np.asarray(cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2YCrCb), rgb.dtype)
    return np.ascontiguousarray(swapped[:, :, [0, 2, 1]])
