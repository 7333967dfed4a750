"""The directories of Hamamatsu's NDPI: classic TIFF, except that its offsets may have 64 bits.

An NDPI file above 4 GiB goes on where TIFF ends. The offset of the first directory, and that of the next one behind
each, are 8 bytes instead of 4; the upper halves of the offsets in a directory's fields follow as an array of 4 bytes
each. Fields of a single LONG, such as StripOffsets, are widened in the same way. Text lies outside of its field even
where it would fit in.

OpenSlide's description of the format has the layout (openslide.org/formats/hamamatsu). In files below 4 GiB every upper
half is 0, so they are read only where they can matter: what old scanners wrote in their place is not known.
"""

from __future__ import annotations

import logging
import struct
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_dicom.errors import CorruptInput, UnsupportedFormat
from wsi_dicom.tiff.structure import Field, Tag, TiffDirectory, TiffFile

_log = logging.getLogger(__name__)

_WIDE: Final = 1 << 32
_ASCII: Final = 2
_LONG: Final = 4
_ENTRY_BYTES: Final = 12


class NdpiDirectory(TiffDirectory):
    """A directory whose single LONGs may have upper halves, by tag in `high`."""

    def __init__(self, file: TiffFile, place: str, fields: dict[int, Field], high: dict[int, int]) -> None:
        super().__init__(file, place, fields)
        self._high = high

    def array(self, tag: Tag, count: int) -> NDArray[np.uint64]:
        values = super().array(tag, count)
        return values + np.uint64(self._high[tag] << 32) if tag in self._high else values


class NdpiFile(TiffFile):
    """A TIFF file whose offsets have 64 bits when it is larger than 4 GiB. Raises UnsupportedFormat, CorruptInput."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        if self.big:
            self.close()
            raise UnsupportedFormat(f"{path}: a BigTIFF file is no NDPI")
        self._wide = self.size > _WIDE
        if self._wide:
            (self.first_directory,) = struct.unpack(self.byte_order + "Q", self.read(4, 8, "header"))

    def directory(self, offset: int, place: str) -> tuple[TiffDirectory, int]:
        order = self.byte_order
        (count,) = struct.unpack(order + "H", self.read(offset, 2, place))
        self.count_directory(count, place)
        entries = count * _ENTRY_BYTES
        table = self.read(offset + 2, entries + (8 + 4 * count if self._wide else 4), place)
        (following,) = struct.unpack_from(order + ("Q" if self._wide else "I"), table, entries)
        highs = struct.unpack_from(f"{order}{count}I", table, entries + 8) if self._wide else (0,) * count
        fields, high = {}, {}
        for number in range(count):
            at = number * _ENTRY_BYTES
            tag, kind, values, pointer = struct.unpack_from(order + "HHII", table, at)
            field = Field(kind, values, pointer | highs[number] << 32)
            if field.size <= 4 and kind != _ASCII:
                field = field._replace(offset=offset + 2 + at + 8)
                if kind == _LONG and highs[number]:
                    high[tag] = highs[number]
            fields[tag] = field
        return NdpiDirectory(self, place, fields, high), following


def told_stripes(directory: TiffDirectory, count: int) -> NDArray[np.uint64] | None:
    """Where the restart intervals of a page begin, in bytes from the start of its JPEG stream, as its fields say.

    None when they do not tell that of `count` intervals. Where the field of upper halves is missing, offsets that go
    back have passed 4 GiB.
    """
    if directory.count(Tag.NDPI_STRIPES) != count:
        return None
    try:
        offsets = directory.array(Tag.NDPI_STRIPES, count)
        if directory.count(Tag.NDPI_STRIPES_HIGH) == count:
            return offsets + (directory.array(Tag.NDPI_STRIPES_HIGH, count) << np.uint64(32))
    except CorruptInput as error:
        _log.warning("%s; restart markers are searched for instead", error)
        return None
    passed = np.cumsum(np.diff(offsets.astype(np.int64), prepend=0) < 0).astype(np.uint64)
    return offsets + (passed << np.uint64(32))
