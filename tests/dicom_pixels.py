"""Pixels of whole-slide instances: as pydicom has them, and as our slide shows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread

from tests.foreign_series import Picture, header
from wsi_dicom.dicom.slide import DicomSlide
from wsi_dicom.slide import Pixels


def bits_of(data: Dataset, bits: int, stored: int | None = None, *, signed: bool = False) -> Dataset:
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, stored or bits, (stored or bits) - 1
    data.PixelRepresentation = int(signed)
    return data


def by_pydicom(path: Path, *, raw: bool = False) -> Pixels:
    data = dcmread(path)
    data.pixel_array_options(raw=raw)
    return np.asarray(data.pixel_array)


def tiles(slide: DicomSlide) -> Pixels:
    """All tiles in the order of TILED_FULL."""
    return np.stack([slide.tile(0, column, row) for column, row in slide.pyramid.base.tiles()])


def assert_not_copied(slide: DicomSlide) -> None:
    assert slide.encoding(0) is None
    assert slide.encoded_tile(0, 1, 1) is None


def palette_image(bits: int, entries: int, first: int, entry_bits: int) -> Dataset:
    data = bits_of(header(Picture(photometric="MONOCHROME2")), bits)
    data.PhotometricInterpretation = "PALETTE COLOR"
    random = np.random.default_rng(entries)
    for colour in ("Red", "Green", "Blue"):
        table = random.integers(0, 1 << entry_bits, entries).astype(f"<u{entry_bits // 8}")
        setattr(data, f"{colour}PaletteColorLookupTableDescriptor", [entries & 0xFFFF, first, entry_bits])
        setattr(data, f"{colour}PaletteColorLookupTableData", table.tobytes())
    return data
