"""One directory of a TIFF that is written: what it tells, and the tiles it takes (TIFF 6.0, BigTIFF)."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import numpy as np

from wsi_dicom.codecs.transfer_syntaxes import (
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    NATIVE,
    TIFF_DEFLATE,
    TIFF_LZW,
    TIFF_WEBP,
    TIFF_ZSTD,
)
from wsi_dicom.errors import StoreError
from wsi_dicom.geometry import Level, PixelFormat, Spacing
from wsi_dicom.slide import Encoding
from wsi_dicom.tiff.layout import Compression
from wsi_dicom.tiff.samples import Photometric
from wsi_dicom.tiff.structure import Tag

_ASCII, _SHORT, _LONG, _RATIONAL, _UNDEFINED, _IFD, _LONG8, _IFD8 = 2, 3, 4, 5, 7, 13, 16, 18
_WIDE: Final = {_LONG8: _LONG, _IFD8: _IFD}
"""Types that only BigTIFF has, and what they are in a classic TIFF."""

_COMPRESSION: Final = {
    **dict.fromkeys(NATIVE, Compression.NONE),
    JPEG_BASELINE: Compression.JPEG,
    JPEG_2000: Compression.JPEG_2000,
    JPEG_2000_LOSSLESS: Compression.JPEG_2000,
    TIFF_LZW: Compression.LZW,
    TIFF_DEFLATE: Compression.DEFLATE,
    TIFF_ZSTD: Compression.ZSTD,
    TIFF_WEBP: Compression.WEBP,
}
WRITTEN: Final = frozenset(_COMPRESSION)
"""The transfer syntaxes, and TIFF's own compressions, that a page can have."""

_PREDICTED: Final = frozenset({TIFF_LZW, TIFF_DEFLATE, TIFF_ZSTD})

LEVEL, REDUCED, MACRO = 0, 1, 9
"""NewSubfileType: a picture of its own, a smaller version of another, and Aperio's number for the overview."""


@dataclass(frozen=True, slots=True)
class Page:
    """One directory: a level of the pyramid in tiles or, `as_strip`, a single picture.

    Text is ASCII (TIFF 6.0, section 2). `compression` replaces the number that its encoding has in TIFF.
    """

    level: Level
    encoding: Encoding
    pixel_format: PixelFormat
    spacing: Spacing | None = None
    subfile_type: int = LEVEL
    description: str = ""
    icc_profile: bytes | None = None
    as_strip: bool = False
    compression: int | None = None


@dataclass(frozen=True, slots=True, order=True)
class Field:
    """One entry of a directory. `values` are numbers, or bytes for text and profiles; `type` is that of BigTIFF."""

    code: int
    type: int
    values: Sequence[int] | bytes

    def kind(self, big: bool) -> int:
        return self.type if big else _WIDE.get(self.type, self.type)

    @property
    def count(self) -> int:
        return len(self.values) // 2 if self.type == _RATIONAL else len(self.values)

    def data(self, big: bool) -> bytes:
        if isinstance(self.values, bytes):
            return self.values
        size = {_SHORT: 2, _LONG8: 8, _IFD8: 8}.get(self.kind(big), 4)
        return np.array(self.values, f"<u{size}").tobytes()  # struct would take a Python number for each


def subdirectories(offsets: Sequence[int]) -> Field:
    """The field that names the SubIFDs of a page."""
    return Field(Tag.SUB_IFDS, _IFD8, offsets)


class TileFile(Protocol):
    """What the tiles of all pages are written to."""

    def append(self, data: bytes) -> int:
        """Writes at the end and returns the offset."""
        ...


