"""Everything that OpenSlide opens: MIRAX, Hamamatsu VMS and VMU, Sakura, and vendors' TIFF whose tiles overlap.

Nothing is copied: OpenSlide gives pixels, not streams. What we read ourselves is asked for before, and comes here when
that refuses it. Plain TIFF is left to our own reader: OpenSlide knows less of it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from wsi_dicom.errors import CorruptInput, UnsupportedFormat, UnsupportedStack
from wsi_dicom.geometry import FIRST_PLANE, TILE_SIDE, Level, PixelFormat, Plane, Pyramid, Region
from wsi_dicom.slide import (
    AS_FOUND,
    AssociatedImage,
    EncodedTile,
    Encoding,
    ImageFlavor,
    Pixels,
    Slide,
    SlideBase,
    SourceOptions,
)
from wsi_dicom.sources import openslide_metadata
from wsi_dicom.sources.decoded_slide import estimated_bytes, stored_share
from wsi_dicom.sources.openslide_file import OpenslideFile, Rgba, is_mirax_name
from wsi_dicom.tiff.layout import MAX_TILE_BYTES, on_glass

_log = logging.getLogger(__name__)

_MAX_SIDE: Final = 2**31
_MAX_TILES: Final = 1 << 25
_TILE_SIDES: Final = range(64, 1025)
"""Tile sizes of the file that are kept; others are stripes, or too small to be worth a frame each."""

_FLAVORS: Final = {
    "label": ImageFlavor.LABEL,
    "macro": ImageFlavor.OVERVIEW,
    "thumbnail": ImageFlavor.THUMBNAIL,
}
_SIDES: Final = ("width", "height")
_NAMES_A_FILE: Final = tuple(f"hamamatsu.{key}" for key in ("ImageFile", "MapFile", "MacroImage", "OptimisationFile"))


def _composed(rgba: Rgba, background: tuple[int, int, int]) -> Pixels:
    """What is seen over an opaque `background`, shape (height, width, 3).

    OpenSlide holds colours multiplied by the opacity, and its Python binding divides them by it, rounding down: to
    round up undoes that exactly.
    """
    alpha = rgba[:, :, 3:]
    if alpha.min(initial=255) == 255:
        return np.ascontiguousarray(rgba[:, :, :3])
    seen = (rgba[:, :, :3].astype(np.uint16) * alpha + 254) // 255
    behind = ((255 - alpha) * np.array(background, np.uint16) + 127) // 255
    return (seen + behind).astype(np.uint8)


class OpenslideAssociatedImage:
    """A label, macro or thumbnail. Satisfies AssociatedImage."""

    pixel_format = PixelFormat()

    def __init__(self, file: OpenslideFile, name: str, background: tuple[int, int, int], stored_share: float) -> None:
        """`stored_share`: bytes stored per byte of pixels in the slide, which this picture is taken to have as well.

        Raises CorruptInput for one without pixels, or of more than 256 MiB of them.
        """
        self._file, self._name, self._background = file, name, background
        self.width, self.height = (int(file.properties[f"openslide.associated.{name}.{side}"]) for side in _SIDES)
        decoded = self.width * self.height * self.pixel_format.bytes_per_pixel
        if not 0 < decoded <= MAX_TILE_BYTES:
            raise CorruptInput(f"{file.name}: a {name} of {self.width} x {self.height} pixels")
        self.stored_bytes = max(1, round(decoded * stored_share))  # nobody tells more
        self.lossy_method = openslide_metadata.associated_lossy_method(file.properties)

    def encoded(self) -> EncodedTile | None:
        return None

    def pixels(self) -> Pixels:
        return _composed(self._file.associated_image(self._name), self._background)


class OpenslideSlide(SlideBase):
    """Satisfies Slide. One focal plane and optical path, in 8-bit colour: OpenSlide gives no more."""

    def __init__(self, file: OpenslideFile, options: SourceOptions) -> None:
        """Raises UnsupportedStack, CorruptInput."""
        self.name, self.files = file.name, _files(file)
        self._file, self.background = file, options.background
        levels = tuple(_level(file, number) for number in range(len(file.sizes)))
        _refuse_stack(file.name, levels)
        spacing = openslide_metadata.spacing(file.properties)
        self.pyramid = Pyramid(levels, PixelFormat(), on_glass(spacing, levels[0]))
        self.metadata = openslide_metadata.read_metadata(file.properties, file.icc_profile)
        slide = self.pyramid.base.bounds
        self._bounds = openslide_metadata.scanned_bounds(file.properties, slide.width, slide.height)
        self.sparse = openslide_metadata.leaves_gaps(file.properties, self._bounds, slide)
        self._bytes = sum(path.stat().st_size for path in self.files)
        self.associated: Mapping[ImageFlavor, AssociatedImage] = _associated(
            file, options.background, stored_share(self.pyramid, self._bytes)
        )
        self._looked_at = threading.local()

    def absent(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> bool:
        if self._outside_bounds(self._grid(level, plane), level, column, row):
            return True
        place, rgba = getattr(self._looked_at, "tile", (None, None))
        if rgba is None or place != (level, column, row):
            rgba = self._rgba(level, column, row)
            self._looked_at.tile = (level, column, row), rgba
        return not rgba[:, :, 3].any()

    def encoding(self, level: int) -> Encoding | None:
        self.pyramid.level(level)
        return None

    def lossy_method(self, level: int) -> str | None:
        self.pyramid.level(level)
        return openslide_metadata.lossy_method(self._file.properties, level)

    def stored_bytes(self, level: int) -> int:
        """An estimate, for the compression ratio: the files' bytes, shared among the levels by their pixels."""
        return estimated_bytes(self.pyramid, level, self._bytes)

    def encoded_tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> EncodedTile | None:
        self._grid(level, plane).tile_index(column, row)
        return None

    def encoded_row(self, level: int, row: int, plane: Plane = FIRST_PLANE) -> Iterator[EncodedTile | None]:
        grid = self._grid(level, plane)
        grid.tile_index(0, row)
        return (None for _ in range(grid.columns))

    def tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> Pixels:
        self._grid(level, plane).tile_index(column, row)
        place, rgba = getattr(self._looked_at, "tile", (None, None))
        self._looked_at.tile = None, None
        if rgba is None or place != (level, column, row):
            rgba = self._rgba(level, column, row)
        return _composed(rgba, self.background)

    def _rgba(self, level: int, column: int, row: int) -> Rgba:
        """A whole tile; transparent beyond the edges of the level.

        OpenSlide wants its place in pixels of level 0. Where the ratio is no whole number, it is rounded down, so that
        no level ends before its last pixel; what is seen may lie up to a pixel of level 0 beside its place.
        """
        grid, scale = self.pyramid.levels[level], self._file.downsamples[level]
        x, y = int(column * grid.tile_width * scale), int(row * grid.tile_height * scale)
        inside = grid.tile_region(column, row)
        what = f"level {level}, tile column {column}, row {row}"
        rgba = self._file.region(x, y, level, inside.width, inside.height, what)
        beyond = (0, grid.tile_height - inside.height), (0, grid.tile_width - inside.width), (0, 0)
        return np.pad(rgba, beyond) if any(after for _, after in beyond) else rgba

    def _outside_bounds(self, grid: Level, level: int, column: int, row: int) -> bool:
        """Whether a tile, with a pixel around it for rounding, lies where the slide was not scanned."""
        grid.tile_index(column, row)
        scale = self._file.downsamples[level]
        x, y = column * grid.tile_width - 1, row * grid.tile_height - 1
        width, height = (grid.tile_width + 2) * scale, (grid.tile_height + 2) * scale
        return Region(int(x * scale), int(y * scale), int(width) + 1, int(height) + 1).intersection(self._bounds).empty

    def close(self) -> None:
        self._file.close()


