"""Builds the DICOM series that the benchmarks measure on: `python benchmarks/build_series.py [--size N]...`.

One level of the slide that build_slide.py builds, its tiles copied: one instance, in a folder of its own.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

from build_slide import FOLDER, slide_path
from measure import COMMANDS, ready


def series_path(size: int) -> Path:
    """The instance that is all of a series."""
    return FOLDER / f"series-{size}" / "wsi-000000.dcm"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, action="append", help="pixels per side (default: 70000, 1.1 GB)")
    for size in parser.parse_args().size or [70000]:
        slide, instance = ready(slide_path(size), "build_slide.py", size), series_path(size)
        subprocess.run([COMMANDS / "dicomize", slide, "--folder", instance.parent], check=True)
        print(f"{instance.parent.name}: {instance.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
