"""Channels of fluorescence laid over each other, each in a colour of its own."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wsi_dicom.decoded_cache import DecodedCache
from wsi_dicom.display import windowed
from wsi_dicom.errors import InvalidRequest, UnsupportedFormat
from wsi_dicom.geometry import FIRST_PLANE, Level, PixelFormat, Plane
from wsi_dicom.metadata import LossyStep, Window
from wsi_dicom.slide import BLACK, WHITE, EncodedTile, Encoding, Pixels, Slide, SlideView

Color: TypeAlias = tuple[int, int, int]

MOST_CHANNELS: Final = 16
"""That one picture blends: each is a tile to decode."""

_ENTRY: Final = re.compile(
    r"([1-9][0-9]{0,4})(?::([0-9a-f]{6})?(?::([0-9]{1,5})-([0-9]{1,5}))?)?", re.ASCII | re.IGNORECASE
)
_DARKEST, _LIGHTEST = 0.01, 0.998
"""Shares of the pixels below which all is black, and above which all is full, where nobody tells a window."""
_WHOLE: Final = tuple(Window.whole(bits) for bits in range(9, 17))
_TELLING_PIXELS: Final = 1 << 18
_TELLING_TILES: Final = 64


@dataclass(frozen=True, slots=True)
class Channel:
    """An optical path, counted from 0, in `color` (red, green, blue). `window` None: by the slide, or its pixels."""

    path: int
    color: Color
    window: Window | None = None


def all_channels(slide: Slide) -> tuple[Channel, ...]:
    """The optical paths of a slide, the first 16 at most, in the colours that it tells, else in evenly spread hues."""
    return tuple(Channel(path, color) for path, color in enumerate(_colors(slide)[:MOST_CHANNELS]))


def read_channels(text: str, slide: Slide) -> tuple[Channel, ...]:
    """`1:ff0000:0-4000,3`: optical paths counted from 1, each with a colour and the values shown as black and full.

    Both may be left out. Raises InvalidRequest.
    """
    entries = text.split(",", MOST_CHANNELS)
    if len(entries) > MOST_CHANNELS:
        raise InvalidRequest(f"more than {MOST_CHANNELS} channels cannot be blended")
    colors = _colors(slide)
    channels = tuple(_read_channel(entry, colors) for entry in entries)
    if len({channel.path for channel in channels}) < len(channels):
        raise InvalidRequest(f"channels {text[:60]!r}: one of them is there twice")
    return channels


class CompositeSlide(SlideView):
    """Satisfies Slide, in colours of 8 bits, over the channels of a gray one, which stays its owner.

    Closing this closes nothing. It has the focal planes of the slide, and one optical path. `decoded` keeps the windows
    that are found in the pixels under `key`, which names the slide.
    """

    background = BLACK

    def __init__(self, slide: Slide, channels: Sequence[Channel], decoded: DecodedCache, key: Hashable) -> None:
        """Raises UnsupportedFormat when the slide is in colours already."""
        if not slide.pyramid.pixel_format.gray:
            raise UnsupportedFormat(f"{slide.name} is in colours: it has no channels that could be given one")
        self._slide, self._decoded, self._key = slide, decoded, key
        self._layers = [(channel, _scale_to(channel.color)) for channel in channels]
        self.name, self.files, self.sparse = slide.name, slide.files, slide.sparse
        self.pyramid = replace(slide.pyramid, pixel_format=PixelFormat(3, 8), optical_paths=1)
        self.metadata = replace(slide.metadata, window=None, path_windows=(), icc_profile=None, optical_paths=())

    def absent(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> bool:
        self._grid(level, plane)
        return all(self._slide.absent(level, column, row, source) for _, _, source in self._sources(plane))

    def encoding(self, level: int) -> Encoding | None:
        self.pyramid.level(level)
        return None

    def lossy_method(self, level: int) -> str | None:
        return self._slide.lossy_method(level)

    def losses(self, level: int) -> tuple[LossyStep, ...]:
        return self._slide.losses(level)

    def stored_bytes(self, level: int) -> int:
        return self._slide.stored_bytes(level)

    def encoded_tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> EncodedTile | None:
        self._grid(level, plane).tile_index(column, row)
        return None

    def tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> Pixels:
        import cv2

        grid = self._grid(level, plane)
        grid.tile_index(column, row)
        blended = np.zeros((grid.tile_height, grid.tile_width, 3), np.uint8)
        for channel, colors, source in self._sources(plane):
            if not self._slide.absent(level, column, row, source):
                shades = windowed(self._slide.tile(level, column, row, source), self._window(channel))
                cv2.add(blended, colors.take(shades[:, :, 0], axis=0), dst=blended)
        return blended

    def _sources(self, plane: Plane) -> Iterator[tuple[Channel, NDArray[np.uint8], Plane]]:
        """Each channel with its colours, and which plane of the slide it is."""
        return ((channel, colors, Plane(channel.path, plane.focal_plane)) for channel, colors in self._layers)

    def _window(self, channel: Channel) -> Window:
        """The same for all focal planes and levels. What the slide tells of it, if it is more than the bits' range."""
        if channel.window is not None:
            return channel.window
        if self._slide.pyramid.pixel_format.bits == 8:
            return Window.whole(8)
        if (told := self._slide.metadata.window_of(channel.path)) is not None and told not in _WHOLE:
            return told
        low, high = self._decoded.get((self._key, "range", channel.path), lambda: _range(self._slide, channel.path))
        return window_between(int(low), int(high))


