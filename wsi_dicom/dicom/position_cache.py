"""What the frames of large sparse instances tell of their places, kept in a form that is read at once."""

from __future__ import annotations

import logging
import struct
import uuid
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np

from wsi_dicom.dicom.positions import FramePositions

logger = logging.getLogger(__name__)

_HEAD: Final = struct.Struct("<8sQQQQ")  # magic, size and time of the instance's file, end, frames
_CHECKSUM: Final = struct.Struct("<I")  # behind all frames, of all before it
_MAGIC: Final = b"WSIPOS\0\1"
_FRAME: Final = np.dtype([("column", "<i4"), ("row", "<i4"), ("depth", "<f8"), ("path", "<i4")])
_FEWEST: Final = 5000
"""Frames of an instance that are worth a file: fewer are read in a moment."""


class PositionCache:
    """A folder with a file for each instance. Whatever is wrong with one, the instance is read instead."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, instance: Path, frames: int) -> tuple[FramePositions, int] | None:
        """The positions, and the byte of the data set behind them; None when it is not known, or of another file."""
        if frames < _FEWEST:
            return None
        try:
            # Looked at before it is read: `frames` is but a number in a header.
            if self._file(instance).stat().st_size != _size(frames):
                return None
            data, found = self._file(instance).read_bytes(), instance.stat()
        except OSError:
            return None
        if len(data) != _size(frames):
            return None
        magic, *key, end, count = _HEAD.unpack_from(data)
        if (magic, key, count) != (_MAGIC, [found.st_size, found.st_mtime_ns], frames):
            return None
        if _CHECKSUM.pack(zlib.crc32(memoryview(data)[: -_CHECKSUM.size])) != data[-_CHECKSUM.size :]:
            return None
        told = np.frombuffer(data, _FRAME, frames, _HEAD.size)
        columns, rows, paths = (told[name].astype(np.int64) for name in ("column", "row", "path"))
        return FramePositions(columns, rows, told["depth"].astype(np.float64), paths), end

    def write(self, instance: Path, positions: FramePositions, end: int) -> None:
        """Keeps them if it can: a store may be for reading only, or full."""
        frames = len(positions.columns)
        if frames < _FEWEST:
            return
        told = np.empty(frames, _FRAME)
        told["column"], told["row"] = positions.columns, positions.rows
        told["depth"], told["path"] = positions.depths, positions.paths
        unfinished = self._folder / f"{uuid.uuid4().hex}.part"
        try:
            found = instance.stat()
            self._folder.mkdir(parents=True, exist_ok=True)
            head = _HEAD.pack(_MAGIC, found.st_size, found.st_mtime_ns, end, frames)
            data = head + told.tobytes()
            unfinished.write_bytes(data + _CHECKSUM.pack(zlib.crc32(data)))
            unfinished.replace(self._file(instance))
        except OSError as error:
            logger.info("the positions of %s are not kept: %s", instance, error)
            with suppress(OSError):
                unfinished.unlink()

    def _file(self, instance: Path) -> Path:
        return self._folder / f"{instance.stem}.positions"


def _size(frames: int) -> int:
    return _HEAD.size + frames * _FRAME.itemsize + _CHECKSUM.size
