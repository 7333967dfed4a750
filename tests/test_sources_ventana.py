"""Ventana BIF against OpenSlide and tifffile: files made here, as no real one is at hand."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest

from tests.contracts.source_contract import CopiedJpegContract, OpenslideReader, SourceContract, TifffileReader
from tests.vendor_tiffs import Page, drop_tiles, encode_info, iscan, levels, padded, picture, write
from wsi_dicom.errors import CorruptInput, UnsupportedFormat, UnsupportedStack
from wsi_dicom.slide import ImageFlavor
from wsi_dicom.sources import open_slide

TILE = 64
SCANNER = {"ScannerModel": "VENTANA DP 200", "UnitNumber": "2000515", "BuildVersion": "1.1.0.15854", "Barcode2D": "S-7"}


def make(
    path: Path, *, info: str | None = None, more_columns: int = 0, names: str = "Label_Image", **scan: str
) -> Path:
    """256 x 192 pixels, 4 x 3 tiles, and two coarser levels. `info` is the EncodeInfo, by default without overlap."""
    base, *coarser = levels(picture(256, 192), 2, 4)
    described = encode_info(4, 3, TILE) if info is None else info
    return write(
        path,
        [
            Page(picture(100, 200), names, None, None, xmp=iscan(**{**SCANNER, **scan})),
            Page(picture(60, 50)[:, :, 0], "Probability_Image", None, "lzw"),
            Page(padded(base, TILE, more_columns), "level=0 mag=40 quality=95", TILE, xmp=described or None),
            *(
                Page(
                    padded(pixels, TILE) if described else pixels,
                    f"level={number} mag={40 >> number} quality=95",
                    TILE,
                    subfile=1,
                )
                for number, pixels in enumerate(coarser, 1)
            ),
        ],
        bigtiff=True,
        software="ScanOutputManager 1.1.0.15854",
    )


class TestVentana(SourceContract, CopiedJpegContract):
    reader = OpenslideReader

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return make(tmp_path / "slide.bif")


class TestVentanaWithMoreColumns(SourceContract):
    """The grid of tiles is larger than the area that was scanned; what was not has no tiles."""

    reader = OpenslideReader

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = make(tmp_path / "slide.bif", more_columns=1)
        drop_tiles(path, 2, [4, 9, 14])
        return path


class TestExportedTiff(SourceContract, CopiedJpegContract):
    """What Ventana's software exports has been put together: there is no EncodeInfo."""

    reader = TifffileReader

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return make(tmp_path / "exported.tif", info="")


def test_metadata_agrees_with_openslide(tmp_path: Path) -> None:
    path = make(tmp_path / "slide.bif")
    assert openslide.OpenSlide.detect_format(path) == "ventana"
    with open_slide(path) as slide, openslide.OpenSlide(path) as other:
        theirs = {key[8:]: value for key, value in other.properties.items() if key.startswith("ventana.")}
        assert slide.metadata.properties == theirs
        assert slide.metadata.objective_power == float(other.properties["openslide.objective-power"]) == 40
        assert slide.pyramid.spacing is not None
        assert slide.pyramid.spacing.x_mm * 1000 == float(other.properties["openslide.mpp-x"]) == 0.2325
        told = slide.metadata
        assert (told.manufacturer, told.model, told.serial_number) == ("Ventana", "VENTANA DP 200", "2000515")
        assert (told.software_versions, told.barcode) == (("1.1.0.15854",), "S-7")


def test_attributes_in_a_metadata_element_are_found(tmp_path: Path) -> None:
    path = make(tmp_path / "slide.bif")
    data = path.read_bytes()
    old = iscan(**SCANNER).encode()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, b"<Metadata>" + old.removeprefix(b"<?xml version='1.0'?>") + b"</Metadata>"))
    with open_slide(path) as slide:
        assert slide.metadata.model == "VENTANA DP 200"


