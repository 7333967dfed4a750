"""TIFF files that lie or are broken: each gives one error with the file's name in it, and costs no memory."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from tests.conftest import CHECKOUT
from tests.tiff_ways import write_way
from wsi_dicom.errors import CodecError, CorruptInput, UnsupportedFormat, WsiError
from wsi_dicom.sources import open_slide
from wsi_dicom.tiff.structure import Tag, TiffFile

SAMPLE_DATA = Path(__file__).parent.parent / "sample_data"
MEMORY = 48 << 20


def read_all(path: Path) -> None:
    """Opens a slide and reads something of everything."""
    with open_slide(path) as slide:
        for number, level in enumerate(slide.pyramid.levels):
            for column, row in list(level.tiles())[:: max(1, level.tile_count // 8)]:
                slide.encoded_tile(number, column, row)
                slide.tile(number, column, row)
        for image in slide.associated.values():
            image.encoded()
            image.pixels()


def refused(path: Path, kind: type[WsiError] | tuple[type[WsiError], ...] = WsiError) -> str:
    """The one-line message, after checking that it names the file and that little memory was needed."""
    tracemalloc.start()
    try:
        with pytest.raises(kind) as caught:
            read_all(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message
    assert peak < MEMORY
    return message


Patch = Callable[..., Path]


@pytest.fixture
def patched(tmp_path: Path) -> Patch:
    """A copy of the small sample with a field of its first directory overwritten: the values, or count and offset."""

    def patch(tag: str, *, value: int | None = None, index: int = 0, count: int | None = None) -> Path:
        source = SAMPLE_DATA / "ihc-small.tif"
        data = bytearray(source.read_bytes())
        with tifffile.TiffFile(source) as file:
            field = file.pages.first.tags[tag]
            kind = {3: "<H", 4: "<I"}.get(field.dtype, "<B")
            if value is not None:
                struct.pack_into(kind, data, field.valueoffset + index * struct.calcsize(kind), value)
            if count is not None:
                struct.pack_into("<I", data, field.offset + 4, count)
        path = tmp_path / "patched.tif"
        path.write_bytes(data)
        return path

    return patch


@pytest.mark.parametrize("name", ["ihc-small.tif", "ihc-8k.svs"])
@pytest.mark.parametrize("part", [0.00002, 0.001, 0.3, 0.7, 0.99, 0.99999])
def test_truncated(tmp_path: Path, name: str, part: float) -> None:
    data = (SAMPLE_DATA / name).read_bytes()
    path = tmp_path / f"cut-{name}"
    path.write_bytes(data[: int(len(data) * part)])
    refused(path, (CorruptInput, UnsupportedFormat))


def test_truncated_scanner_file(tmp_path: Path, slides: Path) -> None:
    data = (slides / "aperio" / "CMU-1-Small-Region.svs").read_bytes()
    path = tmp_path / "cut.svs"
    path.write_bytes(data[:-1000])
    assert "truncated" in refused(path, CorruptInput)


def test_chain_of_directories_that_loops(slides: Path) -> None:
    assert "loops" in refused(slides / "malformed" / "tiff" / "test_ifd_loop_to_first.tif", CorruptInput)


def test_endless_chain_of_directories(tmp_path: Path) -> None:
    entry = struct.pack("<HHHII", 1, 256, 3, 1, 16)
    step = len(entry) + 4
    chain = (entry + struct.pack("<I", 8 + (number + 1) * step) for number in range(5000))
    path = tmp_path / "chain.tif"
    path.write_bytes(b"II*\0\x08\0\0\0" + b"".join(chain))
    refused(path, (CorruptInput, UnsupportedFormat))


def entries(*fields: tuple[int, int, int, int]) -> bytes:
    """Fields of a directory: tag, type, count, and value or offset."""
    return b"".join(struct.pack("<HHII", *one) for one in sorted(fields))


GRAY_TILE = ((256, 4, 1, 16), (257, 4, 1, 16), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1),
             (322, 3, 1, 16), (323, 3, 1, 16), (324, 4, 1, 8), (325, 4, 1, 256))  # fmt: skip


def test_directories_that_lie_over_each_other(tmp_path: Path) -> None:
    """1000 directories of 4096 fields in 60 KB: each begins one field behind the last one."""
    fields, count, start = 4096, 1000, 8
    path = tmp_path / "overlap.tif"
    following = (start + 12 * (number + 1) for number in range(count))
    first = entries(*((1000 + number, 3, 1, fields << 16) for number in range(fields)))
    rest = (struct.pack("<IIHH", offset, 1, 0, fields) for offset in following)
    path.write_bytes(b"II*\0" + struct.pack("<IH", start, fields) + first + b"".join(rest) + bytes(12))
    with TiffFile(path) as file, pytest.raises(CorruptInput, match=r"overlap\.tif: .* fields so far; the limits are"):
        list(file.directories())


def test_a_subdirectory_that_is_named_twice(tmp_path: Path) -> None:
    path = tmp_path / "subifds.tif"
    at = 8 + 256
    listed = at + 2 + 12 * (len(GRAY_TILE) + 1) + 4
    fields = entries(*GRAY_TILE, (330, 4, 200, listed))
    path.write_bytes(
        b"II*\0" + struct.pack("<I", at) + bytes(256) + struct.pack("<H", len(GRAY_TILE) + 1) + fields + bytes(4)
        + struct.pack("<200I", *[at] * 200)
    )  # fmt: skip
    assert "names a directory twice" in refused(path, CorruptInput)


def test_pages_that_share_a_long_description(tmp_path: Path) -> None:
    """A hundred pages of one field each, and a text of 1 MB."""
    path = tmp_path / "texts.tif"
    text = b"Aperio" + bytes(1 << 20)
    at, size = 8 + len(text), 2 + 12 + 4
    pages = (
        struct.pack("<H", 1) + entries((270, 2, len(text), 8)) + struct.pack("<I", at + (number + 1) * size)
        for number in range(99)
    )
    last = struct.pack("<H", 1) + entries((270, 2, len(text), 8)) + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", at) + text + b"".join(pages) + last)
    with TiffFile(path) as file:
        directories = list(file.directories())
        assert directories[0].text(Tag.IMAGE_DESCRIPTION) == directories[0].text(Tag.IMAGE_DESCRIPTION) == "Aperio"
        for directory in directories[1:63]:
            directory.text(Tag.IMAGE_DESCRIPTION)
        with pytest.raises(CorruptInput, match=r"texts\.tif: IFD 63: .* bytes of text and tables so far; the limit is"):
            directories[63].text(Tag.IMAGE_DESCRIPTION)


def test_tile_beyond_the_end_of_the_file(patched: Patch) -> None:
    message = refused(patched("TileOffsets", value=2**32 - 16, index=9), CorruptInput)
    assert "tile column 1, row 1" in message


def test_tile_longer_than_the_file(patched: Patch) -> None:
    assert "tile column 3, row 0" in refused(patched("TileByteCounts", value=2**31, index=3), CorruptInput)


@pytest.mark.parametrize(
    ("tag", "value"),
    [("ImageWidth", 2**32 - 1), ("ImageLength", 2**31), ("ImageWidth", 0), ("TileWidth", 0), ("BitsPerSample", 40000)],
)
def test_absurd_numbers(patched: Patch, tag: str, value: int) -> None:
    refused(patched(tag, value=value), (CorruptInput, UnsupportedFormat))


@pytest.mark.parametrize("tag", ["TileOffsets", "TileByteCounts", "JPEGTables", "BitsPerSample"])
def test_absurd_counts(patched: Patch, tag: str) -> None:
    refused(patched(tag, count=2**32 - 1), (CorruptInput, UnsupportedFormat))


def test_huge_tiles(tmp_path: Path) -> None:
    """A file of a few hundred bytes that claims one tile of 60000 x 60000 pixels."""
    path = tmp_path / "huge.tif"
    fields = [(256, 4, 60000), (257, 4, 60000), (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1), (322, 4, 60000),
              (323, 4, 60000), (324, 4, 8), (325, 4, 100)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in fields)
    path.write_bytes(
        b"II*\0" + struct.pack("<I", 200) + bytes(192) + struct.pack("<H", len(fields)) + entries + bytes(4)
    )
    assert "256 MiB" in refused(path, UnsupportedFormat)


def test_compressed_tile_that_is_larger_than_its_size(tmp_path: Path) -> None:
    """A deflate stream of 256 MB in a tile of 64 x 64 pixels."""
    import zlib

    pack = zlib.compressobj(9)
    bomb = b"".join(pack.compress(bytes(1 << 20)) for _ in range(256)) + pack.flush()
    path = tmp_path / "bomb.tif"
    tifffile.imwrite(
        path, iter([bomb]), shape=(64, 64), dtype=np.uint8, tile=(64, 64), compression="zlib", metadata=None
    )
    assert "column 0, row 0" in refused(path, CodecError)


@pytest.mark.parametrize(("content", "kind"), [(b"this is no JPEG", CorruptInput), (b"\xff\xd8\xff\xd9", CorruptInput)])
def test_tile_that_is_not_jpeg(tmp_path: Path, content: bytes, kind: type[WsiError]) -> None:
    source = SAMPLE_DATA / "ihc-small.tif"
    data = bytearray(source.read_bytes())
    with tifffile.TiffFile(source) as file:
        at = file.pages[0].dataoffsets[10]
    data[at : at + len(content)] = content
    path = tmp_path / "other.tif"
    path.write_bytes(data)
    with open_slide(path) as slide:
        assert slide.encoded_tile(0, 1, 1) is not None
        for read in (slide.encoded_tile, slide.tile):
            with pytest.raises(kind, match=r"other\.tif: level 0, tile column 2, row 1"):
                read(0, 2, 1)


def test_tile_whose_stream_is_cut_off(tmp_path: Path) -> None:
    """libjpeg would fill the rest with gray and say nothing."""
    source = SAMPLE_DATA / "ihc-small.tif"
    data = bytearray(source.read_bytes())
    with tifffile.TiffFile(source) as file:
        field = file.pages.first.tags["TileByteCounts"]
        struct.pack_into("<I", data, field.valueoffset + 4 * 10, field.value[10] // 2)
    path = tmp_path / "half.tif"
    path.write_bytes(data)
    with open_slide(path) as slide:
        assert slide.encoded_tile(0, 2, 1) is None
        with pytest.raises(CodecError, match=r"half\.tif: level 0, tile column 2, row 1: .*cut off"):
            slide.tile(0, 2, 1)


def test_no_tile_is_what_the_compression_says(patched: Patch) -> None:
    assert "no tile begins as one" in refused(patched("Compression", value=33005), CorruptInput)


def test_big_tiff_with_absurd_numbers(tmp_path: Path) -> None:
    path = tmp_path / "big.tif"
    path.write_bytes(b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**63))
    refused(path, CorruptInput)
    path.write_bytes(b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**64 - 8))
    refused(path, CorruptInput)


def test_random_damage_to_the_structure_never_escapes(tmp_path: Path) -> None:
    """Bytes outside of the tiles, changed at random: a slide that reads, or an error of ours, and never another."""
    source = SAMPLE_DATA / "ihc-small.tif"
    original = source.read_bytes()
    with tifffile.TiffFile(source) as file:
        tiles = [
            range(offset, offset + count)
            for page in file.pages
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
        ]
    inside = set().union(*tiles)
    structure = [at for at in range(len(original)) if at not in inside]
    chance = random.Random(7)
    path = tmp_path / "damaged.tif"
    messages: list[str] = []
    undamaged = 0
    for _ in range(400):
        data = bytearray(original)
        for _ in range(chance.randint(1, 4)):
            data[chance.choice(structure)] = chance.choice((0, 1, 2, 4, 127, 128, 255, chance.randrange(256)))
        path.write_bytes(data)
        try:
            read_all(path)
        except WsiError as error:
            messages.append(str(error))
        else:
            undamaged += 1
    assert all(path.name in message for message in messages)
    assert min(undamaged, len(messages)) > 20  # both happen, or the test tests nothing


def image_directory(side: int, count: int, offsets: int, sizes: int, following: int) -> bytes:
    """Uncompressed gray in tiles of 16 x 16, with a field of `count` values each for where they are and how long."""
    fields = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1),
              (322, 4, 1, 16), (323, 4, 1, 16), (324, 4, count, offsets), (325, 4, count, sizes)]  # fmt: skip
    return (
        struct.pack("<H", len(fields))
        + b"".join(struct.pack("<HHII", *f) for f in fields)
        + struct.pack("<I", following)
    )


def test_more_offsets_than_tiles_are_not_read(tmp_path: Path) -> None:
    """A sparse file of one tile, whose fields claim 10^8 values."""
    path = tmp_path / "sparse.tif"
    with path.open("wb") as file:
        file.write(b"II*\0\x08\0\0\0" + image_directory(16, 10**8, 4096, 4096, 0))
        file.truncate(4096 + 4 * 10**8)
    tracemalloc.start()
    try:
        with open_slide(path) as slide:
            assert slide.encoded_tile(0, 0, 0) is None
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("step", [0, 1])
def test_directories_that_share_their_offsets(tmp_path: Path, step: int) -> None:
    """300 pages of 250,000 tiles each in a file of 1 MB: all of one size, or each a pixel smaller than the last."""
    count, size = 500 * 500, len(image_directory(0, 0, 0, 0, 0))
    at = 8 + 300 * size
    path = tmp_path / "shared.tif"
    path.write_bytes(
        b"II*\0\x08\0\0\0"
        + b"".join(
            image_directory(8000 - step * n, count, at, at, 8 + (n + 1) * size if n < 299 else 0) for n in range(300)
        )
        + bytes(4 * count)
    )
    refused(path, UnsupportedFormat if step == 0 else CorruptInput)


def test_missing_tile_with_an_offset_beyond_the_file(patched: Patch) -> None:
    path = patched("TileByteCounts", value=0, index=2)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        struct.pack_into("<I", data, file.pages.first.tags["TileOffsets"].valueoffset + 8, 2**32 - 16)
    path.write_bytes(data)
    with open_slide(path) as slide:
        row = list(slide.encoded_row(0, 0))
        assert row[2] is None
        assert row == [slide.encoded_tile(0, column, 0) for column in range(slide.pyramid.base.columns)]
        assert [tile is None for tile in row].count(True) == 1


DAMAGED = (
    "jpeg xr",
    "jpeg xl",
    "lerc",
    "lerc in zstd",
    "webp, lossy",
    "4 bits",
    "palette",
    "planes, jpeg",
    "alpha, gray",
)


def read_damaged(folder: Path) -> None:
    """Prints, for each way of storing pixels, how many of 15 damaged files read and how many are refused."""
    chance = random.Random(11)
    for way in DAMAGED:
        write_way(folder / "whole.tif", way)
        whole, messages = (folder / "whole.tif").read_bytes(), []
        for _ in range(15):
            data = bytearray(whole)
            for _ in range(chance.randint(1, 4)):
                data[chance.randrange(8, len(data))] = chance.choice((0, 1, 128, 255, chance.randrange(256)))
            (folder / "damaged.tif").write_bytes(data)
            try:
                read_all(folder / "damaged.tif")
            except WsiError as error:
                messages.append(str(error))
        assert all("damaged.tif" in message for message in messages), messages
        print(way, 15 - len(messages), len(messages), sep="|")


def test_damaged_tiles_never_escape(tmp_path: Path) -> None:
    """In a process of its own, because decoders are native code."""
    code = f"from pathlib import Path; from tests.test_malformed_tiff import *; read_damaged(Path({str(tmp_path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    counts = [line.split("|") for line in done.stdout.splitlines()]
    assert [way for way, _, _ in counts] == list(DAMAGED)
    assert sum(int(read) for _, read, _ in counts) > 20
    assert sum(int(refused) for _, _, refused in counts) > 20


@pytest.mark.parametrize("codec", ["webp", "jpegxl", "jpegxr", "lerc"])
def test_tile_that_holds_a_larger_picture(tmp_path: Path, codec: str) -> None:
    options = {"effort": 1} if codec == "jpegxl" else {}
    large = getattr(imagecodecs, f"{codec}_encode")(np.zeros((4000, 4000, 3), np.uint8), **options)
    path = tmp_path / "larger.tif"
    tifffile.imwrite(
        path, iter([large]), shape=(64, 64, 3), dtype=np.uint8, tile=(64, 64), compression=codec, photometric="rgb"
    )
    assert "level 0, tile column 0, row 0" in refused(path, CodecError)


@pytest.mark.parametrize("values", [3 * 255, 3 * 257])
def test_palette_of_another_size(tmp_path: Path, values: int) -> None:
    path = tmp_path / "palette.tif"
    write_way(path, "palette")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        struct.pack_into("<I", data, file.pages.first.tags["ColorMap"].offset + 4, values)
    path.write_bytes(data)
    assert f"COLOR_MAP has {values} values" in refused(path, CorruptInput)


def test_planes_without_tiles_of_their_own(tmp_path: Path) -> None:
    """Three planes of samples, and offsets for one."""
    path = tmp_path / "planes.tif"
    write_way(path, "planes, deflate")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        field = file.pages.first.tags["TileOffsets"]
        struct.pack_into("<I", data, field.offset + 4, field.count // 3)
    path.write_bytes(data)
    assert f"{field.count} tiles or strips need one" in refused(path, CorruptInput)
