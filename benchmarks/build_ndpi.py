"""Writes Hamamatsu NDPI files, and builds a large one to measure on: `python benchmarks/build_ndpi.py [--size N]`.

The slide is N x N pixels in restart intervals of 2048 x 8 (quality 80, chroma 4:2:2, 0.25 um per pixel, one level): a
band of 512 rows of scikit-image's immunohistochemistry picture, mirrored into a seamless patch, encoded once and then
repeated with renumbered markers. 63,488 pixels become 1 GB. Only bands are ever in memory.
"""

from __future__ import annotations

import argparse
import io
import re
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FOLDER = Path(__file__).resolve().parent.parent / "var" / "bench"
STRIPE_MCUS = 128
BAND = 512

SHORT, LONG, ASCII, RATIONAL, SLONG, FLOAT = 3, 4, 2, 5, 9, 11
_CODES = {SHORT: "H", LONG: "I", RATIONAL: "I", SLONG: "i", FLOAT: "f"}

FieldValue: TypeAlias = tuple[int, str | Sequence[float]]
"""Type of a field of TIFF and its values; fractions are two numbers each."""


@dataclass
class JpegStripes:
    """A baseline JPEG stream, taken apart at its restart markers."""

    head: bytes
    stripes: list[bytes]

    def parts(self) -> Iterator[bytes]:
        """The stream again, with markers in turn, however often the stripes were repeated."""
        yield self.head
        for number, stripe in enumerate(self.stripes):
            last = number == len(self.stripes) - 1
            yield stripe + (b"\xff\xd9" if last else bytes((0xFF, 0xD0 + number % 8)))

    def starts(self) -> NDArray[np.int64]:
        """Where the stripes begin in the stream."""
        sizes = [len(self.head), *(len(stripe) + 2 for stripe in self.stripes[:-1])]
        return np.cumsum(sizes)

    def with_size(self, width: int, height: int) -> JpegStripes:
        """Another size in the frame header; 0 for what 16 bits cannot hold, as Hamamatsu writes it."""
        at = self.head.index(b"\xff\xc0") + 5
        size = struct.pack(">HH", *(side if side <= 0xFFFF else 0 for side in (height, width)))
        return JpegStripes(self.head[:at] + size + self.head[at + 4 :], self.stripes)


