"""ICC profiles at work: pixels turned to sRGB for programs that know no other colours, streams that carry a profile."""

from __future__ import annotations

import io
import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from wsi_dicom.codecs.jpeg_markers import icc_segments
from wsi_dicom.errors import CodecError
from wsi_dicom.slide import Pixels

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform

log = logging.getLogger(__name__)

COLOUR_SPACES: Final = {1: b"GRAY", 3: b"RGB "}
"""What bytes 16 to 19 of an ICC profile say (ICC.1 7.2.8), by the samples of a pixel."""

_PROBES: Final = 9
"""Values along each axis of the colours by which a profile is compared with sRGB."""


class ColorProfile:
    """An ICC profile of RGB pixels. Made by `color_profile`; safe to use from many threads.

    `segments` is what puts it into JPEG streams (`jpeg_markers.with_icc_segments`).
    """

    def __init__(self, data: bytes, transform: ImageCmsTransform) -> None:
        """Raises CodecError: too long for JPEG."""
        self.data = data
        self.segments = icc_segments(data)
        self._transform = transform

    def to_srgb(self, pixels: Pixels) -> Pixels:
        """Of (height, width, 3) pixels of 8 bits, by the intent that the profile asks for first: perceptual."""
        return _applied(self._transform, pixels)


@lru_cache(maxsize=64)  # slides of one scanner share theirs
def color_profile(data: bytes | None) -> ColorProfile | None:
    """None when there is none, when it is not for RGB pixels, or says what everybody assumes anyway: sRGB."""
    if data is None or data[16:20] != COLOUR_SPACES[3]:
        return None
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), "RGB", "RGB")
        made = ColorProfile(data, transform)
    except (ImageCms.PyCMSError, OSError, CodecError) as error:
        log.warning("an ICC profile of %d bytes cannot be used, its pixels are shown as they are: %s", len(data), error)
        return None
    axis = np.linspace(0, 255, _PROBES).astype(np.uint8)
    colours = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(_PROBES, -1, 3)
    change = np.abs(made.to_srgb(colours).astype(np.int16) - colours).max()
    return made if change > 1 else None


def _applied(transform: ImageCmsTransform, pixels: Pixels) -> Pixels:
    from PIL import Image, ImageCms

    shown = ImageCms.applyTransform(Image.fromarray(np.ascontiguousarray(pixels)), transform)
    assert shown is not None  # noqa: S101 - it is None only when the picture is changed in place; for the type checker
    return np.asarray(shown)
