"""What the samples of a pixel are in one TIFF image, and the pixels of ours that they become."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wsi_dicom.background import background_samples
from wsi_dicom.geometry import PixelFormat
from wsi_dicom.slide import Pixels
from wsi_dicom.tiff.structure import Tag, TiffDirectory


class Photometric(IntEnum):
    """Values of the PhotometricInterpretation field that are read."""

    WHITE_IS_ZERO = 0
    BLACK_IS_ZERO = 1
    RGB = 2
    PALETTE = 3
    YCBCR = 6


_COLOURS: Final = {
    Photometric.WHITE_IS_ZERO: 1,
    Photometric.BLACK_IS_ZERO: 1,
    Photometric.RGB: 3,
    Photometric.PALETTE: 1,
    Photometric.YCBCR: 3,
}
_NOT_READ: Final = {4: "a transparency mask", 5: "CMYK", 8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*"}
_MAX_SAMPLES: Final = 16
_SIGNED = 2  # SampleFormat
_PREMULTIPLIED, _ALPHA = 1, 2  # ExtraSamples (TIFF 6.0 section 18)


@dataclass(frozen=True, slots=True)
class StoredSamples:
    """What one pixel is as stored: `count` samples of `bits` each, the colours first.

    `planar`: each sample has tiles of its own (PlanarConfiguration 2). `alpha` is the number of the sample that holds
    the opacity, None without one; `premultiplied`: the colours are multiplied by it already.
    """

    photometric: Photometric
    count: int
    bits: int
    planar: bool = False
    alpha: int | None = None
    premultiplied: bool = False
    signed: bool = False
    """As in int8 and int16: half of the range is added, which keeps order and distances; zero becomes 128 or 32768."""
    palette: NDArray[np.uint8] | None = field(default=None, repr=False)
    """Shape (2 ** bits, 3)."""

    @property
    def colours(self) -> int:
        """Samples that are no extra ones."""
        return _COLOURS[self.photometric]

    @property
    def together(self) -> int:
        """Samples that one tile or strip holds of each pixel."""
        return 1 if self.planar else self.count

    @property
    def pixel_format(self) -> PixelFormat:
        if self.palette is not None:
            return PixelFormat(3, 8)
        return PixelFormat(self.colours, 8 if self.bits <= 8 else 16)

    def pixels(self, stored: Pixels, background: tuple[int, int, int]) -> Pixels:
        """Shape (height, width, 1 or 3), from (height, width, count) as decoded; transparent ones over `background`.

        Fewer than 8 bits are spread over the range of 8; 9 to 15 bits keep their values in 16.
        """
        if self.palette is not None:
            return np.asarray(self.palette.take(stored[:, :, 0], axis=0, mode="clip"))
        pixels = stored
        if self.bits < 8:
            pixels = _spread(pixels, self.bits)
        if self.signed:
            pixels = pixels ^ pixels.dtype.type(1 << self.bits - 1)
        if self.photometric == Photometric.WHITE_IS_ZERO:
            pixels = np.concatenate([self._whitest - pixels[:, :, :1], pixels[:, :, 1:]], axis=2)
        if self.alpha is not None:
            return self._composed(pixels, background_samples(background, self.pixel_format))
        return pixels[:, :, : self.colours]

    @property
    def _whitest(self) -> Any:
        kind = np.uint8 if self.bits <= 8 else np.uint16
        return kind((1 << max(8, self.bits)) - 1)

    def _composed(self, pixels: Pixels, background: NDArray[Any]) -> Pixels:
        whitest = int(self._whitest)
        alpha = pixels[:, :, self.alpha, np.newaxis].astype(np.uint32)
        colours = pixels[:, :, : self.colours].astype(np.uint32)
        if not self.premultiplied:
            colours *= alpha  # 16 bits times 16 bits: fits
        else:
            colours = np.minimum(colours, alpha) * whitest
        behind = (whitest - alpha).astype(np.uint64) * np.minimum(background, whitest).astype(np.uint64)
        return np.asarray((colours + behind + whitest // 2) // whitest, pixels.dtype)


def _spread(pixels: Pixels, bits: int) -> Pixels:
    largest = (1 << bits) - 1
    spread = np.rint(np.arange(largest + 1) * 255 / largest).astype(np.uint8)
    return np.asarray(spread[pixels])


def read_samples(directory: TiffDirectory) -> StoredSamples:
    """Raises UnsupportedFormat for pixels that we do not read, CorruptInput for fields that break the format."""
    photometric, count = directory.integer(Tag.PHOTOMETRIC), directory.integer(Tag.SAMPLES_PER_PIXEL, 1)
    if photometric not in set(Photometric):
        what = _NOT_READ.get(photometric, "unknown")
        raise directory.unsupported(f"photometric interpretation {photometric} ({what}) is not supported")
    bits = directory.integers(Tag.BITS_PER_SAMPLE) or [1]
    formats = set(directory.integers(Tag.SAMPLE_FORMAT))
    signed = formats == {_SIGNED}
    if len(set(bits)) > 1 or not 1 <= bits[0] <= 16 or not (formats <= {1} or (signed and bits[0] in (8, 16))):
        raise directory.unsupported(
            f"{sorted(set(bits))} bits per sample of format {sorted(formats)}; "
            "unsigned samples of 1 to 16 bits, and signed ones of 8 or 16, are read"
        )
    colours = _COLOURS[Photometric(photometric)]
    if not colours <= count <= _MAX_SAMPLES:
        raise directory.unsupported(f"{count} samples per pixel with photometric interpretation {photometric}")
    extra = directory.integers(Tag.EXTRA_SAMPLES)[: count - colours]
    alphas = [number for number, kind in enumerate(extra) if kind in (_PREMULTIPLIED, _ALPHA)]
    return StoredSamples(
        photometric=Photometric(photometric),
        count=count,
        bits=bits[0],
        planar=count > 1 and directory.integer(Tag.PLANAR_CONFIGURATION, 1) == 2,
        alpha=colours + alphas[0] if alphas else None,
        premultiplied=bool(alphas) and extra[alphas[0]] == _PREMULTIPLIED,
        signed=signed and photometric != Photometric.PALETTE,
        palette=_palette(directory, bits[0]) if photometric == Photometric.PALETTE else None,
    )


def _palette(directory: TiffDirectory, bits: int) -> NDArray[np.uint8]:
    """Field ColorMap: all reds, then all greens, then all blues, of 16 bits each."""
    entries = 1 << bits
    values = directory.integers(Tag.COLOR_MAP, limit=3 << 16)
    if len(values) != 3 * entries:
        raise directory.corrupt(f"field COLOR_MAP has {len(values)} values where {3 * entries} are needed")
    colours = np.array(values, np.uint16).reshape(3, entries).T
    if colours.max() < 256:  # written by programs that took 8 bits for enough
        return colours.astype(np.uint8)
    return (colours >> 8).astype(np.uint8)