def encode_stripes(pixels: NDArray[np.uint8], mcus: int, sampling: str = "4:2:2", quality: int = 80) -> JpegStripes:
    """A picture as JPEG whose restart intervals have `mcus` MCUs; 0 for none."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(
        stream, "JPEG", quality=quality, subsampling=sampling, restart_marker_blocks=mcus, comment=b"build_ndpi"
    )
    data = stream.getvalue()
    scan = data.index(b"\xff\xda")
    begin = scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")
    return JpegStripes(data[:begin], re.split(rb"\xff[\xd0-\xd7]", data[begin : data.rindex(b"\xff\xd9")]))


@dataclass
class NdpiPage:
    """A page: the parts of its JPEG stream, and where its restart intervals begin in it, None for no such field.

    A number among the parts is the size of a hole.
    `fields` are put over those that every page has. `high` False leaves out the upper halves of `starts`.
    """

    width: int
    height: int
    stream: Iterable[bytes | int]
    starts: NDArray[np.int64] | None
    magnification: float
    fields: Mapping[int, FieldValue] = field(default_factory=dict)
    high: bool = True


def write_ndpi(path: Path, pages: Iterable[NdpiPage], begin: int = 12) -> None:
    """Writes an NDPI file, whose first page begins at `begin`; what lies before is a hole."""
    with path.open("wb") as file:
        file.write(b"II*\0" + bytes(8))
        file.seek(begin)
        link = 4
        for page in pages:
            offset = file.tell()
            for part in page.stream:
                if isinstance(part, int):
                    file.seek(part, io.SEEK_CUR)
                else:
                    file.write(part)
            link = _write_directory(file, _fields(page, offset, file.tell() - offset), link)


def _fields(page: NdpiPage, offset: int, size: int) -> dict[int, FieldValue]:
    resolution = round(40000 * page.magnification / 40) if page.magnification > 0 else 156
    fields: dict[int, FieldValue] = {
        256: (LONG, [page.width]),
        257: (LONG, [page.height]),
        258: (SHORT, [8, 8, 8]),
        259: (SHORT, [7]),
        262: (SHORT, [6]),
        271: (ASCII, "Hamamatsu"),
        272: (ASCII, "C13210"),
        273: (LONG, [offset]),
        277: (SHORT, [3]),
        278: (LONG, [page.height]),
        279: (LONG, [size]),
        282: (RATIONAL, [resolution, 1]),
        283: (RATIONAL, [resolution, 1]),
        296: (SHORT, [3]),
        305: (ASCII, "NDP.scan 3.2.15"),
        306: (ASCII, "2024:03:01 10:20:30"),
        65420: (SHORT, [1]),
        65421: (FLOAT, [page.magnification]),
        65422: (SLONG, [0]),
        65423: (SLONG, [0]),
        65424: (SLONG, [0]),
        65442: (ASCII, "7"),
    }
    if page.starts is not None:
        fields[65426] = (LONG, [int(start) & 0xFFFFFFFF for start in page.starts])
        if page.high and int(page.starts[-1]) >> 32:
            fields[65432] = (LONG, [int(start) >> 32 for start in page.starts])
    return fields | dict(page.fields)


def _write_directory(file: io.BufferedWriter, fields: Mapping[int, FieldValue], link: int) -> int:
    """Writes a directory behind its values, and its offset at `link`. Where to write that of the next one."""
    entries, highs = [], []
    for tag, (kind, values) in fields.items():
        if isinstance(values, str):
            count, data = len(values) + 1, values.encode() + b"\0"
        else:
            count = len(values) // (2 if kind == RATIONAL else 1)
            data = struct.pack(f"<{len(values)}{'Q' if kind == LONG and count == 1 else _CODES[kind]}", *values)
        if kind == ASCII or (len(data) > 4 and (count > 1 or kind == RATIONAL)):
            file.write(bytes(file.tell() % 2))
            place = file.tell()
            file.write(data)
            data = struct.pack("<Q", place)
        entries.append(struct.pack("<HHI", tag, kind, count) + data[:4].ljust(4, b"\0"))
        highs.append(data[4:].ljust(4, b"\0"))
    offset = file.tell()
    file.write(struct.pack("<H", len(entries)) + b"".join(entries) + bytes(8) + b"".join(highs))
    end = file.tell()
    file.seek(link)
    file.write(struct.pack("<Q", offset))
    file.seek(end)
    return offset + 2 + 12 * len(entries)


def tissue(width: int, height: int) -> NDArray[np.uint8]:
    """Shape (height, width, 3): the picture and its mirror images, over and over."""
    from skimage.data import immunohistochemistry

    quarter: NDArray[np.uint8] = immunohistochemistry()  # type: ignore[no-untyped-call] # scikit-image has no types
    half = np.concatenate([quarter, quarter[:, ::-1]], axis=1)
    patch = np.concatenate([half, half[::-1]])
    repeats = -(-height // patch.shape[0]), -(-width // patch.shape[1]), 1
    return np.ascontiguousarray(np.tile(patch, repeats)[:height, :width])


def build_ndpi(size: int) -> Path:
    """Path of the slide of `size` x `size` pixels, built when it is not there yet."""
    path = FOLDER / f"tissue-{size}.ndpi"
    if path.exists():
        return path
    band = encode_stripes(tissue(size, BAND), STRIPE_MCUS)
    slide = JpegStripes(band.head, band.stripes * (size // BAND)).with_size(size, size)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    write_ndpi(unfinished, [NdpiPage(size, size, slide.parts(), slide.starts(), 40.0)])
    return unfinished.rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=63488, help="pixels per side (default: 63488)")
    size = parser.parse_args().size
    if size not in range(2048, 63489, 2048):
        sys.exit(f"--size {size}: a multiple of 2048 pixels, at most 63488 (libjpeg writes 65500)")
    path = build_ndpi(size)
    print(f"{path.name}: {path.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
