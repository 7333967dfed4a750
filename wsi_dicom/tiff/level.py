"""One level of a TIFF slide: its tiles by number, as stored and as pixels."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from typing import Final

import numpy as np

from wsi_dicom.background import background_samples, fill
from wsi_dicom.codecs.jpeg_markers import join_strips, parse_header
from wsi_dicom.decoded_cache import DecodedCache
from wsi_dicom.errors import CodecError, CorruptInput
from wsi_dicom.geometry import FIRST_PLANE, Level, Plane, Region
from wsi_dicom.slide import AS_FOUND, EncodedTile, Pixels, SourceOptions
from wsi_dicom.tiff.codecs import decode
from wsi_dicom.tiff.layout import JPEG, JPEG_2000, MAY_LOSE, TiffLayout, read_segments
from wsi_dicom.tiff.streams import Jpeg2000Streams, JpegStreams, OtherStreams, StoredStreams
from wsi_dicom.tiff.structure import TiffDirectory, TiffFile

_log = logging.getLogger(__name__)

_CACHED_STRIP_BYTES: Final = 128 << 20
_TRIED_TILES: Final = 16
_SMALLEST_SEGMENT: Final = 4  # bytes: offset and byte count, SHORT each
_READ_AT_ONCE: Final = 1 << 18  # stays in the processor's cache while its tiles are cut out
_GAPS: Final = 1 << 16  # bytes between tiles that are read at once, in all


class Garbage(Enum):
    """What a tile is that does not even begin as its compression.

    Scanners leave such tiles out: at the edges, and in coarse levels, where the finer one shows what was there.
    Anywhere else it is damage, which must not go unnoticed.
    """

    DAMAGE = auto()
    MISSING_AT_EDGES = auto()
    MISSING = auto()


def strip_cache() -> DecodedCache:
    """For all levels and planes of a slide: a region of many tiles needs each of its strips once per tile."""
    return DecodedCache(_CACHED_STRIP_BYTES)


def _runs(offsets: Sequence[int], counts: Sequence[int]) -> Iterator[tuple[range, int, int]]:
    """Numbers of tiles that may be read at once: at most 256 KiB, or one tile, with little between them.

    With each run where in the file its tiles begin and end.
    """
    start = begin = end = wanted = 0
    for number, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        first, last = min(begin, offset), max(end, offset + count)
        if number == start or last - first > min(wanted + count + _GAPS, _READ_AT_ONCE):
            if number > start:
                yield range(start, number), begin, end
            start, first, last, wanted = number, offset, offset + count, 0
        begin, end, wanted = first, last, wanted + count
    yield range(start, len(counts)), begin, end


class TiffLevel:
    """The tiles, or strips, of one image of a TIFF file. Safe to call from many threads."""

    def __init__(
        self,
        directory: TiffDirectory,
        layout: TiffLayout,
        place: str,
        options: SourceOptions = AS_FOUND,
        *,
        garbage: Garbage = Garbage.DAMAGE,
        strips: DecodedCache | None = None,
    ) -> None:
        """`place` names the level in messages. `strips` is shared with the other levels of the slide.

        Raises CorruptInput when its tiles are not what its fields say.
        """
        self.file: TiffFile = directory.file
        self._layout, self._place = layout, place
        self.background, self._garbage = options.background, garbage
        self._offsets, self._counts = read_segments(layout, tolerant=options.tolerant)
        planes = np.frombuffer(self._counts, np.uint32).reshape(-1, layout.level.tile_count)
        self._present: Sequence[int] = self._counts if len(planes) == 1 else planes.max(axis=0).tolist()
        self._streams = self._open_streams()
        self.level: Level = layout.level
        self.pixel_format = layout.pixel_format
        self.lossy_method = self._streams.lossy_method
        self.encoding = self._streams.encoding if layout.tiled else None  # strips are joined or encoded anew
        self._strips = None if layout.tiled else strips or strip_cache()

    def _open_streams(self) -> StoredStreams:
        layout = self._layout
        present = (index for index, count in enumerate(self._counts) if count)
        if layout.compression not in JPEG | JPEG_2000:
            first = next(present, None) if layout.compression in MAY_LOSE else None
            return OtherStreams(layout, b"" if first is None else self._read(first))
        kind = JpegStreams if layout.compression in JPEG else Jpeg2000Streams
        failure: CodecError | CorruptInput | None = None
        for index, _ in zip(present, range(_TRIED_TILES), strict=False):
            try:
                return kind(layout, self._read(index))
            except (CodecError, CorruptInput) as error:
                failure = failure or error
        what = f"no tile begins as one: {failure}" if failure else "it has no tiles"
        raise CorruptInput(f"{self.file.name}: {self._place}: {layout.compression.name}, but {what}")

    def stored_bytes(self) -> int:
        """Upper bound of the bytes of all encoded tiles."""
        return sum(self._counts) + self._streams.added * len(self._counts)

    @property
    def missing(self) -> int:
        """How many tiles the file has nothing for."""
        return self._present.count(0)

    def stores(self, column: int, row: int) -> bool:
        """Whether the file has anything for a tile. Raises OutOfBounds."""
        return self._present[self.level.tile_index(column, row)] > 0

    def stores_any(self, region: Region) -> bool:
        """Whether the file has anything for a region."""
        level, inside = self.level, region.intersection(self.level.bounds)
        if inside.empty:
            return False
        left, right = inside.x // level.tile_width, -(-inside.right // level.tile_width)
        top, bottom = inside.y // level.tile_height, -(-inside.bottom // level.tile_height)
        return any(
            any(self._present[row * level.columns + left : row * level.columns + right]) for row in range(top, bottom)
        )

    def encoded_tile(self, column: int, row: int) -> EncodedTile | None:
        """As Slide.encoded_tile."""
        index = self.level.tile_index(column, row)
        if self.encoding is None or not self._counts[index]:
            return None
        data = self._read(index)
        try:
            stream = self._streams.copy(data)
        except CodecError as error:
            if self._is_garbage(column, row, data):
                return None
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
        for run, begin, end in _runs(offsets, counts):
            data = self.file.read(begin, end - begin, self._place)
            for column in run:
                if encoding is None or not counts[column]:
                    yield None
                    continue
                at = offsets[column] - begin
                try:
                    stream = copy(data, at, at + counts[column])
                except CodecError as error:
                    if not self._is_garbage(column, row, data, at):
                        raise self._broken(CorruptInput, column, row, error) from error
                    stream = None
                yield None if stream is None else EncodedTile(stream, encoding)

    def tile(self, column: int, row: int) -> Pixels:
        """As Slide.tile."""
        pixels = self.stored_tile(column, row)
        return self.blank() if pixels is None else pixels

    def stored_tile(self, column: int, row: int) -> Pixels | None:
        """As Slide.tile, but None for a tile that is missing."""
        index = self.level.tile_index(column, row)
        if not self._present[index]:
            return None
        if self._strips is not None:
            return self._strips.get((self, row), lambda: self._decode(0, row))
        if self._may_be_garbage(column, row) and not self._streams.begins(self._beginning(index)):
            name = self._layout.compression.name
            _log.warning("%s: %s is no %s and taken as missing", self.file.name, self._at(column, row), name)
            return None
        return self._decode(column, row)

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
        return self.file.read(self._offsets[index], self._counts[index], self._named(index))

    def _beginning(self, index: int) -> bytes:
        return self.file.read(self._offsets[index], min(self._counts[index], 16), self._named(index))

    def _may_be_garbage(self, column: int, row: int) -> bool:
        at_edge = column == self.level.columns - 1 or row == self.level.rows - 1
        return self._garbage is Garbage.MISSING or (self._garbage is Garbage.MISSING_AT_EDGES and at_edge)

    def _is_garbage(self, column: int, row: int, data: bytes, at: int = 0) -> bool:
        return self._may_be_garbage(column, row) and not self._streams.begins(data, at)

    def _decode(self, column: int, row: int) -> Pixels:
        level, samples = self.level, self._layout.samples
        planes = range(self.level.tile_index(column, row), len(self._counts), level.tile_count)
        if not all(self._counts[index] for index in planes):
            raise CorruptInput(
                f"{self.file.name}: {self._at(column, row)}: it lacks some of the {len(planes)} planes of its samples"
            )
        try:
            parts = [self._streams.complete(self._read(index)) for index in planes]
        except CodecError as error:
            raise self._broken(CorruptInput, column, row, error) from error
        try:
            stored = [self._visible(part, column, row) for part in parts]
            pixels = samples.pixels(stored[0] if len(stored) == 1 else np.dstack(stored), self.background)
        except CodecError as error:
            raise self._broken(CodecError, column, row, error) from error
        if pixels.shape[:2] == (level.tile_height, level.tile_width):
            return pixels
        padded = self.blank()
        padded[: pixels.shape[0], : pixels.shape[1]] = pixels
        return padded

    def _visible(self, tile: EncodedTile, column: int, row: int) -> Pixels:
        pixels = decode(self._layout, tile, self._layout.stored_rows(row))
        needed = self.level.tile_region(column, row)
        if pixels.shape[0] < needed.height or pixels.shape[1] < needed.width:
            raise CodecError(f"only {pixels.shape[1]} x {pixels.shape[0]} pixels are stored")
        return pixels

    def blank(self) -> Pixels:
        """A tile of background."""
        colour = background_samples(self.background, self.pixel_format)
        blank: Pixels = np.empty((self.level.tile_height, self.level.tile_width, len(colour)), colour.dtype)
        fill(blank, colour)
        return blank

    def _at(self, column: int, row: int) -> str:
        return f"{self._place}, tile column {column}, row {row}"

    def _named(self, index: int) -> str:
        row, column = divmod(index % self._layout.level.tile_count, self._layout.level.columns)
        return self._at(column, row)

    def _broken(
        self, kind: type[CorruptInput] | type[CodecError], column: int, row: int, error: CodecError
    ) -> CorruptInput | CodecError:
        return kind(f"{self.file.name}: {self._at(column, row)}: {error}")


def open_levels(
    chosen: Sequence[tuple[TiffDirectory, TiffLayout]],
    options: SourceOptions = AS_FOUND,
    *,
    garbage_is_missing: bool = False,
) -> list[TiffLevel]:
    """The levels of a slide, finest first. Raises CorruptInput when they have more tiles than the file has offsets."""
    return open_planes({FIRST_PLANE: chosen}, options, garbage_is_missing=garbage_is_missing)[FIRST_PLANE]


def open_planes(
    chosen: Mapping[Plane, Sequence[tuple[TiffDirectory, TiffLayout]]],
    options: SourceOptions = AS_FOUND,
    *,
    garbage_is_missing: bool = False,
) -> dict[Plane, list[TiffLevel]]:
    """The levels of every plane of a slide. Raises CorruptInput when they have more tiles than their files offsets."""
    images = [image for levels in chosen.values() for image in levels]
    tiles: Counter[TiffFile] = Counter()
    for directory, layout in images:
        tiles[directory.file] += layout.segments
    for file, count in tiles.items():
        if count > file.size // _SMALLEST_SEGMENT:  # else directories that share their offsets cost memory each
            raise CorruptInput(
                f"{file.name}: {len(images)} levels have {count} tiles, "
                f"but the {file.size} bytes of the file cannot tell where that many are"
            )

    _warn_of_signed(images)
    strips = strip_cache()
    finest, coarse = (Garbage.MISSING_AT_EDGES, Garbage.MISSING) if garbage_is_missing else (Garbage.DAMAGE,) * 2

    def opened(plane: Plane) -> list[TiffLevel]:
        named = f"optical path {plane.optical_path}, focal plane {plane.focal_plane}, " if len(chosen) > 1 else ""
        return [
            TiffLevel(
                *image,
                f"{named}level {number}",
                options,
                garbage=coarse if number else finest,
                strips=strips,
            )
            for number, image in enumerate(chosen[plane])
        ]

    return {plane: opened(plane) for plane in chosen}


def _warn_of_signed(images: Sequence[tuple[TiffDirectory, TiffLayout]]) -> None:
    signed = next((layout for _, layout in images if layout.samples.signed), None)
    if signed is not None:
        _log.warning(
            "%s: pixels of type int%d: half of their range is added, so that none is negative",
            *(signed.directory.file.name, signed.samples.bits),
        )
