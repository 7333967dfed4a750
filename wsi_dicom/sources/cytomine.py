"""An image of a Cytomine server as a Slide: its finest level, fetched window by window.

JPEG windows become frames as they come; only those at the right and lower edge, which are smaller than a tile, are
decoded and encoded again. PNG windows are decoded. A server tells nothing of how the image itself is stored: what it
lost before is unknown.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from wsi_dicom.background import background_samples, fill
from wsi_dicom.codecs import codec_for
from wsi_dicom.codecs.jpeg_markers import JpegHeader, end_of_stream, parse_header
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.errors import CodecError, CorruptInput, UnsupportedFormat
from wsi_dicom.geometry import FIRST_PLANE, TILE_SIDE, Level, PixelFormat, Plane, Pyramid, Region
from wsi_dicom.metadata import SlideMetadata
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
from wsi_dicom.sources.cytomine_server import CONNECTIONS, CytomineImage, CytomineServer, WindowFormat
from wsi_dicom.tiff.layout import on_glass, plausible_spacing
from wsi_dicom.tiff.samples import Photometric, StoredSamples

_LARGEST_DESCRIPTION: Final = 1 << 20
_LARGEST_SIDE: Final = (1 << 32) - 1  # Total Pixel Matrix Columns and Rows are UL
_LARGEST_WINDOW: Final = {
    WindowFormat.JPEG: TILE_SIDE * TILE_SIDE * 3 + (1 << 16),
    WindowFormat.PNG: TILE_SIDE * TILE_SIDE * 8 + (1 << 16),  # four samples of 16 bits
}
"""Bytes that a window may have: its pixels uncompressed, and headers."""

_PROPERTIES: Final = ("id", "baseImage", "project", "instanceFilename", "originalFilename", "contentType", "created")
_PNG_HEAD: Final = struct.Struct(">8s4x4sIIBB")
_PNG_SAMPLES: Final = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}
"""Samples that count, by PNG's colour type: gray, RGB, palette, gray and RGB with alpha."""


def open_cytomine(image: CytomineImage, options: SourceOptions = AS_FOUND) -> CytomineSlide:
    """Opens an image. Raises NotFound, StoreError, InvalidRequest, CorruptInput, UnsupportedFormat."""
    server = CytomineServer(image)
    try:
        return CytomineSlide(image, server, options)
    except BaseException:
        server.close()
        raise


