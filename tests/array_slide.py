"""A slide whose one level is an array: for tests whose subject is not how slides are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from wsi_dicom.codecs import codec_for
from wsi_dicom.codecs.transfer_syntaxes import lossy_method
from wsi_dicom.geometry import FIRST_PLANE, Level, PixelFormat, Plane, Pyramid, Spacing
from wsi_dicom.metadata import SlideMetadata
from wsi_dicom.patch import Patch
from wsi_dicom.slide import EncodedTile, Encoding, Pixels, SlideBase


class ArraySlide(SlideBase):
    """`encoding` None: nothing can be copied. `missing` tiles are stored nowhere. `decoded` counts calls of `tile`."""

    def __init__(
        self,
        pixels: Pixels,
        tile: tuple[int, int] = (64, 64),
        *,
        encoding: Encoding | None = None,
        missing: frozenset[tuple[int, int]] = frozenset(),
    ) -> None:
        height, width, samples = pixels.shape
        self.name = "array"
        self.files = ()
        self.pyramid = Pyramid(
            (Level(width, height, *tile),), PixelFormat(samples, pixels.dtype.itemsize * 8), Spacing(0.0005, 0.0005)
        )
        self.metadata = SlideMetadata()
        self.associated = {}
        self.sparse = False
        self.decoded = Counter()
        self._patch = Patch(self.pyramid.base.bounds, pixels)
        self._encoding, self._missing = encoding, missing

    def encoding(self, level: int) -> Encoding | None:
        return self._encoding

    def lossy_method(self, level: int) -> str | None:
        return None if self._encoding is None else lossy_method(self._encoding.transfer_syntax)

    def stored_bytes(self, level: int) -> int:
        return self._patch.pixels.nbytes

    def encoded_tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> EncodedTile | None:
        if self._encoding is None or (column, row) in self._missing:
            return None
        tile = self._patch.tile(self.pyramid.base, column, row)
        data = codec_for(self._encoding.transfer_syntax).encode(tile, self._encoding, 90)
        return EncodedTile(data, self._encoding)

    def absent(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> bool:
        return (column, row) in self._missing

    def encoded_row(self, level: int, row: int, plane: Plane = FIRST_PLANE) -> Iterator[EncodedTile | None]:
        return (self.encoded_tile(level, column, row, plane) for column in range(self.pyramid.base.columns))

    def tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> Pixels:
        self.pyramid.base.tile_index(column, row)
        self.decoded[column, row] += 1
        return self._patch.tile(self.pyramid.base, column, row)

    def close(self) -> None:
        return

    def __enter__(self) -> ArraySlide:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
