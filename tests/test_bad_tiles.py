"""Slides some of whose tiles are broken: what tells it, what takes their place, and that all else is as it was."""

from __future__ import annotations

import json
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import openslide
import pydicom
import pytest
import tifffile
from skimage.metrics import peak_signal_noise_ratio

from benchmarks.build_ndpi import encode_stripes, tissue
from tests.conftest import Run
from tests.ndpi_file import NdpiPage, maker
from tests.oracles import assert_conformant, frames, images, tiff_tiles
from tests.vendor_tiffs import Page, drop_tiles, levels, picture, write
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.convert import Dicomized, DicomizeOptions, dicomize
from wsi_dicom.dicom.slide import open_series
from wsi_dicom.errors import CodecError, CorruptInput
from wsi_dicom.geometry import Region
from wsi_dicom.plan import PlanOptions
from wsi_dicom.region import read_region
from wsi_dicom.slide import SourceOptions
from wsi_dicom.stores.folder import FolderStore

TILE = 64
COLUMNS = {0: 6, 1: 3}
"""Of tiles, by level."""
MIDDLE = {0: (2, 1), 1: (1, 1)}
"""Column and row of a tile that lies at no edge of its level, and no further left or up than another one."""

Damage = Callable[[bytes], bytes]
"""Bytes of a tile to those that are stored instead."""


def noise(tile: bytes) -> bytes:
    return random.Random(1).randbytes(len(tile))


