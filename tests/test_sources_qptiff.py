"""Akoya QPTIFF against tifffile: files made here, as no real one is at hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from tests.contracts.source_contract import CopiedJpegContract, SourceContract
from tests.vendor_tiffs import Page, Pixels, levels, picture, qpi_description, write
from wsi_dicom.errors import CorruptInput, UnsupportedFormat
from wsi_dicom.geometry import FIRST_PLANE, Plane, Region
from wsi_dicom.metadata import OpticalPath
from wsi_dicom.slide import ImageFlavor
from wsi_dicom.sources import open_slide

_BAND = (
    "<Bands><Band><Active>false</Active><Cuton>1</Cuton><Cutoff>2</Cutoff></Band>"
    "<Band><Active>true</Active>{}</Band></Bands>"
)
CHANNELS: list[dict[str, str]] = [
    {
        "Name": "DAPI",
        "Color": "0,0,255",
        "ExcitationFilter": _BAND.format("<Cuton>341</Cuton><Cutoff>369</Cutoff>"),
        "EmissionFilter": _BAND.format("<Cuton>432</Cuton><Cutoff>482</Cutoff>"),
    },
    {"Name": "Opal 570", "Biomarker": "CD8", "Color": "255,255,0"},
    {"Name": "Autofluorescence", "Color": "none"},
]
COMMON = {
    "AcquisitionSoftware": "VectraPolaris 1.0.10",
    "SlideID": "S-7",
    "Barcode": "B7",
    "Objective": "20x",
    "ScanProfile": "<root><Name>profile</Name></root>",
}


def write_qptiff(path: Path, bases: list[Pixels], described: list[dict[str, str]], **options: Any) -> Path:
    """Full resolution of all channels, a thumbnail, halvings of all channels, overview, label."""
    pyramids = [levels(base, 2, 4) for base in bases]
    pages: list[Page] = []
    for number in range(3):
        kind = "ReducedResolution" if number else "FullResolution"
        pages += [
            Page(
                pyramid[number],
                qpi_description(kind, **COMMON, **channel),
                64,
                subfile=bool(number),
                um=0.5 * 2**number,
                **options,
            )
            for pyramid, channel in zip(pyramids, described, strict=True)
        ]
        if not number:
            pages.append(Page(picture(90, 60), qpi_description("Thumbnail"), None, "lzw", 1))
    pages.append(Page(picture(120, 50), qpi_description("Overview"), None, "lzw", 1))
    pages.append(Page(picture(70, 70), qpi_description("Label"), None, "lzw", 1))
    return write(path, pages, bigtiff=True, software="PerkinElmer-QPI", datetime="2019:03:05 09:33:33")


def fluorescence(path: Path, dtype: type[np.unsignedinteger] = np.uint8, **options: Any) -> Path:
    base = picture(320, 256).astype(dtype) * (1 if dtype is np.uint8 else 257)
    return write_qptiff(path, [np.ascontiguousarray(base[:, :, c]) for c in range(3)], CHANNELS, **options)


class QpiReader:
    """The first series, by tifffile: axes C, Y, X."""

    def __init__(self, path: Path) -> None:
        with tifffile.TiffFile(path) as file:
            assert file.is_qpi
            self._levels = [level.asarray() for level in file.series[0].levels]
        self.sizes = [(level.shape[2], level.shape[1]) for level in self._levels]

    def region(self, level: int, region: Region, plane: Plane = FIRST_PLANE) -> NDArray[np.unsignedinteger]:
        pixels = self._levels[level][plane.optical_path, region.y : region.bottom, region.x : region.right]
        return pixels.reshape(region.height, region.width, 1)


class TestBrightfield(SourceContract, CopiedJpegContract):
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write_qptiff(tmp_path / "slide.qptiff", [picture(320, 256)], [{}])


class TestFluorescence(SourceContract):
    reader = QpiReader
    reader_knows_planes = True

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return fluorescence(tmp_path / "slide.qptiff")


class TestFluorescenceOf16Bits(SourceContract):
    reader = QpiReader
    reader_knows_planes = True

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return fluorescence(tmp_path / "slide.qptiff", np.uint16, compression="lzw")


def test_channels_are_optical_paths(tmp_path: Path) -> None:
    with open_slide(fluorescence(tmp_path / "slide.qptiff")) as slide:
        assert slide.metadata.optical_paths == (
            OpticalPath("0", "DAPI", True, 355, 457, (0, 0, 255)),
            OpticalPath("1", "CD8", True, None, None, (255, 255, 0)),
            OpticalPath("2", "Autofluorescence", True, None, None, None),
        )
        assert (slide.pyramid.optical_paths, slide.pyramid.focal_planes) == (3, 1)


def test_metadata(tmp_path: Path) -> None:
    with open_slide(write_qptiff(tmp_path / "slide.qptiff", [picture(320, 256)], [{}])) as slide:
        told = slide.metadata
        assert slide.pyramid.spacing == (pytest.approx(0.0005), pytest.approx(0.0005))
        assert (told.model, told.software_versions) == ("VectraPolaris", ("VectraPolaris 1.0.10",))
        assert (told.objective_power, told.barcode, told.slide_identifier) == (20, "B7", "S-7")
        assert told.acquired == datetime(2019, 3, 5, 9, 33, 33)
        assert told.optical_paths == ()
        assert told.properties["ImageType"] == "FullResolution"
        assert "ScanProfile" not in told.properties


def test_pictures_are_told_by_their_type(tmp_path: Path) -> None:
    path = fluorescence(tmp_path / "slide.qptiff")
    flavors = {"Thumbnail": ImageFlavor.THUMBNAIL, "Overview": ImageFlavor.OVERVIEW, "Label": ImageFlavor.LABEL}
    with open_slide(path) as slide, tifffile.TiffFile(path) as file:
        assert set(slide.associated) == set(flavors.values())
        for name, flavor in flavors.items():
            page = next(page for page in file.pages if f"<ImageType>{name}<" in page.description)
            assert np.array_equal(slide.associated[flavor].pixels(), page.asarray())


def test_resolution_of_which_a_channel_is_missing_is_left_out(tmp_path: Path) -> None:
    base, half = levels(picture(320, 256)[:, :, 0], 2)
    pages = [Page(base, qpi_description("FullResolution", **channel)) for channel in CHANNELS]
    pages += [Page(half, qpi_description("ReducedResolution", **channel)) for channel in CHANNELS[:2]]
    with open_slide(write(tmp_path / "part.qptiff", pages)) as slide:
        assert [level.width for level in slide.pyramid.levels] == [320]


def test_component_data_in_strips(tmp_path: Path) -> None:
    """Small fields of view are neither tiled nor pyramids."""
    planes = [np.ascontiguousarray(picture(200, 150)[:, :, c]) for c in range(3)]
    pages = [Page(plane, qpi_description("FullResolution"), None, "lzw") for plane in planes]
    with open_slide(write(tmp_path / "field.tif", pages)) as slide:
        assert slide.pyramid.optical_paths == 3
        for path, plane in enumerate(planes):
            strips = [slide.tile(0, 0, row, Plane(path)) for row in range(slide.pyramid.base.rows)]
            assert np.array_equal(np.concatenate(strips)[:150, :, 0], plane)


def test_descriptions_in_utf_16(tmp_path: Path) -> None:
    description = ("\ufeff" + qpi_description("FullResolution", Name="DAPI")).encode("utf-16-le")
    field = {"extratags": [(270, 1, len(description), description, True)]}
    path = write(tmp_path / "utf16.qptiff", [Page(picture(128, 128)[:, :, 0], None, more=field)])
    with open_slide(path) as slide:
        assert slide.metadata.optical_paths[0].description == "DAPI"


Change = Callable[[str], str]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda text: text.replace("FullResolution", "Unknown"), UnsupportedFormat, "not of full resolution"),
        (lambda text: text.replace("</Name>", ""), CorruptInput, "XML that does not parse"),
        (lambda text: text.replace("?>", "?><!DOCTYPE x>"), UnsupportedFormat, "document type declaration"),
    ],
)
def test_broken_descriptions(tmp_path: Path, change: Change, error: type[Exception], message: str) -> None:
    pages = [Page(picture(128, 128), change(qpi_description("FullResolution", Name="x")))]
    path = write(tmp_path / "broken.qptiff", pages)
    with pytest.raises(error, match=rf"^broken\.qptiff: .*{message}"):
        open_slide(path, "qptiff")


def test_channels_of_differing_sizes_are_refused(tmp_path: Path) -> None:
    pages = [Page(picture(width, 128)[:, :, 0], qpi_description("FullResolution")) for width in (128, 192)]
    with pytest.raises(UnsupportedFormat, match=r"unlike\.qptiff: optical path 1"):
        open_slide(write(tmp_path / "unlike.qptiff", pages), "qptiff")
