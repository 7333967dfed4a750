"""Generic TIFF against tifffile and OpenSlide: real files of many writers, and each way of storing pixels."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from tests.contracts.source_contract import CopiedJpegContract, OpenslideReader, SourceContract
from tests.tiff_ways import ODD, PICTURE
from tests.vendor_tiffs import jpegxl_codestream
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.errors import CodecError, NotFound, UnsupportedFormat, WsiError
from wsi_dicom.geometry import FIRST_PLANE, Plane, Region
from wsi_dicom.region import read_region
from wsi_dicom.slide import EncodedTile, Encoding, Pixels, Slide
from wsi_dicom.sources import formats, open_slide
from wsi_dicom.tiff import codecs as tiff_codecs
from wsi_dicom.tiff.layout import TiffLayout

SAMPLE = Path(__file__).parent.parent / "sample_data" / "ihc-small.tif"


class TestSample(SourceContract, CopiedJpegContract):
    @pytest.fixture
    def path(self) -> Path:
        return SAMPLE


class TestRgbJpegPyramid(SourceContract, CopiedJpegContract):
    @pytest.fixture
    def path(self, slides: Path) -> Path:
        return slides / "generic_tiff" / "empaia_CMU-small.tiff"

    def test_component_names_tell_the_colour(self, slide: Slide) -> None:
        assert slide.encoding(0) == Encoding(JPEG_BASELINE, "RGB")


class TestYcbcrJpegWithJfif(SourceContract, CopiedJpegContract):
    @pytest.fixture
    def path(self, slides: Path) -> Path:
        return slides / "generic_tiff" / "wsic_CMU-1-Small-Region.jpeg.tiff"

    def test_absurd_resolution_is_not_believed(self, slide: Slide) -> None:
        assert slide.pyramid.spacing is None


class TestOmeJpegThatCallsItselfRgb(SourceContract, CopiedJpegContract):
    """Bio-Formats writes JFIF (YCbCr) under the photometric interpretation RGB: the stream is right."""

    @pytest.fixture
    def path(self, slides: Path) -> Path:
        return slides / "ome_tiff" / "OS-2-ndpi.ome.tif"

    def test_the_stream_wins_over_the_field(self, slide: Slide) -> None:
        assert slide.encoding(0) == Encoding(JPEG_BASELINE, "YBR_FULL_422")


class TestLzwOme(SourceContract):
    @pytest.fixture
    def path(self, slides: Path) -> Path:
        return slides / "ome_tiff" / "XYC_bfconvert_LZW.ome.tiff"


class TestLargeLzwPyramid(SourceContract):
    reader = OpenslideReader
    tiles_compared = 12

    @pytest.fixture
    def path(self, slides: Path) -> Path:
        return slides / "generic_tiff" / "gandlf_example_lm.tiff"


class TestStrips(SourceContract):
    @pytest.fixture
    def path(self, slides: Path) -> Path:
        return slides / "generic_tiff" / "wsic_XYC-half-mpp.tiff"

    def test_spacing_from_the_resolution(self, slide: Slide) -> None:
        assert slide.pyramid.spacing == pytest.approx((0.0005, 0.0005))

    def test_the_pixels_are_those_of_the_original(self, slide: Slide, slides: Path) -> None:
        with Image.open(slides / "jpeg_jp2" / "XYC.png") as original:
            expected = np.asarray(original.convert("RGB"))
        strips = [slide.tile(0, column, row) for column, row in slide.pyramid.base.tiles()]
        assert np.array_equal(np.concatenate(strips)[:512], expected)


@pytest.mark.parametrize("nested", [True, False], ids=["SubIFDs", "pages"])
def test_pyramids_are_found_and_strangers_left_out(tmp_path: Path, nested: bool) -> None:
    path = tmp_path / "pyramid.tif"
    levels = [PICTURE[:400], PICTURE[:400:2, ::2], PICTURE[:400:4, ::4]]
    same: dict[str, Any] = {"tile": (64, 64), "photometric": "rgb", "compression": "lzw", "metadata": None}
    with tifffile.TiffWriter(path, bigtiff=True) as out:
        out.write(levels[0], subifds=2 if nested else 0, **same)
        for level in levels[1:]:
            out.write(level, subfiletype=1, **same)
        out.write(PICTURE[:100, :300], photometric="rgb", metadata=None, rowsperstrip=10)  # a label, say
        out.write(PICTURE[:64, :320], **same)  # another shape
        out.write(levels[1][:, :, 0], tile=(64, 64), photometric="minisblack", metadata=None)  # another pixel format
    with open_slide(path) as slide:
        assert [(level.width, level.height) for level in slide.pyramid.levels] == [(512, 400), (256, 200), (128, 100)]
        assert np.array_equal(slide.tile(2, 0, 0), levels[2][:64, :64])


def test_a_tile_of_another_kind_is_not_copied_but_read(tmp_path: Path) -> None:
    """One tile with other chroma sampling, one of another size, among tiles that are alike."""
    import imagecodecs

    def encode(side: int, subsampling: str) -> bytes:
        return bytes(imagecodecs.jpeg8_encode(PICTURE[:side, :side], level=90, subsampling=subsampling))

    path = tmp_path / "mixed.tif"
    tiles = [encode(128, "420"), encode(128, "444"), encode(128, "420"), encode(112, "420")]
    tifffile.imwrite(
        path, iter(tiles), shape=(240, 240, 3), dtype=np.uint8, tile=(128, 128), photometric="ycbcr",
        compression="jpeg", metadata=None,
    )  # fmt: skip
    with open_slide(path) as slide:
        assert slide.encoded_tile(0, 0, 0) is not None
        assert slide.encoded_tile(0, 1, 0).data == tiles[1], "DICOM allows any sampling"
        assert slide.encoded_tile(0, 0, 1) is not None
        assert slide.encoded_tile(0, 1, 1) is None
        assert np.array_equal(slide.tile(0, 1, 0), imagecodecs.jpeg8_decode(tiles[1]))
        part = slide.tile(0, 1, 1)
        assert np.array_equal(part[:112, :112], imagecodecs.jpeg8_decode(tiles[3]))
        assert part[112:].min() == 255


def test_strips_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "strips.tif"
    tifffile.imwrite(path, ODD, rowsperstrip=32, compression="zlib", photometric="rgb", metadata=None)
    decoded = 0

    def counting(layout: TiffLayout, tile: EncodedTile, rows: int) -> Pixels:
        nonlocal decoded
        decoded += 1
        return tiff_codecs.decode(layout, tile, rows)

    monkeypatch.setattr("wsi_dicom.tiff.level.decode", counting)
    with open_slide(path) as slide:
        for _ in range(5):
            for row in range(4):
                slide.tile(0, 0, row)
    assert decoded == 4


def test_a_stack_of_pictures_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    options: dict[str, Any] = {"description": "ImageJ=1.53\nimages=7\nslices=7", "metadata": None}
    tifffile.imwrite(path, ODD, tile=(64, 64), photometric="rgb", **options)
    with pytest.raises(UnsupportedFormat, match=r"stack\.tif: an ImageJ stack of 7 images"):
        open_slide(path, "tiff")


def test_a_number_of_images_that_is_no_number(tmp_path: Path) -> None:
    path = tmp_path / "many.tif"
    tifffile.imwrite(path, ODD, description="ImageJ=1.53\nimages=" + "9" * 5000, photometric="rgb", metadata=None)
    with pytest.raises(UnsupportedFormat, match=r"many\.tif: an ImageJ stack of 9{15} images"):
        open_slide(path)


def test_users_are_told_that_signed_values_move(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "signed.tif"
    pixels = np.arange(-2048, 2048, dtype=np.int16).reshape(64, 64)
    tifffile.imwrite(path, pixels, tile=(64, 64), photometric="minisblack", metadata=None)
    with caplog.at_level(logging.WARNING), open_slide(path) as slide:
        assert np.array_equal(slide.tile(0, 0, 0)[:, :, 0].astype(int) - 32768, pixels)
    assert "signed.tif: pixels of type int16: half of their range is added" in caplog.text


def test_a_jpeg_xr_tile_that_is_cut_off(tmp_path: Path) -> None:
    """Its decoder would fill the rest and say nothing."""
    path = tmp_path / "cut.tif"
    tile = imagecodecs.jpegxr_encode(ODD[:64, :64], level=0.9)
    options: dict[str, Any] = {"shape": (64, 64, 3), "dtype": np.uint8, "tile": (64, 64), "photometric": "rgb"}
    for stored in (tile, tile[: len(tile) * 2 // 3]):
        tifffile.imwrite(path, iter([stored]), compression="jpegxr", metadata=None, **options)
        with open_slide(path) as slide:
            if stored is tile:
                assert np.array_equal(slide.tile(0, 0, 0), imagecodecs.jpegxr_decode(tile))
                continue
            with pytest.raises(CodecError, match=rf"column 0, row 0: .*it has {len(stored)} of {len(tile)} bytes"):
                slide.tile(0, 0, 0)


def test_jpeg_within_jpeg_xl_lost_something(tmp_path: Path) -> None:
    path = tmp_path / "recompressed.tif"
    boxed = imagecodecs.jpegxl_encode_jpeg(imagecodecs.jpeg8_encode(ODD[:64, :64]), usecontainer=True)
    options: dict[str, Any] = {"shape": (64, 64, 3), "dtype": np.uint8, "tile": (64, 64), "photometric": "rgb"}
    for stored, method in ((boxed, "ISO_10918_1"), (jpegxl_codestream(boxed), "ISO_18181_1")):
        tifffile.imwrite(path, iter([stored]), compression="jpegxl", metadata=None, **options)
        with open_slide(path) as slide:
            assert slide.lossy_method(0) == method


def test_pages_that_are_no_level_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "two.tif"
    with tifffile.TiffWriter(path) as out:
        for pixels in (ODD, ODD[:90, :150]):
            out.write(pixels, tile=(64, 64), photometric="rgb", metadata=None)
    with caplog.at_level(logging.WARNING), open_slide(path) as slide:
        assert len(slide.pyramid.levels) == 1
    assert [record.getMessage() for record in caplog.records] == [
        f"left out: two.tif: IFD 1: 150 x 90 pixels, which is no level of {ODD.shape[1]} x {ODD.shape[0]}"
    ]


@pytest.mark.parametrize(
    ("pixels", "options", "message"),
    [
        (np.zeros((4, 64, 64), np.uint8), {"tile": (64, 64), "photometric": "minisblack"}, "stack of 4 pages"),
        (np.zeros((64, 64), np.float32), {"tile": (64, 64)}, "unsigned samples of 1 to 16 bits"),
        (np.zeros((64, 64), np.float16), {"tile": (64, 64), "compression": "zlib", "predictor": 3}, "unsigned samples"),
        (np.zeros((64, 64), np.int32), {"tile": (64, 64)}, "unsigned samples of 1 to 16 bits"),
        (np.zeros((64, 64), np.uint32), {"tile": (64, 64)}, "unsigned samples of 1 to 16 bits"),
        (np.zeros((64, 64, 4), np.uint8), {"tile": (64, 64), "photometric": "separated"}, r"5 \(CMYK\)"),
        (np.zeros((64, 64, 3), np.uint8), {"tile": (64, 64), "photometric": "cielab"}, r"8 \(CIE L\*a\*b\*\)"),
        (np.zeros((64, 64), np.uint8), {"tile": (64, 64), "compression": "png"}, "compression 34933"),
    ],
)
def test_pixels_that_would_be_misread_are_refused(
    tmp_path: Path, pixels: np.ndarray, options: dict[str, Any], message: str
) -> None:
    path = tmp_path / "strange.tif"
    tifffile.imwrite(path, pixels, metadata=None, **options)
    with pytest.raises(UnsupportedFormat, match=rf"strange\.tif: .*{message}"):
        open_slide(path, "tiff")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("layout", [{"tile": (48, 64)}, {"rowsperstrip": 40}], ids=["tiles", "strips"])
def test_turned_pictures_are_shown_upright(tmp_path: Path, orientation: int, layout: dict[str, Any]) -> None:
    """Against Pillow, which turns them as well."""
    path = tmp_path / "turned.tif"
    options: dict[str, Any] = {"photometric": "rgb", "metadata": None, "resolution": (20000, 40000), **layout}
    with tifffile.TiffWriter(path) as out:
        for level, kind in ((ODD, 0), (ODD[::2, ::2], 1)):
            out.write(level, subfiletype=kind, resolutionunit=3, extratags=[(274, 3, 1, orientation, True)], **options)
    with open_slide(path) as slide, Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture)
        assert upright.size == (slide.pyramid.base.width, slide.pyramid.base.height)
        assert slide.pyramid.spacing == pytest.approx(((0.0005, 0.00025), (0.00025, 0.0005))[orientation > 4])
        region = read_region(slide, 0, slide.pyramid.base.bounds)
        assert np.array_equal(region, np.asarray(upright))
        picture.seek(1)
        coarse = np.asarray(ImageOps.exif_transpose(picture))
        assert np.array_equal(read_region(slide, 1, slide.pyramid.levels[1].bounds), coarse)
        assert (slide.encoding(0), slide.encoded_tile(0, 0, 0)) == (None, None)


class TestTurned(SourceContract):
    """A JPEG slide that was scanned sideways."""

    class UprightReader:
        def __init__(self, path: Path) -> None:
            self._pixels = np.rot90(tifffile.imread(path), -1)
            self.sizes = [(self._pixels.shape[1], self._pixels.shape[0])]

        def region(self, level: int, region: Region, plane: Plane = FIRST_PLANE) -> np.ndarray:
            return self._pixels[region.y : region.bottom, region.x : region.right]

    reader = UprightReader

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "sideways.tif"
        turned = [(274, 3, 1, 6, True)]
        tifffile.imwrite(path, ODD, tile=(64, 64), compression="jpeg", photometric="ycbcr", extratags=turned)
        return path


def test_what_dicom2tiff_writes_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "back.tif"
    description = "wsi-dicom 1.0|Manufacturer = Maker|Model = X 1|AppMag = 20|MPP = 0.503|SeriesInstanceUID = 1.2.3"
    tifffile.imwrite(path, ODD, tile=(64, 64), photometric="rgb", description=description, metadata=None)
    with open_slide(path) as slide:
        metadata = slide.metadata
        assert (metadata.manufacturer, metadata.model, metadata.objective_power) == ("Maker", "X 1", 20.0)
        assert slide.pyramid.spacing == pytest.approx((0.000503, 0.000503))
        assert metadata.properties["SeriesInstanceUID"] == "1.2.3"


def test_what_is_no_slide_is_refused_with_the_formats_tried(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        open_slide(tmp_path / "nowhere.svs")
    (tmp_path / "empty.svs").write_bytes(b"")
    (tmp_path / "random.svs").write_bytes(np.random.default_rng(1).bytes(100_000))
    for path in (tmp_path, tmp_path / "empty.svs", tmp_path / "random.svs"):
        with pytest.raises(UnsupportedFormat, match=r"Aperio SVS.*TIFF") as caught:
            open_slide(path)
        assert path.name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_other_packages_add_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real distribution on the path, with an entry point, asked before the formats of our own."""
    (tmp_path / "their_slides.py").write_text(
        "from wsi_dicom.errors import UnsupportedFormat\n"
        "class Theirs:\n"
        "    name = 'Theirs'\n"
        "    def detect(self, path, head): return head.startswith(b'THEIRS')\n"
        "    key = 'theirs'\n"
        "    def open(self, path, options): raise UnsupportedFormat('theirs was asked')\n"
        "FORMAT = Theirs()\n"
    )
    info = tmp_path / "their_slides-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-slides\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[wsi_dicom.sources]\ntheirs = their_slides:FORMAT\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    formats.cache_clear()
    try:
        slide = tmp_path / "slide.theirs"
        slide.write_bytes(b"THEIRS")
        with pytest.raises(WsiError, match="theirs was asked"):
            open_slide(slide)
    finally:
        formats.cache_clear()


@pytest.mark.parametrize(("written", "year"), [("0001:02:03 04:05:06", None), ("2024:02:03 04:05:06", 2024)])
def test_year_of_a_scanner_without_clock(tmp_path: Path, written: str, year: int | None) -> None:
    path = tmp_path / "dated.tif"
    tifffile.imwrite(path, PICTURE, tile=(256, 256), datetime=written, metadata=None)
    with open_slide(path) as slide:
        assert (slide.metadata.acquired and slide.metadata.acquired.year) == year