def _level(file: OpenslideFile, number: int) -> Level:
    width, height = file.sizes[number]
    if not (0 < width < _MAX_SIDE and 0 < height < _MAX_SIDE):
        raise CorruptInput(f"{file.name}: level {number} has {width} x {height} pixels")
    told = [int(file.properties.get(f"openslide.level[{number}].tile-{side}", 0)) for side in _SIDES]
    if 4 * told[0] * told[1] > MAX_TILE_BYTES:  # OpenSlide would decode each as a whole, or end the process
        raise CorruptInput(f"{file.name}: level {number} has tiles of {told[0]} x {told[1]} pixels")
    tile_width, tile_height = told if all(side in _TILE_SIDES for side in told) else (TILE_SIDE, TILE_SIDE)
    level = Level(width, height, tile_width, tile_height)
    if level.tile_count > _MAX_TILES:
        raise CorruptInput(f"{file.name}: level {number} has {level.tile_count} tiles; the limit is {_MAX_TILES}")
    return level


def _refuse_stack(name: str, levels: Sequence[Level]) -> None:
    """Raises UnsupportedStack for pictures of one size: OpenSlide takes any page that is tiled for a level."""
    for number, (finer, level) in enumerate(pairwise(levels), start=1):
        if level.width >= finer.width and level.height >= finer.height:
            raise UnsupportedStack(
                f"{name}: level {number} of {level.width} x {level.height} pixels is no smaller than the one before: "
                "pictures that lie over each other, which OpenSlide does not keep apart"
            )


def _associated(
    file: OpenslideFile, background: tuple[int, int, int], share: float
) -> dict[ImageFlavor, AssociatedImage]:
    found: dict[ImageFlavor, AssociatedImage] = {}
    for name in file.associated:
        if name not in _FLAVORS:
            continue
        try:
            found[_FLAVORS[name]] = OpenslideAssociatedImage(file, name, background, share)
        except CorruptInput as error:
            _log.warning("left out: %s", error)
    return found


def _files(file: OpenslideFile) -> tuple[Path, ...]:
    """The file, and those of its folder (MIRAX) or beside it (Hamamatsu VMS and VMU) that the slide consists of.

    Of a DICOM series OpenSlide does not tell which files it took beside the one that was named.
    """
    path = file.path
    names = (name for key, name in sorted(file.properties.items()) if key.startswith(_NAMES_A_FILE))
    beside = [path.with_name(Path(name).name) for name in names if Path(name).name]
    if is_mirax_name(path):
        beside += sorted(path.with_suffix("").iterdir())
    return path, *dict.fromkeys(each for each in beside if each.is_file())


class OpenslideFormat:
    """Found by OpenSlide itself, by content, but for MIRAX (.mrxs), whose file is a mere thumbnail beside a folder."""

    key = "openslide"
    name = "MIRAX, Hamamatsu VMS and VMU, Sakura and what else OpenSlide reads"

    def detect(self, path: Path, head: bytes) -> bool:
        from openslide import OpenSlide

        # a thumbnail without its folder is no flat picture
        return bool(head) and (is_mirax_name(path) or OpenSlide.detect_format(path) not in (None, "generic-tiff"))

    def open(self, path: Path, options: SourceOptions = AS_FOUND) -> Slide:
        if path.is_dir():
            raise UnsupportedFormat(
                f"{path}: OpenSlide opens files, not folders; name the file that stands for the slide"
            )
        file = OpenslideFile(path)
        try:
            return OpenslideSlide(file, options)
        except BaseException:
            file.close()
            raise


FORMAT = OpenslideFormat()
