"""How one TIFF image is stored, checked once when it is opened: grid, pixel format, compression, and where."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import numpy as np

from wsi_dicom.errors import UnsupportedFormat
from wsi_dicom.geometry import Level, PixelFormat, Spacing
from wsi_dicom.sources.tiff_structure import Tag, TiffDirectory

MAX_TILE_BYTES: Final = 256 << 20
"""Of one tile or strip, decoded or stored."""
_MAX_SIDE: Final = 2**31
_MAX_TILES: Final = 1 << 25
_SPACING_UM: Final = (0.01, 100.0)
"""Whole slides are scanned at 0.1 to 10 um per pixel; what lies far outside is a wrong unit or a default."""


class Compression(IntEnum):
    """Values of the Compression field that are read."""

    NONE = 1
    LZW = 5
    JPEG = 7
    DEFLATE = 8
    PACKBITS = 32773
    DEFLATE_OLD = 32946
    APERIO_JP2K_YCBCR = 33003
    APERIO_JP2K_RGB = 33005
    APERIO_JPEG = 33007
    JPEG_2000 = 34712
    ZSTD = 50000
    WEBP = 50001


JPEG: Final = frozenset({Compression.JPEG, Compression.APERIO_JPEG})
JPEG_2000: Final = frozenset({Compression.APERIO_JP2K_YCBCR, Compression.APERIO_JP2K_RGB, Compression.JPEG_2000})
_PREDICTED: Final = frozenset({Compression.LZW, Compression.DEFLATE, Compression.DEFLATE_OLD, Compression.ZSTD})


class Photometric(IntEnum):
    """Values of the PhotometricInterpretation field that are read."""

    WHITE_IS_ZERO = 0
    BLACK_IS_ZERO = 1
    RGB = 2
    YCBCR = 6


_SAMPLES: Final = frozenset(
    {(Photometric.WHITE_IS_ZERO, 1), (Photometric.BLACK_IS_ZERO, 1), (Photometric.RGB, 3), (Photometric.YCBCR, 3)}
)


@dataclass(frozen=True, slots=True, eq=False)
class TiffLayout:
    """One image of a TIFF file, before anything is read that grows with it. A strip is a tile of full width.

    `predicted`: samples are differences along the row (TIFF 6.0 section 14).
    """

    directory: TiffDirectory = field(repr=False)
    level: Level
    pixel_format: PixelFormat
    tiled: bool
    compression: Compression
    photometric: Photometric
    predicted: bool
    byte_order: str

    @property
    def tables(self) -> bytes | None:
        """The field JPEGTables, which counts for JPEG only."""
        return self.directory.data(Tag.JPEG_TABLES) if self.compression in JPEG else None

    def stored_rows(self, row: int) -> int:
        """Rows of pixels that a tile or strip of this row of the grid has: the last strip ends with the picture."""
        return self.level.tile_height if self.tiled else self.level.tile_region(0, row).height


def read_layout(directory: TiffDirectory) -> TiffLayout:
    """Raises UnsupportedFormat for images that we do not read, CorruptInput for those that break the format."""
    level, tiled = _grid(directory)
    compression, photometric, pixel_format = _pixels(directory)
    if level.tile_width * level.tile_height * pixel_format.bytes_per_pixel > MAX_TILE_BYTES:
        raise directory.unsupported(
            f"tiles or strips of {level.tile_width} x {level.tile_height} pixels; the limit is 256 MiB each"
        )
    predictor = directory.integer(Tag.PREDICTOR, 1) if compression in _PREDICTED else 1
    if predictor not in (1, 2):
        raise directory.unsupported(f"predictor {predictor} is not supported")
    return TiffLayout(
        directory=directory,
        level=level,
        pixel_format=pixel_format,
        tiled=tiled,
        compression=compression,
        photometric=photometric,
        predicted=predictor == 2,
        byte_order=directory.file.byte_order,
    )


def _grid(directory: TiffDirectory) -> tuple[Level, bool]:
    width, height = directory.integer(Tag.IMAGE_WIDTH), directory.integer(Tag.IMAGE_LENGTH)
    tiled = Tag.TILE_WIDTH in directory
    if tiled:
        tile_width, tile_height = directory.integer(Tag.TILE_WIDTH), directory.integer(Tag.TILE_LENGTH)
    else:
        tile_width, tile_height = width, min(directory.integer(Tag.ROWS_PER_STRIP, height), height)
    if not all(0 < side <= _MAX_SIDE for side in (width, height, tile_width, tile_height)):
        raise directory.corrupt(f"{width} x {height} pixels in tiles of {tile_width} x {tile_height}")
    level = Level(width, height, tile_width, tile_height)
    if level.tile_count > _MAX_TILES:
        raise directory.unsupported(f"{level.tile_count} tiles; the limit is {_MAX_TILES}")
    return level, tiled


def _pixels(directory: TiffDirectory) -> tuple[Compression, Photometric, PixelFormat]:
    compression, photometric = directory.integer(Tag.COMPRESSION, 1), directory.integer(Tag.PHOTOMETRIC)
    samples = directory.integer(Tag.SAMPLES_PER_PIXEL, 1)
    bits, formats = set(directory.integers(Tag.BITS_PER_SAMPLE)), set(directory.integers(Tag.SAMPLE_FORMAT))
    if compression not in set(Compression):
        raise directory.unsupported(f"compression {compression} is not supported")
    if (photometric, samples) not in _SAMPLES:
        raise directory.unsupported(f"{samples} samples per pixel with photometric interpretation {photometric}")
    if bits not in ({8}, {16}) or not formats <= {1}:
        raise directory.unsupported(
            f"{sorted(bits)} bits per sample of format {sorted(formats)}; unsigned 8 or 16 bits are read"
        )
    if samples > 1 and directory.integer(Tag.PLANAR_CONFIGURATION, 1) != 1:
        raise directory.unsupported("colours in separate planes are not supported")
    if photometric == Photometric.YCBCR and compression not in JPEG | JPEG_2000 | {Compression.WEBP}:
        raise directory.unsupported("YCbCr pixels without JPEG are not supported")
    if photometric == Photometric.WHITE_IS_ZERO and compression in JPEG | JPEG_2000 | {Compression.WEBP}:
        raise directory.unsupported("white-is-zero pixels in JPEG are not supported")
    if directory.integer(Tag.FILL_ORDER, 1) != 1 or directory.integer(Tag.IMAGE_DEPTH, 1) != 1:
        raise directory.unsupported("reversed bits, or volumes, are not supported")
    if bits == {16} and compression in JPEG | {Compression.WEBP}:
        raise directory.unsupported("16 bits per sample in JPEG or WebP are not supported")
    return Compression(compression), Photometric(photometric), PixelFormat(samples, bits.pop())


def read_segments(layout: TiffLayout) -> tuple[array[int], array[int]]:
    """Offsets and byte counts of all tiles, row by row, each compared with the file's size. Raises CorruptInput.

    Byte count 0 is a missing tile; its offset, whatever the file says, becomes 0.
    """
    directory, level = layout.directory, layout.level
    where, sizes = Tag.STRIP_OFFSETS, Tag.STRIP_BYTE_COUNTS
    if layout.tiled:
        where, sizes = Tag.TILE_OFFSETS, Tag.TILE_BYTE_COUNTS
    for tag in (where, sizes):
        if directory.count(tag) < level.tile_count and not (tag == Tag.STRIP_BYTE_COUNTS and tag not in directory):
            raise directory.corrupt(
                f"field {tag.name} has {directory.count(tag)} values where {level.tile_count} tiles or strips need one"
            )
    offsets = directory.array(where, level.tile_count)
    if sizes in directory:
        counts = directory.array(sizes, level.tile_count)
    elif layout.compression == Compression.NONE:  # old writers leave the field out
        rows = np.minimum(level.tile_height, level.height - np.arange(level.rows, dtype=np.uint64) * level.tile_height)
        counts = (rows * (level.width * layout.pixel_format.bytes_per_pixel)).astype(np.uint64)
    else:
        raise directory.corrupt(f"field {sizes.name} is missing")
    size = np.uint64(directory.file.size)
    bad = (counts > np.minimum(size, np.uint64(MAX_TILE_BYTES))) | (
        (counts > 0) & (offsets > size - np.minimum(counts, size))
    )
    if bad.any():
        index = int(bad.argmax())
        row, column = divmod(index, level.columns)
        raise directory.corrupt(
            f"tile column {column}, row {row} has {counts[index]} bytes at {offsets[index]}, "
            f"but the file ends at {size}: is it truncated?"
        )
    offsets[counts == 0] = 0
    return array("Q", offsets.tobytes()), array("I", counts.astype(np.uint32).tobytes())


def refuse_stack(candidates: Sequence[TiffLayout]) -> None:
    """Raises UnsupportedFormat when others have the size of the first: channels, focal planes or times, not levels."""
    base = candidates[0]
    same = sum(layout.level.bounds == base.level.bounds for layout in candidates)
    if same > 1:
        size = f"{base.level.width} x {base.level.height}"
        raise UnsupportedFormat(
            f"{base.directory.file.name}: a stack of {same} pages of {size} pixels is not supported yet"
        )


def plausible_spacing(x_um: float | None, y_um: float | None) -> Spacing | None:
    """Spacing from micrometres per pixel; None when it cannot be that of a slide."""
    low, high = _SPACING_UM
    if x_um is None or y_um is None or not (low <= x_um <= high and low <= y_um <= high):
        return None
    return Spacing(x_um / 1000, y_um / 1000)


def resolution_spacing(directory: TiffDirectory) -> Spacing | None:
    """Spacing from the resolution fields, None when they are missing, relative or absurd."""
    unit_um = {2: 25400.0, 3: 10000.0}.get(directory.integer(Tag.RESOLUTION_UNIT, 2))
    x, y = directory.number(Tag.X_RESOLUTION), directory.number(Tag.Y_RESOLUTION)
    if not (unit_um and x and y):
        return None
    return plausible_spacing(unit_um / x, unit_um / y)
