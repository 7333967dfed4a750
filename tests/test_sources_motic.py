"""Motic TIFF against tifffile: files made here, as no real one is at hand and no other reader knows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.contracts.source_contract import CopiedJpegContract, Reader, SourceContract, TifffileReader
from tests.vendor_tiffs import Page, levels, picture, write
from wsi_dicom.errors import UnsupportedFormat
from wsi_dicom.slide import ImageFlavor
from wsi_dicom.sources import open_slide

DESCRIPTION = (
    "Motic V1.0.0\r\n300x200 [0,0 300x200] [64x64] JPEG/RGB Q = 75|AppMag = 40|MPP = 0.260417|"
    "BackgroundColor = 16514557|Barcode = 900444"
)


def make(path: Path, description: str = DESCRIPTION) -> Path:
    base, *coarser = levels(picture(300, 200), 2, 4)
    return write(
        path,
        [
            Page(base, description, 64),
            Page(picture(90, 60), "Motic V1.0.0\r\n300x200 -> 90x60 - |AppMag = 40", None, None),
            *(
                Page(pixels, "Motic V1.0.0\r\n300x200 [64x64] -> smaller|AppMag = 40", 64, subfile=1)
                for pixels in coarser
            ),
            Page(picture(70, 70), "Motic V1.0.0\r\nlabel 70x70", 128),
            Page(picture(120, 50), "Motic V1.0.0\r\nmacro 120x50", None, None),
        ],
    )


class TestMotic(SourceContract, CopiedJpegContract):
    reader: type[Reader] = TifffileReader

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return make(tmp_path / "slide.tif")


def test_metadata(tmp_path: Path) -> None:
    with open_slide(make(tmp_path / "slide.tif")) as slide:
        assert slide.pyramid.spacing == (0.000260417, 0.000260417)
        told = slide.metadata
        assert (told.manufacturer, told.software_versions) == ("Motic", ("V1.0.0",))
        assert (told.objective_power, told.barcode) == (40, "900444")
        assert told.properties["BackgroundColor"] == "16514557"


def test_pages_are_told_by_their_second_line(tmp_path: Path) -> None:
    path = make(tmp_path / "slide.tif")
    positions = {ImageFlavor.THUMBNAIL: 1, ImageFlavor.LABEL: 4, ImageFlavor.OVERVIEW: 5}
    with open_slide(path) as slide, tifffile.TiffFile(path) as file:
        assert set(slide.associated) == set(positions)
        for flavor, position in positions.items():
            assert np.array_equal(slide.associated[flavor].pixels(), file.pages[position].asarray())


def test_slide_whose_first_page_is_no_level(tmp_path: Path) -> None:
    path = make(tmp_path / "label.tif", "Motic V1.0.0\r\nlabel 300x200")
    with pytest.raises(UnsupportedFormat, match=r"^label\.tif: IFD 0: .*first page is not tiled"):
        open_slide(path, "motic")
