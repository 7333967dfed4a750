"""From the stored numbers of a gray image to the grays of a display: Modality LUT, then VOI LUT (PS3.3 C.11.1, C.11.2).

Of images of any kind, with all that these modules can tell: rescaling, windows and tables, of an image or of single
frames. Whole-slide images keep their values, and have windows at most: `window.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from wsi_dicom.dicom.header import Instance
from wsi_dicom.dicom.samples import StoredSamples, modality_rescale
from wsi_dicom.dicom.window import told_window
from wsi_dicom.display import grays
from wsi_dicom.errors import CorruptInput
from wsi_dicom.metadata import Window
from wsi_dicom.slide import Pixels

BAND_PIXELS: Final = 1 << 20
"""Of a frame that are looked up at once."""

_NARROWEST: Final = 1e-6


def display_table(
    instance: Instance, samples: StoredSamples, stored: Pixels, groups: Sequence[Dataset], window: Window | None
) -> NDArray[np.uint8]:
    """The gray that each content of the stored bits is shown in, in a frame that a codec gives as `stored`.

    `groups` are the functional groups of the frame. `window`, in the numbers of the modality, goes over all that the
    image says. One that says nothing shows all that 8 bits can be, or of more bits what the frame has, but for padding.
    May raise what `reading` turns into CorruptInput.
    """
    header = instance.header
    values = _modality_values(instance, samples.numbers, groups)
    if window is None and (tables := header.get("VOILUTSequence")):
        lut, bits = _looked_up(instance, tables[0], np.rint(values))
        shades: NDArray[np.uint8] = np.rint(lut * (255 / ((1 << bits) - 1))).clip(0, 255).astype(np.uint8)
    else:
        window = window or told_window(instance, *groups) or _range(samples, values, stored, _padding(header))
        shades = grays(values, window)
    return np.invert(shades) if samples.inverted else shades


def _modality_values(instance: Instance, numbers: NDArray[np.int64], groups: Sequence[Dataset]) -> NDArray[Any]:
    if tables := instance.header.get("ModalityLUTSequence"):
        return _looked_up(instance, tables[0], numbers)[0]
    slope, intercept = modality_rescale(instance.header, *groups) or (1.0, 0.0)
    return numbers * slope + intercept


def _range(samples: StoredSamples, values: NDArray[Any], stored: Pixels, padding: tuple[int, int] | None) -> Window:
    """From the lowest to the highest: that there can be, of 8 bits, or that there is."""
    shown = values
    if samples.bits > 8:
        there = np.zeros(len(values), bool)
        numbers = stored.ravel()
        for start in range(0, len(numbers), BAND_PIXELS):
            there[numbers[start : start + BAND_PIXELS]] = True
        if padding is not None:
            inside = there & ((samples.numbers < padding[0]) | (samples.numbers > padding[1]))
            there = inside if inside.any() else there
        shown = values[there]
    low, high = float(shown.min()), float(shown.max())
    return Window((low + high) / 2, max(high - low, _NARROWEST))


def _padding(header: Dataset) -> tuple[int, int] | None:
    """The stored numbers that stand for nothing (C.7.5.1.1.2): the lowest and the highest."""
    ends = [header.get(keyword) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    told = [end for end in ends if isinstance(end, int)]
    return (min(told), max(told)) if isinstance(ends[0], int) else None


def _looked_up(instance: Instance, item: Dataset, values: NDArray[Any]) -> tuple[NDArray[np.uint16], int]:
    """The entries of a table for whole numbers, and the bits of an entry (C.11.1.1.1). Raises CorruptInput."""
    descriptor, data = _words(item.get("LUTDescriptor"), instance), item.get("LUTData")
    if len(descriptor) != 3 or not 1 <= descriptor[2] <= 16:
        raise CorruptInput(f"{instance.path} has a lookup table without a sensible descriptor")
    count, first, bits = int(descriptor[0]) or 1 << 16, int(descriptor[1]), int(descriptor[2])
    entries = _words(data, instance)
    if len(entries) < count <= 2 * len(entries):  # of 8 bits, two in a word
        entries = entries.view(np.uint8).astype(np.uint16)
    if len(entries) < count:
        raise CorruptInput(f"{instance.path} has a lookup table of {len(entries)} entries where {count} are due")
    if first >= 1 << 15 and values.min() < 0:
        first -= 1 << 16
    return entries[:count].take(values.astype(np.int64) - first, mode="clip"), bits


def _words(value: Any, instance: Instance) -> NDArray[np.uint16]:
    """Numbers of 16 bits, which pydicom gives as bytes where it cannot know whether they are signed."""
    if isinstance(value, bytes):
        order = ">" if instance.big_endian else "<"
        return np.frombuffer(value[: len(value) // 2 * 2], f"{order}u2").astype(np.uint16)
    return np.array([int(number) & 0xFFFF for number in value or ()], np.uint16)
