"""Frames of DICOM images of any kind, as they are shown: each of them a Slide, with levels made on the fly."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from pathlib import Path

import numpy as np

from wsi_dicom.codecs import codec_for
from wsi_dicom.decoded_cache import DecodedCache
from wsi_dicom.dicom.frame_groups import FrameGroups
from wsi_dicom.dicom.grayscale import BAND_PIXELS, display_table
from wsi_dicom.dicom.header import read_instance, reading
from wsi_dicom.dicom.image import frame_attributes, open_body, told_spacing
from wsi_dicom.dicom.photometric import stored_encoding
from wsi_dicom.dicom.uids import VL_WHOLE_SLIDE
from wsi_dicom.display import eight_bits
from wsi_dicom.errors import CodecError, CorruptInput, InvalidRequest, OutOfBounds, UnsupportedFormat
from wsi_dicom.geometry import FIRST_PLANE, TILE_SIDE, Level, PixelFormat, Plane, Pyramid, Spacing
from wsi_dicom.metadata import SlideMetadata, Window
from wsi_dicom.patch import Patch
from wsi_dicom.pyramid.halving import halve
from wsi_dicom.slide import WHITE, EncodedTile, Encoding, Pixels, SlideView


class ImageFrames:
    """The frames of one image, of which nothing is kept in memory. May be used from many threads.

    The file is closed when nobody refers to this object any more.
    """

    def __init__(self, path: Path) -> None:
        """Raises NotFound, StoreError, CorruptInput, UnsupportedFormat (no image, or pixels that are not read here)."""
        self.instance = instance = read_instance(path)
        image = frame_attributes(instance)
        try:
            self._codec = codec_for(image.encoding.transfer_syntax)
        except CodecError as error:  # video, for instance
            raise UnsupportedFormat(f"{path}: {error}") from error
        self._reader = open_body(image).frames
        self._samples, self._window = image.samples, image.window
        self.frames, self.level, self.lossy = image.frames, image.level, image.lossy
        self.encoding = stored_encoding(instance, image.encoding, self._reader, image.frames)
        self.pixel_format = PixelFormat(image.pixel_format.samples, 8)
        self.stored_bytes = self._reader.stored_bytes
        has_groups = self.gray and instance.sop_class_uid != VL_WHOLE_SLIDE
        self._groups = FrameGroups(instance, None if has_groups else 0)
        with reading(path):
            self.spacing = image.spacing or self._first_spacing()
            self.icc_profile: bytes | None = instance.header.get("ICCProfile") or None

    @property
    def gray(self) -> bool:
        return self.pixel_format.gray

    @property
    def copied_encoding(self) -> Encoding | None:
        """How frames are stored that are shown as they are; None when they have to be decoded for it."""
        return None if self.gray or not self._samples.copied or self._samples.bits != 8 else self.encoding

    def read(self, frame: int) -> bytes:
        """A frame, counted from 0, as stored. Raises CorruptInput."""
        data = self._reader.read(frame)
        if not data:
            raise CorruptInput(f"{self.instance.path} has nothing stored for its frame {frame + 1}")
        return data

    def pixels(self, frame: int, window: Window | None) -> Pixels:
        """Shape (height, width, samples), of 8 bits: as the image wants to be shown, or grays through a window.

        Raises CorruptInput, CodecError.
        """
        tile, samples = EncodedTile(self.read(frame), self.encoding), self._samples
        try:
            stored = self._codec.decode(tile, self.level.width, self.level.height, samples.stored)
        except CodecError as error:
            raise CodecError(f"{self.instance.sop_instance_uid}: frame {frame + 1} does not decode: {error}") from error
        if not self.gray:
            return _in_bands(stored, lambda band: eight_bits(samples.pixels(band), self._window), 3)
        with reading(self.instance.path):
            table = display_table(self.instance, samples, stored, self._groups.read(frame), window)
        return _in_bands(stored, table.take, 1)

    def _first_spacing(self) -> Spacing | None:
        """That of the first frame, where every frame tells its own: they are nearly always the same."""
        measures = (item for groups in self._groups.read(0) for item in groups.get("PixelMeasuresSequence") or ())
        return next(filter(None, map(told_spacing, measures)), None)


class FrameSlide(SlideView):
    """Satisfies Slide, over one frame, counted from 0. Closing it closes nothing.

    A frame up to twice as large as a tile is one. Levels are halved until they fit into a tile; `decoded` keeps their
    pixels, of 8 bits, under `key`, which names the frame and the window.
    """

    def __init__(
        self, image: ImageFrames, frame: int, decoded: DecodedCache, key: Hashable, window: Window | None = None
    ) -> None:
        """Raises OutOfBounds (no such frame), InvalidRequest (a window for colours)."""
        if not 0 <= frame < image.frames:
            raise OutOfBounds(f"frame {frame} is outside the {image.frames} frames of this image, counted from 0")
        if window is not None and not image.gray:
            raise InvalidRequest("this image is in colours: a window is for grays")
        self._image, self._frame, self._window = image, frame, window
        self._decoded, self._key = decoded, key
        self.name, self.files = image.instance.sop_instance_uid, (image.instance.path,)
        self.background = WHITE
        self.metadata = SlideMetadata(icc_profile=image.icc_profile)
        self.pyramid = Pyramid(tuple(_levels(image.level)), image.pixel_format, image.spacing)

    def encoding(self, level: int) -> Encoding | None:
        self.pyramid.level(level)
        return self._image.copied_encoding if len(self.pyramid.levels) == 1 else None

    def lossy_method(self, level: int) -> str | None:
        return self._image.lossy[-1].method if self._image.lossy else None

    def stored_bytes(self, level: int) -> int:
        return self._image.stored_bytes

    def encoded_tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> EncodedTile | None:
        self._grid(level, plane).tile_index(column, row)
        encoding = self.encoding(level)
        return None if encoding is None else EncodedTile(self._image.read(self._frame), encoding)

    def tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> Pixels:
        grid = self._grid(level, plane)
        grid.tile_index(column, row)
        return Patch(grid.bounds, self._pixels(level)).tile(grid, column, row)

    def _pixels(self, level: int) -> Pixels:
        return self._decoded.get((self._key, level), lambda: self._made(level))

    def _made(self, level: int) -> Pixels:
        if level == 0:
            return self._image.pixels(self._frame, self._window)
        finer, here = self.pyramid.levels[level - 1], self.pyramid.levels[level]
        whole = Patch(finer.bounds, self._pixels(level - 1))
        return halve(whole, finer, here.bounds, smooth=False).pixels


def _in_bands(stored: Pixels, shown: Callable[[Pixels], Pixels], samples: int) -> Pixels:
    """What `shown` makes of the pixels, of 8 bits. A band at a time: indices of a whole frame take 8 bytes a pixel."""
    height, width = stored.shape[:2]
    pixels, rows = np.empty((height, width, samples), np.uint8), max(1, BAND_PIXELS // width)
    for top in range(0, height, rows):
        pixels[top : top + rows] = shown(stored[top : top + rows])
    return pixels


def _levels(frame: Level) -> Iterator[Level]:
    """From the frame itself to one that is a single tile."""
    if max(frame.width, frame.height) <= 2 * TILE_SIDE:
        yield frame
        return
    level = frame.retiled(TILE_SIDE, TILE_SIDE)
    yield level
    while level.tile_count > 1:
        level = level.halved()
        yield level
