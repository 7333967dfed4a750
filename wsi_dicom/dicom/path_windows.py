"""How each optical path of a level is shown, by the image or the frame that shows it."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Sequence

from wsi_dicom.dicom.frame_groups import FrameGroups
from wsi_dicom.dicom.header import reading
from wsi_dicom.dicom.image import ImageAttributes
from wsi_dicom.dicom.positions import Tiling
from wsi_dicom.dicom.window import read_window
from wsi_dicom.errors import CorruptInput
from wsi_dicom.metadata import Window

logger = logging.getLogger(__name__)


def path_windows(
    parts: Sequence[ImageAttributes], first_frames: Sequence[int], tiling: Tiling
) -> tuple[Window | None, ...]:
    """Of each optical path: what the first of its frames tells, else its image.

    `first_frames` are the numbers of frames in the parts before each.
    """
    windows = []
    for path in range(tiling.optical_paths):
        frame = tiling.first_frame(path) or 0
        index = bisect_right(first_frames, frame, hi=len(parts)) - 1
        windows.append(_frame_window(parts[index], frame - first_frames[index], several=tiling.optical_paths > 1))
    return tuple(windows)


def common_window(windows: Sequence[Window | None], bits: int) -> Window | None:
    """Of optical paths that are shown alike; else all that so many stored bits can be, None for 16 of them."""
    if len(set(windows)) == 1:
        return windows[0]
    return None if bits == 16 else Window.whole(bits)


def _frame_window(image: ImageAttributes, frame: int, *, several: bool) -> Window | None:
    """`several`: frames of one image may show different optical paths. Where they do not, they have no window alone."""
    if not several or image.pixel_format.samples != 1 or image.pixel_format.bits == 8:
        return image.window
    try:
        with reading(image.instance.path):
            # Those of the first frame tell whether it is worth to look for others, behind thousands of them.
            if not any("FrameVOILUTSequence" in groups for groups in FrameGroups(image.instance, 1).read(0)):
                return image.window
            groups = FrameGroups(image.instance, frame + 1).read(frame)
            return read_window(image.instance, image.samples, *groups)
    except CorruptInput as error:
        logger.warning("left aside, how frames are to be shown: %s", error)
        return image.window
