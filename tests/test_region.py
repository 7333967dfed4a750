from __future__ import annotations

import numpy as np
import openslide
import pytest

from tests.array_slide import ArraySlide
from tests.served import SAMPLE
from wsi_dicom.errors import InvalidRequest, OutOfBounds
from wsi_dicom.geometry import Region
from wsi_dicom.region import read_region
from wsi_dicom.sources import open_slide


def noise(height: int, width: int, samples: int = 3, kind: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(7).integers(0, np.iinfo(kind).max, (height, width, samples), dtype=kind)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_region_is_that_part_of_the_picture(samples, kind):
    pixels = noise(150, 200, samples, kind)
    read = read_region(ArraySlide(pixels), 0, Region(33, 60, 101, 71))
    assert read.dtype == kind
    np.testing.assert_array_equal(read, pixels[60:131, 33:134])


def test_outside_the_picture_is_white():
    pixels = noise(100, 130)
    read = read_region(ArraySlide(pixels), 0, Region(-10, -20, 200, 150))
    expected = np.full((150, 200, 3), 255, np.uint8)
    expected[20:120, 10:140] = pixels
    np.testing.assert_array_equal(read, expected)
    assert (read_region(ArraySlide(pixels), 0, Region(500, 500, 4, 5)) == 255).all()


def test_only_the_tiles_touched_are_decoded():
    slide = ArraySlide(noise(640, 640))
    read_region(slide, 0, Region(64, 64, 64, 65))
    assert dict(slide.decoded) == {(1, 1): 1, (1, 2): 1}


def test_limits_and_nonsense_are_refused():
    slide = ArraySlide(noise(64, 64))
    with pytest.raises(InvalidRequest, match="over the limit of 100 pixels"):
        read_region(slide, 0, Region(0, 0, 11, 10), max_pixels=100)
    assert read_region(slide, 0, Region(0, 0, 10, 10), max_pixels=100).shape == (10, 10, 3)
    with pytest.raises(InvalidRequest, match="empty"):
        read_region(slide, 0, Region(0, 0, 0, 10))
    with pytest.raises(OutOfBounds):
        read_region(slide, 1, Region(0, 0, 1, 1))


@pytest.mark.parametrize(("level", "x", "y"), [(0, 2000, 3100), (1, 700, 900), (2, 100, 200)])
def test_real_slide_agrees_with_openslide(level, x, y):
    width, height = 413, 301
    with open_slide(SAMPLE) as slide, openslide.OpenSlide(SAMPLE) as oracle:
        scale = round(oracle.level_downsamples[level])
        expected = np.asarray(oracle.read_region((x * scale, y * scale), level, (width, height)))
        read = read_region(slide, level, Region(x, y, width, height))
    visible = expected[..., 3:] == 255  # openslide leaves what is outside transparent
    np.testing.assert_allclose(np.where(visible, read, 0), np.where(visible, expected[..., :3], 0), atol=2)
    assert visible.mean() > 0.5
