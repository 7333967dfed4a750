"""Every codec against other people's decoders, other people's streams, and broken ones."""

from __future__ import annotations

import io
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import jpeg_ls
import numpy as np
import openjpeg
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.uid import RLELossless
from skimage.data import immunohistochemistry
from skimage.metrics import peak_signal_noise_ratio

from tests.oracles import tiff_tiles
from wsi_dicom.codecs import codec_for, encode_tile
from wsi_dicom.codecs import transfer_syntaxes as syntaxes
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.codecs.jpeg_markers import tables_prefix
from wsi_dicom.codecs.jpegxl import recompress, restore
from wsi_dicom.codecs.jpegxl_header import parse_header
from wsi_dicom.errors import CodecError
from wsi_dicom.geometry import PixelFormat
from wsi_dicom.slide import EncodedTile, Encoding, Pixels

TISSUE = immunohistochemistry()[40:240, :256]
NOISE = np.random.default_rng(7).integers(0, 256, (64, 80, 3), np.uint8)
PICTURES = {
    "tissue": TISSUE,
    "gray": np.ascontiguousarray(TISSUE[:, :, :1]),
    "tissue-16": TISSUE.astype(np.uint16) * 256 + np.arange(256, dtype=np.uint16)[:, None],
    "gray-16": TISSUE[:, :, :1].astype(np.uint16) * 257,
    "noise": NOISE,
    "noise-16": np.random.default_rng(8).integers(0, 65536, (64, 80, 3), np.uint16),
    "black-and-white": (NOISE > 127).astype(np.uint8) * 255,
    "white": np.full((64, 80, 3), 255, np.uint8),
    "sliver": np.ascontiguousarray(TISSUE[:1, :7]),
    "pixel": np.ascontiguousarray(TISSUE[:1, :1]),
}
ONLY_8_BITS = (Compression.JPEG, Compression.JPEG_XL_RECOMPRESS, Compression.WEBP)
ONLY_COLOUR = (Compression.WEBP,)


def pixel_format(pixels: Pixels) -> PixelFormat:
    return PixelFormat(pixels.shape[2], 8 * pixels.itemsize)


def encoded(pixels: Pixels, compression: Compression, quality: int = 90) -> EncodedTile:
    encoding = codec_for(compression.transfer_syntax).encoding(pixel_format(pixels), compression.lossless)
    return EncodedTile(encode_tile(pixels, encoding, quality), encoding)


def decoded(tile: EncodedTile, like: Pixels) -> Pixels:
    height, width = like.shape[:2]
    return codec_for(tile.encoding.transfer_syntax).decode(tile, width, height, pixel_format(like))


def decibels(got: Pixels, due: Pixels) -> float:
    with np.errstate(divide="ignore"):
        return peak_signal_noise_ratio(due, got, data_range=np.iinfo(due.dtype).max)


CASES = [
    pytest.param(compression, name, id=f"{compression}-{name}")
    for compression in Compression
    for name, picture in PICTURES.items()
    if picture.itemsize == 1 or compression not in ONLY_8_BITS
    if picture.shape[2] == 3 or compression not in ONLY_COLOUR
]


@pytest.mark.parametrize(("compression", "name"), CASES)
def test_pixels_come_back(compression: Compression, name: str) -> None:
    pixels = PICTURES[name]
    tile = encoded(pixels, compression)
    if compression.transfer_syntax in syntaxes.KNOWN:
        tile = EncodedTile(tile.data + b"\0" * (len(tile.data) % 2), tile.encoding)  # as DICOM stores it
    got = decoded(tile, pixels)
    assert got.dtype == pixels.dtype
    if compression.lossless:
        np.testing.assert_array_equal(got, pixels)
    elif name == "pixel" or (name in ("noise", "black-and-white") and compression in ONLY_8_BITS):
        assert decibels(got, pixels) > 5  # no rate control of a pixel; 4:2:0 drops the chroma of noise
    else:
        assert decibels(got, pixels) > 34


def by_pydicom(data: bytes, like: Pixels) -> Pixels:
    height, width, samples = like.shape
    pixels, _ = get_decoder(RLELossless).as_array(
        encapsulate([data]), rows=height, columns=width, samples_per_pixel=samples, bits_allocated=8 * like.itemsize,
        bits_stored=8 * like.itemsize, pixel_representation=0, number_of_frames=1, planar_configuration=0,
        photometric_interpretation="RGB" if samples == 3 else "MONOCHROME2", pixel_keyword="PixelData",
    )  # fmt: skip
    return pixels.reshape(like.shape)


