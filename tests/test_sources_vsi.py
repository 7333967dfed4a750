"""Olympus VSI. No real file was at hand and nothing writes it: what is tested is how it is found and refused, and how
slides that SlideIO reads are shown, with files of two other formats that it reads.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import openslide
import pytest
import slideio
import tifffile
from pylibCZIrw import czi
from skimage.data import immunohistochemistry

from wsi_dicom.errors import CorruptInput, OutOfBounds, UnsupportedFormat
from wsi_dicom.geometry import PixelFormat, Plane
from wsi_dicom.metadata import OpticalPath
from wsi_dicom.region import read_region
from wsi_dicom.slide import ImageFlavor
from wsi_dicom.sources import open_slide
from wsi_dicom.sources.slideio_slide import SlideioSlide, reading

PICTURE: np.ndarray = immunohistochemistry()  # type: ignore[no-untyped-call]


@pytest.fixture
def vsi(tmp_path: Path) -> Path:
    """A TIFF as VSI files are, with a folder of pixels that is none."""
    path = tmp_path / "slide.vsi"
    tifffile.imwrite(path, PICTURE[:64, :64], photometric="rgb", metadata=None)
    frame = tmp_path / "_slide_" / "stack1" / "frame_t_0.ets"
    frame.parent.mkdir(parents=True)
    frame.write_bytes(b"SIS\0" + bytes(60))
    return path


def test_damage_is_told_in_one_line(vsi: Path) -> None:
    vsi.write_bytes(vsi.read_bytes()[:20])
    with pytest.raises(CorruptInput, match=r"slide\.vsi: SlideIO cannot read it: .") as caught:
        open_slide(vsi)
    assert "\n" not in str(caught.value)
    assert ".cpp" not in str(caught.value)


def test_the_thumbnail_is_not_taken_for_the_slide(vsi: Path) -> None:
    with pytest.raises(CorruptInput, match="finds the pictures of the VSI file only"):
        open_slide(vsi)
    with pytest.raises(UnsupportedFormat, match="an Olympus VSI, which the source vsi reads"):
        open_slide(vsi, source="tiff")
    (vsi.parent / "_slide_" / "stack1" / "frame_t_0.ets").unlink()
    with pytest.raises(UnsupportedFormat, match=r"the folder _slide_ with its ETS files must lie beside it"):
        open_slide(vsi)


def test_found_by_its_folder_whatever_its_name(vsi: Path) -> None:
    renamed = vsi.rename(vsi.with_suffix(".tif"))
    with pytest.raises(CorruptInput, match="finds the pictures of the VSI file only"):
        open_slide(renamed)


def test_without_the_package_the_message_says_what_to_install(vsi: Path) -> None:
    """In an interpreter that does not find it."""
    script = (
        "import sys; sys.modules['slideio'] = None\n"
        "from pathlib import Path; from wsi_dicom.sources import open_slide\n"
        f"open_slide(Path({str(vsi)!r}))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "slide.vsi: Olympus VSI is read with an optional package: pip install wsi-dicom[vsi]" in ran.stderr


def test_brightfield(slides: Path) -> None:
    path = slides / "aperio" / "CMU-1-Small-Region.svs"
    reference = openslide.OpenSlide(path)
    with SlideioSlide(path, slideio.open_slide(str(path), "SVS")) as slide:
        assert [(level.width, level.height) for level in slide.pyramid.levels] == list(reference.level_dimensions)
        assert slide.pyramid.pixel_format == PixelFormat()
        assert slide.pyramid.spacing == pytest.approx((0.000499, 0.000499))
        assert slide.metadata.objective_power == 20.0
        assert slide.metadata.acquired == datetime(2009, 12, 29, 9, 59, 15, tzinfo=UTC)
        assert slide.lossy_method(0) == "ISO_10918_1"
        assert slide.encoding(0) is None
        expected = np.asarray(reference.read_region((0, 0), 0, reference.dimensions))[:, :, :3]
        assert np.array_equal(read_region(slide, 0, slide.pyramid.base.bounds), expected)
        assert set(slide.associated) == {ImageFlavor.LABEL, ImageFlavor.OVERVIEW, ImageFlavor.THUMBNAIL}
        label = np.asarray(reference.associated_images["label"])[:, :, :3]
        assert np.array_equal(slide.associated[ImageFlavor.LABEL].pixels(), label)
        last = slide.pyramid.base.columns - 1, slide.pyramid.base.rows - 1
        assert slide.tile(0, *last).shape == (512, 512, 3)
        with pytest.raises(OutOfBounds):
            slide.tile(0, 0, last[1] + 1)
    with pytest.raises(ValueError, match="closed"):
        slide.tile(0, 0, 0)


def test_fluorescence_with_focal_planes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "slide.czi"
    planes = {
        (c, z): PICTURE[c : c + 300, z : z + 400, c : c + 1].astype(np.uint16) * 100 for c in (0, 1) for z in (0, 1)
    }
    with czi.create_czi(str(path)) as out:
        for (channel, focal_plane), pixels in planes.items():
            out.write(pixels, (0, 0), {"C": channel, "Z": focal_plane}, scene=0)
            out.write(np.ascontiguousarray(pixels[:90, :80]), (700, 0), {"C": channel, "Z": focal_plane}, scene=1)
        out.write_metadata("x", channel_names={0: "DAPI", 1: "Cy3"}, scale_x=5e-7, scale_y=5e-7, scale_z=2e-6)
    with caplog.at_level(logging.WARNING), SlideioSlide(path, slideio.open_slide(str(path), "CZI")) as slide:
        assert (slide.pyramid.base.width, slide.pyramid.base.height) == (400, 300)
        assert (slide.pyramid.optical_paths, slide.pyramid.focal_planes) == (2, 2)
        assert slide.pyramid.pixel_format == PixelFormat(1, 16)
        assert slide.pyramid.focal_spacing_um == pytest.approx(2.0)
        assert slide.metadata.optical_paths == (
            OpticalPath("0", "DAPI", fluorescence=True), OpticalPath("1", "Cy3", fluorescence=True),
        )  # fmt: skip
        for plane, pixels in planes.items():
            assert np.array_equal(read_region(slide, 0, slide.pyramid.base.bounds, Plane(*plane)), pixels)
    assert "scene" in caplog.text
    assert "is left out" in caplog.text


def test_pixels_that_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "float.czi"
    with czi.create_czi(str(path)) as out:
        out.write(np.zeros((64, 64, 1), np.float32), (0, 0), scene=0)
        out.write_metadata("x")
    with pytest.raises(UnsupportedFormat, match="pixels of type float32"), reading(path):
        SlideioSlide(path, slideio.open_slide(str(path), "CZI"))
