"""Encoding a slide anew against the codec alone, on all cores.

The codec alone decodes the tiles and encodes them, in as many threads, and throws the result away. What that costs
without encoding is measured too: the difference is the codec's own time. Commands take turns in one run, figures are
medians.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from build_slide import FOLDER, TILE, slide_path
from measure import DICOMIZE, Command, Converter, Words, parser, print_costs, ready, take_turns, verdict

ALONE = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
import imagecodecs, tifffile
from wsi_dicom.codecs import codec_for, encode_tile
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.geometry import PixelFormat

slide, threads, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
with tifffile.TiffFile(slide) as tiff:
    page = tiff.pages[0]
    tiles, tables = list(zip(page.dataoffsets, page.databytecounts)), page.jpegtables
file = os.open(slide, os.O_RDONLY)
if name != "decode":
    compression = Compression(name)
    encoding = codec_for(compression.transfer_syntax).encoding(PixelFormat(), compression.lossless)

def work(tile):
    pixels = imagecodecs.jpeg8_decode(os.pread(file, tile[1], tile[0]), tables=tables)
    return 0 if name == "decode" else len(encode_tile(pixels, encoding, 90))

with ThreadPoolExecutor(threads) as pool:
    for _ in pool.map(work, tiles, chunksize=1):
        pass
"""


LIMIT = 1.2


def slide_and_tile(size: int) -> tuple[Path, Path]:
    """A slide of `size` pixels a side, and one of a single tile."""
    return ready(slide_path(size), "build_slide.py", size), ready(slide_path(TILE), "build_slide.py", TILE)


def against_codec(converter: Converter, sources: tuple[Path, Path], compression: str, size: int, runs: int) -> None:
    """A table of a converter that encodes anew; `sources` are `slide_and_tile(size)`, or series of the same tiles."""
    slide, tile = slide_and_tile(size)
    threads = str(os.cpu_count())
    alone: Words = [sys.executable, "-c", ALONE]
    words = f"--compression {compression} --reencode"
    commands: dict[str, Command] = {
        f"start-up: {converter.shown('TILE', words)}, a slide of one tile": converter.command(sources[1], words),
        f"start-up: decoding and {compression} alone, one tile": lambda _: [*alone, tile, threads, compression],
        "decoding alone, all cores": lambda _: [*alone, slide, threads, "decode"],
        f"decoding and {compression} alone, all cores": lambda _: [*alone, slide, threads, compression],
        converter.shown("SLIDE", words): converter.command(sources[0], words),
    }
    costs = take_turns(commands, FOLDER, runs)
    start, start_alone, decode, codec, ours = (costs[name].wall for name in commands)
    work, both, encoding, megapixels = ours - start, codec - start_alone, codec - decode, size * size / 1e6
    print_costs(
        f"Encoding as {compression}, {size} x {size} pixels in tiles of {TILE}",
        costs,
        [
            f"Without start-up: the codec encodes {megapixels / encoding:.0f} MP/s by itself; {converter.name} "
            f"decodes, encodes and writes {megapixels / work:.0f} MP/s: {work / both:.2f} x the time of decoding and "
            f"encoding, {work / encoding:.2f} x that of encoding. Limit: {LIMIT:.2f} x decoding and encoding: "
            f"{verdict(work <= LIMIT * both)}."
        ],
    )


def main() -> None:
    parsing = parser(__doc__, 12288)
    parsing.add_argument("--compression", action="append", help="may repeat (default: htj2k)")
    arguments = parsing.parse_args()
    for compression in arguments.compression or ["htj2k"]:
        against_codec(DICOMIZE, slide_and_tile(arguments.size), compression, arguments.size, arguments.runs)


if __name__ == "__main__":
    main()
