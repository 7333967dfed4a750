"""Tiles at the right and lower edge that are stored in the size that the picture has there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filereader import dcmread
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless

from tests.foreign_series import TILE, Picture, header, save
from wsi_dicom.convert import DicomizeOptions, dicomize
from wsi_dicom.dicom.slide import open_series
from wsi_dicom.errors import CodecError
from wsi_dicom.geometry import Region
from wsi_dicom.region import read_region
from wsi_dicom.stores.folder import FolderStore

WIDTH, HEIGHT = 3 * TILE - 5, 2 * TILE - 3
PIXELS = np.random.default_rng(7).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)

Encoder = Callable[[NDArray[np.uint8]], bytes]
RGB_JPEG: Encoder = partial(imagecodecs.jpeg8_encode, level=100, colorspace="RGB", outcolorspace="RGB")
JPEG_2000: Encoder = partial(imagecodecs.jpeg2k_encode, codecformat="j2k", reversible=True, mct=False)


def streams(encode: Encoder) -> list[bytes]:
    """Row by row, as large as the picture is there."""
    starts = ((row, column) for row in range(0, HEIGHT, TILE) for column in range(0, WIDTH, TILE))
    return [
        bytes(encode(np.ascontiguousarray(PIXELS[row : row + TILE, column : column + TILE]))) for row, column in starts
    ]


def written(folder: Path, syntax: str, frames: list[bytes]) -> Path:
    return save(folder / "image.dcm", header(Picture(photometric="RGB")), syntax, encapsulate(frames))


@pytest.mark.parametrize(
    ("syntax", "encode", "off"),
    [
        (JPEGBaseline8Bit, RGB_JPEG, 2),
        (JPEG2000Lossless, JPEG_2000, 0),
        (JPEGLSLossless, imagecodecs.jpegls_encode, 0),
    ],
)
def test_they_are_read(tmp_path: Path, syntax: str, encode: Encoder, off: int) -> None:
    with open_series([written(tmp_path, syntax, streams(encode))]) as slide:
        shown = read_region(slide, 0, Region(0, 0, WIDTH, HEIGHT)).astype(int)
        assert np.abs(shown - PIXELS).max() <= off
        corner = slide.tile(0, 2, 1)
        assert corner.shape == (TILE, TILE, 3)
        assert np.array_equal(corner[-1, -1], corner[TILE - 4, TILE - 6])  # the last pixel goes on


def test_they_are_padded_when_others_are_copied(tmp_path: Path) -> None:
    frames = streams(JPEG_2000)
    dicomize(written(tmp_path, JPEG2000Lossless, frames), FolderStore(tmp_path / "new"), DicomizeOptions())
    (path,) = (tmp_path / "new").rglob("*.dcm")
    new = list(generate_frames(dcmread(path).PixelData, number_of_frames=6))
    assert [frame.rstrip(b"\0") for frame in new[:2]] == frames[:2]
    decoded = [imagecodecs.jpeg2k_decode(frame) for frame in new]
    assert {tile.shape for tile in decoded} == {(TILE, TILE, 3)}
    whole = np.vstack([np.hstack(decoded[:3]), np.hstack(decoded[3:])])
    assert np.array_equal(whole[:HEIGHT, :WIDTH], PIXELS)


@pytest.mark.parametrize("number", [0, 5])
def test_other_sizes_are_refused(tmp_path: Path, number: int) -> None:
    frames = streams(RGB_JPEG)
    frames[number] = RGB_JPEG(PIXELS[: TILE - 4, : TILE - 2])
    with open_series([written(tmp_path, JPEGBaseline8Bit, frames)]) as slide:
        row, column = divmod(number, 3)
        with pytest.raises(CodecError, match=f"tile column {column}, row {row} does not decode: .* of 14 x 12 pixels"):
            slide.tile(0, column, row)
