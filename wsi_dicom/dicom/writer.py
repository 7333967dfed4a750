"""Writes one image frame by frame, in memory that does not grow with it (PS3.5 A.4, PS3.10 7.1).

The header and room for an offset table come first, then the frames as they arrive; at the end the table and the
compression ratio are put in place.
"""

from __future__ import annotations

import os
import struct
from array import array
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from wsi_dicom.codecs.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN
from wsi_dicom.dicom.image_modules import RATIO_TO_MEASURE
from wsi_dicom.dicom.values import decimal
from wsi_dicom.errors import StoreError
from wsi_dicom.write_behind import WriteBehind, write_all

_LARGEST_OFFSET: Final = 0xFFFFFFFF
_LARGEST_LENGTH: Final = 0xFFFFFFFE  # FFFFFFFF says that the length is not known

_ITEM_TAG: Final = 0xE000FFFE  # (FFFE,E000), as two little-endian halves
_ITEM_HEADER: Final = struct.Struct("<II")
_SEQUENCE_END: Final = _ITEM_HEADER.pack(0xE0DDFFFE, 0)
_item_header = _ITEM_HEADER.pack


def _element_header(tag: int, vr: bytes, length: int) -> bytes:
    """The start of an element whose VR has a 32-bit length (PS3.5 7.1.2)."""
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr, 0, length)


