"""A TIFF file as a Slide: levels and associated images, once their directories have been told apart."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from wsi_dicom.errors import OutOfBounds, UnsupportedStack
from wsi_dicom.geometry import FIRST_PLANE, Level, Plane, Pyramid, Spacing
from wsi_dicom.metadata import SlideMetadata
from wsi_dicom.region import read_region
from wsi_dicom.slide import (
    AS_FOUND,
    AssociatedImage,
    EncodedTile,
    Encoding,
    ImageFlavor,
    Pixels,
    SlideBase,
    SourceOptions,
)
from wsi_dicom.tiff.layout import MAX_TILE_BYTES, TiffLayout, on_glass, read_layout
from wsi_dicom.tiff.level import TiffLevel
from wsi_dicom.tiff.missing import averaged, finer_source
from wsi_dicom.tiff.structure import TiffDirectory, TiffFile

_log = logging.getLogger(__name__)


class TiffAssociatedImage:
    """A label, overview or thumbnail, mostly in strips. Satisfies AssociatedImage."""

    def __init__(self, directory: TiffDirectory, flavor: ImageFlavor, options: SourceOptions = AS_FOUND) -> None:
        """Raises UnsupportedFormat, also above 256 MiB of pixels, and CorruptInput."""
        layout = read_layout(directory)
        self.width, self.height = layout.level.width, layout.level.height
        self.pixel_format = layout.pixel_format
        if self.width * self.height * self.pixel_format.bytes_per_pixel > MAX_TILE_BYTES:
            raise directory.unsupported(f"a {flavor.lower()} of {self.width} x {self.height} pixels is too large")
        self._level = TiffLevel(directory, layout, flavor.lower(), options)
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


class TiffSlide(SlideBase):
    """Satisfies Slide, over any number of levels of a TIFF file, finest first, and of planes, in one file or several.

    Slides of several planes have the same levels in each; their tiles are copied where all planes encode them alike.
    A tile that the file lacks is made from the finer levels where they have it. The slide is `sparse` when at least a
    quarter of the tiles of level 0 is missing.
    """

    def __init__(
        self,
        file: TiffFile,
        levels: Sequence[TiffLevel] | Mapping[Plane, Sequence[TiffLevel]],
        *,
        spacing: Spacing | None,
        metadata: SlideMetadata,
        associated: Mapping[ImageFlavor, AssociatedImage],
        focal_spacing_um: float | None = None,
        other_files: Sequence[TiffFile] = (),
    ) -> None:
        """`levels` of one plane, or of every plane. All files are closed with the slide.

        Raises UnsupportedStack when the planes do not have the same levels.
        """
        self.name = file.name
        self._planes = levels if isinstance(levels, Mapping) else {FIRST_PLANE: levels}
        self._files = file, *other_files
        self.files = tuple(opened.path for opened in self._files)
        first = self._planes[FIRST_PLANE]
        self.pyramid = Pyramid(
            tuple(level.level for level in first),
            first[0].pixel_format,
            on_glass(spacing, first[0].level),
            focal_planes=1 + max(plane.focal_plane for plane in self._planes),
            optical_paths=1 + max(plane.optical_path for plane in self._planes),
            focal_spacing_um=focal_spacing_um,
        )
        self._refuse_unlike_planes()
        self._encodings = tuple(self._common_encoding(number) for number in range(len(first)))
        self.metadata, self.associated, self.background = metadata, associated, first[0].background
        self.sparse = any(4 * levels[0].missing >= levels[0].level.tile_count for levels in self._planes.values())

    def _refuse_unlike_planes(self) -> None:
        for plane in self.pyramid.planes:
            levels = self._planes.get(plane, ())
            same = tuple(level.level for level in levels) == self.pyramid.levels
            if not same or any(level.pixel_format != self.pyramid.pixel_format for level in levels):
                raise UnsupportedStack(
                    f"{self.name}: optical path {plane.optical_path}, focal plane {plane.focal_plane}: "
                    "does not have the levels, or the kind of pixels, that the first plane has"
                )

    def _common_encoding(self, level: int) -> Encoding | None:
        encoding = self._planes[FIRST_PLANE][level].encoding
        return encoding if all(levels[level].encoding == encoding for levels in self._planes.values()) else None

    def absent(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> bool:
        stored = self._level(level, plane).stores(column, row)
        return not stored and finer_source(self._planes[plane], level, column, row) is None

    def encoding(self, level: int) -> Encoding | None:
        self._level(level)
        return self._encodings[level]

    def lossy_method(self, level: int) -> str | None:
        self._level(level)
        methods = (levels[level].lossy_method for levels in self._planes.values())
        return next((method for method in methods if method), None)

    def stored_bytes(self, level: int) -> int:
        self._level(level)
        return sum(levels[level].stored_bytes() for levels in self._planes.values())

    def encoded_tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> EncodedTile | None:
        tile = self._level(level, plane).encoded_tile(column, row)
        return tile if self._encodings[level] is not None else None

    def encoded_row(self, level: int, row: int, plane: Plane = FIRST_PLANE) -> Iterator[EncodedTile | None]:
        tiles = self._level(level, plane).encoded_row(row)
        return tiles if self._encodings[level] is not None else (None for _ in tiles)

    def tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> Pixels:
        of_level = self._level(level, plane)
        pixels = of_level.stored_tile(column, row)
        if pixels is not None:
            return pixels
        pixels, source = of_level.blank(), finer_source(self._planes[plane], level, column, row)
        if source is not None:
            finer, area = source
            visible = of_level.level.tile_region(column, row)
            pixels[: visible.height, : visible.width] = averaged(read_region(self, finer, area, plane), visible)
        return pixels

    def _level(self, level: int, plane: Plane = FIRST_PLANE) -> TiffLevel:
        levels = self._planes.get(plane)
        if levels is None:
            raise self._lacks(plane)
        if not 0 <= level < len(levels):
            raise OutOfBounds(f"{self.name}: level {level} is outside the {len(levels)} levels of this slide")
        return levels[level]

    def close(self) -> None:
        for file in self._files:
            file.close()


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
        else:
            _log.warning(
                "left out: %s: %s: %d x %d pixels, which is no level of %d x %d",
                *(directory.file.name, directory.place, layout.level.width, layout.level.height),
                *(base.level.width, base.level.height),
            )
    return levels
