"""Aperio SVS in JPEG 2000, made here: what is copied, what is decoded, and what else their headers tell."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import openslide
import pytest
import tifffile
from skimage.data import immunohistochemistry

from wsi_dicom.codecs.transfer_syntaxes import JPEG_2000, JPEG_2000_LOSSLESS
from wsi_dicom.slide import Encoding
from wsi_dicom.sources import open_slide

Maker = Callable[..., Path]


@pytest.fixture
def jpeg2000_slide(tmp_path: Path) -> Maker:
    """Writes an Aperio slide of 2 x 2 JPEG 2000 tiles from the streams that `encode` makes of the tiles."""

    def make(compression: int, encode: Callable[[np.ndarray], bytes], description: str = "") -> Path:
        path = tmp_path / f"{compression}.svs"
        pixels: np.ndarray = immunohistochemistry()  # type: ignore[no-untyped-call]
        tiles = [pixels[y : y + 256, x : x + 256] for y in (0, 256) for x in (0, 256)]
        tifffile.imwrite(
            path,
            (encode(np.ascontiguousarray(tile)) for tile in tiles),
            shape=pixels.shape,
            dtype=pixels.dtype,
            tile=(256, 256),
            photometric="rgb",
            compression=compression,
            metadata=None,
            description="Aperio Image Library v11.2.1 \r\n512x512 (256x256) J2K/KDU Q=70" + description,
        )
        return path

    return make


def _j2k(*, reversible: bool, transform: bool) -> Callable[[np.ndarray], bytes]:
    level = 0 if reversible else 40
    return lambda tile: bytes(
        imagecodecs.jpeg2k_encode(tile, level=level, codecformat="j2k", reversible=reversible, mct=transform)
    )


@pytest.mark.parametrize(
    ("reversible", "transform", "expected"),
    [
        (True, True, Encoding(JPEG_2000_LOSSLESS, "YBR_RCT")),
        (False, True, Encoding(JPEG_2000, "YBR_ICT")),
        (True, False, Encoding(JPEG_2000_LOSSLESS, "RGB")),
        (False, False, Encoding(JPEG_2000, "RGB")),
    ],
)
def test_rgb_jpeg2000_is_copied(jpeg2000_slide: Maker, reversible: bool, transform: bool, expected: Encoding) -> None:
    path = jpeg2000_slide(33005, _j2k(reversible=reversible, transform=transform))
    with open_slide(path) as slide, tifffile.TiffFile(path) as file, openslide.OpenSlide(path) as other:
        assert slide.encoding(0) == expected
        assert (slide.lossy_method(0) is None) == reversible
        page = file.pages[0]
        for index, (column, row) in enumerate(slide.pyramid.base.tiles()):
            file.filehandle.seek(page.dataoffsets[index])
            tile = slide.encoded_tile(0, column, row)
            assert tile is not None
            assert tile.data == file.filehandle.read(page.databytecounts[index])
            region = other.read_region((column * 256, row * 256), 0, (256, 256)).convert("RGB")
            assert np.abs(slide.tile(0, column, row).astype(int) - np.asarray(region)).max() <= 1


def test_ycbcr_jpeg2000_is_decoded_and_not_copied(jpeg2000_slide: Maker) -> None:
    plain = _j2k(reversible=True, transform=False)
    path = jpeg2000_slide(33003, lambda tile: plain(cv2.cvtColor(tile, cv2.COLOR_RGB2YCrCb)[:, :, [0, 2, 1]]))
    with open_slide(path) as slide, openslide.OpenSlide(path) as other:
        assert slide.encoding(0) is None
        for column, row in slide.pyramid.base.tiles():
            assert slide.encoded_tile(0, column, row) is None
            region = np.asarray(other.read_region((column * 256, row * 256), 0, (256, 256)).convert("RGB"))
            assert np.abs(slide.tile(0, column, row).astype(int) - region).max() <= 2


def _subsampled_ycbcr(tile: np.ndarray) -> bytes:
    """A codestream with chroma of half the width, as Aperio's 33003: packets by component, so that they concatenate."""
    y, cr, cb = np.moveaxis(cv2.cvtColor(tile, cv2.COLOR_RGB2YCrCb), 2, 0)
    heads, bodies = [], []
    for plane in (y, cb[:, ::2], cr[:, ::2]):
        stream = imagecodecs.jpeg2k_encode(np.ascontiguousarray(plane), level=0, codecformat="j2k", reversible=True)
        tile_part = stream.index(b"\xff\x90\x00\x0a")
        heads.append(stream[:tile_part])
        bodies.append(stream[stream.index(b"\xff\x93", tile_part) + 2 : -2])
    size_end = 4 + int.from_bytes(heads[0][4:6], "big")
    siz = heads[0][6:40] + b"\x00\x03" + b"\x07\x01\x01" + b"\x07\x02\x01" * 2
    rest = bytearray(heads[0][size_end:])
    rest[rest.index(b"\xff\x52") + 5] = 4  # progression: component, position, resolution, layer
    body = b"".join(bodies)
    tile_head = b"\xff\x90\x00\x0a\x00\x00" + (14 + len(body)).to_bytes(4, "big") + b"\x00\x01\xff\x93"
    return b"\xff\x4f\xff\x51" + (len(siz) + 2).to_bytes(2, "big") + siz + bytes(rest) + tile_head + body + b"\xff\xd9"


def test_subsampled_ycbcr_jpeg2000_is_decoded(jpeg2000_slide: Maker) -> None:
    path = jpeg2000_slide(33003, _subsampled_ycbcr)
    with open_slide(path) as slide, openslide.OpenSlide(path) as other:
        assert slide.encoding(0) is None
        for column, row in slide.pyramid.base.tiles():
            region = np.asarray(other.read_region((column * 256, row * 256), 0, (256, 256)).convert("RGB"))
            assert np.abs(slide.tile(0, column, row).astype(int) - region).mean() < 1


@pytest.mark.parametrize("zone", ["GMT-05:00", "GMT-0500", "GMT-5"])
def test_newer_scanners_tell_their_time_zone(jpeg2000_slide: Maker, zone: str) -> None:
    description = f"|AppMag = 40|MPP = 0.2635|Date = 06/15/2020|Time = 10:11:12|Time Zone = {zone}|Barcode = S-7"
    path = jpeg2000_slide(33005, _j2k(reversible=True, transform=True), description)
    with open_slide(path) as slide:
        acquired = slide.metadata.acquired
        assert acquired == datetime(2020, 6, 15, 15, 11, 12, tzinfo=UTC)
        assert acquired.utcoffset() == timedelta(hours=-5)
        assert slide.metadata.barcode == "S-7"


@pytest.mark.parametrize(
    ("description", "um"),
    [("|MPP = 0.2500", 0.25), ("|MPP = 250", None), ("|MPP = 0.0005", None), ("|MPP = many", None), ("", None)],
)
def test_absurd_spacing_is_not_believed(jpeg2000_slide: Maker, description: str, um: float | None) -> None:
    with open_slide(jpeg2000_slide(33005, _j2k(reversible=True, transform=True), description)) as slide:
        spacing = slide.pyramid.spacing
        assert (spacing and spacing.x_mm * 1000) == (um and pytest.approx(um))