class InstanceWriter:
    """A context manager that leaves a whole file, or none.

    `dataset` is one of `image_dataset`. `largest_total` is an upper bound of the bytes of all frames together: it
    chooses between the basic offset table (32 bits) and the extended one (64 bits). Entering raises StoreError when
    the file exists, cannot be made, or cannot hold the pixels; leaving raises it when frames are missing. An existing
    file is never touched; after an exception ours is gone. `files` is the one that was written.
    """

    def __init__(self, path: Path, dataset: Dataset, *, frame_count: int, largest_total: int) -> None:
        self._path = path
        self.files = [path]
        self._frame_count = frame_count
        self._native = dataset.file_meta.TransferSyntaxUID == EXPLICIT_VR_LITTLE_ENDIAN
        self._frame_size = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated // 8
        self._pixel_vr = b"OW" if self._native and dataset.BitsAllocated > 8 else b"OB"
        # in the worst case every frame has, beside the header of its item, a byte of padding
        self._extended = largest_total + frame_count * (_ITEM_HEADER.size + 1) > _LARGEST_OFFSET
        self._header, self._ratio_at = _serialized(dataset)
        self.header_size = len(self._header)
        self._lengths = array("I")  # of the items
        self._data_size = 0
        self._table_at = 0
        self._file: BinaryIO

    def __enter__(self) -> Self:
        pixels = self._frame_size * self._frame_count
        if self._native and pixels > _LARGEST_LENGTH:
            raise StoreError(
                f"{self._path}: {pixels} bytes of uncompressed pixels, where a DICOM file holds at most "
                f"{_LARGEST_LENGTH}; choose a compression"
            )
        try:
            self._file = self._path.open("xb", buffering=0)
        except OSError as error:
            raise self._failure(error) from error
        self._behind = WriteBehind(self._file)
        try:
            self._start()
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._discard()
            return
        try:
            self._finish()
        except BaseException:
            self._discard()
            raise

    def write(self, frame: bytes | None) -> None:
        """Appends one frame: an item of one fragment, padded to an even length. Raises StoreError.

        What may lack frames is written by SpooledWriter.
        """
        if frame is None:
            raise StoreError(f"{self._path}: frame {self.frames_written + 1} is missing")
        size = len(frame)
        try:
            if self._native:
                self._check_native(size)
                self._lengths.append(size)
                self._behind.write(size, frame)
            else:
                padded = size + (size & 1)
                if not 0 < padded <= _LARGEST_LENGTH:
                    raise StoreError(
                        f"{self._path}: frame {self.frames_written + 1} has {size} bytes, where DICOM holds 1 to "
                        f"{_LARGEST_LENGTH}"
                    )
                self._lengths.append(padded)
                self._behind.write(padded, _item_header(_ITEM_TAG, padded), frame, b"\0" * (padded - size))
        except OSError as error:
            raise self._failure(error) from error
        self._data_size += size

    @property
    def frames_written(self) -> int:
        return len(self._lengths)

    def _check_native(self, size: int) -> None:
        if size != self._frame_size:
            raise StoreError(
                f"{self._path}: frame {self.frames_written + 1} has {size} bytes where {self._frame_size} of "
                "uncompressed pixels are needed"
            )

    def _start(self) -> None:
        """Header and what precedes the first frame; the table's place stays a hole until the end."""
        count, write = self._frame_count, self._put
        try:
            write(self._header)
            if self._native:
                size = self._frame_size * count
                write(_element_header(0x7FE00010, self._pixel_vr, size + (size & 1)))
            elif self._extended:
                write(_element_header(0x7FE00001, b"OV", 8 * count))
                self._table_at = self._file.tell()
                self._file.seek(8 * count, os.SEEK_CUR)
                write(_element_header(0x7FE00002, b"OV", 8 * count))
                self._file.seek(8 * count, os.SEEK_CUR)
                write(_element_header(0x7FE00010, self._pixel_vr, 0xFFFFFFFF))
                write(_item_header(_ITEM_TAG, 0))
            else:
                write(_element_header(0x7FE00010, self._pixel_vr, 0xFFFFFFFF))
                write(_item_header(_ITEM_TAG, 4 * count))
                self._table_at = self._file.tell()
                self._file.seek(4 * count, os.SEEK_CUR)
        except OSError as error:
            raise self._failure(error) from error

    def _finish(self) -> None:
        if self.frames_written != self._frame_count:
            raise StoreError(f"{self._path}: {self.frames_written} of {self._frame_count} frames were written")
        try:
            end = b"\0" * (self._data_size & 1) if self._native else _SEQUENCE_END
            self._behind.write(len(end), end)
            self._behind.finish()
            if not self._native:
                self._put_tables()
            if self._ratio_at is not None:
                ratio = decimal(round(self._frame_size * self._frame_count / self._data_size, 4))
                self._file.seek(self._ratio_at)
                self._put(ratio.ljust(len(RATIO_TO_MEASURE)).encode())
            self._file.close()
        except OSError as error:
            raise self._failure(error) from error

    def _put_tables(self) -> None:
        lengths: NDArray[np.uint64] = np.array(self._lengths, dtype=np.uint64)
        offsets = np.cumsum(lengths + np.uint64(_ITEM_HEADER.size)) - (lengths + np.uint64(_ITEM_HEADER.size))
        self._file.seek(self._table_at)
        if self._extended:
            self._put(offsets.astype("<u8").tobytes())
            self._put(_element_header(0x7FE00002, b"OV", 8 * len(lengths)))
            self._put(lengths.astype("<u8").tobytes())
            return
        if len(offsets) and offsets[-1] > _LARGEST_OFFSET:
            raise StoreError(f"{self._path}: frames are larger than announced; the basic offset table cannot hold them")
        self._put(offsets.astype("<u4").tobytes())

    def _put(self, data: bytes) -> None:
        write_all(self._file, [data])

    def _discard(self) -> None:
        self._behind.stop()
        self._file.close()
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> StoreError:
        return StoreError(f"{self._path}: cannot be written: {error.strerror or error}")


def _serialized(dataset: Dataset) -> tuple[bytes, int | None]:
    """The file up to the pixel data, and where in it a compression ratio is to be put that is not known yet."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    # pydicom leaves elements raw until they are asked for, which its annotations do not say
    ratios = cast("RawDataElement | None", dcmread(buffer).get_item(Tag("LossyImageCompressionRatio")))
    placeholder = RATIO_TO_MEASURE.encode()
    if ratios is not None and ratios.value is not None and placeholder in ratios.value:
        return buffer.getvalue(), ratios.value_tell + ratios.value.index(placeholder)
    return buffer.getvalue(), None
