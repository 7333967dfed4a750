"""One level of a TIFF slide: its tiles by number, as stored and as pixels."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from wsi_dicom.codecs.jpeg_markers import join_strips, parse_header
from wsi_dicom.errors import CodecError, CorruptInput
from wsi_dicom.geometry import Level
from wsi_dicom.slide import EncodedTile, Pixels
from wsi_dicom.sources.tiff_codecs import decode
from wsi_dicom.sources.tiff_layout import JPEG, JPEG_2000, TiffLayout, read_segments
from wsi_dicom.sources.tiff_streams import Jpeg2000Streams, JpegStreams, OtherStreams, StoredStreams
from wsi_dicom.sources.tiff_structure import TiffDirectory, TiffFile

_CACHED_STRIP_BYTES: Final = 128 << 20
_TRIED_TILES: Final = 16
_SMALLEST_SEGMENT: Final = 4  # bytes: offset and byte count, SHORT each
_READ_AT_ONCE: Final = 1 << 18  # stays in the processor's cache while its tiles are cut out
_GAPS: Final = 1 << 16  # bytes between tiles that are read at once, in all


class StripCache:
    """The last strips that were decoded: a region of many tiles needs each of its strips once per tile.

    Holds at most 128 MiB, or one strip. Decodes one at a time, so that threads that need the same one wait for it.
    """

    def __init__(self, decode_strip: Callable[[int], Pixels]) -> None:
        self._decode, self._lock = decode_strip, threading.Lock()
        self._strips: OrderedDict[int, Pixels] = OrderedDict()

    def get(self, row: int) -> Pixels:
        with self._lock:
            pixels = self._strips.get(row)
            if pixels is None:
                pixels = self._decode(row)
                pixels.flags.writeable = False
                self._strips[row] = pixels
                while len(self._strips) > max(1, _CACHED_STRIP_BYTES // pixels.nbytes):
                    self._strips.popitem(last=False)
            self._strips.move_to_end(row)
            return pixels


def _runs(offsets: Sequence[int], counts: Sequence[int]) -> Iterator[range]:
    """Numbers of tiles that may be read at once: at most 256 KiB, or one tile, with little between them."""
    start = begin = end = wanted = 0
    for number, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        first, last = min(begin, offset), max(end, offset + count)
        if number == start or last - first > min(wanted + count + _GAPS, _READ_AT_ONCE):
            if number > start:
                yield range(start, number)
            start, first, last, wanted = number, offset, offset + count, 0
        begin, end, wanted = first, last, wanted + count
    yield range(start, len(counts))


class TiffLevel:
    """The tiles, or strips, of one image of a TIFF file. Safe to call from many threads."""

    def __init__(self, directory: TiffDirectory, layout: TiffLayout, place: str) -> None:
        """`place` names the level in messages. Raises CorruptInput when its tiles are not what its fields say."""
        self._file: TiffFile = directory.file
        self._layout, self._place = layout, place
        self._offsets, self._counts = read_segments(layout)
        self._streams = self._open_streams()
        self.level: Level = layout.level
        self.pixel_format = layout.pixel_format
        self.lossy_method = self._streams.lossy_method
        self.encoding = self._streams.encoding if layout.tiled else None  # strips are joined or encoded anew
        self._strips = None if layout.tiled else StripCache(lambda row: self._decode(0, row))

    def _open_streams(self) -> StoredStreams:
        layout = self._layout
        if layout.compression not in JPEG | JPEG_2000:
            return OtherStreams(layout)
        kind = JpegStreams if layout.compression in JPEG else Jpeg2000Streams
        present = (index for index, count in enumerate(self._counts) if count)
        failure: CodecError | None = None
        for index, _ in zip(present, range(_TRIED_TILES), strict=False):
            try:
                return kind(layout, self._read(index))
            except CodecError as error:
                failure = failure or error
        what = f"no tile begins as one: {failure}" if failure else "it has no tiles"
        raise CorruptInput(f"{self._file.name}: {self._place}: {layout.compression.name}, but {what}")

    def stored_bytes(self) -> int:
        """Upper bound of the bytes of all encoded tiles."""
        return sum(self._counts) + self._streams.added * len(self._counts)

    def stores(self, column: int, row: int) -> bool:
        """Whether the file has anything for a tile. Raises OutOfBounds."""
        return self._counts[self.level.tile_index(column, row)] > 0

    def encoded_tile(self, column: int, row: int) -> EncodedTile | None:
        """As Slide.encoded_tile."""
        index = self.level.tile_index(column, row)
        if self.encoding is None or not self._counts[index]:
            return None
        try:
            stream = self._streams.copy(self._read(index))
        except CodecError as error:
            raise self._broken(CorruptInput, column, row, error) from error
        return None if stream is None else EncodedTile(stream, self.encoding)

    def encoded_row(self, row: int) -> Iterator[EncodedTile | None]:
        """As Slide.encoded_row. Runs of tiles that lie side by side in the file, in either direction, are read at once.

        This is the loop that copying a slide consists of: hence the local names, and no call for a tile but the copy.
        """
        columns = self.level.columns
        first = self.level.tile_index(0, row)
        offsets, counts = self._offsets[first : first + columns], self._counts[first : first + columns]
        encoding, copy = self.encoding, self._streams.copy
        for run in _runs(offsets, counts):
            begin = min(offsets[column] for column in run)
            end = max(offsets[column] + counts[column] for column in run)
            data = self._file.read(begin, end - begin, self._place)
            for column in run:
                if encoding is None or not counts[column]:
                    yield None
                    continue
                at = offsets[column] - begin
                try:
                    stream = copy(data, at, at + counts[column])
                except CodecError as error:
                    raise self._broken(CorruptInput, column, row, error) from error
                yield None if stream is None else EncodedTile(stream, encoding)

    def tile(self, column: int, row: int) -> Pixels:
        """As Slide.tile."""
        self.level.tile_index(column, row)
        return self._decode(column, row) if self._strips is None else self._strips.get(row)

    def joined(self) -> EncodedTile | None:
        """The whole picture as one stream, when it is JPEG in strips, or one tile, that DICOM may hold; else None."""
        encoding = self._streams.encoding
        if encoding is None or self._layout.compression not in JPEG or self.level.columns > 1 or 0 in self._counts:
            return None
        try:
            strips = [self._streams.complete(self._read(index)).data for index in range(len(self._counts))]
            stream = join_strips(strips, self.level.height)
        except CodecError:  # decoding still works, or says which strip is broken
            return None
        header = parse_header(stream)
        fits = header.baseline and (header.width, header.height) == (self.level.width, self.level.height)
        return EncodedTile(stream, encoding) if fits else None

    def _read(self, index: int) -> bytes:
        return self._file.read(self._offsets[index], self._counts[index], self._place)

    def _decode(self, column: int, row: int) -> Pixels:
        level, pixel_format = self.level, self.pixel_format
        shape = level.tile_height, level.tile_width, pixel_format.samples
        index = level.tile_index(column, row)
        if not self._counts[index]:
            return self._white(shape)
        try:
            tile = self._streams.complete(self._read(index))
        except CodecError as error:
            raise self._broken(CorruptInput, column, row, error) from error
        try:
            pixels = self._visible(tile, column, row)
        except CodecError as error:
            raise self._broken(CodecError, column, row, error) from error
        if pixels.shape == shape:
            return pixels
        padded = self._white(shape)
        padded[: pixels.shape[0], : pixels.shape[1]] = pixels
        return padded

    def _visible(self, tile: EncodedTile, column: int, row: int) -> Pixels:
        pixels = decode(self._layout, tile, self._layout.stored_rows(row))
        needed = self.level.tile_region(column, row)
        if pixels.shape[0] < needed.height or pixels.shape[1] < needed.width:
            raise CodecError(f"only {pixels.shape[1]} x {pixels.shape[0]} pixels are stored")
        return pixels

    def _white(self, shape: tuple[int, int, int]) -> Pixels:
        white: Pixels = np.full(shape, (1 << self.pixel_format.bits) - 1, f"u{self.pixel_format.bits // 8}")
        return white

    def _broken(
        self, kind: type[CorruptInput] | type[CodecError], column: int, row: int, error: CodecError
    ) -> CorruptInput | CodecError:
        return kind(f"{self._file.name}: {self._place}, tile column {column}, row {row}: {error}")


def open_levels(chosen: Sequence[tuple[TiffDirectory, TiffLayout]]) -> list[TiffLevel]:
    """The levels of a slide, finest first. Raises CorruptInput when they have more tiles than the file has offsets."""
    directory, tiles = chosen[0][0], sum(layout.level.tile_count for _, layout in chosen)
    if tiles > directory.file.size // _SMALLEST_SEGMENT:  # else directories that share their offsets cost memory each
        raise CorruptInput(
            f"{directory.file.name}: {len(chosen)} levels have {tiles} tiles, "
            f"but the {directory.file.size} bytes of the file cannot tell where that many are"
        )
    return [TiffLevel(found, layout, f"level {number}") for number, (found, layout) in enumerate(chosen)]
