"""Whole-slide instances with palettes: tables, segments, and those that make no sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.filereader import dcmread
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from tests.dicom_pixels import assert_not_copied, by_pydicom, palette_image, tiles
from tests.foreign_series import native_frames, save
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.convert import DicomizeOptions, dicomize
from wsi_dicom.dicom.slide import open_series
from wsi_dicom.errors import CorruptInput
from wsi_dicom.plan import PlanOptions
from wsi_dicom.stores.folder import FolderStore


def assert_shows_palette(path: Path) -> None:
    told = dcmread(path)
    colours = apply_color_lut(by_pydicom(path), told)
    with open_series([path]) as slide:
        assert slide.pyramid.pixel_format.samples == 3
        assert np.array_equal(tiles(slide), colours >> 8 if colours.itemsize == 2 else colours)
        assert_not_copied(slide)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize(
    ("bits", "entries", "first", "entry_bits"),
    [(8, 256, 0, 8), (8, 256, 0, 16), (8, 100, 30, 16), (16, 65536, 0, 16), (16, 200, 7, 8)],
)
def test_palettes(tmp_path: Path, syntax: str, bits: int, entries: int, first: int, entry_bits: int) -> None:
    data = palette_image(bits, entries, first, entry_bits)
    # no larger: pydicom 3.0 counts entries of 8 bits with 8 bits
    frames = native_frames(6, kind=f"u{bits // 8}", samples=1) % min(first + entries + 40, (1 << bits) - 1)
    assert_shows_palette(save(tmp_path / "image.dcm", data, syntax, frames.tobytes()))


def segmented(values: list[int], kind: str) -> bytes:
    data = np.array(values, kind).tobytes()
    return data + b"\0" * (len(data) % 2)


@pytest.mark.parametrize(
    ("kind", "indirect"), [("<u2", []), ("u1", []), ("u1", [2, 2, 0, 0, 0, 0])], ids=["16", "8", "8 indirect"]
)
def test_palettes_in_segments(tmp_path: Path, kind: str, indirect: list[int]) -> None:
    data = palette_image(8, 256, 0, 8 * np.dtype(kind).itemsize)
    top = np.iinfo(kind).max
    for index, colour in enumerate(("Red", "Green", "Blue")):
        delattr(data, f"{colour}PaletteColorLookupTableData")
        start = [0, 6, 0, top, 5 + index, 9, 200, 100]  # six as they are
        ramp, rest = [1, 100, top], [1, 150, 20 + index]
        if indirect:  # the first two segments once more
            rest = [*indirect, 1, 44, 20 + index]
        setattr(data, f"Segmented{colour}PaletteColorLookupTableData", segmented([*start, *ramp, *rest], kind))
    path = save(tmp_path / "image.dcm", data, ExplicitVRLittleEndian, native_frames(6, samples=1).tobytes())
    assert_shows_palette(path)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([1, 256, 0], "cannot be read"),  # a ramp from nowhere
        ([0, 0, 0, 0], "cannot be read"),
        ([0, 4, 1, 2, 3, 4, 2, 1, 8, 0, 1, 250, 0], "cannot be read"),  # an indirect one that leads into itself
        ([0, 4, 1, 2, 3, 4], "4 entries where 256 are due"),
        ([0, 1, 7, 1, 65535, 9, 1, 65535, 7], "more than 65536"),
        ([2, 3, 500, 0], "breaks off"),
    ],
)
def test_segments_that_make_no_sense(tmp_path: Path, values: list[int], reason: str) -> None:
    data = palette_image(8, 256, 0, 16)
    for colour in ("Red", "Green", "Blue"):
        delattr(data, f"{colour}PaletteColorLookupTableData")
        setattr(data, f"Segmented{colour}PaletteColorLookupTableData", segmented(values, "<u2"))
    path = save(tmp_path / "image.dcm", data, ExplicitVRLittleEndian, native_frames(6, samples=1).tobytes())
    with pytest.raises(CorruptInput, match=reason):
        open_series([path])


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("RedPaletteColorLookupTableDescriptor", None),
        ("GreenPaletteColorLookupTableDescriptor", [256, 0, 12]),
        ("GreenPaletteColorLookupTableDescriptor", [20, 0, 8]),
        ("BluePaletteColorLookupTableData", b"\1\2"),
        ("BluePaletteColorLookupTableData", None),
    ],
)
def test_palettes_that_make_no_sense(tmp_path: Path, keyword: str, value: Any) -> None:
    data = palette_image(8, 256, 0, 8)
    setattr(data, keyword, value)
    path = save(tmp_path / "image.dcm", data, ExplicitVRLittleEndian, native_frames(6, samples=1).tobytes())
    with pytest.raises(CorruptInput, match=r"image\.dcm has .*palette|PALETTE"):
        open_series([path])


def test_a_palette_becomes_colour_when_it_is_dicomized(tmp_path: Path) -> None:
    data = palette_image(8, 256, 0, 16)
    frames = native_frames(6, samples=1)
    source = save(tmp_path / "image.dcm", data, ExplicitVRLittleEndian, frames.tobytes())
    options = DicomizeOptions(plan=PlanOptions(compression=Compression.JPEG2000))
    done = dicomize(source, FolderStore(tmp_path / "out"), options)
    colours = apply_color_lut(frames[..., 0], data) >> 8
    base = dcmread(max((tmp_path / "out").rglob("*.dcm"), key=lambda path: path.stat().st_size))
    assert done is not None
    assert base.PhotometricInterpretation == "YBR_RCT"
    assert np.array_equal(base.pixel_array[0], colours[0])
