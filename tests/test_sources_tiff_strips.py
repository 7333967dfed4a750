"""Strips of TIFF that are longer, shorter or larger than they should be."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.tiff_ways import ODD
from wsi_dicom.errors import CorruptInput
from wsi_dicom.geometry import Region
from wsi_dicom.region import read_region
from wsi_dicom.sources import open_slide


def test_a_last_strip_as_high_as_the_others(tmp_path: Path) -> None:
    """As some writers fill it; against Pillow."""
    path = tmp_path / "full.tif"
    pixels = ODD[:100, :64, 0]
    filled = np.vstack([pixels, np.zeros((28, 64), np.uint8)])
    strips = [zlib.compress(np.ascontiguousarray(part).tobytes()) for part in (filled[:64], filled[64:])]
    options: dict[str, Any] = {"compression": "zlib", "photometric": "minisblack", "metadata": None}
    tifffile.imwrite(path, iter(strips), shape=(100, 64), dtype=np.uint8, rowsperstrip=64, **options)
    with open_slide(path) as slide, Image.open(path) as picture:
        found = read_region(slide, 0, slide.pyramid.base.bounds)[:, :, 0]
        assert np.array_equal(found, np.asarray(picture))
        assert np.array_equal(found, pixels)


@pytest.mark.parametrize("planar", [False, True])
def test_an_uncompressed_strip_is_read_in_parts(tmp_path: Path, planar: bool) -> None:
    path = tmp_path / "strip.tif"
    pixels = np.random.default_rng(1).integers(0, 256, (1500, 4000, 3), np.uint8)
    stored = np.ascontiguousarray(np.moveaxis(pixels, 2, 0)) if planar else pixels
    options: dict[str, Any] = {"photometric": "rgb", "planarconfig": "separate" if planar else "contig"}
    tifffile.imwrite(path, stored, rowsperstrip=1500, metadata=None, **options)
    with open_slide(path) as slide:
        assert slide.pyramid.base.rows == 3
        for region in (Region(3900, 600, 100, 200), Region(0, 1400, 50, 100)):
            expected = pixels[region.y : region.bottom, region.x : region.right]
            assert np.array_equal(read_region(slide, 0, region), expected)


def test_an_uncompressed_strip_of_half_a_gigabyte(tmp_path: Path) -> None:
    path = tmp_path / "strip.tif"
    with tifffile.TiffWriter(path) as out:
        out.write(ODD[:1, :1], photometric="rgb", rowsperstrip=1, metadata=None)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        tags = file.pages.first.tags
        at = len(data)
        for name, value in {"ImageWidth": 12000, "ImageLength": 12000, "RowsPerStrip": 12000, "StripOffsets": at,
                            "StripByteCounts": 3 * 12000**2}.items():  # fmt: skip
            struct.pack_into("<H" if tags[name].dtype == 3 else "<I", data, tags[name].valueoffset, value)
    with path.open("wb") as out:
        out.write(data)
        out.truncate(at + 3 * 12000**2)
        out.seek(at + 3 * 12000**2 - 3)
        out.write(b"\1\2\3")
    with open_slide(path) as slide:
        last = read_region(slide, 0, Region(11998, 11999, 2, 1))
    assert last.tolist() == [[[0, 0, 0], [1, 2, 3]]]


def test_a_strip_that_is_too_short(tmp_path: Path) -> None:
    path = tmp_path / "short.tif"
    tifffile.imwrite(path, ODD, photometric="rgb", rowsperstrip=len(ODD), metadata=None)
    with tifffile.TiffFile(path) as file:
        field = file.pages.first.tags["StripByteCounts"]
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, field.valueoffset, ODD.nbytes - 1)
    path.write_bytes(data)
    with pytest.raises(CorruptInput, match=rf"short\.tif: .*a strip of {ODD.nbytes - 1} bytes.* {ODD.nbytes}"):
        open_slide(path)
