"""Flat pictures: PNG, JPEG, JPEG 2000, WebP, JPEG XL, each a slide of one level.

A JPEG or JPEG 2000 stream that is small enough is one frame and is copied. Everything else is decoded whole, once, and
cut into tiles: so memory is that of the picture, of which there is a limit.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from wsi_dicom.background import background_samples, fill
from wsi_dicom.codecs import codec_for
from wsi_dicom.errors import CodecError, CorruptInput, UnsupportedFormat
from wsi_dicom.geometry import FIRST_PLANE, TILE_SIDE, Level, PixelFormat, Plane, Pyramid
from wsi_dicom.metadata import SlideMetadata
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
from wsi_dicom.sources.padding import padded
from wsi_dicom.sources.picture_headers import READERS, PictureHeader
from wsi_dicom.tiff.layout import on_glass
from wsi_dicom.tiff.orientation import TurnedSlide
from wsi_dicom.tiff.samples import Photometric, StoredSamples

MAX_BYTES: Final = 1 << 30
"""Of a picture, as stored or decoded."""
_LARGEST_FRAME: Final = 4096
_BAND: Final = 256  # rows that are composed at once: that takes eight times their memory


def _decode(header: PictureHeader, data: bytes) -> Pixels:
    """Shape (height, width, samples). Raises CodecError."""
    import imagecodecs

    width, height, samples, bits = header.shape
    try:
        if header.encoding is not None:
            stored = PixelFormat(samples, 8 if bits <= 8 else 16)
            tile = EncodedTile(data[: header.end], header.encoding)
            return codec_for(header.encoding.transfer_syntax).decode(tile, width, height, stored)
        if header.kind == "PNG":
            pixels = imagecodecs.png_decode(data)
        else:
            pixels = imagecodecs.webp_decode(data, hasalpha=samples == 4)
    except (RuntimeError, ValueError) as error:  # the errors of imagecodecs have no narrower common class
        raise CodecError(f"{header.kind} decoding failed: {error}") from error
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.shape != (height, width, samples):
        raise CodecError(f"a {header.kind} picture of shape {pixels.shape} where {header.shape} is told")
    return np.asarray(pixels)


def _composed(pixels: Pixels, samples: StoredSamples, background: tuple[int, int, int]) -> Pixels:
    """Shape (height, width, 1 or 3)."""
    if samples.alpha is None:
        return samples.pixels(pixels, background)
    composed: Pixels = np.empty((*pixels.shape[:2], samples.colours), pixels.dtype)
    for top in range(0, len(pixels), _BAND):
        composed[top : top + _BAND] = samples.pixels(pixels[top : top + _BAND], background)
    return composed


class PictureSlide(SlideBase):
    """Satisfies Slide."""

    def __init__(self, path: Path, header: PictureHeader, options: SourceOptions) -> None:
        self.name = path.name
        self.files: tuple[Path, ...] = (path,)
        self._path, self._header, self.background = path, header, options.background
        width, height, _, bits = header.shape
        self._copied = header.stream is not None and max(width, height) <= _LARGEST_FRAME
        tile = (width, height) if self._copied else (TILE_SIDE, TILE_SIDE)
        pixel_format = PixelFormat(header.colours, 8 if bits <= 8 else 16)
        self.pyramid = Pyramid(
            (Level(width, height, *tile),), pixel_format, on_glass(header.spacing, Level(width, height, *tile))
        )
        self.metadata = SlideMetadata(icc_profile=header.icc_profile)
        self.associated: Mapping[ImageFlavor, AssociatedImage] = {}
        self.sparse = False
        self._lock = threading.Lock()
        self._pixels: Pixels | None = None
        self._closed = False
        self._stored_bytes = path.stat().st_size

    def absent(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> bool:
        self._check(level, column, row, plane)
        return False

    def encoding(self, level: int) -> Encoding | None:
        self.pyramid.level(level)
        return self._header.encoding if self._copied else None

    def lossy_method(self, level: int) -> str | None:
        self.pyramid.level(level)
        return self._header.lossy_method

    def stored_bytes(self, level: int) -> int:
        self.pyramid.level(level)
        return self._stored_bytes

    def encoded_tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> EncodedTile | None:
        self._check(level, column, row, plane)
        if not self._copied or self._header.stream is None or self._header.encoding is None:
            return None
        stream = self._header.stream(self._data())
        return None if stream is None else EncodedTile(stream, self._header.encoding)

    def tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> Pixels:
        self._check(level, column, row, plane)
        grid, pixels = self.pyramid.base, self._whole()
        inside = grid.tile_region(column, row)
        visible = pixels[inside.y : inside.bottom, inside.x : inside.right]
        if visible.shape[:2] == (grid.tile_height, grid.tile_width):
            return visible
        tile: Pixels = np.empty((grid.tile_height, grid.tile_width, pixels.shape[2]), pixels.dtype)
        fill(tile, background_samples(self.background, self.pyramid.pixel_format))
        tile[: inside.height, : inside.width] = visible
        return tile

    def _whole(self) -> Pixels:
        with self._lock:
            if self._closed:
                raise ValueError(f"{self.name} is closed")
            if self._pixels is None:
                self._pixels = self._decoded()
                self._pixels.flags.writeable = False
            return self._pixels

    def _decoded(self) -> Pixels:
        try:
            pixels = _decode(self._header, self._data())
        except CodecError as error:
            raise CodecError(f"{self.name}: level 0, tile column 0, row 0 (the whole picture): {error}") from error
        colours, (_, _, count, bits) = self._header.colours, self._header.shape
        photometric = Photometric.RGB if colours == 3 else Photometric.BLACK_IS_ZERO
        opacity = colours if count > colours else None
        return _composed(pixels, StoredSamples(photometric, count, bits, alpha=opacity), self.background)

    def _data(self) -> bytes:
        return _read(self._path)

    def _check(self, level: int, column: int, row: int, plane: Plane) -> None:
        self._grid(level, plane).tile_index(column, row)

    def close(self) -> None:
        with self._lock:
            self._pixels, self._closed = None, True


def _read(path: Path) -> bytes:
    """Raises UnsupportedFormat above the limit, CorruptInput when the file cannot be read."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UnsupportedFormat(f"{path}: a picture of {size} bytes; the limit is {MAX_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise CorruptInput(f"{path}: cannot be read ({error.strerror})") from error


def _header(path: Path) -> PictureHeader:
    data = _read(path)
    read = next((reader for beginning, reader in READERS if data.startswith(beginning)), None)
    if read is None:
        raise UnsupportedFormat(f"{path}: neither PNG, JPEG, JPEG 2000, WebP nor JPEG XL")
    try:
        header = read(data)
    except CodecError as error:
        raise CorruptInput(f"{path}: {error}") from error
    except UnsupportedFormat as error:
        raise UnsupportedFormat(f"{path}: {error}") from error
    width, height, samples, bits = header.shape
    if not width * height:
        raise CorruptInput(f"{path}: a picture of {width} x {height} pixels")
    decoded = width * height * samples * (1 if bits <= 8 else 2)
    if decoded > MAX_BYTES:
        raise UnsupportedFormat(
            f"{path}: {width} x {height} pixels are {decoded} bytes when decoded; the limit is {MAX_BYTES}: "
            "store so large a picture as tiled TIFF"
        )
    return header


class PictureFormat:
    """Found by its first bytes."""

    key = "picture"
    name = "PNG, JPEG, JPEG 2000, WebP, JPEG XL"

    def detect(self, path: Path, head: bytes) -> bool:
        found = any(head.startswith(beginning) for beginning, _ in READERS)
        return found and (not head.startswith(b"RIFF") or head[8:12] == b"WEBP")

    def open(self, path: Path, options: SourceOptions = AS_FOUND) -> Slide:
        header = _header(path)
        slide: Slide = PictureSlide(path, header, options)
        if header.orientation != 1:
            slide = TurnedSlide(slide, header.orientation, options.background)
        return padded(slide, options)


FORMAT = PictureFormat()