def by_zlib(data: bytes, like: Pixels) -> Pixels:
    return np.frombuffer(zlib.decompress(data, wbits=-15), like.dtype).reshape(like.shape)


def by_openjpeg(data: bytes, like: Pixels) -> Pixels:
    return np.asarray(openjpeg.decode(data)).reshape(like.shape)


def by_pyjpegls(data: bytes, like: Pixels) -> Pixels:
    return jpeg_ls.decode(np.frombuffer(data, np.uint8)).reshape(like.shape)


@pytest.mark.parametrize("name", ["tissue", "gray", "tissue-16", "gray-16", "sliver"])
@pytest.mark.parametrize(
    ("compression", "decode"),
    [
        (Compression.JPEG2000, by_openjpeg),
        (Compression.HTJ2K, by_openjpeg),
        (Compression.JPEG_LS, by_pyjpegls),
        (Compression.RLE, by_pydicom),
        (Compression.DEFLATED, by_zlib),
    ],
)
def test_others_see_the_same_pixels(compression: Compression, decode: Callable[..., Pixels], name: str) -> None:
    pixels = PICTURES[name]
    np.testing.assert_array_equal(decode(encoded(pixels, compression).data, pixels), pixels)


@pytest.mark.parametrize(
    ("asked", "seen"), [((1, 1), 0), ((2, 1), 1), ((2, 2), 2), (None, 2)], ids=["444", "422", "420", "default"]
)
@pytest.mark.parametrize("syntax", [syntaxes.JPEG_BASELINE, syntaxes.JPEG_XL_RECOMPRESSION])
def test_chroma_is_sampled_as_asked(syntax: str, asked: tuple[int, int] | None, seen: int) -> None:
    data = encode_tile(TISSUE, Encoding(syntax, "YBR_FULL_422", asked), 90)
    if syntax == syntaxes.JPEG_XL_RECOMPRESSION:
        data = bytes(imagecodecs.jpegxl_decode_jpeg(data, numthreads=1))
    assert JpegImagePlugin.get_sampling(Image.open(io.BytesIO(data))) == seen


@pytest.mark.parametrize(
    "compression",
    [Compression.JPEG, Compression.JPEG2000_LOSSY, Compression.HTJ2K_LOSSY, Compression.JPEG_XL_RECOMPRESS],
)
def test_quality_is_size_and_fidelity(compression: Compression) -> None:
    tiles = [encoded(TISSUE, compression, quality) for quality in (1, 25, 50, 75, 90, 100)]
    sizes = [len(tile.data) for tile in tiles]
    assert sizes == sorted(sizes)
    fidelity = [decibels(decoded(tile, TISSUE), TISSUE) for tile in tiles]
    assert fidelity == sorted(fidelity)


@pytest.mark.parametrize("name", ["tissue", "tissue-16", "gray"])
@pytest.mark.parametrize("compression", [Compression.JPEG2000_LOSSY, Compression.HTJ2K_LOSSY])
@pytest.mark.parametrize("quality", [50, 75, 90])
def test_quality_of_jpeg_2000_is_decibels(compression: Compression, quality: int, name: str) -> None:
    """A quality of 50 asks for 35 dB, of 90 for 47; rounding to 8 bits takes some away up there."""
    pixels = PICTURES[name]
    got = by_openjpeg(encoded(pixels, compression, quality).data, pixels)
    assert 20 + 0.3 * quality - 2 < decibels(got, pixels) < 20 + 0.3 * quality + 6


def test_high_throughput_streams_are_what_rpcl_asks_for() -> None:
    """PS3.5 10.18: progression RPCL (2), tile lengths, and a coarsest resolution of at most 64 pixels."""
    data = encode_tile(np.zeros((8, 4096, 3), np.uint8), Encoding(syntaxes.HTJ2K_LOSSLESS_RPCL, "YBR_RCT"), 90)
    cod = data.index(b"\xff\x52")
    assert data[cod + 5] == 2
    assert 4096 >> data[cod + 9] <= 64
    assert b"\xff\x55" in data[: data.index(b"\xff\x90")]


