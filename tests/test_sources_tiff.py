"""Generic TIFF against tifffile and OpenSlide: real files of many writers, and each way of storing pixels."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from skimage.data import immunohistochemistry

from tests.contracts.source_contract import CopiedJpegContract, OpenslideReader, SourceContract
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.errors import NotFound, UnsupportedFormat, WsiError
from wsi_dicom.geometry import PixelFormat
from wsi_dicom.slide import EncodedTile, Encoding, Pixels, Slide
from wsi_dicom.sources import formats, open_slide, tiff_codecs
from wsi_dicom.sources.tiff_layout import TiffLayout

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
        from PIL import Image

        with Image.open(slides / "jpeg_jp2" / "XYC.png") as original:
            expected = np.asarray(original.convert("RGB"))
        strips = [slide.tile(0, column, row) for column, row in slide.pyramid.base.tiles()]
        assert np.array_equal(np.concatenate(strips)[:512], expected)


PICTURE: np.ndarray = immunohistochemistry()  # type: ignore[no-untyped-call]
GRAY16 = PICTURE[:, :, 0].astype(np.uint16) * 257 + np.arange(512, dtype=np.uint16)
ODD = PICTURE[:301, :407]
WAYS: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "none, big endian, 16 bits": (GRAY16, {"tile": (128, 128), "byteorder": ">"}),
    "deflate, predictor, 16 bits, big endian": (
        GRAY16,
        {"tile": (128, 128), "compression": "zlib", "predictor": 2, "byteorder": ">"},
    ),
    "lzw, predictor, odd edges": (ODD, {"tile": (64, 112), "compression": "lzw", "predictor": 2}),
    "zstd, predictor, BigTIFF": (ODD, {"tile": (64, 64), "compression": "zstd", "predictor": 2, "bigtiff": True}),
    "packbits strips, last one short": (ODD, {"rowsperstrip": 64, "compression": "packbits"}),
    "one strip": (ODD, {"compression": "zlib"}),
    "webp": (ODD, {"tile": (64, 64), "compression": "webp"}),
    "gray jpeg": (np.ascontiguousarray(ODD[:, :, 1]), {"tile": (64, 64), "compression": "jpeg"}),
    "jpeg strips": (ODD, {"rowsperstrip": 48, "compression": "jpeg"}),
    "white is zero": (np.ascontiguousarray(ODD[:, :, 1]), {"tile": (64, 64), "photometric": "miniswhite"}),
}


@pytest.mark.parametrize("way", WAYS)
def test_ways_of_storing_pixels(tmp_path: Path, way: str) -> None:
    pixels, options = WAYS[way]
    path = tmp_path / "way.tif"
    photometric = "rgb" if pixels.ndim == 3 else "minisblack"
    tifffile.imwrite(path, pixels, metadata=None, **{"photometric": photometric, **options})
    expected = tifffile.imread(path)
    if way == "white is zero":
        expected = ~expected
    with open_slide(path) as slide:
        base = slide.pyramid.base
        assert slide.pyramid.pixel_format == PixelFormat(1 if pixels.ndim == 2 else 3, pixels.itemsize * 8)
        assert (slide.lossy_method(0) is None) == ("jpeg" not in way and "webp" not in way)
        picture = np.zeros((base.rows * base.tile_height, base.columns * base.tile_width, slide.tile(0, 0, 0).shape[2]))
        for column, row in base.tiles():
            y, x = row * base.tile_height, column * base.tile_width
            picture[y : y + base.tile_height, x : x + base.tile_width] = slide.tile(0, column, row)
        assert np.array_equal(picture[: base.height, : base.width].squeeze(), expected)


def test_gray_jpeg_is_copied(tmp_path: Path) -> None:
    path = tmp_path / "gray.tif"
    pixels, options = WAYS["gray jpeg"]
    tifffile.imwrite(path, pixels, metadata=None, photometric="minisblack", **options)
    with open_slide(path) as slide:
        assert slide.encoding(0) == Encoding(JPEG_BASELINE, "MONOCHROME2")
        assert slide.encoded_tile(0, 1, 1) is not None


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

    monkeypatch.setattr("wsi_dicom.sources.tiff_level.decode", counting)
    with open_slide(path) as slide:
        for _ in range(5):
            for row in range(4):
                slide.tile(0, 0, row)
    assert decoded == 4


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("hamamatsu/test3-DAPI-2-(387).ndpi", "Hamamatsu NDPI is not supported yet"),
        ("ome_tiff/2048x2048_ome6_tiled.ome.tif", "OME-TIFF with channels"),
        ("ome_tiff/multi-channel-z-series.ome.tif", "OME-TIFF with channels"),
    ],
)
def test_vendor_files_are_refused_by_name(slides: Path, file: str, message: str) -> None:
    with pytest.raises(UnsupportedFormat, match=message) as caught:
        open_slide(slides / file)
    assert Path(file).name in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"software": "Philips DP v1.0"}, "Philips TIFF"),
        ({"description": "<scn xmlns='http://www.leica-microsystems.com/scn/2010/10/01'>"}, "Leica SCN"),
        ({"description": "<PerkinElmer-QPI-ImageDescription>"}, "Akoya QPTIFF"),
        ({"description": "ImageJ=1.53\nimages=7\nslices=7"}, "ImageJ stack of 7"),
        ({"software": "MedScan"}, "Trestle"),
        ({"extratags": [(700, 1, 15, b"<iScan Foo='1'>", True)]}, "Ventana BIF"),
        ({"extratags": [(271, 2, 0, "Hamamatsu", True)]}, "Hamamatsu NDPI"),
    ],
)
def test_vendors_are_known_by_their_fields(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = tmp_path / "vendor.tif"
    tifffile.imwrite(path, ODD, tile=(64, 64), photometric="rgb", **{"metadata": None, **options})
    with pytest.raises(UnsupportedFormat, match=f"{message}.*not supported yet"):
        open_slide(path)


@pytest.mark.parametrize(
    ("pixels", "options", "message"),
    [
        (np.zeros((4, 64, 64), np.uint8), {"tile": (64, 64), "photometric": "minisblack"}, "stack of 4 pages"),
        (np.zeros((64, 64), np.float32), {"tile": (64, 64)}, "unsigned 8 or 16 bits"),
        (np.zeros((64, 64), np.int8), {"tile": (64, 64)}, "unsigned 8 or 16 bits"),
        (np.zeros((64, 64, 4), np.uint8), {"tile": (64, 64), "photometric": "rgb"}, "4 samples"),
        (np.zeros((3, 64, 64), np.uint8), {"tile": (64, 64), "photometric": "rgb"}, "separate planes"),
        (np.zeros((64, 64), np.uint8), {"tile": (64, 64), "compression": "lzma"}, "compression 34925"),
    ],
)
def test_pixels_that_would_be_misread_are_refused(
    tmp_path: Path, pixels: np.ndarray, options: dict[str, Any], message: str
) -> None:
    path = tmp_path / "strange.tif"
    tifffile.imwrite(path, pixels, metadata=None, **options)
    with pytest.raises(UnsupportedFormat, match=message):
        open_slide(path)


def test_what_is_no_slide_is_refused_with_the_formats_tried(slides: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        open_slide(tmp_path / "nowhere.svs")
    (tmp_path / "empty.svs").write_bytes(b"")
    (tmp_path / "random.svs").write_bytes(np.random.default_rng(1).bytes(100_000))
    for path in (tmp_path, tmp_path / "empty.svs", tmp_path / "random.svs", slides / "jpeg_jp2" / "XYC.png"):
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
