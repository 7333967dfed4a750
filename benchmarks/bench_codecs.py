"""Encoding a slide anew against the codec alone, on all cores.

The codec alone decodes the tiles and encodes them, in as many threads, and throws the result away. What that costs
without encoding is measured too: the difference is the codec's own time. Commands take turns in one run, figures are
medians.
"""

from __future__ import annotations

import os
import sys

from build_slide import FOLDER, TILE, slide_path
from measure import COMMANDS, Command, Words, parser, print_costs, ready, take_turns, verdict

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


def bench(size: int, compression: str, runs: int) -> None:
    slide, tile = (ready(slide_path(side), "build_slide.py", side) for side in (size, TILE))
    threads = str(os.cpu_count())
    alone: Words = [sys.executable, "-c", ALONE]
    dicomize: Words = [COMMANDS / "dicomize", "--compression", compression, "--reencode", "--threads", threads]
    words = f"--compression {compression} --reencode"
    commands: dict[str, Command] = {
        f"start-up: `dicomize TILE {words}`, a slide of one tile": lambda folder: [*dicomize, tile, "--store", folder],
        f"start-up: decoding and {compression} alone, one tile": lambda _: [*alone, tile, threads, compression],
        "decoding alone, all cores": lambda _: [*alone, slide, threads, "decode"],
        f"decoding and {compression} alone, all cores": lambda _: [*alone, slide, threads, compression],
        f"`dicomize SLIDE {words}`": lambda folder: [*dicomize, slide, "--store", folder],
    }
    costs = take_turns(commands, FOLDER, runs)
    start, start_alone, decode, codec, ours = (costs[name].wall for name in commands)
    work, both, encoding, megapixels = ours - start, codec - start_alone, codec - decode, size * size / 1e6
    print_costs(
        f"Encoding as {compression}, {size} x {size} pixels in tiles of {TILE}",
        costs,
        [
            f"Without start-up: the codec encodes {megapixels / encoding:.0f} MP/s by itself; dicomize decodes, "
            f"encodes and writes {megapixels / work:.0f} MP/s: {work / both:.2f} x the time of decoding and encoding, "
            f"{work / encoding:.2f} x that of encoding. Limit: {LIMIT:.2f} x decoding and encoding: "
            f"{verdict(work <= LIMIT * both)}."
        ],
    )


def main() -> None:
    parsing = parser(__doc__, 12288)
    parsing.add_argument("--compression", action="append", help="may repeat (default: htj2k)")
    arguments = parsing.parse_args()
    for compression in arguments.compression or ["htj2k"]:
        bench(arguments.size, compression, arguments.runs)


if __name__ == "__main__":
    main()