@pytest.mark.parametrize("name", ["tissue", "gray", "tissue-16", "gray-16"])
@pytest.mark.parametrize("syntax", [syntaxes.JPEG_LOSSLESS, syntaxes.JPEG_LOSSLESS_SV1])
def test_lossless_jpeg_is_completed_losslessly(syntax: str, name: str) -> None:
    pixels = PICTURES[name]
    encoding = Encoding(syntax, "RGB" if pixels.shape[2] == 3 else "MONOCHROME2")
    data = encode_tile(pixels, encoding, 90)
    np.testing.assert_array_equal(imagecodecs.jpegsof3_decode(data).reshape(pixels.shape), pixels)
    np.testing.assert_array_equal(decoded(EncodedTile(data, encoding), pixels), pixels)


NEAR_LOSSLESS = "JPEG-LS_Lossy_(Near-Lossless)_Image_Compression"
FRAMES: list[tuple[str, str, str, int]] = [
    ("JPEG_Baseline_(Process_1)-GRAYSCALE-8.jpg", syntaxes.JPEG_BASELINE, "MONOCHROME2", 10),
    ("JPEG_Baseline_(Process_1)-RGB-8.jpg", syntaxes.JPEG_BASELINE, "RGB", 10),
    ("JPEG_Baseline_(Process_1)-YBR-8.jpg", syntaxes.JPEG_BASELINE, "YBR_FULL_422", 20),
    ("JPEG_Lossless,_Non-Hierarchical_(Process_14)-GRAYSCALE-8.jpg", syntaxes.JPEG_LOSSLESS, "MONOCHROME2", 0),
    ("JPEG_Lossless,_Non-Hierarchical_(Process_14)-GRAYSCALE-16.jpg", syntaxes.JPEG_LOSSLESS, "MONOCHROME2", 0),
    ("JPEG_Lossless,_Non-Hierarchical_(Process_14)-RGB-8.jpg", syntaxes.JPEG_LOSSLESS, "RGB", 0),
    ("JPEG-LS_Lossless_Image_Compression-GRAYSCALE-8.jls", syntaxes.JPEG_LS_LOSSLESS, "MONOCHROME2", 0),
    ("JPEG-LS_Lossless_Image_Compression-GRAYSCALE-16.jls", syntaxes.JPEG_LS_LOSSLESS, "MONOCHROME2", 0),
    ("JPEG-LS_Lossless_Image_Compression-RGB-8.jls", syntaxes.JPEG_LS_LOSSLESS, "RGB", 0),
    (f"{NEAR_LOSSLESS}-GRAYSCALE-8.jls", syntaxes.JPEG_LS_NEAR_LOSSLESS, "MONOCHROME2", 1),
    (f"{NEAR_LOSSLESS}-GRAYSCALE-16.jls", syntaxes.JPEG_LS_NEAR_LOSSLESS, "MONOCHROME2", 1),
    (f"{NEAR_LOSSLESS}-RGB-8.jls", syntaxes.JPEG_LS_NEAR_LOSSLESS, "RGB", 1),
    ("JPEG_2000_Image_Compression-GRAYSCALE-8.jp2", syntaxes.JPEG_2000, "MONOCHROME2", 3),
    ("JPEG_2000_Image_Compression-YBR-8.jp2", syntaxes.JPEG_2000, "YBR_ICT", 3),
    ("JPEG_2000_Image_Compression_(Lossless_Only)-GRAYSCALE-16.jp2", syntaxes.JPEG_2000_LOSSLESS, "MONOCHROME2", 0),
    ("JPEG_2000_Image_Compression_(Lossless_Only)-RGB-8.jp2", syntaxes.JPEG_2000_LOSSLESS, "RGB", 0),
    ("JPEG_2000_Image_Compression_(Lossless_Only)-YBR-8.jp2", syntaxes.JPEG_2000_LOSSLESS, "YBR_RCT", 0),
    ("RLE_Lossless-GRAYSCALE-8.rle", syntaxes.RLE, "MONOCHROME2", 0),
    ("RLE_Lossless-GRAYSCALE-16.rle", syntaxes.RLE, "MONOCHROME2", 0),
    ("RLE_Lossless-RGB-8.rle", syntaxes.RLE, "RGB", 0),
]  # fmt: skip


@pytest.fixture(scope="module")
def reference(slides: Path) -> Callable[[int, int], Pixels]:
    """The tile that all frames show, by samples and bits."""
    folder = slides / "codec_frames"

    def find(samples: int, bits: int) -> Pixels:
        if samples == 3:
            return np.asarray(Image.open(folder / "test_tile.png").convert("RGB"))
        if bits == 16:
            raw = np.fromfile(folder / "Explicit_VR_Little_Endian-GRAYSCALE-16.raw", "<u2")
        else:
            raw = np.fromfile(folder / "Explicit_VR_Big_Endian-GRAYSCALE-8.raw", "u1")
        return raw.reshape(240, 240, 1)

    return find


