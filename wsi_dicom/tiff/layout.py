"""How one TIFF image is stored, checked once when it is opened: grid, pixel format, compression, and where."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_dicom.errors import UnsupportedStack
from wsi_dicom.geometry import Level, PixelFormat, Spacing
from wsi_dicom.tiff.samples import Photometric, StoredSamples, read_samples
from wsi_dicom.tiff.structure import Tag, TiffDirectory

MAX_TILE_BYTES: Final = 256 << 20
"""Of one tile or strip, decoded or stored."""
_PART_BYTES: Final = 8 << 20
"""Of an uncompressed strip of the whole picture, which is read in parts."""
_MAX_SIDE: Final = 2**31
_MAX_TILES: Final = 1 << 25
_SPACING_UM: Final = (0.01, 100.0)
"""Whole slides are scanned at 0.1 to 10 um per pixel; what lies far outside is a wrong unit or a default."""
_COARSEST_RESOLUTION_UM: Final = 20.0
"""Of resolution fields, which any program fills with what a printer would do: 300 dots per inch are 85 um."""
_GLASS_MM: Final = 80.0
"""Slides are 25 mm x 75 mm to 52 mm x 76 mm."""


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
    LERC = 34887
    LZMA = 34925
    ZSTD_OLD = 34926
    WEBP_OLD = 34927
    JPEG_XR = 34934
    ZSTD = 50000
    WEBP = 50001
    JPEG_XL = 50002
    JPEG_XL_DNG = 52546


JPEG: Final = frozenset({Compression.JPEG, Compression.APERIO_JPEG})
JPEG_2000: Final = frozenset({Compression.APERIO_JP2K_YCBCR, Compression.APERIO_JP2K_RGB, Compression.JPEG_2000})
WEBP: Final = frozenset({Compression.WEBP, Compression.WEBP_OLD})
LERC: Final = frozenset({Compression.LERC})
JPEG_XL: Final = frozenset({Compression.JPEG_XL, Compression.JPEG_XL_DNG})
JPEG_XR: Final = frozenset({Compression.JPEG_XR})
MAY_LOSE: Final = WEBP | LERC | JPEG_XL | JPEG_XR
"""Lossy or not, as the stream says, and not for DICOM as it is."""
_PREDICTED: Final = frozenset(
    {
        Compression.LZW,
        Compression.DEFLATE,
        Compression.DEFLATE_OLD,
        Compression.LZMA,
        Compression.ZSTD,
        Compression.ZSTD_OLD,
    }
)
_ANY_BITS: Final = _PREDICTED | {Compression.NONE, Compression.PACKBITS}


@dataclass(frozen=True, slots=True, eq=False)
class TiffLayout:
    """One image of a TIFF file, before anything is read that grows with it. A strip is a tile of full width.

    `predicted`: samples are differences along the row (TIFF 6.0 section 14). `orientation` is that of the field, 1..8.
    `stored` is the grid that the file has, where it is larger than that of the level (see `cropped`). `parted`: the
    file has one uncompressed strip, which is read as if it were many.
    """

    directory: TiffDirectory = field(repr=False)
    level: Level
    samples: StoredSamples
    tiled: bool
    compression: Compression
    predicted: bool
    byte_order: str
    orientation: int = 1
    stored: Level | None = None
    parted: bool = False

    def cropped(self, width: int, height: int) -> TiffLayout:
        """Without what lies right of `width` and below `height`: some scanners count padding into the size."""
        full = self.level
        level = Level(min(width, full.width), min(height, full.height), full.tile_width, full.tile_height)
        return replace(self, level=level, stored=self.stored or full)

    @property
    def photometric(self) -> Photometric:
        return self.samples.photometric

    @property
    def pixel_format(self) -> PixelFormat:
        """Of the pixels that the samples become."""
        return self.samples.pixel_format

    @property
    def segments(self) -> int:
        """How many tiles or strips are stored in all: those of every plane of samples."""
        return (self.stored or self.level).tile_count * (self.samples.count if self.samples.planar else 1)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of a tile or strip, not compressed."""
        return -(-self.level.tile_width * self.samples.together * self.samples.bits // 8)

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
    samples = read_samples(directory)
    compression = _compression(directory, samples)
    bytes_per_pixel = max(samples.count * (1 if samples.bits <= 8 else 2), samples.pixel_format.bytes_per_pixel)
    parted = compression == Compression.NONE and not tiled and level.rows == 1
    if parted:
        level = level.retiled(level.width, min(level.height, max(1, _PART_BYTES // (level.width * bytes_per_pixel))))
    if level.tile_width * level.tile_height * bytes_per_pixel > MAX_TILE_BYTES:
        raise directory.unsupported(
            f"tiles or strips of {level.tile_width} x {level.tile_height} pixels; the limit is 256 MiB each"
        )
    predictor = directory.integer(Tag.PREDICTOR, 1) if compression in _PREDICTED else 1
    if predictor not in (1, 2) or (predictor == 2 and samples.bits not in (8, 16)):
        raise directory.unsupported(f"predictor {predictor} with {samples.bits} bits per sample is not supported")
    orientation = directory.integer(Tag.ORIENTATION, 1)
    return TiffLayout(
        directory=directory,
        level=level,
        samples=samples,
        tiled=tiled,
        compression=compression,
        predicted=predictor == 2,
        byte_order=directory.file.byte_order,
        orientation=orientation if 1 <= orientation <= 8 else 1,
        parted=parted,
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


def _compression(directory: TiffDirectory, samples: StoredSamples) -> Compression:
    """The compression, when it may hold such samples. Raises UnsupportedFormat."""
    number = directory.integer(Tag.COMPRESSION, 1)
    if number not in set(Compression):
        raise directory.unsupported(f"compression {number} is not supported")
    compression = Compression(number)
    if directory.integer(Tag.FILL_ORDER, 1) != 1 or directory.integer(Tag.IMAGE_DEPTH, 1) != 1:
        raise directory.unsupported("reversed bits, or volumes, are not supported")
    if samples.photometric == Photometric.YCBCR and compression not in JPEG | JPEG_2000 | WEBP:
        raise directory.unsupported("YCbCr pixels without JPEG are not supported")
    if compression in JPEG and samples.together not in (1, 3):
        raise directory.unsupported(f"JPEG of {samples.together} samples per pixel is not supported")
    if compression in JPEG:
        possible = {8, 12}
    elif compression in WEBP:
        possible = {8}
    elif compression in JPEG_2000:
        possible = set(range(8, 17))
    else:
        possible = set(range(1, 17)) if compression in _ANY_BITS else {8, 16}
    if samples.bits not in possible:
        raise directory.unsupported(f"{samples.bits} bits per sample in {compression.name} are not supported")
    if samples.signed and compression not in _ANY_BITS:
        raise directory.unsupported(f"signed samples in {compression.name} are not supported")
    return compression


def read_segments(layout: TiffLayout, *, tolerant: bool = False) -> tuple[array[int], array[int]]:
    """Offsets and byte counts of all tiles, row by row, each compared with the file's size. Raises CorruptInput.

    Those of separate planes of samples follow each other.

    Byte count 0 is a missing tile; its offset, whatever the file says, becomes 0. With `tolerant`, those outside of the
    file become the byte behind its end, which cannot be read.
    """
    directory, level, segments = layout.directory, layout.level, layout.segments
    stored = layout.stored or level
    if layout.parted:
        segments //= level.rows
    where, sizes = Tag.STRIP_OFFSETS, Tag.STRIP_BYTE_COUNTS
    if layout.tiled:
        where, sizes = Tag.TILE_OFFSETS, Tag.TILE_BYTE_COUNTS
    for tag in (where, sizes):
        if directory.count(tag) < segments and not (tag == Tag.STRIP_BYTE_COUNTS and tag not in directory):
            raise directory.corrupt(
                f"field {tag.name} has {directory.count(tag)} values where {segments} tiles or strips need one"
            )
    offsets = directory.array(where, segments)
    if sizes in directory:
        counts = directory.array(sizes, segments)
    elif layout.compression == Compression.NONE:  # old writers leave the field out
        counts = np.tile(_strip_bytes(layout), layout.segments // level.rows)
        if layout.parted:
            counts = counts.reshape(-1, level.rows).sum(axis=1, dtype=np.uint64)
    else:
        raise directory.corrupt(f"field {sizes.name} is missing")
    if layout.parted:
        offsets, counts = _parts(layout, offsets, counts)
    size = np.uint64(directory.file.size)
    bad = (counts > np.minimum(size, np.uint64(MAX_TILE_BYTES))) | (
        (counts > 0) & (offsets > size - np.minimum(counts, size))
    )
    if tolerant:
        offsets[bad], counts[bad] = size, 1
    elif bad.any():
        index = int(bad.argmax())
        row, column = divmod(index % stored.tile_count, stored.columns)
        raise directory.corrupt(
            f"tile column {column}, row {row} has {counts[index]} bytes at {offsets[index]}, "
            f"but the file ends at {size}: is it truncated?"
        )
    offsets[counts == 0] = 0
    inside = np.s_[:, : level.rows, : level.columns]
    grid = -1, stored.rows, stored.columns
    offsets, counts = offsets.reshape(grid)[inside], counts.reshape(grid)[inside]
    return array("Q", offsets.tobytes()), array("I", counts.astype(np.uint32).tobytes())


def _strip_bytes(layout: TiffLayout) -> NDArray[np.uint64]:
    """Of each strip of a level, not compressed."""
    level = layout.level
    rows = np.minimum(level.tile_height, level.height - np.arange(level.rows, dtype=np.int64) * level.tile_height)
    return (rows * layout.row_bytes).astype(np.uint64)


def _parts(
    layout: TiffLayout, offsets: NDArray[np.uint64], counts: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Where the parts of a `parted` strip lie, of every plane of samples. Raises CorruptInput for one too short."""
    sizes = _strip_bytes(layout)
    whole = sizes.sum(dtype=np.uint64)
    if ((counts > 0) & (counts < whole)).any():
        raise layout.directory.corrupt(f"a strip of {counts.min()} bytes, where its pixels have {whole}")
    inside = np.cumsum(sizes, dtype=np.uint64) - sizes
    return (offsets[:, np.newaxis] + inside).ravel(), ((counts[:, np.newaxis] > 0) * sizes).ravel()


def refuse_stack(candidates: Sequence[TiffLayout]) -> None:
    """Raises UnsupportedStack when others have the size of the first: channels, focal planes or times, not levels."""
    base = candidates[0]
    same = sum(layout.level.bounds == base.level.bounds for layout in candidates)
    if same > 1:
        size = f"{base.level.width} x {base.level.height}"
        raise UnsupportedStack(
            f"{base.directory.file.name}: a stack of {same} pages of {size} pixels is not supported yet"
        )


def plausible_spacing(x_um: float | None, y_um: float | None) -> Spacing | None:
    """Spacing from micrometres per pixel; None when it cannot be that of a slide."""
    low, high = _SPACING_UM
    if x_um is None or y_um is None or not (low <= x_um <= high and low <= y_um <= high):
        return None
    return Spacing(x_um / 1000, y_um / 1000)


def printed_spacing(x_um: float, y_um: float) -> Spacing | None:
    """The same from a resolution that may be meant for printers: where it is coarser than scanners are, it is."""
    return plausible_spacing(x_um, y_um) if max(x_um, y_um) <= _COARSEST_RESOLUTION_UM else None


def on_glass(spacing: Spacing | None, base: Level) -> Spacing | None:
    """The spacing of a slide, unless its finest level were larger than a glass slide by it."""
    if spacing is None or max(base.width * spacing.x_mm, base.height * spacing.y_mm) > _GLASS_MM:
        return None
    return spacing


def resolution_spacing(directory: TiffDirectory) -> Spacing | None:
    """Spacing from the resolution fields, None when they are missing, relative, meant for printers or absurd."""
    unit_um = {2: 25400.0, 3: 10000.0}.get(directory.integer(Tag.RESOLUTION_UNIT, 2))
    x, y = directory.number(Tag.X_RESOLUTION), directory.number(Tag.Y_RESOLUTION)
    if not (unit_um and x and y):
        return None
    return printed_spacing(unit_um / x, unit_um / y)
