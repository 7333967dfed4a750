"""Whether images show the same part of the same slide, and so are levels (PS3.3 C.7.4.1, C.7.11.1, C.8.12.14)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from wsi_dicom.dicom.header import reading, text
from wsi_dicom.dicom.image import ImageAttributes
from wsi_dicom.errors import CorruptInput

logger = logging.getLogger(__name__)

_SLACK: Final = 0.02
"""How far the shapes of levels may differ: sizes are rounded, some to whole tiles."""
_APART_MM: Final = 0.02
"""Between the origins of levels: what wsidicom takes for the same place. One pixel is always allowed, for rounding."""
_TURNED: Final = 0.01
"""Between two direction cosines."""


def check_levels(levels: Sequence[ImageAttributes], series_uid: str) -> None:
    """Given an image of each level, finest first, logs what they contradict each other in.

    Raises CorruptInput for levels of different slides.
    """
    _check_frames_of_reference(levels, series_uid)
    base, found = _place(levels[0]), []
    for image in levels[1:]:
        place, name = _place(image), image.instance.sop_instance_uid
        if not _has_shape_of(image, levels[0]):
            found.append(f"{name} has another shape")
        if any(abs(a - b) > _TURNED for a, b in zip(base[2:], place[2:], strict=False)):
            found.append(f"{name} is turned otherwise")
        pixel = max(image.spacing) if image.spacing is not None else 0.0
        apart = max((abs(a - b) for a, b in zip(base[:2], place[:2], strict=False)), default=0.0)
        if apart > max(pixel, _APART_MM):
            found.append(f"{name} begins {apart:.3g} mm off")
    if found:
        logger.warning("series %s: taken for the same place as the finest level: %s", series_uid, "; ".join(found))


def find_apex(
    thumbnails: Sequence[ImageAttributes], base: ImageAttributes, coarsest: ImageAttributes
) -> ImageAttributes | None:
    """The THUMBNAIL that is the coarsest level of the pyramid; None when there is none."""
    found = (image for image in thumbnails if _is_level(image, base, coarsest))
    return max(found, key=lambda image: image.level.width, default=None)


def _is_level(thumbnail: ImageAttributes, base: ImageAttributes, coarsest: ImageAttributes) -> bool:
    """A thumbnail is one that names the pyramid, or is resampled where none is named and a last level is missing.

    Others are pictures of their own, next to a pyramid that is complete without them.
    """
    smaller = thumbnail.level.width < coarsest.level.width and thumbnail.level.height < coarsest.level.height
    one_plane = thumbnail.frames == thumbnail.level.tile_count and len(thumbnail.optical_paths) < 2
    if not (smaller and one_plane) or thumbnail.pixel_format != base.pixel_format or not _has_shape_of(thumbnail, base):
        return False
    if _told(thumbnail, "FrameOfReferenceUID") not in ("", _told(base, "FrameOfReferenceUID")):
        return False
    if named := _told(base, "PyramidUID"):
        return _told(thumbnail, "PyramidUID") == named
    resampled = _told(thumbnail, "ImageType").split("\\")[3:] == ["RESAMPLED"]
    return resampled and coarsest.level.tile_count > 1


def _check_frames_of_reference(levels: Sequence[ImageAttributes], series_uid: str) -> None:
    """One slide has one; where only the UIDs differ, the sizes must tell that the levels show the same."""
    base = levels[0]
    uids = {_told(image, "FrameOfReferenceUID") for image in levels}
    if len(uids) == 1:
        return
    for image in levels:
        if not _has_shape_of(image, base):
            raise CorruptInput(
                f"series {series_uid} mixes {len(uids)} frames of reference, and {image.instance.path} is no level of "
                f"the pyramid of {base.instance.path}; give each slide a series of its own"
            )
    logger.warning("series %s: its levels have %d frames of reference, taken for one", series_uid, len(uids))


def _has_shape_of(image: ImageAttributes, base: ImageAttributes) -> bool:
    across, down = base.level.width / image.level.width, base.level.height / image.level.height
    return abs(across / down - 1) <= _SLACK + 1 / min(image.level.width, image.level.height)


def _told(image: ImageAttributes, keyword: str) -> str:
    with reading(image.instance.path):
        return text(image.instance.header, keyword)


def _place(image: ImageAttributes) -> list[float]:
    """X and y of the origin in mm, and the direction cosines; empty for an image that does not tell both."""
    header = image.instance.header
    with reading(image.instance.path):
        for origin in header.get("TotalPixelMatrixOriginSequence") or ():
            offsets = [origin.get(f"{axis}OffsetInSlideCoordinateSystem") for axis in "XY"]
            cosines = header.get("ImageOrientationSlide")
            if None not in offsets and cosines is not None and len(cosines) == 6:
                return [float(value) for value in (*offsets, *cosines)]
    return []