class CytomineSlide(SlideBase):
    """Satisfies Slide. Made by `open_cytomine`."""

    sparse: bool = False
    files: tuple[Path, ...] = ()

    def __init__(self, image: CytomineImage, server: CytomineServer, options: SourceOptions) -> None:
        """Raises as `open_cytomine`."""
        self.name = f"{server.name} image {image.image_id}"
        self._server, self._compression, self.background = server, image.compression, options.background
        self._path = f"/api/imageinstance/{image.image_id}"
        self._closed = False
        told = self._description()
        level = Level(self._side(told, "width"), self._side(told, "height"), TILE_SIDE, TILE_SIDE)
        first = self._fetch(level.tile_region(0, 0))
        try:
            pixel_format, self._encoding = self._kind(first)
        except CodecError as error:
            raise CorruptInput(f"{self.name}: its first window is damaged: {error}") from error
        # Micrometres; servers before 2020 call them resolution, and mean both axes.
        x_um = _number(told, "physicalSizeX") or _number(told, "resolution")
        spacing = plausible_spacing(x_um, _number(told, "physicalSizeY") or x_um)
        self.pyramid = Pyramid((level,), pixel_format, on_glass(spacing, level))
        self.metadata = _metadata(told)
        self.associated: Mapping[ImageFlavor, AssociatedImage] = {}
        self._pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="cytomine")

    def absent(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> bool:
        self._region(level, column, row, plane)
        return False

    def encoding(self, level: int) -> Encoding | None:
        self.pyramid.level(level)
        return self._encoding

    def lossy_method(self, level: int) -> str | None:
        self.pyramid.level(level)
        return "ISO_10918_1" if self._compression is WindowFormat.JPEG else None

    def stored_bytes(self, level: int) -> int:
        """An estimate by the window in the middle: the server does not tell before."""
        grid = self.pyramid.level(level)
        return max(1, round(self._bytes_per_pixel * grid.width * grid.height))

    @cached_property
    def _bytes_per_pixel(self) -> float:
        """Of what the server sends; that of a small window is mostly headers."""
        grid, pixel_format = self.pyramid.base, self.pyramid.pixel_format
        middle = grid.tile_region((grid.columns - 1) // 2, (grid.rows - 1) // 2)
        return min(float(pixel_format.bytes_per_pixel), len(self._fetch(middle)) / (middle.width * middle.height))

    def encoded_tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> EncodedTile | None:
        region = self._region(level, column, row, plane)
        if self._encoding is None or (region.width, region.height) != (TILE_SIDE, TILE_SIDE):
            return None
        data = self._fetch(region)
        try:
            header = parse_header(data)
        except CodecError as error:
            raise CorruptInput(f"{self._tile_name(column, row)}: {error}") from error
        end = end_of_stream(data)
        if end is None:
            raise CorruptInput(f"{self._tile_name(column, row)}: its JPEG stream is cut off")
        fits = (header.width, header.height) == (TILE_SIDE, TILE_SIDE) and header.baseline
        return EncodedTile(data[:end], self._encoding) if fits and _encoding(header) == self._encoding else None

    def encoded_row(self, level: int, row: int, plane: Plane = FIRST_PLANE) -> Iterator[EncodedTile | None]:
        from wsi_dicom.frames import in_order

        columns = range(self.pyramid.level(level).columns)
        fetched = in_order(
            self._pool, lambda column: self.encoded_tile(level, column, row, plane), columns, ahead=2 * CONNECTIONS
        )
        return (tile for _, tile in fetched)

    def tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> Pixels:
        region, pixel_format = self._region(level, column, row, plane), self.pyramid.pixel_format
        data = self._fetch(region)
        try:
            window = self._decode(data, region)
        except CodecError as error:
            raise CodecError(f"{self._tile_name(column, row)} does not decode: {error}") from error
        tile = np.empty((TILE_SIDE, TILE_SIDE, pixel_format.samples), window.dtype)
        fill(tile, background_samples(self.background, pixel_format))
        tile[: region.height, : region.width] = window
        return tile

    def close(self) -> None:
        self._closed = True
        self._server.close()  # before the pool, which waits for its requests
        self._pool.shutdown(cancel_futures=True)

    def _description(self) -> Mapping[str, object]:
        data = self._server.get(f"{self._path}.json", _LARGEST_DESCRIPTION)
        try:
            told = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise CorruptInput(f"{self.name}: its description is no JSON: {error}") from error
        if not isinstance(told, dict):
            raise CorruptInput(f"{self.name}: its description is no JSON object")
        return told

    def _side(self, told: Mapping[str, object], name: str) -> int:
        value = told.get(name)
        if type(value) is not int or not 1 <= value <= _LARGEST_SIDE:
            raise CorruptInput(f"{self.name} has a {name} of {value!r}: it has no pixels, or is no image")
        return value

    def _region(self, level: int, column: int, row: int, plane: Plane) -> Region:
        """Raises OutOfBounds."""
        grid = self._grid(level, plane)
        grid.tile_index(column, row)
        return grid.tile_region(column, row)

    def _tile_name(self, column: int, row: int) -> str:
        return f"{self.name}: level 0, tile column {column}, row {row}"

    def _fetch(self, region: Region) -> bytes:
        if self._closed:
            raise ValueError(f"{self.name} is closed")
        window = f"window-{region.x}-{region.y}-{region.width}-{region.height}.{self._compression.suffix}"
        return self._server.get(f"{self._path}/{window}", _LARGEST_WINDOW[self._compression])

    def _kind(self, window: bytes) -> tuple[PixelFormat, Encoding | None]:
        """The pixel format, and how windows are stored when DICOM may hold them so. Raises CodecError."""
        if self._compression is WindowFormat.PNG:
            _, _, samples, bits = _png_head(window)
            return PixelFormat(samples, 16 if bits == 16 else 8), None
        header = parse_header(window)
        if header.bits != 8 or len(header.components) not in (1, 3):
            raise UnsupportedFormat(
                f"{self.name}: sends JPEG of {len(header.components)} samples of {header.bits} bits; ask for PNG"
            )
        return PixelFormat(len(header.components), 8), _encoding(header) if header.baseline else None

    def _decode(self, data: bytes, region: Region) -> Pixels:
        """Shape (region.height, region.width, samples). Raises CodecError."""
        pixel_format = self.pyramid.pixel_format
        if self._compression is WindowFormat.JPEG:
            stored = EncodedTile(data, _encoding(parse_header(data)))
            return codec_for(JPEG_BASELINE).decode(stored, region.width, region.height, pixel_format)
        width, height, samples, bits = _png_head(data)
        found = width, height, samples, 16 if bits == 16 else 8
        if found != (region.width, region.height, pixel_format.samples, pixel_format.bits):
            raise CodecError(
                f"a PNG of {width} x {height} pixels with {samples} samples of {bits} bits where {region.width} x "
                f"{region.height} with {pixel_format.samples} of {pixel_format.bits} are expected"
            )
        return self._without_alpha(_decode_png(data).reshape(height, width, -1), samples)

    def _without_alpha(self, pixels: Pixels, samples: int) -> Pixels:
        """What is transparent shows the background."""
        if pixels.shape[2] == samples:
            return pixels
        if pixels.shape[2] != samples + 1:
            raise CodecError(f"a PNG of {pixels.shape[2]} samples where {samples}, and perhaps alpha, are expected")
        photometric = Photometric.RGB if samples == 3 else Photometric.BLACK_IS_ZERO
        stored = StoredSamples(photometric, samples + 1, 8 * pixels.dtype.itemsize, alpha=samples)
        return stored.pixels(pixels, self.background)


def _encoding(header: JpegHeader) -> Encoding:
    """Of a window: servers write JFIF, or say that it is RGB."""
    return Encoding(JPEG_BASELINE, header.photometric, header.sampling[0])


def _png_head(data: bytes) -> tuple[int, int, int, int]:
    """Width, height, samples without alpha, bits (ISO/IEC 15948 11.2.2). Raises CodecError."""
    if len(data) < _PNG_HEAD.size:
        raise CodecError("it is no PNG: it ends within its header")
    magic, chunk, width, height, bits, kind = _PNG_HEAD.unpack_from(data)
    if magic != b"\x89PNG\r\n\x1a\n" or chunk != b"IHDR" or kind not in _PNG_SAMPLES:
        raise CodecError("it is no PNG")
    return width, height, _PNG_SAMPLES[kind], bits


def _decode_png(data: bytes) -> Pixels:
    from imagecodecs import PngError, png_decode

    try:
        pixels: Pixels = png_decode(data)
    except (PngError, ValueError) as error:
        raise CodecError(f"PNG decoding failed: {error}") from error
    return pixels


def _number(told: Mapping[str, object], name: str) -> float | None:
    value = told.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _metadata(told: Mapping[str, object]) -> SlideMetadata:
    power = _number(told, "magnification")
    return SlideMetadata(
        objective_power=power if power and 0 < power <= 200 else None,
        properties={name: str(told[name]) for name in _PROPERTIES if told.get(name) is not None},
    )
