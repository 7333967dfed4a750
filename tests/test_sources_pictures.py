"""Flat pictures against Pillow, libjpeg-turbo and the arrays that were stored; padding of them and of striped TIFF."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps
from skimage.data import immunohistochemistry

from tests.contracts.source_contract import SourceContract, scan
from tests.vendor_tiffs import jpegxl_codestream
from wsi_dicom.codecs.transfer_syntaxes import JPEG_2000, JPEG_2000_LOSSLESS, JPEG_BASELINE
from wsi_dicom.errors import CodecError, CorruptInput, InvalidRequest, UnsupportedFormat, WsiError
from wsi_dicom.geometry import FIRST_PLANE, PixelFormat, Plane, Region, Spacing
from wsi_dicom.region import read_region
from wsi_dicom.slide import Encoding, Slide, SourceOptions
from wsi_dicom.sources import open_slide

TISSUE = immunohistochemistry()[:300, :500].copy()
GRAY = TISSUE[:, :, 1].copy()
DEEP = (TISSUE.astype(np.uint16) << 8) + TISSUE[::-1, ::-1]
DEEP_GRAY = DEEP[:, :, 0].copy()
OPACITY = np.tile(np.arange(500) * 255 // 499, (300, 1)).astype(np.uint8)
TRANSLUCENT = np.dstack([TISSUE, OPACITY])
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def saved(pixels: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def whole(slide: Slide) -> np.ndarray:
    return read_region(slide, 0, slide.pyramid.base.bounds)


@pytest.fixture
def written(tmp_path: Path) -> Iterator[object]:
    """Writes a picture, without a telling suffix, and opens it."""
    opened = []

    def write(data: bytes, **options: object) -> Slide:
        path = tmp_path / "picture"
        path.write_bytes(data)
        opened.append(open_slide(path, options=SourceOptions(**options)))
        return opened[-1]

    yield write
    for slide in opened:
        slide.close()


class PillowReader:
    def __init__(self, path: Path) -> None:
        with Image.open(path) as picture:
            self._pixels = np.asarray(picture)
        self.sizes = [self._pixels.shape[1::-1]]

    def region(self, level: int, region: Region, plane: Plane = FIRST_PLANE) -> np.ndarray:
        pixels = self._pixels[region.y : region.bottom, region.x : region.right]
        return pixels.reshape(region.height, region.width, -1)


class PictureContract(SourceContract):
    reader = PillowReader
    stored: bytes

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "picture"
        path.write_bytes(self.stored)
        return path


class TestPng(PictureContract):
    @pytest.fixture
    def path(self, slides: Path) -> Path:
        return slides / "iiif" / "67352ccc-d1b0-11e1-89ae-279075081939.png"

    def test_it_lost_nothing(self, slide: Slide) -> None:
        assert slide.lossy_method(0) is None
        assert slide.pyramid.base.tile_count == 4


class TestJpeg(PictureContract):
    stored = saved(TISSUE, "JPEG", quality=90)

    def test_it_is_one_frame(self, slide: Slide, path: Path) -> None:
        assert slide.pyramid.base.tile_count == 1
        assert slide.encoding(0) == Encoding(JPEG_BASELINE, "YBR_FULL_422")
        tile = slide.encoded_tile(0, 0, 0)
        assert tile is not None
        assert scan(tile.data) == scan(path.read_bytes())
        assert slide.lossy_method(0) == "ISO_10918_1"
        assert slide.files == (path,)


class TestGrayJpeg(PictureContract):
    stored = saved(GRAY, "JPEG")

    def test_it_is_one_frame(self, slide: Slide) -> None:
        assert slide.encoding(0) == Encoding(JPEG_BASELINE, "MONOCHROME2")
        assert slide.pyramid.pixel_format == PixelFormat(1, 8)


class TestProgressiveJpeg(PictureContract):
    stored = saved(TISSUE, "JPEG", progressive=True)

    def test_dicom_does_not_hold_it(self, slide: Slide) -> None:
        assert slide.encoding(0) is None


class TestJpeg2000(PictureContract):
    stored = imagecodecs.jpeg2k_encode(TISSUE, level=0, reversible=True, codecformat="jp2")

    def test_its_codestream_is_one_frame(self, slide: Slide, path: Path) -> None:
        assert slide.encoding(0) == Encoding(JPEG_2000_LOSSLESS, "YBR_RCT")
        tile = slide.encoded_tile(0, 0, 0)
        assert tile is not None
        assert tile.data.startswith(b"\xff\x4f\xff\x51")
        assert path.read_bytes().endswith(tile.data)
        assert slide.lossy_method(0) is None


class TestLossyJpeg2000(PictureContract):
    stored = imagecodecs.jpeg2k_encode(TISSUE, level=40, reversible=False, codecformat="j2k")

    def test_it_is_one_frame(self, slide: Slide) -> None:
        assert slide.encoding(0) == Encoding(JPEG_2000, "YBR_ICT")
        assert slide.lossy_method(0) == "ISO_15444_1"


class TestWebp(PictureContract):
    stored = saved(TISSUE, "WEBP", quality=80)

    def test_it_lost_something(self, slide: Slide) -> None:
        assert slide.lossy_method(0) == "WEBP"


LOSSLESS = {
    "png": (saved(TISSUE, "PNG"), TISSUE),
    "png gray": (saved(GRAY, "PNG"), GRAY),
    "png 16 bits": (imagecodecs.png_encode(DEEP), DEEP),
    "png gray 16 bits": (imagecodecs.png_encode(DEEP_GRAY), DEEP_GRAY),
    "png palette": (
        saved(Image.fromarray(TISSUE).quantize(13), "PNG", bits=4),
        np.asarray(Image.fromarray(TISSUE).quantize(13).convert("RGB")),
    ),
    "png 1 bit": (saved(Image.fromarray(GRAY > 128), "PNG"), (GRAY > 128) * np.uint8(255)),
    "webp": (saved(TISSUE, "WEBP", lossless=True), TISSUE),
    "jpeg 2000": (imagecodecs.jpeg2k_encode(TISSUE, level=0, reversible=True, mct=False, codecformat="jp2"), TISSUE),
    "jpeg 2000 gray 16 bits": (imagecodecs.jpeg2k_encode(DEEP_GRAY, level=0, reversible=True), DEEP_GRAY),
    "jpeg 2000 12 bits": (
        imagecodecs.jpeg2k_encode(DEEP >> 4, level=0, reversible=True, bitspersample=12),
        DEEP >> 4,
    ),
    "htj2k": (imagecodecs.htj2k_encode(TISSUE, reversible=True), TISSUE),
    "jpeg xl": (imagecodecs.jpegxl_encode(TISSUE, lossless=True), TISSUE),
    "jpeg xl 16 bits": (imagecodecs.jpegxl_encode(DEEP, lossless=True), DEEP),
    "jpeg xl gray": (imagecodecs.jpegxl_encode(GRAY, lossless=True), GRAY),
}


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_pictures_come_back(kind: str, written) -> None:
    stored, expected = LOSSLESS[kind]
    slide = written(stored)
    assert np.array_equal(whole(slide), expected.reshape(300, 500, -1))
    assert slide.lossy_method(0) is None


@pytest.mark.parametrize("name", ["Baseline_(Process_1)-RGB-8", "Lossless,_Non-Hierarchical_(Process_14)-RGB-8"])
def test_jpeg_of_other_writers(name: str, slides: Path, written) -> None:
    data = (slides / "codec_frames" / f"JPEG_{name}.jpg").read_bytes()
    slide = written(data)
    assert np.array_equal(whole(slide), imagecodecs.jpeg8_decode(data))
    assert (slide.lossy_method(0) is None) == name.startswith("Lossless")
    assert (slide.encoding(0) is not None) == name.startswith("Baseline")


def test_jpeg_of_12_bits(slides: Path, written) -> None:
    data = (slides / "codec_frames" / "JPEG_Extended_(Process_2_and_4)-GRAYSCALE-12.jpg").read_bytes()
    slide = written(data)
    assert slide.pyramid.pixel_format == PixelFormat(1, 16)
    assert np.array_equal(whole(slide)[:, :, 0], imagecodecs.jpeg8_decode(data))


def test_lossy_jpeg_xl(written) -> None:
    assert written(imagecodecs.jpegxl_encode(TISSUE, level=80)).lossy_method(0) == "ISO_18181_1"
    jpeg = saved(TISSUE, "JPEG")
    slide = written(imagecodecs.jpegxl_encode_jpeg(jpeg, usecontainer=True))
    assert slide.lossy_method(0) == "ISO_10918_1"
    assert np.array_equal(whole(slide), imagecodecs.jpeg8_decode(jpeg))
    # without its box it cannot be restored: its colours are not XYB, and yet it is not lossless
    bare = written(jpegxl_codestream(imagecodecs.jpegxl_encode_jpeg(jpeg, usecontainer=True)))
    assert bare.lossy_method(0) == "ISO_18181_1"


@pytest.mark.parametrize("components", [2, 4, 5])
def test_components_of_jpeg_2000_of_unknown_meaning(components: int, written) -> None:
    """Nothing but a box of a JP2 file can say that one is opacity."""
    pixels = np.dstack([TISSUE, TISSUE])[:, :, :components]
    with pytest.raises(UnsupportedFormat, match=f"{components} components"):
        written(imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, mct=False, codecformat="j2k"))


def test_lossy_htj2k(written) -> None:
    slide = written(imagecodecs.htj2k_encode(TISSUE, reversible=False, level=0.01))
    assert slide.lossy_method(0) == "ISO_15444_15"
    assert slide.encoding(0) is None


@pytest.mark.parametrize("background", [(255, 255, 255), (200, 100, 3)])
@pytest.mark.parametrize("kind", ["png", "png 16 bits", "webp", "jpeg 2000"])
def test_what_is_transparent_shows_the_background(kind: str, background: tuple[int, int, int], written) -> None:
    pixels = TRANSLUCENT.astype(np.uint16) * 257 if kind.endswith("16 bits") else TRANSLUCENT
    stored = {
        "png": lambda: saved(pixels, "PNG"),
        "png 16 bits": lambda: imagecodecs.png_encode(pixels),
        "webp": lambda: saved(pixels, "WEBP", lossless=True, exact=True),
        "jpeg 2000": lambda: saved(pixels, "JPEG2000"),
    }[kind]()
    whitest = np.iinfo(pixels.dtype).max
    opacity = pixels[:, :, 3:] / whitest
    exact = pixels[:, :, :3] * opacity + (1 - opacity) * np.array(background) * (whitest / 255)
    assert np.abs(whole(written(stored, color=background)) - exact).max() <= 0.5001


def test_png_with_one_transparent_colour(written) -> None:
    red, green, blue = (int(sample) for sample in TISSUE[7, 9])
    pixels = whole(written(saved(TISSUE, "PNG", transparency=(red, green, blue)), color=(1, 2, 3)))
    clear = np.equal(TISSUE, (red, green, blue)).all(axis=2)
    assert (pixels[clear] == (1, 2, 3)).all()
    assert np.array_equal(pixels[~clear], TISSUE[~clear])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_turns_the_picture(kind: str, orientation: int, written) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    data = saved(TISSUE, kind, exif=exif.tobytes())
    slide = written(data)
    with Image.open(io.BytesIO(data)) as picture:
        upright = np.asarray(ImageOps.exif_transpose(picture))
    assert (slide.pyramid.base.height, slide.pyramid.base.width) == upright.shape[:2]
    assert np.array_equal(whole(slide), upright)
    assert (slide.encoding(0) is not None) == (kind == "JPEG" and orientation == 1)


def jp2_with(extra: bytes, space: bytes) -> bytes:
    """A JP2 file with more in its header box (T.800 I.5.3), and with another colour specification."""
    data = imagecodecs.jpeg2k_encode(TISSUE, level=0, reversible=True, codecformat="jp2")
    at = data.index(b"jp2h") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    colr = data.index(b"colr") - 4
    colr_size = int.from_bytes(data[colr : colr + 4], "big")
    header = data[at + 8 : colr] + struct.pack(">I4s", 8 + len(space), b"colr") + space
    header += data[colr + colr_size : at + size] + extra
    return data[:at] + struct.pack(">I4s", 8 + len(header), b"jp2h") + header + data[at + size :]


def exif_of(x: float, y: float) -> bytes:
    exif = Image.Exif()
    exif[282], exif[283], exif[296] = x, y, 3
    return exif.tobytes()


RESC = struct.pack(">I4sHHHHbb", 18, b"resc", 1, 1, 4, 1, 6, 6)  # 1e6 down, 4e6 across, per metre
RESOLUTIONS = {
    "png": (saved(TISSUE, "PNG", dpi=(50800, 25400)), Spacing(0.0005, 0.001)),
    "jfif": (saved(TISSUE, "JPEG", dpi=(50800, 25400)), Spacing(0.0005, 0.001)),
    "exif": (saved(TISSUE, "WEBP", exif=exif_of(40000, 20000)), Spacing(0.00025, 0.0005)),
    "exif in jpeg": (saved(TISSUE, "JPEG", exif=exif_of(40000, 20000)), Spacing(0.00025, 0.0005)),
    "jp2": (jp2_with(struct.pack(">I4s", 26, b"res ") + RESC, b"\1\0\0\0\0\0\x10"), Spacing(0.00025, 0.001)),
    "screen": (saved(TISSUE, "JPEG", dpi=(72, 72)), None),
    "printer": (saved(TISSUE, "JPEG", dpi=(300, 300)), None),
    "printer, png": (saved(TISSUE, "PNG", dpi=(300, 300)), None),
    "printer, tiff": (saved(TISSUE, "TIFF", dpi=(300, 300)), None),
    "larger than a slide": (saved(np.zeros((1, 9000), np.uint8), "PNG", dpi=(2540, 2540)), None),
    "as large as a slide": (saved(np.zeros((1, 7600), np.uint8), "PNG", dpi=(2540, 2540)), Spacing(0.01, 0.01)),
    "none": (saved(TISSUE, "PNG"), None),
}


@pytest.mark.parametrize("where", RESOLUTIONS)
def test_resolution_becomes_spacing(where: str, written) -> None:
    stored, expected = RESOLUTIONS[where]
    spacing = written(stored).pyramid.spacing
    assert spacing == (None if expected is None else pytest.approx(expected, rel=1e-4))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "JP2"])
def test_icc_profile_is_kept(kind: str, written) -> None:
    stored = jp2_with(b"", b"\2\0\0" + SRGB) if kind == "JP2" else saved(TISSUE, kind, icc_profile=SRGB)
    slide = written(stored)
    assert slide.metadata.icc_profile == SRGB
    assert whole(slide).shape == (300, 500, 3)


def test_icc_profile_in_several_segments(written) -> None:
    profile = SRGB + random.Random(7).randbytes(150_000)
    assert written(saved(TISSUE, "JPEG", icc_profile=profile)).metadata.icc_profile == profile


def test_a_copied_jpeg_leaves_its_metadata_behind(written) -> None:
    exif = Image.Exif()
    exif[0x010E] = "Jane Doe, ward 7"
    data = saved(TISSUE, "JPEG", exif=exif.tobytes(), comment="Jane Doe", icc_profile=SRGB) + b"Jane Doe" * 9
    slide = written(data)
    tile = slide.encoded_tile(0, 0, 0)
    assert tile is not None
    assert b"Jane" not in tile.data
    assert b"ICC" not in tile.data
    assert scan(tile.data) == scan(data)
    with Image.open(io.BytesIO(tile.data)) as picture:
        assert np.array_equal(np.asarray(picture), whole(slide))


def test_a_jpeg_larger_than_a_frame_is_cut_into_tiles(written) -> None:
    wide = np.tile(TISSUE[:40], (1, 9, 1))
    data = saved(wide, "JPEG")
    slide = written(data)
    assert slide.encoding(0) is None
    assert slide.pyramid.base.columns == 9
    assert np.array_equal(whole(slide), imagecodecs.jpeg8_decode(data))


def claimed_png(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 16, 6, 0, 0, 0)
    return saved(TISSUE, "PNG").replace(saved(TISSUE, "PNG")[12:33], header + struct.pack(">I", zlib.crc32(header)))


def claimed_jpeg(width: int, height: int) -> bytes:
    data = saved(TISSUE, "JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


@pytest.mark.parametrize("data", [claimed_png(40_000, 40_000), claimed_jpeg(65_000, 65_000)], ids=["png", "jpeg"])
def test_too_large_a_picture_is_refused_before_it_is_decoded(data: bytes, written) -> None:
    with pytest.raises(UnsupportedFormat, match="the limit is 1073741824"):
        written(data)


def test_what_is_not_read_says_so(written) -> None:
    frames = [Image.fromarray(TISSUE), Image.fromarray(TISSUE[::-1])]
    cases = {
        "CMYK": saved(Image.fromarray(TISSUE).convert("CMYK"), "JPEG"),
        "animated": saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        "JPEG-LS": imagecodecs.jpegls_encode(TISSUE),
    }
    for reason, data in cases.items():
        with pytest.raises(UnsupportedFormat, match=reason):
            written(data)


STORED = {**{kind: stored for kind, (stored, _) in LOSSLESS.items()}, "jpeg": saved(TISSUE, "JPEG")}


@pytest.mark.parametrize("kind", STORED)
def test_cut_off_pictures_are_refused(kind: str, written) -> None:
    stored = STORED[kind]
    for kept in (5, 14, 30, len(stored) // 3, len(stored) * 2 // 3):
        with pytest.raises((CorruptInput, CodecError, UnsupportedFormat), match="picture: "):
            whole(written(stored[:kept]))


@pytest.mark.parametrize("kind", STORED)
def test_damaged_pictures_raise_nothing_but_our_errors(kind: str, written) -> None:
    dice = random.Random(kind)
    for _ in range(12):
        data = bytearray(STORED[kind])
        for _ in range(dice.choice((1, 3, 20))):
            data[dice.randrange(min(len(data), dice.choice((40, 400, 1 << 20))))] = dice.randrange(256)
        with contextlib.suppress(WsiError):
            slide = written(bytes(data))
            slide.encoded_tile(0, 0, 0)
            whole(slide)


class TestPadding:
    def test_pictures_grow_to_a_multiple(self, written) -> None:
        slide = written(saved(TISSUE, "PNG"), padding=128, color=(9, 8, 7))
        assert (slide.pyramid.base.width, slide.pyramid.base.height) == (512, 384)
        pixels = whole(slide)
        assert np.array_equal(pixels[:300, :500], TISSUE)
        assert (pixels[300:] == (9, 8, 7)).all()
        assert (pixels[:, 500:] == (9, 8, 7)).all()

    def test_gray_of_16_bits(self, written) -> None:
        pixels = whole(written(imagecodecs.png_encode(DEEP_GRAY), padding=301, color=(255, 255, 255)))
        assert pixels.shape == (301, 602, 1)
        assert np.array_equal(pixels[:300, :500, 0], DEEP_GRAY)
        assert (pixels[300] == 65535).all()

    def test_what_has_another_size_is_not_copied(self, written) -> None:
        assert written(saved(TISSUE, "JPEG"), padding=16).encoding(0) is None
        assert written(saved(TISSUE, "JPEG"), padding=100).encoding(0) is not None

    def test_striped_tiff(self, tmp_path: Path) -> None:
        path = tmp_path / "strips.tif"
        tifffile.imwrite(path, TISSUE, photometric="rgb", rowsperstrip=16)
        with open_slide(path, options=SourceOptions(padding=700)) as slide:
            assert slide.pyramid.base.tile_count == 4
            expected = np.pad(TISSUE, ((0, 400), (0, 200), (0, 0)), constant_values=255)
            assert np.array_equal(whole(slide), expected)

    def test_tiled_tiff_keeps_its_size(self, tmp_path: Path) -> None:
        path = tmp_path / "tiles.tif"
        tifffile.imwrite(path, TISSUE, photometric="rgb", tile=(256, 256))
        with open_slide(path, options=SourceOptions(padding=700)) as slide:
            assert (slide.pyramid.base.width, slide.pyramid.base.height) == (500, 300)

    def test_sense_is_asked_for(self, written) -> None:
        with pytest.raises(InvalidRequest, match="padding of 0"):
            written(saved(TISSUE, "PNG"), padding=0)
        with pytest.raises(InvalidRequest, match="padding of 100000"):
            written(saved(TISSUE, "PNG"), padding=100_000)


class PaddedReader(PillowReader):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._pixels = np.pad(self._pixels, ((0, 20), (0, 12), (0, 0)), constant_values=255)
        self.sizes = [(512, 320)]


class TestPadded(PictureContract):
    reader = PaddedReader
    stored = saved(TISSUE, "PNG")

    @pytest.fixture
    def slide(self, path: Path) -> Iterator[Slide]:
        with open_slide(path, options=SourceOptions(padding=64)) as slide:
            yield slide
