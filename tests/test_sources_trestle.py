"""Trestle MedScan against OpenSlide: files made here, as no real one is at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openslide
import pytest

from tests.contracts.source_contract import CopiedJpegContract, OpenslideReader, SourceContract
from tests.vendor_tiffs import Page, jpeg, levels, picture, write
from wsi_dicom.errors import UnsupportedFormat
from wsi_dicom.slide import ImageFlavor
from wsi_dicom.sources import open_slide

OVERVIEW = jpeg(picture(120, 80))


def make(path: Path, overlaps: str = " 0 0 0 0", **resolution: object) -> Path:
    """320 x 256 pixels; the resolution fields hold micrometres per pixel."""
    description = (
        f"Background Color=E6E6E6;White Balance=FFFFFF;Objective Power=20;JPEG Quality=80;OverlapsXY={overlaps}"
    )
    base, half = levels(picture(320, 256), 2)
    more = {"resolution": (0.5, 0.5), "resolutionunit": "INCH", **resolution}
    path.with_suffix(".Full").write_bytes(OVERVIEW)
    return write(path, [Page(base, description, 64, more=more), Page(half, None, 64)], software="MedScan 2.0")


class TestTrestle(SourceContract, CopiedJpegContract):
    reader = OpenslideReader

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return make(tmp_path / "slide.tif")


def test_metadata_agrees_with_openslide(tmp_path: Path) -> None:
    path = make(tmp_path / "slide.tif")
    assert openslide.OpenSlide.detect_format(path) == "trestle"
    with open_slide(path) as slide, openslide.OpenSlide(path) as other:
        theirs = {key[8:]: value for key, value in other.properties.items() if key.startswith("trestle.")}
        assert slide.metadata.properties == theirs
        assert slide.metadata.objective_power == float(other.properties["openslide.objective-power"]) == 20
        assert slide.pyramid.spacing is not None
        assert slide.pyramid.spacing.x_mm * 1000 == float(other.properties["openslide.mpp-x"]) == 0.5
        assert slide.metadata.software_versions == ("MedScan 2.0",)


def test_the_file_beside_it_is_the_overview(tmp_path: Path) -> None:
    path = make(tmp_path / "slide.tif")
    with open_slide(path) as slide, openslide.OpenSlide(path) as other:
        assert set(slide.associated) == {ImageFlavor.OVERVIEW}
        image = slide.associated[ImageFlavor.OVERVIEW]
        assert np.array_equal(image.pixels(), np.asarray(other.associated_images["macro"].convert("RGB")))
        encoded = image.encoded()
        assert encoded is not None
        assert encoded.data == OVERVIEW
        assert slide.files == (path, path.with_suffix(".Full"))


@pytest.mark.parametrize("content", [None, b"", b"no picture", OVERVIEW[:90]])
def test_slide_without_a_picture_beside_it(tmp_path: Path, content: bytes | None) -> None:
    path = make(tmp_path / "slide.tif")
    path.with_suffix(".Full").unlink()
    if content is not None:
        path.with_suffix(".Full").write_bytes(content)
    with open_slide(path) as slide:
        assert slide.associated == {}
        assert slide.files == (path,)


def test_overlapping_tiles_come_to_openslide(tmp_path: Path) -> None:
    path = make(tmp_path / "overlap.tif", " 16 8 8 4")
    with pytest.raises(UnsupportedFormat, match=r"^overlap\.tif: IFD 0: Trestle tiles that overlap by 16 x 8 pixels"):
        open_slide(path, "trestle")
    with open_slide(path) as slide, openslide.OpenSlide(path) as other:
        base = slide.pyramid.base
        assert (base.width, base.height) == other.dimensions == (320 - 4 * 16, 256 - 3 * 8)
