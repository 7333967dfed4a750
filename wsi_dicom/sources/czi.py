"""Zeiss CZI, by ZEISS's own libCZI: channels, focal planes, scenes, and the stored pyramid.

The optional package pylibCZIrw has it. Lossless brightfield is left to OpenSlide where it reads it: label and macro as
well, which the binding of libCZI does not read. All scenes are shown where they lie on the slide, and nothing between
them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from wsi_dicom.errors import CorruptInput, UnsupportedFormat, WsiError
from wsi_dicom.geometry import FIRST_PLANE, TILE_SIDE, Level, PixelFormat, Plane, Pyramid, Region
from wsi_dicom.slide import AS_FOUND, BLACK, Pixels, Slide, SourceOptions
from wsi_dicom.sources.czi_metadata import read_metadata
from wsi_dicom.sources.decoded_slide import DecodedSlide, one_line
from wsi_dicom.sources.openslide_file import OpenslideFile
from wsi_dicom.sources.openslide_slide import OpenslideSlide
from wsi_dicom.tiff.layout import on_glass, plausible_spacing

if TYPE_CHECKING:
    from pylibCZIrw.czi import CziReader

_log = logging.getLogger(__name__)

_MAGIC: Final = b"ZISRAWFILE\0"
_MAX_SIDE: Final = 2**31
_REDUCTIONS: Final = frozenset({2**n for n in range(1, 13)} | {3**n for n in range(1, 8)})
"""Each level of a pyramid is smaller than the finer one by 2 (scans) or 3 (images stitched later)."""
_MAX_PLANES: Final = 1 << 16
_PIXEL_FORMATS: Final = {
    "Gray8": PixelFormat(1, 8),
    "Gray16": PixelFormat(1, 16),
    "Bgr24": PixelFormat(3, 8),
    "Bgr48": PixelFormat(3, 16),
}
_BRIGHTFIELD: Final = PixelFormat(3, 8)
_LOSSY: Final = {1: "ISO_10918_1", 4: "ISO_29199_2"}
"""By number of the compression of a subblock. JPEG XR may be lossless, which only its streams tell."""
_FILLED: Final = 0.75
"""With less of the slide in its scenes, what lies between them stays absent."""


class CziSlide(DecodedSlide):
    """Satisfies Slide. A level is stored at a whole-number reduction; libCZI composes its tiles from the subblocks."""

    def __init__(self, path: Path, reader: CziReader, options: SourceOptions) -> None:
        """Raises UnsupportedFormat, CorruptInput."""
        self._reader = reader
        bounds = Region(*reader.total_bounding_rectangle_no_pyramid)
        if not (0 < bounds.width < _MAX_SIDE and 0 < bounds.height < _MAX_SIDE):
            raise CorruptInput(f"{path.name}: a slide of {bounds.width} x {bounds.height} pixels")
        self._bounds = bounds
        found = _subblocks(reader)
        self._channels, self._pixel_type = _channels(path.name, reader, sorted(found.channels))
        self._focal_planes, self._time = sorted(found.focal_planes), min(found.times, default=0)
        self._reductions = sorted(found.reductions)
        told = read_metadata(reader.raw_metadata, path.name, self._channels, _PIXEL_FORMATS[self._pixel_type])
        _check_planes(path.name, found, len(self._channels))
        focal_planes = len(self._focal_planes)
        levels = tuple(_level(bounds, reduction) for reduction in self._reductions)
        super().__init__(
            path,
            Pyramid(
                levels,
                _PIXEL_FORMATS[self._pixel_type],
                on_glass(plausible_spacing(told.x_um, told.y_um), levels[0]),
                focal_planes=focal_planes,
                optical_paths=len(self._channels),
                focal_spacing_um=told.z_um if focal_planes > 1 else None,
            ),
            told.metadata,
            lossy_method=next((method for number, method in _LOSSY.items() if number in found.compressions), None),
        )
        self._scenes = [Region(*scene) for scene in reader.scenes_bounding_rectangle_no_pyramid.values()]
        filled = sum(scene.width * scene.height for scene in self._scenes)
        self.sparse = bool(self._scenes) and filled < _FILLED * bounds.width * bounds.height
        colour = self.pyramid.pixel_format.samples == 3  # where no light was recorded, fluorescence is dark
        self.background = options.background if colour else BLACK

    def absent(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> bool:
        """Whether a tile lies outside all scenes."""
        self._check(level, column, row, plane)
        area = self._area(level, self.pyramid.levels[level].tile_region(column, row))
        return bool(self._scenes) and all(area.intersection(scene).empty for scene in self._scenes)

    def _area(self, level: int, region: Region) -> Region:
        """Where a region of a level lies in the coordinates of the file."""
        by, bounds = self._reductions[level], self._bounds
        return Region(bounds.x + region.x * by, bounds.y + region.y * by, region.width * by, region.height * by)

    def _window(self, level: int, region: Region, plane: Plane) -> Pixels:
        from pylibCZIrw.czi import Color

        area, (red, green, blue) = self._area(level, region), (value / 255 for value in self.background)
        pixels: Pixels = self._reader.read(
            roi=(area.x, area.y, area.width, area.height),
            plane={
                "C": self._channels[plane.optical_path],
                "Z": self._focal_planes[plane.focal_plane],
                "T": self._time,
            },
            zoom=1 / self._reductions[level],
            pixel_type=self._pixel_type,
            background_pixel=Color(r=red, g=green, b=blue),
        )
        if pixels.shape[:2] != (region.height, region.width):
            raise RuntimeError(f"{pixels.shape[1]} x {pixels.shape[0]} pixels instead of a tile")
        return np.ascontiguousarray(pixels[:, :, ::-1])  # blue, green, red as stored

    def _release(self) -> None:
        self._reader.close()


def _level(bounds: Region, reduction: int) -> Level:
    return Level(-(-bounds.width // reduction), -(-bounds.height // reduction), TILE_SIDE, TILE_SIDE)


def _channels(name: str, reader: CziReader, channels: Sequence[int]) -> tuple[list[int], str]:
    """The channels that have the kind of pixels of the first, and that kind. Raises UnsupportedFormat."""
    types: dict[int, str] = {channel: reader.get_channel_pixel_type(channel) for channel in channels}
    first = next(iter(types.values()), "none")
    if first not in _PIXEL_FORMATS:
        raise UnsupportedFormat(f"{name}: pixels of type {first}; gray or colour of 8 or 16 bits is read")
    others = [channel for channel, kind in types.items() if kind != first]
    if others:
        _log.warning("%s: channels %s have other pixels than the first and are left out", name, others)
    return [channel for channel, kind in types.items() if kind == first], first


def _check_planes(name: str, found: _Subblocks, channels: int) -> None:
    """Raises UnsupportedFormat above the limit."""
    if len(found.times) > 1:
        _log.warning("%s: the first of %d time points is taken", name, len(found.times))
    planes = len(found.focal_planes) * channels
    if planes > _MAX_PLANES:
        raise UnsupportedFormat(f"{name}: {planes} planes; the limit is {_MAX_PLANES}")


@dataclass(frozen=True, slots=True)
class _Subblocks:
    """What the subblocks of a file have: the numbers of its planes, which need not begin at 0 nor be without gaps.

    `reductions` are those at which the file has pixels, `compressions` libCZI's numbers.
    """

    channels: set[int] = field(default_factory=set)
    focal_planes: set[int] = field(default_factory=set)
    times: set[int] = field(default_factory=set)
    reductions: set[int] = field(default_factory=lambda: {1})
    compressions: set[int] = field(default_factory=set)


def _subblocks(reader: CziReader) -> _Subblocks:
    """A subblock of the pyramid has fewer pixels than the area that it shows."""
    found = _Subblocks()

    def look(_: int, subblock: Any) -> bool:
        place = subblock.coordinate.to_dict()
        for numbers, dimension in ((found.channels, "C"), (found.focal_planes, "Z"), (found.times, "T")):
            numbers.add(int(place.get(dimension, 0)))
        found.compressions.add(int(subblock.compressionModeRaw))
        stored, shown = subblock.physicalSize, subblock.logicalRect
        by = round(shown.w / stored.w) if stored.w else 0
        if by in _REDUCTIONS and abs(stored.w * by - shown.w) < by:  # rounded up where it does not divide
            found.reductions.add(by)
        return True

    reader.enumerate_subblocks(look)
    return found


def _open(path: Path, reader: CziReader, options: SourceOptions) -> Slide:
    """OpenSlide refuses channels and focal planes; of 16 bits, which it takes, it would keep but 8.

    It does not tell what is lossy, so it is asked for nothing that is.
    """
    slide = CziSlide(path, reader, options)
    if slide.pyramid.pixel_format != _BRIGHTFIELD or slide.lossy_method(0) is not None:
        return slide
    try:
        other = OpenslideSlide(OpenslideFile(path), options)
    except WsiError as error:
        _log.info("%s: without label and macro: %s", path.name, error)
        return slide
    slide.close()
    return other


class CziFormat:
    """Found by its first segment."""

    key = "czi"
    name = "Zeiss CZI"

    def detect(self, path: Path, head: bytes) -> bool:
        return head.startswith(_MAGIC)

    def open(self, path: Path, options: SourceOptions = AS_FOUND) -> Slide:
        try:
            from pylibCZIrw.czi import CziReader
        except ImportError as error:
            raise UnsupportedFormat(
                f"{path.name}: Zeiss CZI is read with an optional package: pip install wsi-dicom[czi]"
            ) from error
        try:
            reader = CziReader(str(path))
        except RuntimeError as error:
            raise CorruptInput(f"{path.name}: libCZI cannot open it: {one_line(error)}") from error
        try:
            return _open(path, reader, options)
        except BaseException as error:
            reader.close()
            if isinstance(error, RuntimeError):
                raise CorruptInput(f"{path.name}: libCZI cannot read it: {one_line(error)}") from error
            raise


FORMAT = CziFormat()
