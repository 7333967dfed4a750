from __future__ import annotations

import io
import tracemalloc
from dataclasses import replace

import cv2
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
from wsi_dicom.render import (
    ImageRequest,
    PictureFormat,
    Quality,
    TileAddress,
    encode_picture,
    jpeg_file,
    render,
    scaled_region,
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


@pytest.mark.parametrize("picture_format", list(PictureFormat))
@pytest.mark.parametrize("quality", list(Quality))
def test_every_format_and_quality_can_be_opened(picture_format, quality):
    got = picture(ArraySlide(TISSUE), Region(10, 20, 90, 70), 90, 70, format=picture_format, quality=quality)
    names = {"jpg": "JPEG", "tif": "TIFF"}
    assert got.format == names.get(picture_format, picture_format.upper())
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
        assert render(slide, ImageRequest(region, 256, 256)) == stored.data
        assert render(slide, ImageRequest(region, 256, 256, rotation=90)) != stored.data
        assert render(slide, ImageRequest(region, 255, 255)) != stored.data


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
    with pytest.raises(InvalidRequest, match="rotation by 45"):
        render(slide, ImageRequest(Region(0, 0, 8, 8), 8, 8, rotation=45))


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
    shown = np.asarray(Image.open(io.BytesIO(jpeg_file(tile))).convert("RGB"))
    assert psnr(TISSUE, shown) > 35
    assert psnr(TISSUE, np.asarray(Image.open(io.BytesIO(tile.data)).convert("RGB"))) < 20
