"""One page of an NDPI file: a single JPEG stream as a grid of tiles that are copied out of it, not decoded."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsi_dicom.codecs import codec_for
from wsi_dicom.codecs.jpeg_markers import EOI, JpegHeader, parse_header
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.decoded_cache import DecodedCache
from wsi_dicom.errors import CodecError, CorruptInput
from wsi_dicom.geometry import Level, PixelFormat
from wsi_dicom.slide import EncodedTile, Encoding, Pixels
from wsi_dicom.sources.jpeg_stripes import RESTARTS, SMALLEST_STRIPE, JpegStripes
from wsi_dicom.sources.ndpi_structure import told_stripes
from wsi_dicom.tiff.layout import MAX_TILE_BYTES, Compression
from wsi_dicom.tiff.structure import Tag, TiffDirectory

_MAX_HEADER: Final = 1 << 18
_MAX_SIDE: Final = 2**31
_MAX_JPEG_SIDE: Final = 0xFFFF
_MAX_DECODED_SIDE: Final = 65500  # of libjpeg
_MAX_STRIPES: Final = 1 << 24  # of 8 bytes each in memory
_TILE_SIDE: Final = 512
_SQUARE_UP_TO: Final = 1024
_TILE_MULTIPLE: Final = 16
_WIDEST_COPIED: Final = 4096
_READ_AT_ONCE: Final = 32 << 20


class _Grid(NamedTuple):
    """Stripes of a stream: `width` x `height` pixels each, in rows and columns."""

    width: int
    height: int
    columns: int
    rows: int

    @property
    def rows_per_tile(self) -> int:
        """How many of them, under each other, make a tile: about square, or 512 pixels high when they are wide.

        Rows of tiles share the rows of stripes evenly, so that little lies below the picture, in whole multiples of 16
        pixels, which TIFF asks for. Stripes that are too wide to be copied only become tiles that are not too large.
        """
        if self.rows == 1:
            return 1
        side = self.width if self.width <= _SQUARE_UP_TO else _TILE_SIDE
        if self.width > _WIDEST_COPIED:
            side = max(1, _TILE_SIDE * _WIDEST_COPIED // self.width)
        tiles = max(1, round(self.rows * self.height / side))
        unit = max(1, _TILE_MULTIPLE // self.height)
        return -(-self.rows // (tiles * unit)) * unit


class NdpiLevel:
    """The tiles of one page. Safe to call from many threads.

    A tile is as wide as a restart interval, and consists of the intervals that lie under each other: the header with
    another size, and the intervals with renumbered markers. A tile at the lower edge that lacks some has the last one
    of its column again, which is outside the picture. A page that has no such intervals is one tile.
    """

    lossy_method: str | None = "ISO_10918_1"

    def __init__(self, directory: TiffDirectory, place: str, strips: DecodedCache, *, whole: bool = False) -> None:
        """`place` names the page in messages; `strips` is shared with the other pages; `whole` makes one tile of it.

        Raises UnsupportedFormat, CorruptInput.
        """
        self.directory, self._place = directory, place
        self._file = directory.file
        offset, size = _stream(directory)
        self._stored = size
        data = self._file.read(offset, min(size, _MAX_HEADER), place)
        try:
            header = parse_header(data, sized=False)
        except CodecError as error:
            raise directory.corrupt(f"{place}: {error}") from error
        if not header.baseline:
            raise directory.unsupported(f"{place}: JPEG other than baseline of 1 or 3 samples is not supported")
        width, height = _size(directory, header)
        self._grid = grid = _grid(header, width, height, whole)
        self._check(size)
        self.level = Level(width, height, grid.width, grid.height * grid.rows_per_tile)
        self.pixel_format = PixelFormat(len(header.components))
        self.encoding = Encoding(JPEG_BASELINE, header.photometric, header.sampling[0])
        self._template = self._make_template(data, header)
        self._stripes = JpegStripes(
            self._file,
            place,
            range(offset + header.scan_offset, offset + size),
            grid.columns * grid.rows,
            lambda: _told(directory, offset, grid.columns * grid.rows),
        )
        # such tiles are cut anew, or hold many that are asked for
        large = grid.width > _WIDEST_COPIED or self.level.tile_count == 1
        self._strips = strips if large else None

    def _check(self, size: int) -> None:
        """Raises CorruptInput, UnsupportedFormat for grids that cannot be in the stream, or that are too large."""
        grid, directory = self._grid, self.directory
        count = grid.columns * grid.rows
        if count * SMALLEST_STRIPE > size:
            raise directory.corrupt(f"{self._place}: {size} bytes of JPEG cannot hold {count} restart intervals")
        if count > _MAX_STRIPES:
            raise directory.unsupported(f"{self._place}: {count} restart intervals; the limit is {_MAX_STRIPES}")
        width, height = grid.width, grid.height * grid.rows_per_tile
        if count == 1 and size > MAX_TILE_BYTES:
            raise directory.unsupported(
                f"{self._place}: a single restart interval of {size} bytes; the limit is 256 MiB"
            )
        if max(width, height) > _MAX_DECODED_SIDE or width * height * 3 > MAX_TILE_BYTES:
            raise directory.unsupported(
                f"{self._place}: JPEG without usable restart markers of {width} x {height} pixels; "
                f"the limit is {MAX_TILE_BYTES // 3} pixels, and {_MAX_DECODED_SIDE} on a side"
            )

    def _make_template(self, data: bytes, header: JpegHeader) -> list[bytes | memoryview]:
        """A tile in parts: its header, then, in turns, a place for an interval and what comes behind it."""
        head = bytearray(data[: header.scan_offset])
        struct.pack_into(">HH", head, header.size_offset, self.level.tile_height, self.level.tile_width)
        parts: list[bytes | memoryview] = [bytes(head)]
        for number in range(self._grid.rows_per_tile - 1):
            parts += [b"", RESTARTS[number % 8]]
        return [*parts, b"", EOI]

    def stored_bytes(self) -> int:
        """Upper bound of the bytes of all encoded tiles. May have to search the page for its markers."""
        grid = self._grid
        repeated = -grid.rows % grid.rows_per_tile
        try:
            last = self._stripes.size((grid.rows - 1) * grid.columns, grid.rows * grid.columns) if repeated else 0
        except CorruptInput:  # whoever reads them is told; there is nothing to repeat
            last = 0
        return self._stored + repeated * last + self.level.tile_count * (len(self._template[0]) + len(EOI))

    def encoded_tile(self, column: int, row: int) -> EncodedTile:
        """As Slide.encoded_tile."""
        self.level.tile_index(column, row)
        return next(self._frames(row, range(column, column + 1)))

    def encoded_row(self, row: int) -> Iterator[EncodedTile]:
        """As Slide.encoded_row. Tiles are read together up to 32 MiB, or one tile."""
        self.level.tile_index(0, row)
        columns = self._grid.columns
        together = self._columns_together(row)
        for first in range(0, columns, together):
            yield from self._frames(row, range(first, min(first + together, columns)))

    def _columns_together(self, row: int) -> int:
        columns = range(self._grid.columns)
        try:
            size = sum(self._stripes.size(*self._run(stripes, columns)) for stripes in self._rows(row))
        except CorruptInput:
            return 1  # reading the tiles then says which is broken
        return max(1, len(columns) // max(1, -(-size // _READ_AT_ONCE)))

    def tile(self, column: int, row: int) -> Pixels:
        """As Slide.tile."""
        index = self.level.tile_index(column, row)
        if self._strips is None:
            return self._decode(column, row)
        return self._strips.get((self, index), lambda: self._decode(column, row))

    def _decode(self, column: int, row: int) -> Pixels:
        level = self.level
        tile = self.encoded_tile(column, row)
        try:
            return codec_for(JPEG_BASELINE).decode(tile, level.tile_width, level.tile_height, self.pixel_format)
        except CodecError as error:
            raise CodecError(f"{self._where(column, row)}: {error}") from error

    def _rows(self, row: int) -> range:
        """Rows of stripes of a row of tiles."""
        first = row * self._grid.rows_per_tile
        return range(first, min(first + self._grid.rows_per_tile, self._grid.rows))

    def _run(self, row: int, columns: range) -> tuple[int, int]:
        """First, and last but one, of neighbouring stripes in a row of stripes."""
        return row * self._grid.columns + columns.start, row * self._grid.columns + columns.stop

    def _frames(self, row: int, columns: range) -> Iterator[EncodedTile]:
        """Neighbouring tiles. This is the loop that copying a slide consists of."""
        stripes = self._read(row, columns)
        missing = self._grid.rows_per_tile - len(stripes) // len(columns)
        for number in range(len(columns)):
            column = stripes[number :: len(columns)]
            parts = self._template[:]
            parts[1::2] = column + column[-1:] * missing
            yield EncodedTile(b"".join(parts), self.encoding)

    def _read(self, row: int, columns: range) -> list[memoryview]:
        """The stripes of neighbouring tiles, row by row; at once when they are all that the rows have."""
        rows = self._rows(row)
        runs = [self._run(stripes, columns) for stripes in rows]
        if len(columns) == self._grid.columns:
            runs = [(runs[0][0], runs[-1][1])]
        try:
            return [stripe for run in runs for stripe in self._stripes.read(*run)]
        except CorruptInput as error:
            raise CorruptInput(f"{self._where(columns.start, row)}: {error}") from error

    def _where(self, column: int, row: int) -> str:
        return f"{self._file.name}: {self._place}, tile column {column}, row {row}"


def _stream(directory: TiffDirectory) -> tuple[int, int]:
    """Offset and size of the JPEG stream of a page. Raises UnsupportedFormat, CorruptInput."""
    compression = directory.integer(Tag.COMPRESSION, 1)
    if compression != Compression.JPEG:
        raise directory.unsupported(f"compression {compression} is not supported in NDPI")
    if directory.count(Tag.STRIP_OFFSETS) != 1:
        raise directory.unsupported(f"{directory.count(Tag.STRIP_OFFSETS)} strips; a page of NDPI has one")
    offset, size = directory.integer(Tag.STRIP_OFFSETS), directory.integer(Tag.STRIP_BYTE_COUNTS)
    if offset + size > directory.file.size:
        raise directory.corrupt(
            f"{size} bytes of JPEG at {offset}, but the file ends at {directory.file.size}: is it truncated?"
        )
    return offset, size


def _size(directory: TiffDirectory, header: JpegHeader) -> tuple[int, int]:
    """Width and height in pixels: of the stream, where it can tell them, else of the fields. Raises CorruptInput.

    Streams are written with 0 for what JPEG's 16 bits cannot hold. Some scanners round sizes of coarse levels in the
    fields otherwise than in the stream.
    """
    sides = []
    for stored, tag in ((header.width, Tag.IMAGE_WIDTH), (header.height, Tag.IMAGE_LENGTH)):
        told = directory.integer(tag, 0)
        sides.append(told if told > _MAX_JPEG_SIDE or not stored else stored)
    if not all(0 < side <= _MAX_SIDE for side in sides):
        raise directory.corrupt(f"{sides[0]} x {sides[1]} pixels")
    return sides[0], sides[1]


def _grid(header: JpegHeader, width: int, height: int, whole: bool) -> _Grid:
    """One stripe unless restart intervals divide every row of MCUs."""
    mcu_width, mcu_height = header.mcu_size
    mcus, interval = -(-width // mcu_width), header.restart_interval
    if whole or not interval or mcus % interval:
        return _Grid(width, height, 1, 1)
    return _Grid(interval * mcu_width, mcu_height, mcus // interval, -(-height // mcu_height))


def _told(directory: TiffDirectory, offset: int, count: int) -> NDArray[np.uint64] | None:
    relative = told_stripes(directory, count)
    return None if relative is None else relative + np.uint64(offset)
