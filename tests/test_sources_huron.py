"""Huron TissueScope against OpenSlide: files made here, as no real one is at hand."""

from __future__ import annotations

import struct
from datetime import datetime
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile

from tests.contracts.source_contract import CopiedJpegContract, OpenslideReader, SourceContract
from tests.vendor_tiffs import Page, drop_tiles, levels, picture, write
from wsi_dicom.errors import CorruptInput, UnsupportedFormat
from wsi_dicom.slide import ImageFlavor
from wsi_dicom.sources import open_slide

TOLD = {
    "Scan Size": "0.12x0.08 mm",
    "Image Dimensions": "300x200 Pixels",
    "Resolution": "0.40 um",
    "Scan Started": "2017:09:29 14:45:38",
    "DeviceID": "TS-0123",
    "Barcode": "0400",
}
DESCRIPTION = "\n".join(f"{key} = {value}" for key, value in TOLD.items())


def make(
    path: Path, *, make: str = "Huron Technologies", um: float | None = 0.4, description: str = DESCRIPTION
) -> Path:
    base, *coarser = levels(picture(300, 200), 2, 4)
    return write(
        path,
        [
            Page(base, description, 64, um=um),
            Page(picture(90, 60), None, None, None, 1),
            *(Page(pixels, None, 64, subfile=1) for pixels in coarser),
            Page(picture(70, 70), None, None, None, 1),
            Page(picture(120, 50), None, None, None, 9),
        ],
        software="TissueScope 1.2",
        extratags=[(271, 2, 0, make, True), (272, 2, 0, "TissueScope LE", True)],
    )


class TestHuron(SourceContract, CopiedJpegContract):
    reader = OpenslideReader

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return make(tmp_path / "slide.tif")


def test_metadata_agrees_with_openslide(tmp_path: Path) -> None:
    path = make(tmp_path / "slide.tif")
    assert openslide.OpenSlide.detect_format(path) == "huron"
    with open_slide(path) as slide, openslide.OpenSlide(path) as other:
        theirs = {key[6:]: value for key, value in other.properties.items() if key.startswith("huron.")}
        assert slide.metadata.properties == theirs == TOLD
        assert slide.pyramid.spacing is not None
        assert slide.pyramid.spacing.x_mm * 1000 == pytest.approx(float(other.properties["openslide.mpp-x"]))
        told = slide.metadata
        assert (told.manufacturer, told.model, told.serial_number) == (
            "Huron Technologies",
            "TissueScope LE",
            "TS-0123",
        )
        assert (told.software_versions, told.barcode) == (("TissueScope 1.2",), "0400")
        assert told.acquired == datetime(2017, 9, 29, 14, 45, 38)


def test_associated_images_agree_with_openslide(tmp_path: Path) -> None:
    path = make(tmp_path / "slide.tif")
    names = {ImageFlavor.LABEL: "label", ImageFlavor.OVERVIEW: "macro", ImageFlavor.THUMBNAIL: "thumbnail"}
    with open_slide(path) as slide, openslide.OpenSlide(path) as other:
        assert set(slide.associated) == set(names)
        for flavor, image in slide.associated.items():
            assert np.array_equal(image.pixels(), np.asarray(other.associated_images[names[flavor]].convert("RGB")))


def test_slide_that_names_no_maker_is_known_by_its_keys(tmp_path: Path) -> None:
    with open_slide(make(tmp_path / "slide.tif", make="X", um=None)) as slide:
        assert slide.metadata.serial_number == "TS-0123"
        assert slide.pyramid.spacing == (pytest.approx(0.0004), pytest.approx(0.0004))  # "0.40 um"


def test_missing_tiles_are_white(tmp_path: Path) -> None:
    path = make(tmp_path / "sparse.tif")
    drop_tiles(path, 0, [0, 1, 5, 6, 10])
    with open_slide(path) as slide:
        assert slide.sparse
        assert slide.absent(0, 0, 0)
        assert slide.tile(0, 0, 0).min() == 255


def test_stack_of_planes_is_refused(tmp_path: Path) -> None:
    pages = [Page(picture(128, 128), DESCRIPTION), Page(picture(128, 128), DESCRIPTION)]
    with pytest.raises(UnsupportedFormat, match=r"stack\.tif: a stack of 2 pages"):
        open_slide(write(tmp_path / "stack.tif", pages), "huron")


def test_tiles_that_openslide_would_not_survive(tmp_path: Path) -> None:
    """It decodes a tile as a whole, and ends the process when there is no memory for it."""
    path = make(tmp_path / "slide.tif")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        width = file.pages[2].tags["TileWidth"]
    struct.pack_into("<HII", data, width.offset + 2, 4, 1, 1 << 26)
    path.write_bytes(data)
    with pytest.raises(CorruptInput, match=r"slide\.tif: level 1 has tiles of 67108864 x 64 pixels"):
        open_slide(path, "openslide")
