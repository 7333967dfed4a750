"""A slide of which some tiles may be broken: what to do about them is decided here, once for every kind of source."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from wsi_dicom.background import background_samples
from wsi_dicom.codecs.jpeg import check_scan
from wsi_dicom.codecs.stream_head import bare_tile, stream_head
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.errors import CodecError, CorruptInput
from wsi_dicom.geometry import FIRST_PLANE, Plane
from wsi_dicom.metadata import LossyStep
from wsi_dicom.slide import EncodedTile, Encoding, Pixels, Slide, SlideBase


class BadTile(NamedTuple):
    """A tile that could not be read, and why."""

    level: int
    column: int
    row: int
    plane: Plane
    reason: str


class CheckedSlide(SlideBase):
    """Satisfies Slide, over another slide.

    Stored tiles whose headers do not fit the level are not given away: the broken ones are bad, others are decoded. For
    `sampled_alike` see `stream_head`, for `anonymous` see `bare_tile`. `verify`: stored tiles are decoded before they
    are given away, and scans checked to be whole. `blank`: a tile that cannot be read becomes background, and is noted
    in `bad_tiles`; else it raises CorruptInput or CodecError, as the slide does.
    """

    def __init__(
        self, slide: Slide, *, verify: bool, blank: bool, sampled_alike: bool = False, anonymous: bool = False
    ) -> None:
        self.name, self.files, self.pyramid, self.metadata = slide.name, slide.files, slide.pyramid, slide.metadata
        self.associated, self.sparse = slide.associated, slide.sparse
        self.background = slide.background
        self._slide, self._verify, self._blank, self._sampled_alike = slide, verify, blank, sampled_alike
        self._anonymous = anonymous
        self._bad: dict[tuple[int, int, int, Plane], BadTile] = {}
        self._heads: dict[int, bytes] = {}
        """By level, what its good streams begin with."""
        self._lock = threading.Lock()

    @property
    def bad_tiles(self) -> tuple[BadTile, ...]:
        """In the order of levels, planes and rows."""
        return tuple(sorted(self._bad.values(), key=lambda bad: (bad.level, bad.plane, bad.row, bad.column)))

    def encoding(self, level: int) -> Encoding | None:
        return self._slide.encoding(level)

    def lossy_method(self, level: int) -> str | None:
        return self._slide.lossy_method(level)

    def losses(self, level: int) -> tuple[LossyStep, ...]:
        return self._slide.losses(level)

    def derivation(self, level: int) -> str | None:
        return self._slide.derivation(level)

    def stored_bytes(self, level: int) -> int:
        return self._slide.stored_bytes(level)

    def absent(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> bool:
        try:
            return self._slide.absent(level, column, row, plane)
        except (CodecError, CorruptInput):
            if not self._blank:
                raise
            return False  # `tile` tells what is wrong

    def encoded_tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> EncodedTile | None:
        if (level, column, row, plane) in self._bad:  # found when it was decoded
            return None
        try:
            stored = self._slide.encoded_tile(level, column, row, plane)
            if stored is not None and self._verify:
                self._slide.tile(level, column, row, plane)
                self._check_scan(stored, level, column, row)
            return self._fitting(stored, level, column, row)
        except (CodecError, CorruptInput):
            if not self._blank:
                raise
            return None  # whoever asked goes on to `tile`

    def encoded_row(self, level: int, row: int, plane: Plane = FIRST_PLANE) -> Iterator[EncodedTile | None]:
        column = 0
        if not self._verify:
            try:
                for stored in self._slide.encoded_row(level, row, plane):
                    bad = self._bad and (level, column, row, plane) in self._bad
                    yield None if bad else self._fitting(stored, level, column, row)
                    column += 1
            except (CodecError, CorruptInput):
                if not self._blank:
                    raise
        for rest in range(column, self.pyramid.level(level).columns):
            yield self.encoded_tile(level, rest, row, plane)

    def tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> Pixels:
        try:
            stored = self._slide.encoded_tile(level, column, row, plane) if self._verify else None
            if stored is not None:
                self._check_scan(stored, level, column, row)
            return self._slide.tile(level, column, row, plane)
        except (CodecError, CorruptInput) as error:
            if not self._blank:
                raise
            with self._lock:
                self._bad[level, column, row, plane] = BadTile(level, column, row, plane, str(error))
        return self._background_tile(level)

    def _fitting(self, stored: EncodedTile | None, level: int, column: int, row: int) -> EncodedTile | None:
        """The tile, if its header is what the level needs. Raises CodecError."""
        head = self._heads.get(level)
        if stored is None or (head is not None and stored.data.startswith(head)):
            return stored
        grid, alike = self.pyramid.level(level), self._sampled_alike
        try:
            bare = bare_tile(stored, anonymous=self._anonymous)
            head = bare and stream_head(
                bare, grid.tile_width, grid.tile_height, self.pyramid.pixel_format, sampled_alike=alike
            )
        except CodecError as error:
            area = grid.tile_region(column, row)
            try:
                stream_head(stored, area.width, area.height, self.pyramid.pixel_format)
            except CodecError:
                raise self._located(error, level, column, row) from error
            return None  # at the edge, and not padded
        if head is None:
            return None
        self._heads[level] = head
        return bare

    def _check_scan(self, stored: EncodedTile, level: int, column: int, row: int) -> None:
        """Finds what decoding alone does not. Raises CodecError."""
        if stored.encoding.transfer_syntax == JPEG_BASELINE:
            try:
                check_scan(stored.data)
            except CodecError as error:
                raise self._located(error, level, column, row) from error

    def _located(self, error: CodecError, level: int, column: int, row: int) -> CodecError:
        return CodecError(f"{self.name}: level {level}, tile column {column}, row {row}: {error}")

    def _background_tile(self, level: int) -> Pixels:
        grid, pixel_format = self.pyramid.level(level), self.pyramid.pixel_format
        shape = grid.tile_height, grid.tile_width, pixel_format.samples
        return np.broadcast_to(background_samples(self.background, pixel_format), shape).copy()

    def close(self) -> None:
        self._slide.close()