def half(tile: bytes) -> bytes:
    return tile[: len(tile) // 2]


def broken_header(tile: bytes) -> bytes:
    """A JPEG stream, the length of whose first segment leads nowhere."""
    return tile[:4] + b"\xff\xff" + tile[6:]


def half_scan(tile: bytes) -> bytes:
    """Its header and its last marker are as they should be."""
    return tile[: len(tile) // 2] + b"\xff\xd9"


DAMAGES = (noise, half, broken_header)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6 x 5 tiles of JPEG, and a level of half the size."""
    path = tmp_path_factory.mktemp("whole") / "slide.tif"
    return write(path, [Page(pixels, None, TILE, um=0.5) for pixels in levels(picture(380, 300), 2)])


def damaged(whole: Path, folder: Path, level: int, damage: Damage) -> Path:
    """The slide with the middle tile of a level broken."""
    path = folder / "damaged.tif"
    column, row = MIDDLE[level]
    number = row * COLUMNS[level] + column
    with tifffile.TiffFile(whole) as file:
        page = file.pages[level]
        stored = damage(list(tiff_tiles(page))[number])
        offset, size = page.dataoffsets[number], page.tags["TileByteCounts"]
        count = size.valueoffset + number * (4 if size.dtype == 4 else 2)
    assert size.dtype in (3, 4)
    assert len(stored) <= size.value[number]
    data = bytearray(whole.read_bytes())
    data[offset : offset + len(stored)] = stored
    data[count : count + (4 if size.dtype == 4 else 2)] = len(stored).to_bytes(4 if size.dtype == 4 else 2, "little")
    path.write_bytes(data)
    return path


def without(whole: Path, folder: Path) -> Path:
    """The slide that lacks the middle tile of the finest level, which is no damage: background is shown there."""
    path = Path(shutil.copy(whole, folder / "without.tif"))
    column, row = MIDDLE[0]
    drop_tiles(path, 0, [row * COLUMNS[0] + column])
    return path


def converted(path: Path, output: Path, *, blank: bool = False, threads: int = 2, **plan: Any) -> Dicomized:
    options = DicomizeOptions(plan=PlanOptions(**plan), blank_bad_tiles=blank, threads=threads)
    return dicomize(path, FolderStore(output), options)


def told(done: Dicomized) -> list[tuple[int, int, int]]:
    """Level, column and row of each tile that is blank."""
    return [(bad.level, bad.column, bad.row) for bad in done.bad_tiles]


def level_frames(folder: Path) -> list[list[bytes]]:
    return [frames(dataset) for dataset in images(folder)["VOLUME"]]


WAYS: dict[str, dict[str, Any]] = {
    "copied": {},
    "one thread": {"threads": 1},
    "verified": {"verify": True},
    "pyramid": {"pyramid": True},
    "pyramid, five threads": {"pyramid": True, "threads": 5},
    "smooth pyramid": {"pyramid": True, "smooth": True},
    "encoded anew": {"reencode": True, "threads": 4},
    "lossless": {"reencode": True, "compression": Compression.HTJ2K},
    "recompressed": {"compression": Compression.JPEG_XL_RECOMPRESS},
    "other tiles": {"tile_width": 96, "tile_height": 80},
    "pyramid of other tiles": {"pyramid": True, "tile_width": 128, "tile_height": 48},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("damage", DAMAGES)
class TestDamagedTiff:
    def test_fails_by_name_and_leaves_nothing(self, whole: Path, tmp_path: Path, damage: Damage, way: str) -> None:
        path = damaged(whole, tmp_path, 0, damage)
        with pytest.raises((CorruptInput, CodecError), match=r"^damaged\.tif: level 0, tile column 2, row 1: [^\n]+$"):
            converted(path, tmp_path / "series", **WAYS[way])
        assert list(tmp_path.iterdir()) == [path]

    def test_becomes_background(self, whole: Path, tmp_path: Path, damage: Damage, way: str) -> None:
        """All frames are those of the slide that lacks the tile."""
        done = converted(damaged(whole, tmp_path, 0, damage), tmp_path / "a", blank=True, **WAYS[way])
        assert told(done) == [(0, 2, 1)]
        assert done.bad_tiles[0].reason.startswith("damaged.tif: level 0, tile column 2, row 1: ")
        expected = converted(without(whole, tmp_path), tmp_path / "b", **WAYS[way])
        assert expected.bad_tiles == ()
        assert level_frames(done.series.folder) == level_frames(expected.series.folder)


@pytest.mark.parametrize("way", [way for way in WAYS if "pyramid" not in way])
def test_a_coarser_level(whole: Path, tmp_path: Path, way: str) -> None:
    path = damaged(whole, tmp_path, 1, noise)
    with pytest.raises(CorruptInput, match=r"^damaged\.tif: level 1, tile column 1, row 1: "):
        converted(path, tmp_path / "series", **WAYS[way])
    assert list(tmp_path.iterdir()) == [path]
    done = converted(path, tmp_path / "a", blank=True, **WAYS[way])
    assert told(done) == [(1, 1, 1)]
    converted(whole, tmp_path / "b", **WAYS[way])
    (finest, ours), (same, theirs) = level_frames(tmp_path / "a"), level_frames(tmp_path / "b")
    assert finest == same
    lost, grid = Region(TILE, TILE, TILE, TILE), done.plan.levels[1].output
    others = set(grid.tiles()) - set(grid.tiles(lost))
    assert all(ours[grid.tile_index(*tile)] == theirs[grid.tile_index(*tile)] for tile in others)
    with open_series(done.outputs) as slide:
        assert read_region(slide, 1, lost).min() >= 240


def test_pixels_that_the_compression_cannot_hold(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "deep.tif", np.zeros((64, 64), np.uint16), tile=(64, 64))
    with pytest.raises(CodecError, match=r"^deep\.tif: JPEG baseline holds 8 bits .*choose another compression$"):
        converted(tmp_path / "deep.tif", tmp_path / "series", compression=Compression.JPEG)


def test_a_level_that_is_built_anew_is_not_read(whole: Path, tmp_path: Path) -> None:
    done = converted(damaged(whole, tmp_path, 1, noise), tmp_path / "a", blank=True, pyramid=True)
    assert done.bad_tiles == ()
    converted(whole, tmp_path / "b", pyramid=True)
    assert level_frames(tmp_path / "a") == level_frames(tmp_path / "b")


def test_other_readers_see_background_in_place_of_the_tile(
    whole: Path, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    path = damaged(whole, tmp_path, 0, noise)
    options = DicomizeOptions(reading=SourceOptions(color=(200, 100, 30)), blank_bad_tiles=True)
    done = dicomize(path, FolderStore(tmp_path / "series"), options)
    assert_conformant(done.outputs, tool)
    with openslide.OpenSlide(done.outputs[0]) as ours, openslide.OpenSlide(whole) as theirs:
        seen, scanned = (
            np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB")) for slide in (ours, theirs)
        )
    hole = np.zeros(seen.shape[:2], bool)
    hole[TILE : 2 * TILE, 2 * TILE : 3 * TILE] = True
    assert np.abs(seen[hole].astype(int) - (200, 100, 30)).max() <= 3
    np.testing.assert_array_equal(seen[~hole], scanned[~hole])


class TestTilesOutsideTheFile:
    """A file that is cut off, or whose offsets are wrong."""

    @pytest.fixture
    def path(self, whole: Path, tmp_path: Path) -> Path:
        path, number = tmp_path / "damaged.tif", 1 * COLUMNS[0] + 2
        data = bytearray(whole.read_bytes())
        with tifffile.TiffFile(whole) as file:
            offsets = file.pages.first.tags["TileOffsets"]
        struct.pack_into("<I", data, offsets.valueoffset + 4 * number, 1 << 31)
        path.write_bytes(data)
        return path

    def test_refused_before_anything_is_done(self, path: Path, tmp_path: Path) -> None:
        with pytest.raises(CorruptInput, match=r"damaged\.tif: .*tile column 2, row 1 .*truncated\?$"):
            converted(path, tmp_path / "series")
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize("way", WAYS)
    def test_becomes_background(self, whole: Path, path: Path, tmp_path: Path, way: str) -> None:
        assert told(converted(path, tmp_path / "a", blank=True, **WAYS[way])) == [(0, 2, 1)]
        converted(without(whole, tmp_path), tmp_path / "b", **WAYS[way])
        assert level_frames(tmp_path / "a") == level_frames(tmp_path / "b")


class TestSafety:
    """A tile that ends too early, though its header and its last marker are as they should be."""

    @pytest.fixture
    def path(self, whole: Path, tmp_path: Path) -> Path:
        return damaged(whole, tmp_path, 0, half_scan)

    def test_who_copies_does_not_look(self, whole: Path, path: Path, tmp_path: Path) -> None:
        assert converted(path, tmp_path / "a", blank=True).bad_tiles == ()
        converted(whole, tmp_path / "b")
        changed = [
            (level, number)
            for level, (ours, theirs) in enumerate(
                zip(level_frames(tmp_path / "a"), level_frames(tmp_path / "b"), strict=True)
            )
            for number, (one, other) in enumerate(zip(ours, theirs, strict=True))
            if one != other
        ]
        assert changed == [(0, COLUMNS[0] + 2)]

    def test_who_is_told_to_does(self, path: Path, tmp_path: Path) -> None:
        with pytest.raises(CodecError, match=r"^damaged\.tif: level 0, tile column 2, row 1: "):
            converted(path, tmp_path / "series", verify=True)
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize(
        "way",
        [
            {"verify": True},
            {"verify": True, "pyramid": True},
            {"verify": True, "reencode": True},
            {"compression": Compression.JPEG_XL_RECOMPRESS},  # which cannot be done without looking
        ],
    )
    def test_becomes_background(self, whole: Path, path: Path, tmp_path: Path, way: dict[str, Any]) -> None:
        assert told(converted(path, tmp_path / "a", blank=True, **way)) == [(0, 2, 1)]
        converted(without(whole, tmp_path), tmp_path / "b", **way)
        assert level_frames(tmp_path / "a") == level_frames(tmp_path / "b")


def test_a_stream_that_jpeg_xl_cannot_hold_is_encoded_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Which is not broken: libjxl knows chroma of half the width, not of a quarter."""
    pixels = picture(128, 64)
    quarter = [bytes(imagecodecs.jpeg8_encode(pixels[:, x : x + 64], level=90, subsampling="411")) for x in (0, 64)]
    tifffile.imwrite(
        tmp_path / "slide.tif", iter(quarter), shape=pixels.shape, dtype=np.uint8, tile=(64, 64),
        compression="jpeg", photometric="ycbcr", subsampling=(4, 1),
    )  # fmt: skip
    done = converted(tmp_path / "slide.tif", tmp_path / "series", compression=Compression.JPEG_XL_RECOMPRESS)
    assert "slide.tif: level 0, tile column 1, row 0: encoded anew: " in caplog.text
    assert done.bad_tiles == ()
    with open_series(done.outputs) as slide:
        assert peak_signal_noise_ratio(pixels, read_region(slide, 0, slide.pyramid.base.bounds)) > 28


class TestDicom:
    """A frame of a series."""

    @pytest.fixture
    def series(self, whole: Path, tmp_path: Path) -> Path:
        """Whose frame 8 of the finest level begins with noise."""
        done = converted(whole, tmp_path / "source")
        base = max(done.outputs, key=lambda path: path.stat().st_size)
        frame = frames(pydicom.dcmread(base))[COLUMNS[0] + 2]
        base.write_bytes(base.read_bytes().replace(frame, noise(frame)))
        return tmp_path / "source"

    @pytest.mark.parametrize("way", ["verified", "pyramid", "smooth pyramid", "encoded anew", "other tiles"])
    def test_a_broken_frame(self, whole: Path, series: Path, tmp_path: Path, way: str) -> None:
        with pytest.raises((CorruptInput, CodecError), match=r"^[\d.]+: level 0, tile column 2, row 1[^\n]+$"):
            converted(series, tmp_path / "series", **WAYS[way])
        assert list(tmp_path.iterdir()) == [series]
        assert told(converted(series, tmp_path / "a", blank=True, **WAYS[way])) == [(0, 2, 1)]
        converted(without(whole, tmp_path), tmp_path / "b", **WAYS[way])
        assert level_frames(tmp_path / "a") == level_frames(tmp_path / "b")


def test_ndpi(tmp_path: Path) -> None:
    """The stream ends early: the tiles of two of its four rows are lost."""
    stream = encode_stripes(tissue(256, 512), 16, "4:4:4")
    parts = list(stream.parts())
    path = maker(tmp_path)(NdpiPage(256, 512, parts[:70], stream.starts(), 20))
    with pytest.raises(CorruptInput, match=r"^made\.ndpi: .*tile column 0, row 2: "):
        converted(path, tmp_path / "series")
    assert list(tmp_path.iterdir()) == [path]
    done = converted(path, tmp_path / "a", blank=True)
    assert told(done) == [(0, column, row) for row in (2, 3) for column in (0, 1)]
    path = maker(tmp_path)(NdpiPage(256, 512, parts, stream.starts(), 20))
    whole = level_frames(converted(path, tmp_path / "b").series.folder)
    (base,) = level_frames(done.series.folder)
    assert base[:4] == whole[0][:4]
    with open_series(done.outputs) as slide:
        for tile in told(done):
            assert slide.tile(*tile).min() >= 253


class TestCommand:
    def test_fails_in_one_line(self, run: Run, whole: Path, tmp_path: Path) -> None:
        path = damaged(whole, tmp_path, 0, noise)
        said = run("dicomize", path, "--folder", "out", code=2).stderr
        assert "damaged.tif: level 0, tile column 2, row 1: " in said
        assert list((tmp_path / "here").iterdir()) == []

    def test_tells_the_blank_ones(self, run: Run, whole: Path, tmp_path: Path) -> None:
        path = damaged(whole, tmp_path, 0, half_scan)
        assert json.loads(run("dicomize", path, "--json").stdout)["bad_tiles"] == []
        done = run("dicomize", path, "--on-bad-tile", "blank", "--safety", "--json")
        (bad,) = json.loads(done.stdout)["bad_tiles"]
        assert bad.pop("reason").startswith("damaged.tif: level 0, tile column 2, row 1: ")
        assert bad == {"level": 0, "column": 2, "row": 1, "optical_path": 0, "focal_plane": 0}
        told = run("dicomize", path, "--on-bad-tile", "blank", "--safety").stderr
        assert "warning: blank: damaged.tif: level 0, tile column 2, row 1: " in told
        assert "tile column 2, row 1" in run("dicomize", path, "--safety", code=2).stderr
