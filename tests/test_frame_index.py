"""Frames are found whatever the offset tables say; what was put in by hand, or by pydicom, must come out."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.filereader import dcmread
from pydicom.uid import ExplicitVRLittleEndian

from tests.foreign_series import TILE, Picture, header, item, jpeg_frames, native_frames, padded, save, save_native
from wsi_dicom.dicom.slide import DicomSlide, open_series
from wsi_dicom.errors import CorruptInput

FRAMES = jpeg_frames(6)
NO_TABLE = item(b"")


def encoded(slide: DicomSlide) -> list[bytes]:
    tiles = [slide.encoded_tile(0, column, row) for column, row in slide.pyramid.base.tiles()]
    return [b"" if tile is None else tile.data for tile in tiles]


def in_rows(slide: DicomSlide) -> list[bytes]:
    rows = [slide.encoded_row(0, row) for row in range(slide.pyramid.base.rows)]
    return [b"" if tile is None else tile.data for row in rows for tile in row]


def offsets(items: list[bytes]) -> list[int]:
    return list(accumulate((len(data) for data in items[:-1]), initial=0))


def table(entries: list[int], code: str = "I") -> bytes:
    return item(struct.pack(f"<{len(entries)}{code}", *entries))


def fragments(frame: bytes, count: int) -> bytes:
    frame = padded(frame)
    cut = len(frame) // count // 2 * 2
    return b"".join(item(frame[i * cut : (i + 1) * cut if i + 1 < count else None]) for i in range(count))


ITEMS = [item(padded(frame)) for frame in FRAMES]
SPLIT = [fragments(frame, 1 + number % 3) for number, frame in enumerate(FRAMES)]
WRONG_LENGTH_OF_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0x7FFFFFF0)

LAYOUTS = {
    "basic table": encapsulate(FRAMES),
    "no table": encapsulate(FRAMES, has_bot=False),
    "fragments with a table": encapsulate(FRAMES, fragments_per_frame=3),
    "fragments without a table": NO_TABLE + b"".join(SPLIT),
    "uneven fragments with a table": table(offsets(SPLIT)) + b"".join(SPLIT),
    "table of zeros": table([0] * 6) + b"".join(ITEMS),
    "table of nonsense": table([0, 7, 0xFFFFFFF0, 3, 0x80000000, 99]) + b"".join(ITEMS),
    "table off by one": table([offset + 1 for offset in offsets(ITEMS)]) + b"".join(ITEMS),
    "table of another length": table(offsets(ITEMS)[:4]) + b"".join(ITEMS),
    "table from the start of the element": table([offset + 32 for offset in offsets(ITEMS)]) + b"".join(ITEMS),
    "frames in reverse order": table(offsets(ITEMS[::-1])[::-1]) + b"".join(ITEMS[::-1]),
    "fragments in reverse order": table(offsets(SPLIT[::-1])[::-1]) + b"".join(SPLIT[::-1]),
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def _write(pixel_data: bytes, *tables: bytes, frames: int = 6) -> Path:
        picture = Picture(frames=frames)
        return save(tmp_path / "image.dcm", header(picture), picture.syntax, pixel_data, tables)

    return _write


@pytest.mark.parametrize("layout", LAYOUTS)
def test_frames_are_found(write: Callable[..., Path], layout: str) -> None:
    path = write(LAYOUTS[layout])
    with open_series([path]) as slide:
        assert in_rows(slide) == FRAMES
    with open_series([path]) as slide:
        assert encoded(slide) == FRAMES
        assert encoded(slide)[::-1] == FRAMES[::-1]
        assert slide.stored_bytes(0) >= sum(map(len, FRAMES))


def test_pydicom_agrees_on_the_layouts(write: Callable[..., Path]) -> None:
    for name in ("basic table", "no table", "uneven fragments with a table", "fragments without a table"):
        data = dcmread(write(LAYOUTS[name]))
        found = generate_frames(data.PixelData, number_of_frames=6)
        assert [frame[: len(good)] for frame, good in zip(found, FRAMES, strict=True)] == FRAMES, name


def test_extended_offset_table(write: Callable[..., Path]) -> None:
    with open_series([write(*encapsulate_extended(FRAMES))]) as slide:
        assert in_rows(slide) == FRAMES
        assert encoded(slide) == FRAMES


def test_extended_table_wins_where_both_are_there(write: Callable[..., Path]) -> None:
    _, starts, lengths = encapsulate_extended(FRAMES)
    with open_series([write(LAYOUTS["table of zeros"], starts, lengths)]) as slide:
        assert encoded(slide) == FRAMES


def test_extended_table_of_nonsense(write: Callable[..., Path]) -> None:
    pixel_data, _, lengths = encapsulate_extended(FRAMES)
    nonsense = struct.pack("<6Q", 0, 1 << 62, 5, (1 << 64) - 1, 0, 8)
    with open_series([write(pixel_data, nonsense, lengths)]) as slide:
        assert in_rows(slide) == FRAMES
        assert encoded(slide) == FRAMES


def test_rows_of_large_and_small_frames(tmp_path: Path) -> None:
    """What is read at once holds several of the small ones, and less than one of the large."""
    side = 432
    noise = jpeg_frames(50, side)  # the later, the larger
    blank = bytes(imagecodecs.jpeg8_encode(np.zeros((side, side, 3), np.uint8), level=50))
    frames = [noise[49], blank, noise[0], noise[48], *[blank] * 3, *noise[:5]]
    assert len(noise[48]) > 1 << 18
    picture = Picture(12 * side, side, side, frames=12)
    path = save(tmp_path / "image.dcm", header(picture), picture.syntax, encapsulate(frames))
    with open_series([path]) as slide:
        assert in_rows(slide) == frames


@pytest.mark.parametrize("has_table", [True, False])
def test_single_frame_in_fragments(tmp_path: Path, has_table: bool) -> None:
    frame = jpeg_frames(1)
    picture = Picture(width=TILE, height=TILE, frames=1)
    path = tmp_path / "image.dcm"
    save(path, header(picture), picture.syntax, encapsulate(frame, fragments_per_frame=4, has_bot=has_table))
    with open_series([path]) as slide:
        assert encoded(slide) == frame


def test_padding_is_taken_off_and_nothing_else(write: Callable[..., Path]) -> None:
    assert {len(frame) % 2 for frame in FRAMES} == {0, 1}
    assert all(frame.endswith(b"\xff\xd9") for frame in FRAMES)
    with open_series([write(LAYOUTS["basic table"])]) as slide:
        assert [len(frame) for frame in encoded(slide)] == [len(frame) for frame in FRAMES]


def test_empty_item_is_a_missing_tile(write: Callable[..., Path]) -> None:
    items = [*ITEMS[:2], item(b""), *ITEMS[3:]]
    with open_series([write(table(offsets(items)) + b"".join(items))]) as slide:
        assert encoded(slide) == in_rows(slide) == [*FRAMES[:2], b"", *FRAMES[3:]]
        assert slide.encoded_tile(0, 2, 0) is None
        assert (slide.tile(0, 2, 0) == 255).all()


def test_missing_sequence_delimiter(write: Callable[..., Path]) -> None:
    path = write(LAYOUTS["basic table"])
    content = path.read_bytes()
    assert content[-8:-4] == b"\xfe\xff\xdd\xe0"
    path.write_bytes(content[:-8])
    with open_series([path]) as slide:
        assert encoded(slide) == FRAMES


@pytest.mark.parametrize(
    "pixel_data",
    [
        NO_TABLE + b"".join(ITEMS[:5]),
        NO_TABLE + b"".join([*ITEMS[:5], WRONG_LENGTH_OF_ITEM]),
        table([0] * 6) + b"".join([*ITEMS[:3], b"\0" * 8, *ITEMS[3:]]),
        NO_TABLE + b"".join(item(b"ab") for _ in range(60)),
    ],
    ids=["a frame too few", "item beyond the end", "no item where one is due", "no telling which fragment is whose"],
)
def test_damaged_frames(write: Callable[..., Path], pixel_data: bytes) -> None:
    with pytest.raises(CorruptInput, match=r"image\.dcm"), open_series([write(pixel_data)]) as slide:
        encoded(slide)


@pytest.mark.filterwarnings("ignore:Invalid value for VR:UserWarning")  # pydicom, of a UID cut short
def test_truncated_file(write: Callable[..., Path]) -> None:
    """Wherever it breaks off: frames before are good, the rest is refused with the file's name."""
    path = write(LAYOUTS["basic table"])
    content = path.read_bytes()
    ends = []
    for length in range(0, len(content) - 8, 61):
        path.write_bytes(content[:length])
        good = 0
        try:
            with open_series([path]) as slide:
                for (column, row), frame in zip(slide.pyramid.base.tiles(), FRAMES, strict=True):
                    tile = slide.encoded_tile(0, column, row)
                    assert tile is not None
                    assert tile.data == frame
                    good += 1
        except CorruptInput as error:
            assert "image.dcm" in str(error)  # noqa: PT017 - either it opens and then fails, or it does not open
            ends.append(good)
    assert ends[0] == 0
    assert max(ends) == 5
    assert ends == sorted(ends)


