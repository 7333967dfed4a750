"""A slide that takes a minute to convert: in the middle of its job there is time to stop it."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

_TILE: Final = 256
_COLUMNS: Final = 8
_SHORT: Final = 3
_LONG: Final = 4


def endless(rows: int = 200, *, whole: bool = True) -> bytes:
    """A small TIFF of so many rows of eight tiles, which are all the same bytes; not `whole`, they lie behind its end.

    Its pixels are noise: a tile takes long to compress. It is narrow, so that there is progress soon.
    """
    pixels = np.random.default_rng(1).integers(0, 16, (_TILE, _TILE, 3), np.uint8).tobytes()
    tiles = _COLUMNS * rows
    entries = 10
    bits = 8 + 2 + 12 * entries + 4
    offsets = bits + 8
    counts = offsets + 4 * tiles
    end = counts + 4 * tiles
    directory = [
        (256, _LONG, 1, _COLUMNS * _TILE),  # ImageWidth
        (257, _LONG, 1, rows * _TILE),  # ImageLength
        (258, _SHORT, 3, bits),  # BitsPerSample
        (259, _SHORT, 1, 1),  # Compression: none
        (262, _SHORT, 1, 2),  # PhotometricInterpretation: RGB
        (277, _SHORT, 1, 3),  # SamplesPerPixel
        (322, _LONG, 1, _TILE),  # TileWidth
        (323, _LONG, 1, _TILE),  # TileLength
        (324, _LONG, tiles, offsets),  # TileOffsets
        (325, _LONG, tiles, counts),  # TileByteCounts
    ]
    head = struct.pack("<2sHIH", b"II", 42, 8, entries)
    head += b"".join(struct.pack("<HHII", *entry) for entry in directory)
    head += bytes(4) + struct.pack("<4H", 8, 8, 8, 0)
    tables = struct.pack("<I", end) * tiles + struct.pack("<I", len(pixels)) * tiles
    return head + tables + (pixels if whole else b"")
