"""Whether images show the same part of the same slide, and so are levels (PS3.3 C.7.4.1, C.7.11.1, C.8.12.14)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
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

    One contradiction may be a slip of the writer's; two are another place. Raises CorruptInput for that, and for levels
    of different slides.
    """
    base, found = levels[0], []
    for keyword, what in (("FrameOfReferenceUID", "frames of reference"), ("PyramidUID", "pyramids")):
        _check_one(levels, keyword, what, series_uid)
    for image in levels[1:]:
        elsewhere = list(_contradictions(image, base))
        if len(elsewhere) > 1:
            raise CorruptInput(
                f"{image.instance.path} shows another place than {base.instance.path} of the same series: it "
                f"{' and '.join(elsewhere)}; give each a folder of its own"
            )
        found += [f"{image.instance.sop_instance_uid} {each}" for each in (*elsewhere, *_turned(image, base))]
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


def _check_one(levels: Sequence[ImageAttributes], keyword: str, what: str, series_uid: str) -> None:
    """One pyramid has one UID; where only the UIDs differ, the sizes must tell that the levels show the same."""
    base = levels[0]
    uids = {_told(image, keyword) for image in levels} - {""}
    if len(uids) < 2:
        return
    for image in levels:
        if any(_contradictions(image, base)):
            raise CorruptInput(
                f"series {series_uid} mixes {len(uids)} {what}, and {image.instance.path} is no level of "
                f"the pyramid of {base.instance.path}; give each slide a series of its own"
            )
    logger.warning("series %s: its levels have %d %s, taken for one", series_uid, len(uids), what)


def _contradictions(image: ImageAttributes, base: ImageAttributes) -> Iterator[str]:
    """What tells that an image is no level of a pyramid: shape, scale, origin."""
    if not _has_shape_of(image, base):
        yield "has another shape"
    elif image.spacing is not None and base.spacing is not None:
        told, due = image.spacing.x_mm / base.spacing.x_mm, base.level.width / image.level.width
        if abs(told / due - 1) > _SLACK + 1 / image.level.width:
            yield f"has pixels {told:.3g} times as large where its size tells {due:.3g}"
    pixel = max(image.spacing) if image.spacing is not None else 0.0
    apart = max((abs(a - b) for a, b in zip(_place(base)[:2], _place(image)[:2], strict=False)), default=0.0)
    if apart > max(pixel, _APART_MM):
        yield f"begins {apart:.3g} mm off"


def _turned(image: ImageAttributes, base: ImageAttributes) -> Iterator[str]:
    if any(abs(a - b) > _TURNED for a, b in zip(_place(base)[2:], _place(image)[2:], strict=False)):
        yield "is turned otherwise"


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
