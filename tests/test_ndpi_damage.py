"""NDPI files that tell wrong offsets, are broken, cut off, or larger than 4 GiB, against tifffile and Pillow."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

from benchmarks.build_ndpi import FLOAT, LONG, JpegStripes, NdpiPage, encode_stripes, tissue
from tests.ndpi_file import Maker, assert_shows, maker, page, whole
from wsi_dicom.errors import CorruptInput, UnsupportedFormat, WsiError
from wsi_dicom.sources import ndpi, open_slide


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return maker(tmp_path)


class TestTellingOffsets:
    """Where the restart intervals are told wrong, or not at all, they are found all the same."""

    width, height = 512, 320

    @pytest.fixture
    def stream(self) -> JpegStripes:
        return encode_stripes(tissue(self.width, self.height), 16, "4:4:4")

    def _shows(self, path: Path, stream: JpegStripes) -> None:
        with open_slide(path) as slide:
            assert_shows(slide, 0, whole(stream))
            assert all(tile is not None for tile in slide.encoded_row(0, 1))

    def test_no_field(self, make: Maker, stream: JpegStripes) -> None:
        self._shows(make(NdpiPage(self.width, self.height, stream.parts(), None, 40)), stream)

    @pytest.mark.parametrize("wrong", ["zero", "shifted", "one in the middle", "shuffled", "too few", "not numbers"])
    def test_wrong_ones(self, make: Maker, stream: JpegStripes, wrong: str) -> None:
        starts = stream.starts()
        fields = {}
        if wrong == "zero":
            starts = starts * 0
        elif wrong == "shifted":
            starts = starts + 3
        elif wrong == "one in the middle":
            starts[len(starts) // 2 + 5] += 4
        elif wrong == "shuffled":
            starts[10], starts[11] = starts[11], starts[10]
        elif wrong == "too few":
            starts = starts[:-1]
        else:
            fields = {65426: (FLOAT, [0.5] * len(starts))}
        self._shows(
            make(NdpiPage(self.width, self.height, stream.parts(), starts, 40, fields)),
            stream,
        )

    def test_a_field_that_lies_outside_the_file(self, make: Maker, stream: JpegStripes) -> None:
        path = make(page(stream, self.width, self.height))
        data = bytearray(path.read_bytes())
        entry = data.index((65426).to_bytes(2, "little") + (LONG).to_bytes(2, "little"))
        data[entry + 8 : entry + 12] = (len(data) - 4).to_bytes(4, "little")
        path.write_bytes(data)
        self._shows(path, stream)


class TestLostData:
    """What is left of a broken stream is shown; for the rest, an error names the tile."""

    width, height = 256, 512  # 2 x 4 tiles of 128 x 128

    @pytest.fixture
    def stream(self) -> JpegStripes:
        return encode_stripes(tissue(self.width, self.height), 16, "4:4:4")

    def _shows_all_but(self, lost: set[tuple[int, int]], path: Path, stream: JpegStripes) -> None:
        expected = whole(stream)
        with open_slide(path) as slide:
            for column, row in [*slide.pyramid.base.tiles()] * 2:
                if (column, row) not in lost:
                    inside = slide.pyramid.base.tile_region(column, row)
                    shown = expected[inside.y : inside.bottom, inside.x : inside.right]
                    assert np.array_equal(slide.tile(0, column, row), shown)
                    continue
                for read in (slide.tile, slide.encoded_tile):
                    with pytest.raises(CorruptInput, match=f"magnification 20, tile column {column}, row {row}: "):
                        read(0, column, row)

    @pytest.mark.parametrize("told", [True, False])
    def test_a_stream_that_ends_early(self, make: Maker, stream: JpegStripes, told: bool) -> None:
        parts = list(stream.parts())[:70]  # the header and 69 of 128 intervals: 34.5 rows of 64
        path = make(NdpiPage(self.width, self.height, parts, stream.starts() if told else None, 20))
        self._shows_all_but({(0, 2), (1, 2), (0, 3), (1, 3)}, path, stream)

    @pytest.mark.parametrize("told", [True, False])
    def test_a_restart_marker_that_is_lost(self, make: Maker, stream: JpegStripes, told: bool) -> None:
        parts = list(stream.parts())
        parts[100] = parts[100][:-2] + b"\0\0"  # of interval 99, in row 49 of 64
        path = make(NdpiPage(self.width, self.height, parts, stream.starts() if told else None, 20))
        self._shows_all_but({(1, 3)} if told else {(0, 3), (1, 3)}, path, stream)

    def test_a_row_fails_like_its_tiles(self, make: Maker, stream: JpegStripes) -> None:
        path = make(NdpiPage(self.width, self.height, list(stream.parts())[:70], None, 20))
        with open_slide(path) as slide:
            assert len(list(slide.encoded_row(0, 1))) == 2
            with pytest.raises(CorruptInput, match=r"tile column 0, row 2: the JPEG stream ends, or breaks, after 69"):
                list(slide.encoded_row(0, 2))
            assert slide.stored_bytes(0) > 0

    def test_a_truncated_file(self, make: Maker, stream: JpegStripes, tmp_path: Path) -> None:
        data = make(page(stream, self.width, self.height)).read_bytes()
        for size in (11, 40, len(data) // 2, len(data) - 100):
            path = tmp_path / "cut.ndpi"
            path.write_bytes(data[:size])
            with pytest.raises((UnsupportedFormat, CorruptInput), match=r"cut\.ndpi"):
                open_slide(path)

    def test_a_stream_that_is_told_to_go_on_behind_the_file(self, make: Maker, stream: JpegStripes) -> None:
        path = make(page(stream, self.width, self.height, fields={279: (LONG, [10**9])}))
        with pytest.raises(CorruptInput, match=r"IFD 0: 1000000000 bytes of JPEG .* truncated"):
            open_slide(path)

    def test_sizes_that_the_stream_cannot_hold(self, make: Maker, stream: JpegStripes) -> None:
        huge = stream.with_size(2**20, 2**30)
        with pytest.raises(CorruptInput, match=r"cannot hold \d+ restart intervals"):
            open_slide(make(page(huge, 2**20, 2**30)), source="ndpi")


class TestFilesOver4GiB:
    """Sparse files; OpenSlide does not read them, tifffile does."""

    width, height = 256, 320

    @pytest.fixture
    def stream(self) -> JpegStripes:
        return encode_stripes(tissue(self.width, self.height), 16, "4:4:4")

    def test_pages_beyond_4_gib(self, make: Maker, stream: JpegStripes) -> None:
        coarse = encode_stripes(tissue(self.width // 2, self.height // 2), 16, "4:4:4")
        path = make(
            page(stream, self.width, self.height, 40),
            page(coarse, self.width // 2, self.height // 2, 20),
            begin=(1 << 32) - 3000,  # the first page, and its intervals, lie on both sides of 4 GiB
        )
        with open_slide(path) as slide, tifffile.TiffFile(path) as file:
            assert path.stat().st_size > 1 << 32
            assert slide.metadata.objective_power == 40
            assert slide.metadata.model == "C13210"
            for number, expected in enumerate((whole(stream), whole(coarse))):
                assert_shows(slide, number, expected)
                assert np.array_equal(file.series[0].levels[number].asarray(), expected)

    @pytest.mark.parametrize("high", [True, False])
    def test_a_stream_of_more_than_4_gib(self, make: Maker, stream: JpegStripes, high: bool) -> None:
        """A hole of 4 GiB is part of an interval of the first row of tiles; what lies behind is read by its offset."""
        parts: list[bytes | int] = list(stream.parts())
        torn = stream.stripes[6]
        hole = (1 << 32) - len(torn) - 100
        parts[7:8] = [torn[:9], hole, torn[9:] + b"\xff\xd6"]
        starts = stream.starts()
        starts[7:] += hole
        assert starts[6] < 1 << 32 < starts[7] < (1 << 32) + starts[6]
        path = make(NdpiPage(self.width, self.height, parts, starts, 40, high=high))
        with open_slide(path) as slide, tifffile.TiffFile(path) as file:
            assert slide.stored_bytes(0) > 1 << 32
            assert file.pages[0].tags[279].value[0] > 1 << 32
            level = slide.pyramid.base
            expected = whole(stream)
            assert level.rows > 1
            for column, row in level.tiles():
                if row == 0:
                    continue
                inside = level.tile_region(column, row)
                tile = slide.tile(0, column, row)[: inside.height, : inside.width]
                assert np.array_equal(tile, expected[inside.y : inside.bottom, inside.x : inside.right])
            with pytest.raises(CorruptInput, match=r"column 0, row 0: restart intervals .* the limit is 256 MiB"):
                slide.tile(0, 0, 0)


def test_damaged_files_end_in_one_error_or_in_pixels(make: Maker, tmp_path: Path) -> None:
    intact = make(
        page(encode_stripes(tissue(128, 96), 8, "4:2:0"), 128, 96, 40),
        NdpiPage(64, 48, encode_stripes(tissue(64, 48), 0).parts(), None, 20),
        NdpiPage(64, 48, encode_stripes(tissue(64, 48), 0).parts(), None, -1),
    ).read_bytes()
    chance, outcomes = random.Random(1), set()
    for _ in range(250):
        data = bytearray(intact)
        for _ in range(chance.choice((1, 2, 8))):
            data[chance.randrange(len(data))] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
        path = tmp_path / "damaged.ndpi"
        path.write_bytes(data[: chance.choice((len(data), len(data), chance.randrange(len(data))))])
        outcomes.add(_outcome(path))
    assert outcomes >= {None, UnsupportedFormat, CorruptInput}


def _outcome(path: Path) -> type[WsiError] | None:
    """The kind of error, whose message is one line that names the file; None when all could be read."""
    try:
        with ndpi.FORMAT.open(path) as slide:
            for number, level in enumerate(slide.pyramid.levels):
                for column, row in list(level.tiles())[:40]:
                    slide.tile(number, column, row)
            for picture in slide.associated.values():
                picture.pixels()
    except WsiError as error:
        return type(error) if re.fullmatch(r".*damaged\.ndpi.*", str(error)) else pytest.fail(f"message: {error}")
    return None
