"""Slides whose pixels another library decodes: it gives windows of pixels, so nothing is copied."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path

from wsi_dicom.errors import CodecError
from wsi_dicom.geometry import FIRST_PLANE, Plane, Pyramid, Region
from wsi_dicom.metadata import SlideMetadata
from wsi_dicom.slide import AssociatedImage, EncodedTile, Encoding, ImageFlavor, Pixels, SlideBase


class DecodedSlide(SlideBase):
    """Satisfies Slide, over one method that reads a window. Windows are read one at a time.

    The bindings that this is for hold the lock of the interpreter while they decode, so that nothing is lost by it.
    """

    sparse = False

    def __init__(
        self,
        path: Path,
        pyramid: Pyramid,
        metadata: SlideMetadata,
        *,
        lossy_method: str | None,
        other_files: tuple[Path, ...] = (),
    ) -> None:
        self.name, self.files = path.name, (path, *other_files)
        self.pyramid, self.metadata = pyramid, metadata
        self.associated: Mapping[ImageFlavor, AssociatedImage] = {}
        self._lossy_method = lossy_method
        self._lock, self._closed = threading.Lock(), False

    @abstractmethod
    def _window(self, level: int, region: Region, plane: Plane) -> Pixels:
        """A tile, also the part of it that lies beyond the edge of the level. Raises RuntimeError when it cannot."""

    @abstractmethod
    def _release(self) -> None:
        """Closes what the slide is read from."""

    def absent(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> bool:
        self._check(level, column, row, plane)
        return False

    def encoding(self, level: int) -> Encoding | None:
        self.pyramid.level(level)
        return None

    def lossy_method(self, level: int) -> str | None:
        self.pyramid.level(level)
        return self._lossy_method

    def stored_bytes(self, level: int) -> int:
        """An estimate, for the compression ratio: the files' bytes, shared among the levels by their pixels."""
        return estimated_bytes(self.pyramid, level, sum(path.stat().st_size for path in self.files))

    def encoded_tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> EncodedTile | None:
        self._check(level, column, row, plane)
        return None

    def encoded_row(self, level: int, row: int, plane: Plane = FIRST_PLANE) -> Iterator[EncodedTile | None]:
        self._check(level, 0, row, plane)
        return (None for _ in range(self.pyramid.levels[level].columns))

    def tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> Pixels:
        self._check(level, column, row, plane)
        grid = self.pyramid.levels[level]
        region = Region(column * grid.tile_width, row * grid.tile_height, grid.tile_width, grid.tile_height)
        with self._lock:
            if self._closed:
                raise ValueError(f"{self.name} is closed")
            try:
                return self._window(level, region, plane)
            except RuntimeError as error:  # the only class that the bindings of these libraries raise
                raise CodecError(
                    f"{self.name}: level {level}, tile column {column}, row {row}: {one_line(error)}"
                ) from error

    def _check(self, level: int, column: int, row: int, plane: Plane) -> None:
        self._grid(level, plane).tile_index(column, row)

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                self._release()


def stored_share(pyramid: Pyramid, stored: int) -> float:
    """Bytes stored per byte of pixels, of files of `stored` bytes: at most 1."""
    pixels = sum(level.width * level.height for level in pyramid.levels) * len(pyramid.planes)
    return min(1.0, stored / (pixels * pyramid.pixel_format.bytes_per_pixel))


def estimated_bytes(pyramid: Pyramid, level: int, stored: int) -> int:
    """The part that a level has of `stored` bytes, which are shared among the levels by their pixels."""
    grid = pyramid.level(level)
    return stored * grid.width * grid.height // sum(other.width * other.height for other in pyramid.levels)


def one_line(error: Exception) -> str:
    """What a library said, without the places in its own source that it begins with."""
    return " ".join(str(error).split()).rpartition(".cpp:")[2]