def test_basic_table_that_overflowed(write: Callable[..., Path]) -> None:
    """Frames of more than 4 GiB with 32-bit offsets that went round; the huge ones in between are refused, not read."""
    huge = (9 << 28) - 8
    starts = [0, len(ITEMS[0]), len(ITEMS[0]) + huge + 8, len(ITEMS[0]) + 2 * (huge + 8)]
    starts += [starts[-1] + len(ITEMS[3]), starts[-1] + len(ITEMS[3]) + len(ITEMS[4])]
    assert starts[3] > 1 << 32
    path = write(table([start % (1 << 32) for start in starts]))
    with path.open("r+b") as file:
        base = file.seek(-8, 2)
        for number, start in enumerate(starts):
            file.seek(base + start)
            file.write(struct.pack("<HHI", 0xFFFE, 0xE000, huge) if number in (1, 2) else ITEMS[number])
        file.write(struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))
    with open_series([path]) as slide:
        for number in (0, 3, 4, 5):
            tile = slide.encoded_tile(0, number % 3, number // 3)
            assert tile is not None
            assert tile.data == FRAMES[number]
        with pytest.raises(CorruptInput, match=r"frame 2 has \d+ bytes"):
            slide.encoded_tile(0, 1, 0)


def test_native_pixels_of_more_than_2_gib(tmp_path: Path) -> None:
    side, across = 1024, 30
    picture = Picture(side * across, side * across, side, across * across, ExplicitVRLittleEndian, "RGB")
    path = save(tmp_path / "image.dcm", header(picture), ExplicitVRLittleEndian, None)
    size = side * side * 3
    last = native_frames(1, side)[0]
    with path.open("r+b") as file:
        file.seek(0, 2)
        file.write(struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, size * across * across))
        file.seek(size * (across * across - 1), 1)
        file.write(last.tobytes())
    assert path.stat().st_size > 1 << 31
    with open_series([path]) as slide:
        assert np.array_equal(slide.tile(0, across - 1, across - 1), last)
        assert not slide.tile(0, across - 2, across - 1).any()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    with pytest.raises(CorruptInput, match="truncated"):
        open_series([path])


