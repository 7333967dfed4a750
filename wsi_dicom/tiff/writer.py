"""Writing a tiled, pyramidal TIFF as a stream: tiles as they come, directories at the end (TIFF 6.0, BigTIFF).

Memory holds two numbers for each tile. Pages may be written side by side. The file is classic TIFF while an upper
bound of its size fits 32 bits, else BigTIFF.
"""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from wsi_dicom.codecs import codec_for
from wsi_dicom.codecs.jpeg_markers import parse_header
from wsi_dicom.codecs.transfer_syntaxes import JPEG_2000, JPEG_2000_LOSSLESS, JPEG_BASELINE, NATIVE
from wsi_dicom.errors import StoreError
from wsi_dicom.geometry import Level, PixelFormat, Spacing
from wsi_dicom.slide import EncodedTile, Encoding

CLASSIC_LIMIT: Final = 0xFFFF_FFFF - (64 << 20)
"""Largest sum of tile bytes for a classic TIFF; the rest is room for directories."""

_ASCII, _SHORT, _LONG, _RATIONAL, _UNDEFINED, _LONG8 = 2, 3, 4, 5, 7, 16
_COMPRESSION: Final = {JPEG_BASELINE: 7, JPEG_2000: 34712, JPEG_2000_LOSSLESS: 34712, **dict.fromkeys(NATIVE, 1)}
_BUFFER: Final = 1 << 20
_SUBSTITUTE_QUALITY: Final = 95
"""For the rare tile that has to be encoded again to fit its page."""


@dataclass(frozen=True, slots=True)
class Page:
    """One directory: a level of the pyramid, or a single picture. Text must be ASCII (TIFF 6.0, section 2)."""

    level: Level
    encoding: Encoding
    pixel_format: PixelFormat
    spacing: Spacing | None = None
    reduced: bool = False
    description: str = ""
    icc_profile: bytes | None = None


class TiffWriter:
    """Writes one file. A context manager: on an exception the file is removed.

    Raises StoreError when the file cannot be written.
    """

    def __init__(self, path: Path, *, largest_total: int, software: str, acquired: datetime | None) -> None:
        self._path, self._software, self._acquired = path, software, acquired
        self._big = largest_total > CLASSIC_LIMIT
        self._pages: list[PageSink] = []
        try:
            self._file = path.open("xb", buffering=_BUFFER)
        except OSError as error:
            raise StoreError(f"{path}: cannot be written: {error.strerror}") from error
        self._position = 0
        header = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if self._big else struct.pack("<2sHI", b"II", 42, 0)
        self.append(header)

    def add_page(self, page: Page) -> PageSink:
        """The sink for this page's tiles. Pages appear in the file in the order of these calls."""
        sink = PageSink(self, page)
        self._pages.append(sink)
        return sink

    def append(self, data: bytes) -> int:
        """Writes at the end, on an even offset, and returns that offset."""
        offset = self._position
        try:
            self._file.write(data)
            if len(data) & 1:
                self._file.write(b"\0")
        except OSError as error:
            raise StoreError(f"{self._path}: cannot be written: {error.strerror}") from error
        self._position = offset + len(data) + (len(data) & 1)
        return offset

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as failed:
            failed.callback(self._discard)
            if kind is None:
                self._finish()
                failed.pop_all()

    def _discard(self) -> None:
        with suppress(OSError):  # what the buffer still holds need not reach a file that goes away
            self._file.close()
        self._path.unlink(missing_ok=True)

    def _finish(self) -> None:
        link = 8 if self._big else 4  # where the header points to the first directory
        try:
            for page in self._pages:
                offset, next_link = self._append_directory(page.tags(self._software, self._acquired))
                self._patch(link, offset)
                link = next_link
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise StoreError(f"{self._path}: cannot be written: {error.strerror}") from error

    def _append_directory(self, tags: Sequence[Tag]) -> tuple[int, int]:
        """Writes a directory; returns its offset, and where its link to the next one lies."""
        word, entry = ("<Q", "<HHQ") if self._big else ("<I", "<HHI")
        inline = struct.calcsize(word)
        entries = []
        for tag in sorted(tags):
            data = tag.data(self._big)
            if len(data) > inline:
                data = struct.pack(word, self.append(data))
            entries.append(struct.pack(entry, tag.code, tag.kind(self._big), tag.count) + data.ljust(inline, b"\0"))
        count = struct.pack("<Q" if self._big else "<H", len(entries))
        body = count + b"".join(entries)
        offset = self.append(body + struct.pack(word, 0))
        return offset, offset + len(body)

    def _patch(self, position: int, value: int) -> None:
        self._file.seek(position)
        self._file.write(struct.pack("<Q" if self._big else "<I", value))
        self._file.seek(self._position)


