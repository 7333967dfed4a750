"""A TIFF file as a Slide: levels and associated images, once their directories have been told apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

import numpy as np

from wsi_dicom.errors import OutOfBounds
from wsi_dicom.geometry import FIRST_PLANE, Level, Plane, Pyramid, Spacing
from wsi_dicom.metadata import SlideMetadata
from wsi_dicom.slide import AssociatedImage, EncodedTile, Encoding, ImageFlavor, Pixels
from wsi_dicom.sources.tiff_layout import MAX_TILE_BYTES, TiffLayout, read_layout
from wsi_dicom.sources.tiff_level import TiffLevel
from wsi_dicom.sources.tiff_structure import TiffDirectory, TiffFile


class TiffAssociatedImage:
    """A label, overview or thumbnail, mostly in strips. Satisfies AssociatedImage."""

    def __init__(self, directory: TiffDirectory, flavor: ImageFlavor) -> None:
        """Raises UnsupportedFormat, also above 256 MiB of pixels, and CorruptInput."""
        layout = read_layout(directory)
        self.width, self.height = layout.level.width, layout.level.height
        self.pixel_format = layout.pixel_format
        if self.width * self.height * self.pixel_format.bytes_per_pixel > MAX_TILE_BYTES:
            raise directory.unsupported(f"a {flavor.lower()} of {self.width} x {self.height} pixels is too large")
        self._level = TiffLevel(directory, layout, flavor.lower())
        self.lossy_method = self._level.lossy_method
        self.stored_bytes = self._level.stored_bytes()

    def encoded(self) -> EncodedTile | None:
        return self._level.joined()

    def pixels(self) -> Pixels:
        level = self._level.level
        pixels: Pixels = np.empty(
            (self.height, self.width, self.pixel_format.samples), f"u{self.pixel_format.bits // 8}"
        )
        for column, row in level.tiles():
            inside = level.tile_region(column, row)
            tile = self._level.tile(column, row)
            pixels[inside.y : inside.bottom, inside.x : inside.right] = tile[: inside.height, : inside.width]
        return pixels


class TiffSlide:
    """Satisfies Slide, over any number of levels of one TIFF file, finest first."""

    def __init__(
        self,
        file: TiffFile,
        levels: Sequence[TiffLevel],
        *,
        spacing: Spacing | None,
        metadata: SlideMetadata,
        associated: Mapping[ImageFlavor, AssociatedImage],
    ) -> None:
        self.name, self._file, self._levels = file.name, file, tuple(levels)
        self.pyramid = Pyramid(tuple(level.level for level in levels), levels[0].pixel_format, spacing)
        self.metadata, self.associated = metadata, associated
        self.sparse = False

    def absent(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> bool:
        return not self._level(level, plane).stores(column, row)

    def encoding(self, level: int) -> Encoding | None:
        return self._level(level).encoding

    def lossy_method(self, level: int) -> str | None:
        return self._level(level).lossy_method

    def stored_bytes(self, level: int) -> int:
        return self._level(level).stored_bytes()

    def encoded_tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> EncodedTile | None:
        return self._level(level, plane).encoded_tile(column, row)

    def encoded_row(self, level: int, row: int, plane: Plane = FIRST_PLANE) -> Iterator[EncodedTile | None]:
        return self._level(level, plane).encoded_row(row)

    def tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> Pixels:
        return self._level(level, plane).tile(column, row)

    def _level(self, level: int, plane: Plane = FIRST_PLANE) -> TiffLevel:
        if plane != FIRST_PLANE:
            raise OutOfBounds(f"{self.name}: optical path {plane[0]}, focal plane {plane[1]}: the slide has one plane")
        if not 0 <= level < len(self._levels):
            raise OutOfBounds(f"{self.name}: level {level} is outside the {len(self._levels)} levels of this slide")
        return self._levels[level]

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_reduction(level: Level, base: Level) -> bool:
    """Whether a level shows what `base` shows, smaller: the sizes have one ratio, but for their rounding."""
    if level.width >= base.width or level.height >= base.height:
        return False
    rounding = 2  # a pixel at each end
    expected = base.height * level.width / base.width
    return abs(level.height - expected) <= rounding * max(1.0, level.height / level.width)


def reductions(candidates: Sequence[tuple[TiffDirectory, TiffLayout]]) -> list[tuple[TiffDirectory, TiffLayout]]:
    """The first, which is the finest, and those that follow it as coarser levels; what does not belong is left out."""
    levels = [candidates[0]]
    base = candidates[0][1]
    for directory, layout in candidates[1:]:
        finer = levels[-1][1]
        same_kind = layout.pixel_format == base.pixel_format and layout.tiled == base.tiled
        if same_kind and is_reduction(layout.level, base.level) and layout.level.width < finer.level.width:
            levels.append((directory, layout))
    return levels