def window_between(low: int, high: int) -> Window:
    """From black to white."""
    return Window((low + high) / 2, high - low)


def _range(slide: Slide, path: int) -> NDArray[Any]:
    """The values, of 16 bits, that a robust window begins and ends with: those of all but a few pixels lie between.

    From the coarsest level that is large enough to tell, or tiles spread over it, in the middle of the focal planes.
    """
    pyramid = slide.pyramid
    index = max(i for i, level in enumerate(pyramid.levels) if i == 0 or level.width * level.height >= _TELLING_PIXELS)
    level, plane = pyramid.levels[index], Plane(path, pyramid.focal_planes // 2)
    counts = np.zeros(1 << 16, np.int64)
    for column, row in _spread_tiles(level):
        if not slide.absent(index, column, row, plane):
            area = level.tile_region(column, row)
            pixels = slide.tile(index, column, row, plane)[: area.height, : area.width]
            counts += np.bincount(pixels.ravel(), minlength=1 << 16)
    total = counts.sum()
    if not total:
        return np.array([0, (1 << 16) - 1])
    low, high = np.searchsorted(np.cumsum(counts), [_DARKEST * total, _LIGHTEST * total])
    return np.array([low, max(high, low + 1)])


def _spread_tiles(level: Level) -> Iterator[tuple[int, int]]:
    """(column, row) of at most 64 tiles: about 8 columns and 8 rows of them."""
    across, down = -(-level.columns // 8), -(-level.rows // 8)
    if level.tile_count <= _TELLING_TILES:
        across = down = 1
    return (
        (column, row)
        for row in range(down // 2, level.rows, down)
        for column in range(across // 2, level.columns, across)
    )


def _read_channel(entry: str, colors: Sequence[Color]) -> Channel:
    """`colors` are those of the slide's optical paths."""
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise InvalidRequest(f"channel {entry[:40]!r}: expected a number, its colour and range, as in 1:ff0000:0-4000")
    path = int(match[1]) - 1
    if path >= len(colors):
        raise InvalidRequest(f"channel {match[1]}: the slide has {len(colors)}")
    color = _rgb(match[2]) if match[2] else colors[path]
    if match[3] is None:
        return Channel(path, color)
    low, high = int(match[3]), int(match[4])
    if low >= high:
        raise InvalidRequest(f"channel {entry[:40]!r}: its range ends before it begins")
    return Channel(path, color, window_between(low, high))


def _colors(slide: Slide) -> list[Color]:
    """Of each optical path: as the slide tells, unless that is black; white for the only one.

    The others get hues that are spread evenly over all paths, without those that come next to the colours told.
    """
    count, described = slide.pyramid.optical_paths, slide.metadata.optical_paths
    paths = [described[path].color if path < len(described) else None for path in range(count)]
    told = [color if color is not None and any(color) else None for color in paths]
    if count == 1:
        return [told[0] or WHITE]
    hues = [path / count for path in range(count)]
    for color in filter(None, told):
        hue, saturation, _ = colorsys.rgb_to_hsv(*(value / 255 for value in color))
        if saturation:
            hues.remove(min(hues, key=lambda free: abs((free - hue + 0.5) % 1 - 0.5)))
    free = iter(hues)
    return [color or _of_hue(next(free)) for color in told]


def _of_hue(hue: float) -> Color:
    red, green, blue = (round(255 * value) for value in colorsys.hsv_to_rgb(hue, 1, 1))
    return red, green, blue


def _rgb(text: str) -> Color:
    red, green, blue = bytes.fromhex(text)
    return red, green, blue


def _scale_to(color: Color) -> NDArray[np.uint8]:
    """From black to the colour: shape (256, 3)."""
    scale: NDArray[np.uint8] = np.rint(np.linspace(0, color, 256)).astype(np.uint8)
    return scale