@dataclass(frozen=True, slots=True, order=True)
class Tag:
    """One entry of a directory. `values` are numbers, or bytes for text and profiles; `type` is that of TIFF 6.0."""

    code: int
    type: int
    values: Sequence[int] | bytes

    def kind(self, big: bool) -> int:
        return _LONG8 if big and self.type == _LONG8 else _LONG if self.type == _LONG8 else self.type

    @property
    def count(self) -> int:
        return len(self.values) // 2 if self.type == _RATIONAL else len(self.values)

    def data(self, big: bool) -> bytes:
        if isinstance(self.values, bytes):
            return self.values
        letter = {_SHORT: "H", _LONG: "I", _RATIONAL: "I", _LONG8: "Q"}[self.kind(big)]
        return struct.pack(f"<{len(self.values)}{letter}", *self.values)


class PageSink:
    """Takes the tiles of one page in row-major order."""

    def __init__(self, writer: TiffWriter, page: Page) -> None:
        self._writer, self._page = writer, page
        self._offsets, self._byte_counts = array("Q"), array("Q")
        self._subsampling: tuple[int, int] | None = None
        self._sampling: tuple[tuple[int, int], ...] = ()
        self._head: bytes | None = None

    def write(self, frame: bytes | None) -> None:
        if frame is None:  # plans for TIFF are never sparse
            raise StoreError(f"tile {len(self._offsets) + 1} of a page is missing")
        if self._page.encoding.transfer_syntax == JPEG_BASELINE and not (self._head and frame.startswith(self._head)):
            frame = self._alike(frame)
        self._offsets.append(self._writer.append(frame))
        self._byte_counts.append(len(frame))

    def _alike(self, frame: bytes) -> bytes:
        """A stream sampled as the page's first one is; TIFF has one YCbCrSubSampling for all tiles of a page."""
        header = parse_header(frame)
        if self._head is None:
            self._head, self._sampling = frame[: header.scan_offset], header.sampling
            first = header.components[0]
            self._subsampling = first.h, first.v
        if header.sampling == self._sampling:
            return frame
        page, codec = self._page, codec_for(JPEG_BASELINE)
        stream = EncodedTile(frame, page.encoding)
        pixels = codec.decode(stream, page.level.tile_width, page.level.tile_height, page.pixel_format)
        return codec.encode(pixels, replace(page.encoding, sampling=self._sampling[0]), _SUBSTITUTE_QUALITY)

    def tags(self, software: str, acquired: datetime | None) -> list[Tag]:
        """All tags of the finished page. Raises StoreError when tiles are missing."""
        page, level = self._page, self._page.level
        if len(self._offsets) != level.tile_count:
            raise StoreError(f"a page of {level.tile_count} tiles was given {len(self._offsets)}")
        samples = page.pixel_format.samples
        tags = [
            Tag(254, _LONG, [1 if page.reduced else 0]),
            Tag(256, _LONG, [level.width]),
            Tag(257, _LONG, [level.height]),
            Tag(258, _SHORT, [page.pixel_format.bits] * samples),
            Tag(259, _SHORT, [_COMPRESSION[page.encoding.transfer_syntax]]),
            Tag(262, _SHORT, [self._photometric()]),
            Tag(277, _SHORT, [samples]),
            Tag(284, _SHORT, [1]),
            Tag(305, _ASCII, _ascii(software)),
            Tag(322, _LONG, [level.tile_width]),
            Tag(323, _LONG, [level.tile_height]),
            Tag(324, _LONG8, self._offsets),
            Tag(325, _LONG8, self._byte_counts),
        ]
        if acquired is not None:
            tags.append(Tag(306, _ASCII, _ascii(f"{acquired:%Y:%m:%d %H:%M:%S}")))
        if page.description:
            tags.append(Tag(270, _ASCII, _ascii(page.description)))
        if page.spacing is not None:
            tags += [
                Tag(282, _RATIONAL, pixels_per_cm(page.spacing.x_mm)),
                Tag(283, _RATIONAL, pixels_per_cm(page.spacing.y_mm)),
                Tag(296, _SHORT, [3]),
            ]
        if self._subsampling is not None and self._photometric() == 6:
            tags.append(Tag(530, _SHORT, list(self._subsampling)))
        if page.icc_profile:
            tags.append(Tag(34675, _UNDEFINED, page.icc_profile))
        return tags

    def _photometric(self) -> int:
        """PhotometricInterpretation: 1 gray, 2 RGB (also JPEG 2000, whose stream names its transform), 6 YCbCr."""
        if self._page.pixel_format.samples == 1:
            return 1
        return 6 if self._page.encoding.photometric.startswith("YBR_FULL") else 2


def _ascii(text: str) -> bytes:
    return text.encode("ascii", "replace") + b"\0"


def pixels_per_cm(spacing_mm: float) -> list[int]:
    """A RATIONAL, with as many decimals as 32 bits leave room for."""
    resolution = 10 / spacing_mm
    denominator = max(1, min(10_000, int(0xFFFF_FFFF / resolution)))
    return [min(round(resolution * denominator), 0xFFFF_FFFF), denominator]
