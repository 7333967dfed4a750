"""dicom2tiff: copying the tiles of a series against `cp`, and encoding them anew against the codec alone.

Commands take turns in one run; figures are medians, peaks the highest. Sources are in the page cache.
"""

from __future__ import annotations

from bench_codecs import against_codec
from bench_copy import against_cp
from build_series import series_path
from build_slide import TILE
from measure import DICOM2TIFF, parser, ready


def main() -> None:
    parsing = parser(__doc__, 70000)
    parsing.add_argument("--encode-size", type=int, default=24576, help="of what is encoded anew (default: 24576)")
    arguments = parsing.parse_args()
    size, smaller = arguments.size, arguments.encode_size
    series, encoded, tile = (ready(series_path(side), "build_series.py", side) for side in (size, smaller, TILE))
    against_cp(f"Copying a series to TIFF, {size} x {size} pixels", DICOM2TIFF, series, tile, arguments.runs)
    against_codec(DICOM2TIFF, (encoded, tile), "jpeg", smaller, arguments.runs)


if __name__ == "__main__":
    main()