@pytest.mark.parametrize(("name", "syntax", "photometric", "error"), FRAMES, ids=[frame[0] for frame in FRAMES])
def test_frames_of_others(
    slides: Path, reference: Callable[[int, int], Pixels], name: str, syntax: str, photometric: str, error: int
) -> None:
    due = reference(1 if photometric == "MONOCHROME2" else 3, 16 if "-16." in name else 8)
    tile = EncodedTile((slides / "codec_frames" / name).read_bytes(), Encoding(syntax, photometric))
    assert np.abs(decoded(tile, due).astype(int) - due).max() <= error


def test_frames_of_12_bits_keep_their_values(slides: Path, reference: Callable[[int, int], Pixels]) -> None:
    data = (slides / "codec_frames" / "JPEG_Extended_(Process_2_and_4)-GRAYSCALE-12.jpg").read_bytes()
    due = reference(1, 16)
    got = decoded(EncodedTile(data, Encoding(syntaxes.JPEG_EXTENDED, "MONOCHROME2")), due)
    assert np.abs(got.astype(int) - due // 16).max() < 16


@pytest.fixture(scope="module")
def scanned(slides: Path) -> list[bytes]:
    """Tiles of a real scanner with their shared tables and the marker of RGB, as they are copied to DICOM."""
    with tifffile.TiffFile(slides / "aperio" / "CMU-1-Small-Region.svs") as tiff:
        page = tiff.pages[0]
        prefix = tables_prefix(page.jpegtables, mark_rgb=True)
        return [prefix + tile[2:] for tile in tiff_tiles(page)][:20]


class TestRecompression:
    """JPEG in JPEG XL, PS3.5 8.2.15: what went in comes out, bit by bit."""

    def test_a_scanners_tiles(self, scanned: list[bytes]) -> None:
        packed = [recompress(jpeg) for jpeg in scanned]
        assert sum(map(len, packed)) < 0.9 * sum(map(len, scanned))
        for jpeg, stream in zip(scanned, packed, strict=True):
            assert bytes(imagecodecs.jpegxl_decode_jpeg(stream, numthreads=1)) == jpeg
            assert restore(stream, largest=1 << 20) == jpeg
            pixels = imagecodecs.jpeg8_decode(jpeg)
            got = decoded(EncodedTile(stream, Encoding(syntaxes.JPEG_XL_RECOMPRESSION, "RGB")), pixels)
            np.testing.assert_array_equal(got, pixels)

    @pytest.mark.parametrize(
        "options",
        [{"subsampling": "4:4:4"}, {"subsampling": "4:2:2"}, {"subsampling": "4:2:0"}, {"restart_marker_blocks": 3},
         {"optimize": True}, {"progressive": True}, {"comment": b"a scanner's own"}, {"gray": True}],
        ids=lambda options: "-".join(map(str, *options.items())),
    )  # fmt: skip
    def test_all_kinds_of_jpeg(self, options: dict[str, Any]) -> None:
        options, file = dict(options), io.BytesIO()
        picture = Image.fromarray(TISSUE).convert("L" if options.pop("gray", False) else "RGB")
        picture.save(file, "JPEG", quality=85, **options)
        jpeg = file.getvalue()
        assert restore(recompress(jpeg), largest=1 << 20) == jpeg

    def test_what_is_no_jpeg_is_refused(self) -> None:
        with pytest.raises(CodecError, match="cannot be recompressed"):
            recompress(b"\xff\xd8 no JPEG")

    def test_no_more_than_allowed_is_restored(self, scanned: list[bytes]) -> None:
        with pytest.raises(CodecError, match="cannot be restored"):
            restore(recompress(scanned[0]), largest=len(scanned[0]) - 1)

    def test_lossy_jpeg_xl_is_read(self) -> None:
        data = bytes(imagecodecs.jpegxl_encode(TISSUE, distance=1.0))
        assert decibels(decoded(EncodedTile(data, Encoding(syntaxes.JPEG_XL, "XYB")), TISSUE), TISSUE) > 32


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 700),
    height=st.one_of(st.integers(1, 700), st.sampled_from([8, 256, 512, 520])),
    kind=st.sampled_from(["u1", "u2"]),
    samples=st.sampled_from([1, 3]),
    square=st.booleans(),
    container=st.booleans(),
)
def test_jpeg_xl_headers(width: int, height: int, kind: str, samples: int, square: bool, container: bool) -> None:
    width = height if square else width
    pixels = np.zeros((height, width, samples)[: 2 if samples == 1 else 3], kind)
    data = bytes(imagecodecs.jpegxl_encode(pixels, lossless=True, effort=1, usecontainer=container, numthreads=1))
    assert parse_header(data) == (width, height, samples, 8 * pixels.itemsize)
    if kind == "u1":
        lossy = bytes(imagecodecs.jpegxl_encode(pixels, distance=3.0, effort=1, usecontainer=container, numthreads=1))
        assert parse_header(lossy) == (width, height, samples, 8)