class PageSink:
    """Takes the tiles of one page in row-major order."""

    def __init__(self, file: TileFile, page: Page) -> None:
        self.page = page
        self.offsets, self.byte_counts = array("Q"), array("Q")
        self._file = file

    @property
    def full(self) -> bool:
        """Whether all of its tiles are there."""
        return len(self.offsets) == self.page.level.tile_count

    def write(self, frame: bytes | None) -> None:
        if frame is None:  # plans for TIFF are never sparse
            raise StoreError(f"tile {len(self.offsets) + 1} of a page is missing")
        self.offsets.append(self._file.append(frame))
        self.byte_counts.append(len(frame))

    def fields(self, software: str, acquired: datetime | None) -> list[Field]:
        """All fields of the finished page but its SubIFDs. Raises StoreError when tiles are missing."""
        page = self.page
        if not self.full:
            raise StoreError(f"a page of {page.level.tile_count} tiles was given {len(self.offsets)}")
        return [*self._picture(), *self._places(), *_texts(page, software, acquired), *_colours_and_scale(page)]

    def _picture(self) -> list[Field]:
        page, level, samples = self.page, self.page.level, self.page.pixel_format.samples
        compression = _COMPRESSION[page.encoding.transfer_syntax] if page.compression is None else page.compression
        photometric = self._photometric()
        fields = [
            Field(Tag.NEW_SUBFILE_TYPE, _LONG, [page.subfile_type]),
            Field(Tag.IMAGE_WIDTH, _LONG, [level.width]),
            Field(Tag.IMAGE_LENGTH, _LONG, [level.height]),
            Field(Tag.BITS_PER_SAMPLE, _SHORT, [page.pixel_format.bits] * samples),
            Field(Tag.COMPRESSION, _SHORT, [compression]),
            Field(Tag.PHOTOMETRIC, _SHORT, [photometric]),
            Field(Tag.SAMPLES_PER_PIXEL, _SHORT, [samples]),
            Field(Tag.PLANAR_CONFIGURATION, _SHORT, [1]),
        ]
        if page.encoding.transfer_syntax in _PREDICTED:
            fields.append(Field(Tag.PREDICTOR, _SHORT, [2]))
        if photometric == Photometric.YCBCR:
            jpeg = page.encoding.transfer_syntax == JPEG_BASELINE
            fields.append(Field(Tag.YCBCR_SUBSAMPLING, _SHORT, page.encoding.chroma if jpeg else (1, 1)))
        return fields

    def _places(self) -> list[Field]:
        level = self.page.level
        if self.page.as_strip:
            return [
                Field(Tag.STRIP_OFFSETS, _LONG8, self.offsets),
                Field(Tag.ROWS_PER_STRIP, _LONG, [level.height]),
                Field(Tag.STRIP_BYTE_COUNTS, _LONG8, self.byte_counts),
            ]
        return [
            Field(Tag.TILE_WIDTH, _LONG, [level.tile_width]),
            Field(Tag.TILE_LENGTH, _LONG, [level.tile_height]),
            Field(Tag.TILE_OFFSETS, _LONG8, self.offsets),
            Field(Tag.TILE_BYTE_COUNTS, _LONG8, self.byte_counts),
        ]

    def _photometric(self) -> Photometric:
        """RGB is also JPEG 2000, whose stream names its own transform."""
        if self.page.pixel_format.samples == 1:
            return Photometric.BLACK_IS_ZERO
        return Photometric.YCBCR if self.page.encoding.photometric.startswith("YBR_FULL") else Photometric.RGB


class PlanesSink:
    """Takes the tiles of one level plane by plane, each into a page of its own."""

    def __init__(self, pages: Sequence[PageSink]) -> None:
        self._pages = iter(pages)
        self._page = next(self._pages)

    def write(self, frame: bytes | None) -> None:
        if self._page.full:
            self._page = next(self._pages)
        self._page.write(frame)


def _texts(page: Page, software: str, acquired: datetime | None) -> list[Field]:
    texts = {
        Tag.IMAGE_DESCRIPTION: page.description,
        Tag.SOFTWARE: software,
        Tag.DATE_TIME: f"{acquired:%Y:%m:%d %H:%M:%S}" if acquired is not None else "",
    }
    return [Field(tag, _ASCII, text.encode("ascii", "replace") + b"\0") for tag, text in texts.items() if text]


def _colours_and_scale(page: Page) -> list[Field]:
    fields = [] if not page.icc_profile else [Field(Tag.ICC_PROFILE, _UNDEFINED, page.icc_profile)]
    if page.spacing is not None:
        fields += [
            Field(Tag.X_RESOLUTION, _RATIONAL, pixels_per_cm(page.spacing.x_mm)),
            Field(Tag.Y_RESOLUTION, _RATIONAL, pixels_per_cm(page.spacing.y_mm)),
            Field(Tag.RESOLUTION_UNIT, _SHORT, [3]),
        ]
    return fields


def pixels_per_cm(spacing_mm: float) -> list[int]:
    """A RATIONAL, with as many decimals as 32 bits leave room for."""
    resolution = 10 / spacing_mm
    denominator = max(1, min(10_000, int(0xFFFF_FFFF / resolution)))
    return [min(round(resolution * denominator), 0xFFFF_FFFF), denominator]