def test_native_pixels_that_do_not_suffice(tmp_path: Path) -> None:
    path = save_native(tmp_path / "image.dcm", Picture(), native_frames(5))
    with pytest.raises(CorruptInput, match=r"image\.dcm has 3840 bytes of pixel data where 6 frames of 768 are due"):
        open_series([path])


def test_closing_while_others_read(tmp_path: Path) -> None:
    """A reader gets the right bytes or hears that the slide is closed, even when its descriptor's number is reused."""
    picture = Picture()
    path = save(tmp_path / "image.dcm", header(picture), picture.syntax, LAYOUTS["basic table"])
    decoy = tmp_path / "decoy"
    decoy.write_bytes(b"\xee" * path.stat().st_size)
    wrong: list[bytes] = []

    def read(slide: DicomSlide, begun: threading.Barrier) -> None:
        begun.wait()
        try:
            while True:
                tile = slide.encoded_tile(0, 1, 1)
                if tile is None or tile.data != FRAMES[4]:
                    wrong.append(b"" if tile is None else tile.data)
        except ValueError as error:
            if "closed" not in str(error):
                wrong.append(str(error).encode())

    for _ in range(20):
        slide = open_series([path])
        begun = threading.Barrier(3)
        readers = [threading.Thread(target=read, args=(slide, begun)) for _ in range(2)]
        for reader in readers:
            reader.start()
        begun.wait()
        slide.close()
        reused = [decoy.open("rb") for _ in range(10)]
        for reader in readers:
            reader.join()
        for file in reused:
            file.close()
    assert not wrong
