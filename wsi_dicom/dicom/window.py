"""How an image wants its grays to be shown: Modality LUT and VOI LUT (PS3.3 C.11.1, C.11.2).

Whole-slide images need neither, and some have them all the same: from cameras of 12 bits, or with dim fluorescence.
Tables (VOI LUT Sequence) are left alone here, and so are windows of single frames but for the first of an optical path.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from typing import Final

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from wsi_dicom.dicom.header import Instance, text
from wsi_dicom.dicom.samples import StoredSamples, modality_rescale
from wsi_dicom.dicom.values import decimal
from wsi_dicom.metadata import Window

logger = logging.getLogger(__name__)

_NARROWEST: Final = 1e-6
"""Of LINEAR windows: one that is 1 wide has a threshold, and no grays."""
_FARTHEST: Final = 1e12
"""No samples are larger, rescaled ones neither."""


def read_window(instance: Instance, samples: StoredSamples, *functional_groups: Dataset) -> Window | None:
    """The first of the windows, in the numbers that our pixels have; without any, all that the stored bits can be.

    `functional_groups` are those of a frame that has some for itself. None where these are 8, or all 16 of them.
    """
    if samples.pixel_format.bits == 8:
        return None
    whole = None if samples.bits == 16 else Window.whole(samples.bits)
    told = told_window(instance, *functional_groups) if samples.pixel_format.samples == 1 else None
    if told is None:
        return whole
    slope, intercept = modality_rescale(instance.header, *functional_groups) or (1.0, 0.0)
    slope = -slope if samples.inverted else slope  # from our numbers to those of the modality
    center = (told.center - intercept) / slope + samples.intercept
    width = told.width / slope * (-1 if samples.inverted else 1)
    if not math.isfinite(center + width):
        return whole
    return Window(center, math.copysign(max(abs(width), _NARROWEST), width), told.sigmoid)


def add_window(dataset: Dataset, window: Window) -> None:
    """VOI LUT (C.11.2), which the whole-slide IOD neither asks for nor forbids: a series made anew is not darker."""
    if window.width > 0:
        dataset.WindowCenter, dataset.WindowWidth = decimal(window.center), decimal(window.width)
        dataset.VOILUTFunction = "SIGMOID" if window.sigmoid else "LINEAR_EXACT"


def told_window(instance: Instance, *functional_groups: Dataset) -> Window | None:
    """In the modality's numbers: of the functional groups that are given, the image or the shared groups.

    What makes no sense is said, and is no window.
    """
    for group in _groups(instance.header, functional_groups):
        function = text(group, "VOILUTFunction") or "LINEAR"
        try:
            center, width = _first(group, "WindowCenter"), _first(group, "WindowWidth")
        except (TypeError, ValueError):
            center = width = math.nan
        if center is None or width is None:
            continue
        if (window := voi_window(center, width, function)) is not None:
            return window
        logger.warning(
            "%s: its %s window makes no sense; the whole range is shown", instance.sop_instance_uid, function
        )
    return None


def voi_window(center: float, width: float, function: str) -> Window | None:
    """A window as VOI LUT Function tells: LINEAR, LINEAR_EXACT or SIGMOID. None for one that makes no sense."""
    if not (abs(center) < _FARTHEST and (1 if function == "LINEAR" else _NARROWEST) <= width < _FARTHEST):
        return None
    if function == "LINEAR":  # C.11.2.1.2.1: it ends at the centres of its last values
        center, width = center - 0.5, max(width - 1, _NARROWEST)
    return Window(center, width, function == "SIGMOID")


def _groups(header: Dataset, functional_groups: Sequence[Dataset]) -> Iterator[Dataset]:
    for groups in functional_groups:
        yield from groups.get("FrameVOILUTSequence") or ()
    yield header
    for groups in header.get("SharedFunctionalGroupsSequence") or ():
        yield from groups.get("FrameVOILUTSequence") or ()


def _first(group: Dataset, keyword: str) -> float | None:
    """None where there is no value."""
    value = group.get(keyword)
    if isinstance(value, MultiValue):
        value = value[0] if len(value) else None
    return None if value in (None, "") else float(value)
