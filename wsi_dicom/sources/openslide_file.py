"""One file, or folder of files, behind OpenSlide: a handle that outlives the tiles that OpenSlide cannot read."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from wsi_dicom.errors import CodecError, CorruptInput, UnsupportedFormat

if TYPE_CHECKING:
    from openslide import OpenSlide

Rgba: TypeAlias = NDArray[np.uint8]
"""(height, width, 4): red, green, blue, opacity; the colours not multiplied by the opacity."""

Result = TypeVar("Result")

_VMU: Final = b"[Uncompressed Virtual Microscope Specimen]"
_VMU_PIXELS: Final = ((b"BitsPerPixel=", b"36"), (b"PixelOrder=", b"RGB"))
_LARGEST_VMU: Final = 64 << 10
"""Bytes; OpenSlide reads none that is larger."""


class OpenslideFile:
    """Reads regions and associated images. Safe to call from many threads, which share one handle and its cache.

    After one failed read OpenSlide refuses everything else that is asked of a handle. So what fails is asked again of a
    fresh handle, which tells whether it was this read that failed or one of another thread, and which, when it
    succeeds, is the handle from then on. A handle is closed by the last thread that reads with it: `close` may be
    called while others read.
    """

    def __init__(self, path: Path) -> None:
        """Raises UnsupportedFormat when OpenSlide does not know the format, CorruptInput when it fails to open it."""
        from openslide import OpenSlideError, OpenSlideUnsupportedFormatError

        self.path, self.name = path, path.name
        self._lock = threading.Lock()
        try:
            handle = self._opened()
            # of a broken file it may list names under which it then finds nothing
            told = {name: handle.properties.get(name) for name in handle.properties}
            self.properties: dict[str, str] = {name: value for name, value in told.items() if value is not None}
            self.sizes: tuple[tuple[int, int], ...] = handle.level_dimensions
            self.downsamples: tuple[float, ...] = handle.level_downsamples
            self.associated: tuple[str, ...] = tuple(handle.associated_images)
            # of a region without pixels, for which nothing is decoded
            self.icc_profile: bytes | None = handle.read_region((0, 0), 0, (0, 0)).info.get("icc_profile")
        except OpenSlideUnsupportedFormatError:
            if is_mirax_name(path):
                folder = path.with_suffix("")
                raise CorruptInput(f"{self.name}: the folder {folder} with its Slidedat.ini is missing") from None
            raise UnsupportedFormat(f"{self.name}: OpenSlide does not know this format") from None
        except OpenSlideError as error:
            raise CorruptInput(f"{self.name}: OpenSlide cannot open it: {error}") from error
        self._handle: OpenSlide | None = handle

    def _opened(self) -> OpenSlide:
        from openslide import OpenSlide

        _check_vmu(self.path)
        return OpenSlide(self.path)

    def region(self, x: int, y: int, level: int, width: int, height: int, what: str) -> Rgba:
        """Pixels of a level; `x` and `y` are pixels of level 0. `what` names them in messages. Raises CodecError."""
        return self._read(lambda handle: handle.read_region((x, y), level, (width, height)), what)

    def associated_image(self, name: str) -> Rgba:
        """Raises CodecError."""
        return self._read(lambda handle: handle.associated_images[name], name)

    def _read(self, read: Callable[[OpenSlide], Any], what: str) -> Rgba:
        from openslide import OpenSlideError

        handle = self._handle
        if handle is None:
            raise ValueError(f"{self.name} is closed")
        try:
            return np.asarray(read(handle))
        except OpenSlideError:
            pass  # perhaps of another thread
        with self._lock:
            try:
                fresh = self._opened()
                pixels = np.asarray(read(fresh))
            except OpenSlideError as error:
                raise CodecError(f"{self.name}: {what}: OpenSlide: {error}") from error
            if self._handle is not None:
                self._handle = fresh
            return pixels

    def close(self) -> None:
        self._handle = None


def is_mirax_name(path: Path) -> bool:
    """Whether OpenSlide takes a file for MIRAX: a JPEG of any content, beside a folder of the same name."""
    return path.suffix == ".mrxs"


def _check_vmu(path: Path) -> None:
    """Raises CorruptInput for a Hamamatsu VMU with other pixels than OpenSlide reads, on which version 4.0 crashes."""
    with path.open("rb") as file:
        _, header, rest = file.read(_LARGEST_VMU).partition(_VMU)
    lines = re.split(rb"^\[", rest, maxsplit=1, flags=re.MULTILINE)[0].splitlines()
    if header and any([line for line in lines if line.startswith(key)] != [key + due] for key, due in _VMU_PIXELS):
        raise CorruptInput(f"{path.name}: does not tell that its pixels are RGB of 36 bits, which alone are read")