def test_the_label_image_is_the_overview(tmp_path: Path) -> None:
    for name in ("Label_Image", "Label Image"):
        path = make(tmp_path / "slide.bif", names=name)
        with open_slide(path) as slide, openslide.OpenSlide(path) as other:
            expected = np.asarray(other.associated_images["macro"].convert("RGB"))
            assert set(slide.associated) == {ImageFlavor.OVERVIEW}  # nothing shows the probability of tissue
            assert np.array_equal(slide.associated[ImageFlavor.OVERVIEW].pixels(), expected)


ROW_BY_ROW = [f"{column},{row}" for row in range(3) for column in range(4)]


def test_frames_that_are_listed_row_by_row_are_in_order(tmp_path: Path) -> None:
    with open_slide(make(tmp_path / "slide.bif", info=encode_info(4, 3, TILE, frames=ROW_BY_ROW))) as slide:
        assert slide.encoding(0) is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"info": encode_info(4, 3, TILE, overlap=24)}, r"tiles \d+ and \d+ overlap by (24 x 0|0 x 24) pixels"),
        ({"info": encode_info(4, 3, TILE, frames=ROW_BY_ROW[::-1])}, "not stored row by row"),
        ({"info": encode_info(4, 3, TILE).replace("TileJointInfo", "Other")}, "nothing tells whether they overlap"),
        ({"info": encode_info(4, 3, TILE).replace('OriginX="0"', 'OriginX="70"')}, "does not lie in the grid"),
        ({"info": encode_info(4, 3, TILE).replace("</SlideS", "<ImageInfo/></SlideS")}, "2 scanned areas"),
        ({"info": encode_info(4, 3, 32)}, "does not lie in the grid"),
        ({"Z-layers": "3"}, "3 focal planes"),
    ],
)
def test_what_has_to_be_put_together_is_left_to_others(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = make(tmp_path / "frames.bif", **change)
    with pytest.raises(UnsupportedFormat, match=message):
        open_slide(path, "ventana")


def test_focal_planes_are_not_left_to_others(tmp_path: Path) -> None:
    """OpenSlide would show one of them."""
    with pytest.raises(UnsupportedStack, match=r"stack\.bif: a Ventana slide of 3 focal planes"):
        open_slide(make(tmp_path / "stack.bif", **{"Z-layers": "3"}))


def test_overlapping_tiles_come_to_openslide(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = make(tmp_path / "frames.bif", info=encode_info(4, 3, TILE, overlap=8))
    with caplog.at_level(logging.WARNING):
        open_slide(path).close()
    assert [record.getMessage() for record in caplog.records][-1].endswith("and what else OpenSlide reads instead")
    with open_slide(path) as slide, openslide.OpenSlide(path) as other:
        assert (slide.pyramid.base.width, slide.pyramid.base.height) == other.dimensions == (256 - 3 * 8, 192 - 2 * 8)
        assert slide.encoding(0) is None


def test_tiles_that_nobody_puts_together_are_not_misread(tmp_path: Path) -> None:
    """OpenSlide does not know joints to the left, which the DP 200 writes."""
    info = encode_info(4, 3, TILE, overlap=24).replace('"RIGHT"', '"LEFT"')
    path = make(tmp_path / "frames.bif", info=info)
    with pytest.raises(UnsupportedFormat, match=r"^frames\.bif: IFD 2: Ventana tiles .* are not put together here"):
        open_slide(path)
    with pytest.raises(UnsupportedFormat, match="the source ventana is for such files"):
        open_slide(path, "tiff")


@pytest.mark.parametrize("xmp", ['NumCols="many"', 'NumCols="5"', 'OverlapX=""'])
def test_broken_areas(tmp_path: Path, xmp: str) -> None:
    name = xmp.partition("=")[0]
    info = encode_info(4, 3, TILE).replace(f'{name}="4"', xmp).replace(f'{name}="0"', xmp)
    with pytest.raises(CorruptInput, match=r"^frames\.bif: IFD 2"):
        open_slide(make(tmp_path / "frames.bif", info=info), "ventana")
