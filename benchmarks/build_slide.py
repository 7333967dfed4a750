"""Builds the slides that the benchmarks measure on: `python benchmarks/build_slide.py [--size N]...`.

A tiled JPEG TIFF of N x N pixels (256-pixel tiles, quality 80, chroma 4:2:0, shared tables, 0.25 um per pixel, one
level) of real tissue: scikit-image's immunohistochemistry picture, mirrored into a seamless patch and repeated under a
slow change of light, so that no two tiles are the same bytes. libvips streams it: memory stays small at any size.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "var" / "bench"
TILE = 256


def slide_path(size: int, suffix: str = "tif") -> Path:
    """Where a slide lies, of this script or of build_ndpi.py."""
    return FOLDER / f"tissue-{size}.{suffix}"


def build_slide(size: int) -> Path:
    """Path of the slide of `size` x `size` pixels, built when it is not there yet."""
    path = slide_path(size)
    if path.exists():
        return path
    import pyvips
    from skimage.data import immunohistochemistry

    picture = immunohistochemistry()  # type: ignore[no-untyped-call] # scikit-image has no types
    quarter = pyvips.Image.new_from_array(picture, interpretation="srgb")
    half = quarter.join(quarter.fliphor(), "horizontal")
    patch = half.join(half.flipver(), "vertical").copy_memory()
    repeats = -(-size // patch.width)
    tissue = patch.replicate(repeats, repeats).crop(0, 0, size, size)
    # vips counts degrees; the two periods have no common divisor with the patch, so the light never repeats with it
    place = pyvips.Image.xyz(size, size)
    light = (place[0] * (360 / 7919)).sin() + (place[1] * (360 / 6323)).sin()
    slide = (tissue * (light * 0.05 + 0.93)).cast("uchar").copy(interpretation="srgb")

    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part.tif")
    slide.tiffsave(
        str(unfinished),
        tile=True,
        tile_width=TILE,
        tile_height=TILE,
        compression="jpeg",
        Q=80,
        bigtiff=True,
        xres=4000,  # pixels per mm
        yres=4000,
        resunit="cm",
    )
    return unfinished.rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, action="append", help="pixels per side (default: 70000, 1.1 GB)")
    for size in parser.parse_args().size or [70000]:
        if size < TILE:
            sys.exit(f"--size {size}: at least {TILE} pixels")
        path = build_slide(size)
        print(f"{path.name}: {path.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
