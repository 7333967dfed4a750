"""Copying a series to TIFF: what the series lacks, and files as large as their blocks of writing and more."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from pydicom.encaps import encapsulate

from tests.foreign_series import Picture, header, jpeg_frames, per_frame_groups, save, sparse
from tests.oracles import tiff_tiles
from wsi_dicom.convert import TiffOptions, dicom_to_tiff
from wsi_dicom.convert.to_tiff import BigTiff
from wsi_dicom.dicom.slide import open_series
from wsi_dicom.plan import PlanOptions
from wsi_dicom.tiff.flavors import Flavor

BACKGROUND = (90, 120, 200)
ACROSS, DOWN, SIDE = 5, 4, 32


@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize("first", [0, 7])
def test_absent_tiles_are_background_and_the_others_are_copied(tmp_path: Path, first: int, verify: bool) -> None:
    frames = jpeg_frames(3, SIDE)
    places = [(first + number * 5) % (ACROSS * DOWN) for number in range(3)]
    items = per_frame_groups([(place % ACROSS * SIDE + 1, place // ACROSS * SIDE + 1) for place in places])
    picture = sparse(Picture(ACROSS * SIDE, DOWN * SIDE, SIDE), items)
    path = save(tmp_path / "image.dcm", header(picture), picture.syntax, encapsulate(frames))
    with open_series([path], BACKGROUND) as slide:
        dicom_to_tiff(slide, tmp_path / "out.tif", TiffOptions(PlanOptions(verify=verify)))
    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        tiles = list(tiff_tiles(tiff.pages[0]))
    for number, tile in enumerate(tiles):
        if number in places:
            assert tile == frames[places.index(number)]
        else:
            assert np.abs(imagecodecs.jpeg8_decode(tile).astype(int) - BACKGROUND).max() <= 2


@pytest.mark.parametrize("big", [BigTiff.YES, BigTiff.NO])
@pytest.mark.parametrize("flavor", Flavor)
def test_pages_after_many_blocks_of_tiles(tmp_path: Path, flavor: Flavor, big: BigTiff) -> None:
    """Tiles are written in blocks of a megabyte by a thread of their own; directories, and links to them, follow."""
    side, count, across = 512, 24, 6
    frames = jpeg_frames(count, side)
    picture = Picture(across * side, count // across * side, side, frames=count)
    path = save(tmp_path / "image.dcm", header(picture), picture.syntax, encapsulate(frames))
    with open_series([path]) as slide:
        dicom_to_tiff(slide, tmp_path / "out.tif", TiffOptions(flavor=flavor, big=big))
    assert (tmp_path / "out.tif").stat().st_size > 2 << 20
    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        assert tiff.is_bigtiff is (big is BigTiff.YES)
        assert list(tiff_tiles(tiff.pages[0])) == frames
        assert len(tiff.pages) == (2 if flavor is Flavor.SVS else 1)
