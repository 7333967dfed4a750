"""What the samples of a pixel are in one image, and the pixels of ours that they become (PS3.3 C.7.6.3)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from wsi_dicom.codecs import transfer_syntaxes as syntaxes
from wsi_dicom.codecs.ycbcr import to_rgb
from wsi_dicom.dicom.header import Instance, integer
from wsi_dicom.dicom.palette import read_palette
from wsi_dicom.dicom.photometric import PALETTE, is_decoded_to_ycbcr
from wsi_dicom.errors import UnsupportedFormat
from wsi_dicom.geometry import PixelFormat
from wsi_dicom.slide import Encoding, Pixels

_IN_ALLOCATED_BITS: Final = syntaxes.UNENCAPSULATED | {syntaxes.RLE, syntaxes.DEFLATED_IMAGE_FRAME}
"""Where samples lie in the bits that are allocated for them; in other streams they have just those that are stored."""


@dataclass(frozen=True, slots=True)
class StoredSamples:
    """What one pixel is: `stored` as a codec gives it, with `bits` of significance, and `pixel_format` as we show it.

    `table` tells what becomes of each stored number: shape (2 ** stored.bits, 1), or (.., 3) for a palette. None when
    the numbers stay. `ycbcr`: the codec gives luma and chroma. A gray of 8 bits or more is the stored number plus
    `intercept`, or, if it was MONOCHROME1 and so is `inverted`, `intercept` less the stored number. `numbers` are the
    stored numbers, signed or not, that each content of the stored bits stands for.
    """

    stored: PixelFormat
    bits: int
    pixel_format: PixelFormat
    numbers: NDArray[np.int64] = field(repr=False, compare=False)
    ycbcr: bool = False
    intercept: int = 0
    inverted: bool = False
    table: NDArray[Any] | None = field(default=None, repr=False, compare=False)

    @property
    def copied(self) -> bool:
        """Whether what a codec gives is what we show, so that tiles may be copied."""
        return self.table is None and not self.ycbcr

    def pixels(self, decoded: Pixels) -> Pixels:
        """Shape (height, width, 1 or 3), of `pixel_format`, from what a codec gives.

        Signed numbers have half of their range added; fewer than 8 bits are spread over the range of 8; 9 to 15 bits
        keep their values in 16; MONOCHROME1 is inverted.
        """
        if self.table is not None and self.table.shape[1] == 3:
            return self.table.take(decoded[:, :, 0], axis=0)
        pixels = decoded if self.table is None else self.table[:, 0].take(decoded)
        return to_rgb(pixels) if self.ycbcr else pixels


def read_samples(instance: Instance, encoding: Encoding) -> StoredSamples:
    """Raises UnsupportedFormat for pixels that we do not read, CorruptInput for values that make no sense."""
    samples = integer(instance, "SamplesPerPixel", high=0xFFFF)
    allocated = integer(instance, "BitsAllocated", high=0xFFFF)
    bits = integer(instance, "BitsStored", allocated, high=0xFFFF)
    highest = integer(instance, "HighBit", bits - 1, low=0, high=0xFFFF)
    signed = integer(instance, "PixelRepresentation", 0, low=0, high=1) == 1
    if (
        samples not in (1, 3)
        or allocated not in (8, 16)
        or not bits - 1 <= highest < allocated
        or (samples == 3 and signed)
    ):
        raise UnsupportedFormat(
            f"{instance.path} has pixels of {samples} {'signed' if signed else 'unsigned'} samples with {bits} of "
            f"{allocated} bits, the highest being bit {highest}; 1 or 3 samples of up to 8 or 16 bits are supported, "
            "signed ones in gray"
        )
    if encoding.transfer_syntax not in _IN_ALLOCATED_BITS:
        allocated, highest = 8 if bits <= 8 else 16, bits - 1
    stored, photometric = PixelFormat(samples, allocated), encoding.photometric
    numbers = _numbers(allocated, bits, highest + 1 - bits, signed)
    if photometric == PALETTE:
        first, colours = read_palette(instance)
        table: NDArray[Any] = colours.take(numbers - first, axis=0, mode="clip")
        return StoredSamples(stored, bits, PixelFormat(3, 8), numbers, table=table)
    shown = PixelFormat(samples, 8 if bits <= 8 else 16)
    inverted = photometric == "MONOCHROME1"
    intercept = 1 << bits - 1 if signed else 0
    if inverted:
        intercept = (1 << bits) - 1 - intercept
    as_they_are = shown == stored and highest == bits - 1 >= 7 and not signed and not inverted
    return StoredSamples(
        stored,
        bits,
        shown,
        numbers,
        is_decoded_to_ycbcr(encoding),
        intercept,
        inverted,
        None if as_they_are else _shown((-numbers if inverted else numbers) + intercept, bits)[:, np.newaxis],
    )


def modality_rescale(header: Dataset, *functional_groups: Dataset) -> tuple[float, float] | None:
    """Slope and intercept, from the stored numbers to those of the modality (PS3.3 C.11.1); None when it tells none.

    Of the functional groups that are given, or of the shared ones.
    """
    told = (*functional_groups, *(header.get("SharedFunctionalGroupsSequence") or ()))
    groups = (group for item in told for group in item.get("PixelValueTransformationSequence") or ())
    for group in (header, *groups):
        slope, intercept = group.get("RescaleSlope"), group.get("RescaleIntercept")
        if slope and intercept is not None and math.isfinite(slope) and math.isfinite(intercept):
            return float(slope), float(intercept)
    return None


@lru_cache(maxsize=8)  # 512 KiB for 16 bits, and the instances of a series are alike
def _numbers(allocated: int, bits: int, lowest: int, signed: bool) -> NDArray[np.int64]:
    """The number that each content of the allocated bits stands for; bits beside those of the sample do not count."""
    numbers = np.arange(1 << allocated) >> lowest & (1 << bits) - 1
    sign = 1 << bits - 1
    numbers = (numbers ^ sign) - sign if signed else numbers
    numbers.flags.writeable = False
    return numbers


def _shown(values: NDArray[np.int64], bits: int) -> NDArray[Any]:
    """Fewer than 8 bits spread over the range of 8."""
    spread = np.rint(values * 255 / ((1 << bits) - 1)) if bits < 8 else values
    return spread.astype(np.uint8 if bits <= 8 else np.uint16)
