"""What every kind of slide must do. Subclass it, say which file, and whose pixels to compare with."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import openslide
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.errors import OutOfBounds
from wsi_dicom.geometry import FIRST_PLANE, Plane, Region
from wsi_dicom.slide import Slide
from wsi_dicom.sources import open_slide


class Reader(Protocol):
    """Another program's view of a slide."""

    sizes: Sequence[tuple[int, int]]
    """(width, height) of each level."""

    def region(self, level: int, region: Region, plane: Plane = FIRST_PLANE) -> NDArray[np.unsignedinteger]:
        """Shape (height, width, samples). Planes other than the first are asked for where `reader_knows_planes`."""
        ...


class TifffileReader:
    """The levels of the first series, read whole."""

    def __init__(self, path: Path) -> None:
        with tifffile.TiffFile(path) as file:
            self._levels = [level.asarray() for level in file.series[0].levels]
        self.sizes = [(level.shape[1], level.shape[0]) for level in self._levels]

    def region(self, level: int, region: Region, plane: Plane = FIRST_PLANE) -> NDArray[np.unsignedinteger]:
        pixels = self._levels[level][region.y : region.bottom, region.x : region.right]
        return pixels.reshape(region.height, region.width, -1)


class OpenslideReader:
    def __init__(self, path: Path) -> None:
        self._slide = openslide.OpenSlide(path)
        self.sizes = list(self._slide.level_dimensions)

    def region(self, level: int, region: Region, plane: Plane = FIRST_PLANE) -> NDArray[np.unsignedinteger]:
        scale = self._slide.level_downsamples[level]
        at = round(region.x * scale), round(region.y * scale)
        pixels = self._slide.read_region(at, level, (region.width, region.height))
        return np.asarray(Image.alpha_composite(Image.new("RGBA", pixels.size, "white"), pixels))[:, :, :3]


