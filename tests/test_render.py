from __future__ import annotations

import io
import tracemalloc
from dataclasses import replace
from itertools import product

import cv2
import imagecodecs
import numpy as np
import openslide
import pytest
from PIL import Image
from skimage.data import immunohistochemistry
from skimage.metrics import peak_signal_noise_ratio as psnr

from tests.array_slide import ArraySlide
from tests.served import SAMPLE
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.errors import InvalidRequest
from wsi_dicom.geometry import FIRST_PLANE, Level, Plane, Pyramid, Region
from wsi_dicom.picture_file import PictureFormat, Quality, encode_picture
from wsi_dicom.render import (
    ImageRequest,
    TileAddress,
    jpeg_file,
    render,
    scaled_region,
    stored_picture,
    stored_tile,
)
from wsi_dicom.slide import EncodedTile, Encoding, Pixels
from wsi_dicom.sources import open_slide

TISSUE = immunohistochemistry()  # 512 x 512, real colours


def picture(slide, region: Region, width: int, height: int, **options) -> Image.Image:
    options.setdefault("format", PictureFormat.PNG)
    opened = Image.open(io.BytesIO(render(slide, ImageRequest(region, width, height, **options))))
    opened.load()
    return opened


@pytest.mark.parametrize(("mirror", "rotation"), [(m, r) for m in (False, True) for r in (0, 90, 180, 270)])
def test_mirrored_first_then_turned_clockwise(mirror, rotation):
    crop = Image.fromarray(TISSUE).crop((40, 30, 140, 90))
    expected = (crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirror else crop).rotate(-rotation, expand=True)
    got = picture(ArraySlide(TISSUE), Region(40, 30, 100, 60), 100, 60, mirror=mirror, rotation=rotation)
    np.testing.assert_array_equal(np.asarray(got), np.asarray(expected))


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_shrinking_by_whole_factors_is_the_mean_of_blocks(factor):
    size = 512 // factor
    expected = TISSUE.reshape(size, factor, size, factor, 3).mean(axis=(1, 3))
    got = np.asarray(picture(ArraySlide(TISSUE), Region(0, 0, 512, 512), size, size))
    np.testing.assert_allclose(got, expected, atol=1)


