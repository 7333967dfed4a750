"""The directories of a TIFF or BigTIFF file (TIFF 6.0 section 2), read without trusting any number in it.

Every offset and count is compared with the size of the file before it is followed, chains of directories are bounded
and may not loop, and nothing is allocated for values that are not asked for. The arrays of tile offsets stay arrays: a
slide has up to millions of tiles.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from wsi_dicom.errors import CorruptInput, UnsupportedFormat

_MAX_DIRECTORIES: Final = 1 << 14
"""Of a file, SubIFDs included. The most are in OME-TIFF: those of each level of each plane."""
_MAX_FIELDS: Final = 4096
_MAX_FIELDS_IN_ALL: Final = 200_000
"""Directories may overlap: without this limit a few hundred KB make gigabytes of them."""
_MAX_DATA: Final = 64 << 20
"""Bytes of text, profiles and tables in all: any number of directories may share a long description."""

_TYPE_CODES: Final = {  # field types of TIFF 6.0 and BigTIFF, as numpy calls them
    1: "u1", 2: "u1", 3: "u2", 4: "u4", 5: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 10: "i4", 11: "f4", 12: "f8",
    13: "u4", 16: "u8", 17: "i8", 18: "u8",
}  # fmt: skip
_RATIONALS: Final = frozenset({5, 10})
_WHOLE: Final = frozenset({1, 3, 4, 13, 16, 18})


class Tag(IntEnum):
    """Fields by their numbers, as TIFF 6.0 and its supplements name them."""

    NEW_SUBFILE_TYPE = 254
    IMAGE_WIDTH = 256
    IMAGE_LENGTH = 257
    BITS_PER_SAMPLE = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    FILL_ORDER = 266
    IMAGE_DESCRIPTION = 270
    MAKE = 271
    MODEL = 272
    STRIP_OFFSETS = 273
    ORIENTATION = 274
    SAMPLES_PER_PIXEL = 277
    ROWS_PER_STRIP = 278
    STRIP_BYTE_COUNTS = 279
    X_RESOLUTION = 282
    Y_RESOLUTION = 283
    PLANAR_CONFIGURATION = 284
    RESOLUTION_UNIT = 296
    SOFTWARE = 305
    DATE_TIME = 306
    PREDICTOR = 317
    COLOR_MAP = 320
    TILE_WIDTH = 322
    TILE_LENGTH = 323
    TILE_OFFSETS = 324
    TILE_BYTE_COUNTS = 325
    SUB_IFDS = 330
    EXTRA_SAMPLES = 338
    SAMPLE_FORMAT = 339
    JPEG_TABLES = 347
    YCBCR_SUBSAMPLING = 530
    XMP = 700
    IMAGE_DEPTH = 32997
    STK_UIC2 = 33629
    LSM_INFO = 34412
    ICC_PROFILE = 34675
    LERC_PARAMETERS = 50674
    MICRO_MANAGER = 51123
    NDPI_VERSION = 65420
    NDPI_MAGNIFICATION = 65421
    NDPI_X_OFFSET = 65422
    NDPI_Y_OFFSET = 65423
    NDPI_Z_OFFSET = 65424
    NDPI_STRIPES = 65426
    NDPI_REFERENCE = 65427
    NDPI_STRIPES_HIGH = 65432
    NDPI_FILTER_SET = 65434
    NDPI_SERIAL_NUMBER = 65442
    NDPI_PROPERTIES = 65449
    NDPI_WAVELENGTH = 65451
    NDPI_BARCODE = 65468


class Field(NamedTuple):
    """An entry of a directory: its type, how many values it has, and where they lie in the file."""

    type: int
    values: int
    offset: int

    @property
    def size(self) -> int:
        """Bytes of all values; those of an unknown type are taken for single bytes."""
        return np.dtype(_TYPE_CODES.get(self.type, "u1")).itemsize * self.values * (2 if self.type in _RATIONALS else 1)


class TiffDirectory:
    """One image file directory: its fields, read when they are asked for. `place` names it in messages."""

    def __init__(self, file: TiffFile, place: str, fields: dict[int, Field]) -> None:
        self.file, self.place, self._fields = file, place, fields
        self._texts: dict[Tag, str] = {}

    def __contains__(self, tag: int) -> bool:
        return tag in self._fields

    def _values(self, tag: Tag, limit: int) -> NDArray[Any]:
        field = self._fields[tag]
        if field.values > limit:
            raise self.corrupt(f"field {tag.name} has {field.values} values of type {field.type}")
        return self._first(tag, field.values)

    def _first(self, tag: Tag, count: int) -> NDArray[Any]:
        field = self._fields[tag]
        kind = np.dtype(self.file.byte_order + _TYPE_CODES.get(field.type, "V"))
        size = kind.itemsize * (2 if field.type in _RATIONALS else 1)
        if not size or field.values * size > self.file.size:
            raise self.corrupt(f"field {tag.name} has {field.values} values of type {field.type}")
        return np.frombuffer(self.file.read(field.offset, count * size, self.place), dtype=kind)

    def integers(self, tag: Tag, limit: int = 256) -> list[int]:
        """All values of a field of whole numbers, none when it is absent. Raises CorruptInput, above `limit` also."""
        if self.count(tag) > limit:
            raise self.corrupt(f"field {tag.name} has {self.count(tag)} values; the limit is {limit}")
        return [int(value) for value in self.array(tag, self.count(tag))] if tag in self._fields else []

    def integer(self, tag: Tag, default: int | None = None) -> int:
        """The first value. Raises CorruptInput when it is absent and there is no default."""
        values = self.integers(tag)
        if values:
            return values[0]
        if default is None:
            raise self.corrupt(f"field {tag.name} is missing")
        return default

    def array(self, tag: Tag, count: int) -> NDArray[np.uint64]:
        """The first `count` values, of no fewer, of a field of whole numbers. Raises CorruptInput."""
        if self._fields[tag].type not in _WHOLE:
            raise self.corrupt(f"field {tag.name} holds no whole numbers")
        return self._first(tag, count).astype(np.uint64)

    def count(self, tag: Tag) -> int:
        """How many values a field claims to have; 0 when it is absent."""
        return self._fields[tag].values if tag in self._fields else 0

    def number(self, tag: Tag) -> float | None:
        """The first value as a number, None when absent, not finite or a fraction with denominator 0."""
        if tag not in self._fields:
            return None
        with np.errstate(invalid="ignore"):  # a signalling NaN
            values = self._values(tag, 16).astype(float)
        if self._fields[tag].type in _RATIONALS:
            return float(values[0] / values[1]) if values.size > 1 and values[1] else None
        return float(values[0]) if values.size and np.isfinite(values[0]) else None

    def data(self, tag: Tag) -> bytes | None:
        """The bytes of a field (ASCII, BYTE, UNDEFINED), None when absent.

        Raises CorruptInput, also when more than 64 MiB of such data have been read from the file in all.
        """
        if tag not in self._fields:
            return None
        self.file.count_data(self._fields[tag].size, self.place)
        return self._values(tag, _MAX_DATA).tobytes()

    def text(self, tag: Tag) -> str:
        """A field of text up to its NUL, empty when absent. Bytes that are not UTF-8 become U+FFFD.

        Read once, and kept. Raises as `data`.
        """
        if tag not in self._texts:
            self._texts[tag] = (self.data(tag) or b"").split(b"\0", 1)[0].decode("utf-8", "replace")
        return self._texts[tag]

    def subdirectories(self) -> Iterator[TiffDirectory]:
        """The directories of field SubIFDs (TIFF technical note 1), which has levels in OME-TIFF and others.

        Raises CorruptInput, also when one of them is named twice.
        """
        offsets = self.integers(Tag.SUB_IFDS)
        if len(set(offsets)) < len(offsets):
            raise self.corrupt("field SUB_IFDS names a directory twice")
        for number, offset in enumerate(offsets):
            yield self.file.directory(offset, f"{self.place}, SubIFD {number}")[0]

    def corrupt(self, what: str) -> CorruptInput:
        return CorruptInput(f"{self.file.name}: {self.place}: {what}")

    def unsupported(self, what: str) -> UnsupportedFormat:
        return UnsupportedFormat(f"{self.file.name}: {self.place}: {what}")


class TiffFile:
    """An open TIFF file. Reads by offset, so that many threads may read at once. Raises UnsupportedFormat."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            raise UnsupportedFormat(f"{path}: cannot be read: {error.strerror}") from error
        self.size = os.fstat(self._file.fileno()).st_size
        self._directories = self._fields = self._data_bytes = 0
        head = self._file.read(16)
        self.byte_order = ">" if head.startswith(b"MM") else "<"
        self.big = is_tiff(head) and 43 in head[2:4]
        if not is_tiff(head):
            self.close()
            raise UnsupportedFormat(f"{path}: not a TIFF file")
        self.first_directory = int.from_bytes(
            head[8:16] if self.big else head[4:8], "big" if self.byte_order == ">" else "little"
        )

    def read(self, offset: int, size: int, place: str) -> bytes:
        """`size` bytes at `offset`. Raises CorruptInput, which names `place`, before allocating what the file lacks."""
        if offset < 0 or offset + size > self.size:
            raise CorruptInput(
                f"{self.name}: {place}: {size} bytes at {offset}, but the file ends at {self.size}: is it truncated?"
            )
        try:
            data = os.pread(self._file.fileno(), size, offset)
        except OSError as error:
            raise CorruptInput(f"{self.name}: {place}: cannot be read: {error.strerror}") from error
        if len(data) != size:
            raise CorruptInput(f"{self.name}: {place}: the file became shorter while it was read")
        return data

    def count_directory(self, fields: int, place: str) -> None:
        """Every directory that is read costs time and memory. Raises CorruptInput when there are too many of them."""
        if not 0 < fields <= _MAX_FIELDS:
            raise CorruptInput(f"{self.name}: {place}: a directory of {fields} fields; the limit is {_MAX_FIELDS}")
        self._directories, self._fields = self._directories + 1, self._fields + fields
        if self._directories > _MAX_DIRECTORIES or self._fields > _MAX_FIELDS_IN_ALL:
            raise CorruptInput(
                f"{self.name}: {place}: its directories are {self._directories} with {self._fields} fields so far; "
                f"the limits are {_MAX_DIRECTORIES} and {_MAX_FIELDS_IN_ALL}"
            )

    def count_data(self, size: int, place: str) -> None:
        """The same for text, profiles and tables of `size` bytes. Raises CorruptInput."""
        self._data_bytes += size
        if self._data_bytes > _MAX_DATA:
            raise CorruptInput(
                f"{self.name}: {place}: the directories have {self._data_bytes} bytes of text and tables so far; "
                f"the limit is {_MAX_DATA}"
            )

    def directory(self, offset: int, place: str) -> tuple[TiffDirectory, int]:
        """The directory at an offset, and the offset of the next one in its chain. Raises CorruptInput."""
        counter, entry, following = ("Q", "HHQ", "Q") if self.big else ("H", "HHI", "I")
        order = self.byte_order
        head = struct.calcsize(order + counter)
        (count,) = struct.unpack(order + counter, self.read(offset, head, place))
        self.count_directory(count, place)
        inline = struct.calcsize(order + following)
        step = struct.calcsize(order + entry) + inline
        table = self.read(offset + head, count * step + inline, place)
        fields = {}
        for at in range(0, count * step, step):
            tag, kind, values = struct.unpack_from(order + entry, table, at)
            (pointer,) = struct.unpack_from(order + following, table, at + step - inline)
            field = Field(kind, values, pointer)
            within = offset + head + at + step - inline
            fields[tag] = field._replace(offset=within) if field.size <= inline else field
        (next_offset,) = struct.unpack_from(order + following, table, count * step)
        return TiffDirectory(self, place, fields), next_offset

    def directories(self) -> Iterator[TiffDirectory]:
        """The main chain, one by one. Raises CorruptInput when it loops, or is too long."""
        offset = self.first_directory
        seen: set[int] = set()
        while offset or not seen:
            place = f"IFD {len(seen)}"
            if offset in seen:
                raise CorruptInput(f"{self.name}: {place}: the chain of directories loops back to byte {offset}")
            seen.add(offset)
            directory, offset = self.directory(offset, place)
            yield directory

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_tiff(head: bytes) -> bool:
    """Whether a file begins as a TIFF (42) or BigTIFF (43) of either byte order."""
    if head[:2] not in (b"II", b"MM") or len(head) < 16:
        return False
    order = "little" if head.startswith(b"II") else "big"
    version = int.from_bytes(head[2:4], order)  # type: ignore[arg-type]  # one of the two literals
    return version == 42 or (version == 43 and head[4:8] in (b"\x08\0\0\0", b"\0\x08\0\0"))