def test_what_a_codec_cannot_hold() -> None:
    for compression in ONLY_8_BITS:
        with pytest.raises(CodecError, match="8 bits per sample, not 16"):
            codec_for(compression.transfer_syntax).encoding(PixelFormat(3, 16), lossless=False)
    with pytest.raises(CodecError, match="choose a lossless compression"):
        codec_for(syntaxes.JPEG_BASELINE).encoding(PixelFormat(), lossless=True)
    with pytest.raises(CodecError, match=r"1\.2\.3 is not supported"):
        codec_for("1.2.3")
    with pytest.raises(CodecError, match="can only be read"):
        encode_tile(TISSUE, Encoding(syntaxes.JPEG_XL, "XYB"), 90)


@pytest.mark.parametrize("compression", [c for c in Compression if c is not Compression.NONE])
@pytest.mark.parametrize("shape", [(8, 8, 3), (200, 257, 3), (60000, 60000, 3), (200, 256, 1)])
def test_streams_of_another_shape_are_refused(compression: Compression, shape: tuple[int, int, int]) -> None:
    height, width, samples = shape
    tile = encoded(TISSUE, compression)
    with pytest.raises(CodecError):
        codec_for(tile.encoding.transfer_syntax).decode(tile, width, height, PixelFormat(samples))


@pytest.mark.parametrize("compression", [c for c in Compression if c is not Compression.NONE])
def test_streams_of_other_numbers_are_refused(compression: Compression) -> None:
    tile = encoded(TISSUE, compression)
    with pytest.raises(CodecError):
        codec_for(tile.encoding.transfer_syntax).decode(tile, 256, 200, PixelFormat(3, 16))


@pytest.mark.parametrize("compression", Compression)
def test_streams_that_are_cut_off_are_refused(compression: Compression) -> None:
    tile = encoded(TISSUE, compression)
    for size in (0, 1, 40, len(tile.data) // 2, len(tile.data) - 3):
        with pytest.raises(CodecError):
            decoded(EncodedTile(tile.data[:size], tile.encoding), TISSUE)


def test_bombs_do_not_go_off() -> None:
    """Streams of a few bytes that unpack to gigabytes, or claim to."""
    zeros = zlib.compressobj(9, wbits=-15)
    deflated = zeros.compress(bytes(64 << 20)) + zeros.flush()
    with pytest.raises(CodecError, match="gives more than 153600 bytes"):
        decoded(EncodedTile(deflated, Encoding(syntaxes.DEFLATED_IMAGE_FRAME, "RGB")), TISSUE)
    segment = b"\x81\0" * 400_000
    offsets = [64 + len(segment) * number for number in range(3)]
    rle = np.array([3, *offsets, *[0] * 12], "<u4").tobytes() + 3 * segment
    with pytest.raises(CodecError, match="RLE decoding failed"):
        decoded(EncodedTile(rle, Encoding(syntaxes.RLE, "RGB")), TISSUE)
    siz = bytearray(encoded(TISSUE, Compression.HTJ2K).data)
    siz[24:32] = (1).to_bytes(4, "big") * 2  # tiles of one pixel
    siz[8:24] = np.array([70256, 70200, 70000, 70000], ">u4").tobytes()
    with pytest.raises(CodecError, match="tiles, where 65535 is the most"):
        decoded(EncodedTile(bytes(siz), Encoding(syntaxes.HTJ2K_LOSSLESS, "YBR_RCT")), TISSUE)


def test_broken_streams_give_pixels_or_an_error() -> None:
    """Some of `python -m tests.codec_fuzz 10000`, in a process that may crash."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.codec_fuzz", "120"], capture_output=True, text=True, timeout=400, check=False,
        cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout.split("\r")[-1] + done.stderr
    assert done.stderr == ""