@pytest.mark.parametrize("size", [(67, 67), (1000, 750), (1711, 2222), (3003, 2900), (2, 3000)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_large_regions_read_in_bands_are_those_scaled_in_one_piece(size, kind):
    """Eight million pixels and more are read in bands, which do not end where pixels of the result do.

    OpenCV leaves out what covers less than a thousandth of a pixel, which shows in 16 bits.
    """
    pixels = np.random.default_rng(2).integers(0, np.iinfo(kind).max, (3000, 3003, 1), kind)
    slide = ArraySlide(pixels, (256, 256))
    got = scaled_region(slide, ImageRequest(slide.pyramid.base.bounds, *size))
    expected = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)[..., np.newaxis]
    assert got.dtype == kind
    np.testing.assert_allclose(got.astype(int), expected.astype(int), atol=max(1, np.iinfo(kind).max // 1000))
    assert set(slide.decoded.values()) == {1}


@pytest.mark.parametrize("size", [(1024, 1024), (3072, 16), (4096, 300)])
def test_memory_holds_the_result_and_a_band(size):
    """A row of tiles, decoded on demand, stands for a slide of 201 MB."""
    slide = RepeatedTile(8192)
    tracemalloc.start()
    try:
        got = scaled_region(slide, ImageRequest(slide.pyramid.base.bounds, *size))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert got.shape == (size[1], size[0], 3)
    assert peak < 2 * got.nbytes + (32 << 20)


class RepeatedTile(ArraySlide):
    """A slide of side x side pixels that repeats one picture."""

    def __init__(self, side: int) -> None:
        super().__init__(TISSUE, (512, 512))
        self.pyramid = replace(self.pyramid, levels=(Level(side, side, 512, 512),))

    def tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> Pixels:
        return TISSUE


@pytest.mark.parametrize(
    ("picture_format", "longest"),
    [(PictureFormat.JPG, 65500), (PictureFormat.WEBP, 16383), (PictureFormat.GIF, 65535)],
)
def test_what_a_format_cannot_hold_is_refused(picture_format, longest):
    fits = np.zeros((1, longest, 3), np.uint8)
    assert Image.open(io.BytesIO(encode_picture(fits, picture_format))).size == (longest, 1)
    for shape in ((1, longest + 1, 3), (longest + 1, 1, 3)):
        with pytest.raises(InvalidRequest, match=f"at most {longest} pixels on a side"):
            encode_picture(np.zeros(shape, np.uint8), picture_format)


def test_enlarging_is_close_to_another_lanczos():
    region = Region(100, 100, 80, 60)
    expected = Image.fromarray(TISSUE).crop((100, 100, 180, 160)).resize((320, 240), Image.Resampling.LANCZOS)
    got = picture(ArraySlide(TISSUE), region, 320, 240)
    assert psnr(np.asarray(expected), np.asarray(got)) > 33


NAMES = {"jpg": "JPEG", "tif": "TIFF", "jp2": "JPEG2000"}


def opened(data: bytes, picture_format: PictureFormat) -> Image.Image:
    """By Pillow; JPEG XL by libjxl, and of a PDF the one JPEG stream or picture of 1 bit in it."""
    if picture_format is PictureFormat.JXL:
        return Image.fromarray(imagecodecs.jpegxl_decode(data))
    if picture_format is PictureFormat.PDF:
        assert data.startswith(b"%PDF-")
        data = data[data.index(b"\xff\xd8") : data.index(b"\xff\xd9") + 2]
    picture = Image.open(io.BytesIO(data))
    assert picture.format == NAMES.get(picture_format, picture_format.upper()) or picture_format is PictureFormat.PDF
    picture.load()
    return picture


FAX = (PictureFormat.PDF, Quality.BITONAL)
"""Compressed in a way that cannot be opened here: test_a_pdf_of_one_bit."""


@pytest.mark.parametrize(
    ("picture_format", "quality"), [pair for pair in product(PictureFormat, Quality) if pair != FAX]
)
def test_every_format_and_quality_can_be_opened(picture_format, quality):
    request = ImageRequest(Region(10, 20, 90, 70), 90, 70, format=picture_format, quality=quality)
    got = opened(render(ArraySlide(TISSUE), request), picture_format)
    assert got.size == (90, 70)
    pixels = np.asarray(got.convert("RGB")).astype(int)
    crop = TISSUE[20:90, 10:100]
    if quality in (Quality.GRAY, Quality.BITONAL):
        assert abs(pixels[..., 0] - pixels[..., 2]).max() <= 2
        gray = np.asarray(Image.fromarray(crop).convert("L")).astype(int)
        expected = np.where(gray >= 128, 255, 0) if quality is Quality.BITONAL else gray
        assert abs(pixels[..., 1] - expected).mean() < 8
    else:
        assert abs(pixels - crop).mean() < 12  # the palette of a GIF is the coarsest of them


def test_what_is_made_twice_is_the_same():
    for picture_format in PictureFormat:
        request = ImageRequest(Region(10, 20, 90, 70), 45, 35, format=picture_format)
        assert render(ArraySlide(TISSUE), request) == render(ArraySlide(TISSUE), request)


TRANSPARENT = [item for item in PictureFormat if item not in (PictureFormat.JPG, PictureFormat.PDF)]


@pytest.mark.parametrize("degrees", [30, 45, 112.5, 359])
@pytest.mark.parametrize("mirror", [False, True])
def test_turned_by_any_angle_as_pillow_does(degrees, mirror):
    crop = Image.fromarray(TISSUE[100:260, 40:300])
    source = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirror else crop
    expected = source.rotate(-degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=(255, 255, 255))
    got = picture(ArraySlide(TISSUE), Region(40, 100, 260, 160), 260, 160, mirror=mirror, rotation=degrees)
    assert got.mode == "RGBA"
    assert abs(got.width - expected.width) <= 1
    assert abs(got.height - expected.height) <= 1
    x, y = got.width // 2 - 50, got.height // 2 - 50  # whose corners are inside of it
    ours, theirs = np.asarray(got), np.asarray(expected)
    best = max(
        psnr(theirs[y + j : y + j + 100, x + i : x + i + 100], ours[y : y + 100, x : x + 100, :3])
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
    )
    assert best > 28  # they place it on whole pixels
    covered = (ours[..., 3] / 255).sum()
    assert covered == pytest.approx(260 * 160, rel=0.02)


@pytest.mark.parametrize("picture_format", TRANSPARENT)
@pytest.mark.parametrize("quality", [Quality.DEFAULT, Quality.GRAY])
def test_the_corners_of_a_turned_picture_are_transparent(picture_format, quality):
    request = ImageRequest(Region(10, 20, 90, 70), 90, 70, format=picture_format, quality=quality, rotation=45)
    got = np.asarray(opened(render(ArraySlide(TISSUE), request), picture_format).convert("RGBA"))
    assert got.shape == (113, 113, 4)
    assert max(got[0, 0, 3], got[0, -1, 3], got[-1, 0, 3], got[-1, -1, 3]) < 10
    assert got[56, 56, 3] > 245


@pytest.mark.parametrize(
    ("picture_format", "quality"),
    [
        (PictureFormat.JPG, Quality.DEFAULT),
        (PictureFormat.JPG, Quality.GRAY),
        (PictureFormat.PDF, Quality.DEFAULT),
        (PictureFormat.PNG, Quality.BITONAL),
    ],
)
def test_where_nothing_can_be_transparent_the_corners_are_white(picture_format, quality):
    request = ImageRequest(Region(10, 20, 90, 70), 90, 70, format=picture_format, quality=quality, rotation=45)
    got = np.asarray(opened(render(ArraySlide(TISSUE), request), picture_format).convert("RGBA"))
    assert got[0, 0].tolist() == pytest.approx([255] * 4, abs=3)
    assert got[56, 56, :3].min() < 250 or quality is Quality.BITONAL


def test_a_pdf_of_one_bit():
    data = encode_picture(TISSUE, PictureFormat.PDF, Quality.BITONAL)
    assert data.startswith(b"%PDF-")
    assert b"/CCITTFaxDecode" in data
    assert b"/Width 512" in data


def test_lossless_formats_keep_every_pixel():
    for picture_format in (PictureFormat.PNG, PictureFormat.TIF):
        got = picture(ArraySlide(TISSUE), Region(3, 5, 200, 100), 200, 100, format=picture_format)
        np.testing.assert_array_equal(np.asarray(got), TISSUE[5:105, 3:203])


def test_sixteen_bit_gray_is_shown_in_eight():
    pixels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64, 1) * 16
    got = np.asarray(picture(ArraySlide(pixels), Region(0, 0, 64, 64), 64, 64))
    np.testing.assert_array_equal(got, pixels[..., 0] // 256)


def test_a_stored_tile_goes_out_as_stored():
    with open_slide(SAMPLE) as slide:
        stored = slide.encoded_tile(1, 3, 2)
        assert stored is not None
        region = Region(3 * 1024, 2 * 1024, 1024, 1024)
        assert stored_picture(slide, ImageRequest(region, 256, 256)) == stored.data
        assert stored_picture(slide, ImageRequest(region, 256, 256, rotation=90)) is None
        assert stored_picture(slide, ImageRequest(region, 255, 255)) is None


def test_which_tile_is_meant():
    pyramid = Pyramid((Level(46000, 32914, 256, 256), Level(11500, 8228, 256, 256), Level(2875, 2057, 256, 256)))
    last_row = 2057 // 256 - 1

    def asked(x: int, y: int, side: int, size: int = 256) -> TileAddress | None:
        return stored_tile(pyramid, ImageRequest(Region(x, y, side, side), size, size))

    assert asked(256, 512, 256) == TileAddress(0, 1, 2)
    assert asked(4096, 8192, 1024) == TileAddress(1, 4, 8)
    # 32914 / 2057 is 16.001: what clients compute with 16 is a fraction of a pixel off
    assert asked(0, last_row * 4096, 4096) == TileAddress(2, 0, last_row)
    assert asked(257, 512, 256) is None
    assert asked(0, 0, 512) is None
    assert asked(0, 0, 512, 512) is None
    assert asked(179 * 256, 0, 256) is None  # reaches beyond the right edge


def test_levels_are_chosen_so_that_nothing_is_enlarged():
    with open_slide(SAMPLE) as slide, openslide.OpenSlide(SAMPLE) as oracle:
        got = picture(slide, Region(2048, 2048, 3072, 2048), 1536, 1024)
        whole = oracle.read_region((2048, 2048), 0, (3072, 2048)).convert("RGB")
    expected = whole.resize((1536, 1024), Image.Resampling.BOX)
    assert psnr(np.asarray(expected), np.asarray(got)) > 38


def test_limits():
    slide = ArraySlide(TISSUE)
    with pytest.raises(InvalidRequest, match="over the limit of 5000 pixels"):
        render(slide, ImageRequest(Region(0, 0, 512, 512), 100, 100), max_pixels=5000)
    with pytest.raises(InvalidRequest, match="needs a coarser level"):
        render(slide, ImageRequest(Region(0, 0, 512, 512), 10, 10), max_pixels=5000)
    with pytest.raises(InvalidRequest, match="at least one pixel"):
        render(slide, ImageRequest(Region(0, 0, 512, 512), 0, 10))


def test_rgb_jpeg_is_told_apart_for_programs_that_only_know_the_stream():
    """Three components, told to be RGB by the photometric interpretation alone."""
    buffer = io.BytesIO()
    Image.fromarray(TISSUE).save(buffer, "JPEG", quality=95, keep_rgb=True)
    marked = buffer.getvalue()
    at = marked.index(b"\xff\xee")
    silent = bytearray(marked[:at] + marked[at + 16 :])
    for component, name in zip((1, 2, 3), b"RGB", strict=True):  # R, G, B as identifiers would say it too
        for segment in (silent.index(b"\xff\xc0"), silent.index(b"\xff\xda")):
            place = silent.index(bytes([name]), segment)
            silent[place] = component
    tile = EncodedTile(bytes(silent), Encoding(JPEG_BASELINE, "RGB"))
    shown = np.asarray(Image.open(io.BytesIO(jpeg_file(ArraySlide(TISSUE), TileAddress(0, 0, 0), tile))).convert("RGB"))
    assert psnr(TISSUE, shown) > 35
    assert psnr(TISSUE, np.asarray(Image.open(io.BytesIO(tile.data)).convert("RGB"))) < 20