class SourceContract:
    """Attributes of the subclass: `reader`, whether it knows all planes of a slide or only the first, and how far
    samples may differ from its (another libjpeg may round).
    """

    reader: type[Reader] = TifffileReader
    reader_knows_planes = False
    tolerance = 0
    tiles_compared = 60

    @pytest.fixture
    def path(self) -> Path:
        raise NotImplementedError

    @pytest.fixture
    def slide(self, path: Path) -> Iterator[Slide]:
        with open_slide(path) as slide:
            yield slide

    def _tiles(self, slide: Slide) -> list[tuple[int, int, int]]:
        """A sample of (level, column, row) with all corners in it, the same in each run."""
        chosen: set[tuple[int, int, int]] = set()
        for number, level in enumerate(slide.pyramid.levels):
            every = list(level.tiles())
            corners = {(c, r) for c in (0, level.columns - 1) for r in (0, level.rows - 1)}
            picked = every[:: -(-len(every) // self.tiles_compared)]
            chosen |= {(number, column, row) for column, row in {*picked, *corners}}
        return sorted(chosen)

    def _places(self, slide: Slide) -> list[tuple[int, int, int, Plane]]:
        """The sample on every plane."""
        return [(*tile, plane) for plane in slide.pyramid.planes for tile in self._tiles(slide)]

    def test_levels_have_the_sizes_that_the_other_reader_sees(self, slide: Slide, path: Path) -> None:
        assert [(level.width, level.height) for level in slide.pyramid.levels] == self.reader(path).sizes

    def test_the_file_is_among_those_that_the_slide_is_read_from(self, slide: Slide, path: Path) -> None:
        assert any(file.is_relative_to(path) for file in slide.files)

    def test_tiles_have_the_pixels_that_the_other_reader_sees(self, slide: Slide, path: Path) -> None:
        reader = self.reader(path)
        for level, column, row, plane in self._places(slide):
            grid = slide.pyramid.levels[level]
            inside = grid.tile_region(column, row)
            tile = slide.tile(level, column, row, plane)
            assert tile.shape == (grid.tile_height, grid.tile_width, slide.pyramid.pixel_format.samples)
            assert tile.dtype == (np.uint8 if slide.pyramid.pixel_format.bits == 8 else np.uint16)
            if plane != FIRST_PLANE and not self.reader_knows_planes:
                continue
            expected = reader.region(level, inside, plane).astype(int)
            difference = np.abs(tile[: inside.height, : inside.width].astype(int) - expected)
            assert difference.max() <= self.tolerance, f"level {level}, column {column}, row {row}, {plane}"

    def test_encoded_tiles_decode_elsewhere_to_the_same_pixels(self, slide: Slide) -> None:
        for level, column, row, plane in self._places(slide):
            encoded = slide.encoded_tile(level, column, row, plane)
            if slide.encoding(level) is None:
                assert encoded is None
            elif encoded is not None:
                assert encoded.encoding == slide.encoding(level)
                with Image.open(io.BytesIO(encoded.data)) as picture:
                    pixels = np.asarray(picture)
                assert np.array_equal(pixels.reshape(*pixels.shape[:2], -1), slide.tile(level, column, row, plane))

    def test_rows_hold_the_encoded_tiles(self, slide: Slide) -> None:
        for plane in slide.pyramid.planes:
            for number, level in enumerate(slide.pyramid.levels):
                for row in {0, level.rows // 2, level.rows - 1}:
                    single = [slide.encoded_tile(number, column, row, plane) for column in range(level.columns)]
                    assert list(slide.encoded_row(number, row, plane)) == single

    def test_absent_tiles_are_blank_and_a_sparse_slide_has_some(self, slide: Slide) -> None:
        for place in self._places(slide):
            if slide.absent(*place):
                assert slide.encoded_tile(*place) is None
                level, column, row, _ = place
                inside = slide.pyramid.levels[level].tile_region(column, row)
                tile = slide.tile(*place)[: inside.height, : inside.width]
                assert (tile == tile[0, 0]).all(), place
        if slide.sparse:
            base = slide.pyramid.base
            assert any(slide.absent(0, *tile, plane) for plane in slide.pyramid.planes for tile in base.tiles())

    def test_stored_bytes_bound_the_encoded_tiles(self, slide: Slide) -> None:
        for number, level in enumerate(slide.pyramid.levels):
            planes = slide.pyramid.planes
            encoded = (slide.encoded_tile(number, *tile, plane) for plane in planes for tile in level.tiles())
            total = sum(len(tile.data) for tile in encoded if tile is not None)
            assert total <= slide.stored_bytes(number)

    def test_what_lies_outside_is_refused(self, slide: Slide) -> None:
        base = slide.pyramid.base
        outside = [(0, base.columns, 0), (0, 0, base.rows), (0, -1, 0), (0, 0, -1), (-1, 0, 0)]
        for place in [*outside, (len(slide.pyramid.levels), 0, 0)]:
            with pytest.raises(OutOfBounds):
                slide.tile(*place)
            with pytest.raises(OutOfBounds):
                slide.encoded_tile(*place)
            with pytest.raises(OutOfBounds):
                slide.absent(*place)
        for plane in (Plane(0, slide.pyramid.focal_planes), Plane(slide.pyramid.optical_paths, 0), Plane(0, -1)):
            for read in (slide.tile, slide.encoded_tile, slide.absent):
                with pytest.raises(OutOfBounds):
                    read(0, 0, 0, plane)

    def test_threads_read_what_one_reads(self, slide: Slide) -> None:
        every = self._places(slide)
        places = every[:: -(-len(every) // 48)] * 2
        alone = [slide.tile(*place) for place in places]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda place: slide.tile(*place), places))
        assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))

    def test_a_closed_slide_reads_no_more(self, path: Path) -> None:
        with open_slide(path) as slide:
            slide.tile(0, 0, 0)
        last = slide.pyramid.base.columns - 1, slide.pyramid.base.rows - 1  # not in a cache
        with pytest.raises(ValueError, match="closed"):
            slide.tile(0, *last)


def scan(stream: bytes) -> bytes:
    """The entropy-coded data of a JPEG stream, found without the code under test."""
    position = 2
    while True:
        marker, size = stream[position + 1], int.from_bytes(stream[position + 2 : position + 4], "big")
        position += 2 + size
        if marker == 0xDA:
            return stream[position : stream.rindex(b"\xff\xd9")]


class CopiedJpegContract:
    """For slides whose JPEG tiles are copied: nothing but headers may change."""

    def test_scans_are_those_of_the_file(self, slide: Slide, path: Path) -> None:
        with tifffile.TiffFile(path) as file, path.open("rb") as raw:
            for number, level in enumerate(slide.pyramid.levels):
                encoding = slide.encoding(number)
                assert encoding is not None
                assert encoding.transfer_syntax == JPEG_BASELINE
                page = file.series[0].levels[number].pages[0]
                assert page is not None
                for index, (column, row) in enumerate(level.tiles()):
                    raw.seek(page.dataoffsets[index])
                    tile = slide.encoded_tile(number, column, row)
                    assert tile is not None
                    assert scan(tile.data) == scan(raw.read(page.databytecounts[index]))
