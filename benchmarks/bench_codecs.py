"""Encoding a slide anew against the codec alone, on all cores.

The codec alone decodes the tiles and encodes them, in as many threads, and throws the result away. What that costs
without encoding is measured too: the difference is the codec's own time. Commands take turns in one run, figures are
medians.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from build_slide import TILE, slide_path
from measure import COMMANDS, Cost, cost_row, medians, print_table, run

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


def command(name: str, slide: Path, folder: Path, compression: str) -> Sequence[str | Path]:
    threads = str(os.cpu_count())
    dicomize = [COMMANDS / "dicomize", "--compression", compression, "--reencode", "--threads", threads]
    return {
        "start": [*dicomize, slide_path(TILE), "--store", folder],
        "decode": [sys.executable, "-c", ALONE, slide, threads, "decode"],
        "codec": [sys.executable, "-c", ALONE, slide, threads, compression],
        "dicomize": [*dicomize, slide, "--store", folder],
    }[name]


def once(name: str, slide: Path, compression: str) -> Cost:
    with tempfile.TemporaryDirectory(dir=slide.parent, prefix="out-") as folder:
        os.sync()
        return run(command(name, slide, Path(folder), compression))


def bench(size: int, compression: str, runs: int) -> None:
    slide = slide_path(size)
    names = {
        "start": f"start-up: `dicomize TILE --compression {compression} --reencode`, a slide of one tile",
        "decode": "decoding alone, all cores",
        "codec": f"decoding and {compression} alone, all cores",
        "dicomize": f"`dicomize SLIDE --compression {compression} --reencode`",
    }
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    for _ in range(runs):
        for name, listed in costs.items():
            listed.append(once(name, slide, compression))
    found = {name: medians(listed) for name, listed in costs.items()}
    work, alone = found["dicomize"].wall - found["start"].wall, found["codec"].wall
    encoding = alone - found["decode"].wall
    megapixels = size * size / 1e6
    print_table(
        f"Encoding as {compression}, {size} x {size} pixels in tiles of {TILE}",
        ["", "wall s", "CPU s", "peak MB"],
        [cost_row(label, found[name]) for name, label in names.items()],
        [
            f"The codec encodes {megapixels / encoding:.0f} MP/s by itself; dicomize, without its start-up, decodes, "
            f"encodes and writes {megapixels / work:.0f} MP/s: {work / alone:.2f} x the time of decoding and encoding, "
            f"{work / encoding:.2f} x that of encoding. Limit: 1.20 x decoding and encoding: "
            f"{'kept' if work <= 1.2 * alone else 'NOT KEPT'}."
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=12288, help="pixels per side (default: 12288)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each command (default: 3)")
    parser.add_argument("--compression", action="append", help="may repeat (default: htj2k)")
    arguments = parser.parse_args()
    for needed in (TILE, arguments.size):
        if not slide_path(needed).exists():  # in a process of its own: this one must stay small (see measure.run)
            run([sys.executable, Path(__file__).with_name("build_slide.py"), "--size", str(needed)])
    for compression in arguments.compression or ["htj2k"]:
        bench(arguments.size, compression, arguments.runs)


if __name__ == "__main__":
    main()
