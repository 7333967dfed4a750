"""JPEG and JPEG 2000 headers, splicing and joining, with libjpeg, Pillow and OpenJPEG as judges."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.data import immunohistochemistry

from wsi_dicom.codecs import jpeg2000_markers
from wsi_dicom.codecs.jpeg_markers import (
    body_offset,
    end_of_stream,
    join_strips,
    parse_header,
    tables_prefix,
    with_density,
    with_icc_profile,
)
from wsi_dicom.errors import CodecError

PICTURE: np.ndarray = immunohistochemistry()  # type: ignore[no-untyped-call]
SOI, EOI = b"\xff\xd8", b"\xff\xd9"


def pillow(picture: np.ndarray, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "jpeg", **options)
    return stream.getvalue()


def jpeg2000(picture: np.ndarray, **options: Any) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(picture, **options))


def silent_rgb(picture: np.ndarray) -> bytes:
    """RGB samples in a stream that does not say so, as Aperio writes them."""
    stream = bytes(imagecodecs.jpeg8_encode(picture, level=90, colorspace="RGB", outcolorspace="RGB"))
    adobe = stream.index(b"\xff\xee\x00\x0eAdobe")
    frame = stream.index(b"\xff\xc0\x00\x11")
    scan = stream.index(b"\xff\xda\x00\x0c")
    renamed = bytearray(stream)
    for number in range(3):
        renamed[frame + 10 + 3 * number] = number
        renamed[scan + 5 + 2 * number] = number
    return bytes(renamed[:adobe] + renamed[adobe + 16 :])


def without_tables(stream: bytes) -> tuple[bytes, bytes]:
    """An abbreviated stream and its tables, split at the marker segments."""
    tables, rest, at = b"", b"", 2
    while stream[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if stream[at + 1] in (0xDB, 0xC4):
            tables += stream[at:end]
        else:
            rest += stream[at:end]
        at = end
    return SOI + rest + stream[at:], SOI + tables + EOI


@pytest.mark.parametrize(
    ("name", "sof", "bits", "components", "baseline"),
    [
        ("JPEG_Baseline_(Process_1)-GRAYSCALE-8", 0xC0, 8, 1, True),
        ("JPEG_Baseline_(Process_1)-RGB-8", 0xC0, 8, 3, True),
        ("JPEG_Baseline_(Process_1)-YBR-8", 0xC0, 8, 3, True),
        ("JPEG_Extended_(Process_2_and_4)-GRAYSCALE-12", 0xC1, 12, 1, False),
        ("JPEG_Lossless,_Non-Hierarchical_(Process_14)-GRAYSCALE-16", 0xC3, 16, 1, False),
        ("JPEG_Lossless,_Non-Hierarchical_(Process_14)-RGB-8", 0xC3, 8, 3, False),
    ],
)
def test_headers_of_real_frames(slides: Path, name: str, sof: int, bits: int, components: int, baseline: bool) -> None:
    header = parse_header((slides / "codec_frames" / f"{name}.jpg").read_bytes())
    assert (header.width, header.height) == (240, 240)
    assert (header.sof, header.bits, len(header.components), header.baseline) == (sof, bits, components, baseline)


@pytest.mark.parametrize(("subsampling", "factors"), [("4:4:4", (1, 1)), ("4:2:2", (2, 1)), ("4:2:0", (2, 2))])
def test_sampling_and_size(subsampling: str, factors: tuple[int, int]) -> None:
    header = parse_header(pillow(PICTURE[:99, :131], subsampling=subsampling))
    assert (header.width, header.height) == (131, 99)
    assert header.sampling == (factors, (1, 1), (1, 1))
    assert header.mcu_size == (8 * factors[0], 8 * factors[1])


def test_colour_is_what_the_stream_says() -> None:
    assert parse_header(pillow(PICTURE)).colour == "YCbCr"
    assert parse_header(pillow(PICTURE[:, :, 0])).colour == "gray"
    marked = bytes(imagecodecs.jpeg8_encode(PICTURE, colorspace="RGB", outcolorspace="RGB"))
    assert parse_header(marked).colour == "RGB"
    assert parse_header(marked).adobe_transform == 0
    assert parse_header(silent_rgb(PICTURE)).colour is None


def test_markers_inside_of_segments_are_not_found() -> None:
    stream = pillow(PICTURE, comment=b"\xff\xc0\x00\x11\x08\x00\x01\x00\x01\x03" + bytes(9) + b"\xff\xda\x00\x0c")
    header = parse_header(stream)
    assert (header.width, header.height) == (512, 512)
    assert stream[header.scan_offset - 14 : header.scan_offset - 10] == b"\xff\xda\x00\x0c"


def test_spliced_tables_decode_as_before() -> None:
    whole = pillow(PICTURE, quality=85)
    tile, tables = without_tables(whole)
    spliced = tables_prefix(tables, mark_rgb=False) + tile[body_offset(tile) :]
    assert b"JFIF" not in spliced
    with Image.open(io.BytesIO(whole)) as one, Image.open(io.BytesIO(spliced)) as other:
        assert np.array_equal(np.asarray(one), np.asarray(other))


def test_silent_rgb_is_marked() -> None:
    tile, tables = without_tables(silent_rgb(PICTURE))
    spliced = tables_prefix(tables, mark_rgb=True) + tile[body_offset(tile) :]
    assert parse_header(spliced).colour == "RGB"
    with Image.open(io.BytesIO(spliced)) as picture:
        assert np.abs(np.asarray(picture).astype(int) - PICTURE).mean() < 4


def test_end_of_stream() -> None:
    stream = pillow(PICTURE)
    assert end_of_stream(stream) == len(stream)
    assert end_of_stream(stream + b"\0") == len(stream)
    assert end_of_stream(stream[: len(stream) // 2]) is None


def luma(stream: bytes) -> np.ndarray:
    """Without chroma, which decoders smooth across the borders of strips."""
    return imagecodecs.jpeg8_decode(stream, outcolorspace="GRAYSCALE")


def in_strips(picture: np.ndarray, rows: int, **options: Any) -> list[bytes]:
    return [pillow(picture[y : y + rows], **options) for y in range(0, picture.shape[0], rows)]


@pytest.mark.parametrize("shape", [(160, 131), (151, 128), (16, 77), (7, 9)])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "gray"])
def test_joined_strips_decode_to_their_pixels(shape: tuple[int, int], subsampling: str) -> None:
    picture = PICTURE[: shape[0], : shape[1]]
    if subsampling == "gray":
        strips = in_strips(np.ascontiguousarray(picture[:, :, 0]), 16)
    else:
        strips = in_strips(picture, 16, subsampling=subsampling)
    joined = join_strips(strips, shape[0])
    assert np.array_equal(luma(joined), np.concatenate([luma(strip) for strip in strips]))
    if subsampling == "4:4:4":
        parts = [imagecodecs.jpeg8_decode(strip) for strip in strips]
        assert np.array_equal(imagecodecs.jpeg8_decode(joined), np.concatenate(parts))
    restarts = [joined[i + 1] for i in range(parse_header(joined).scan_offset, len(joined) - 1)
                if joined[i] == 0xFF and 0xD0 <= joined[i + 1] <= 0xD7]  # fmt: skip
    assert len(restarts) == len(strips) - 1
    assert all((second - first) % 8 == 1 for first, second in pairwise(restarts))


def test_strips_with_restart_markers_of_their_own() -> None:
    strips = in_strips(PICTURE[:128], 16, subsampling="4:4:4", restart_marker_blocks=16)
    joined = join_strips(strips, 128)
    assert parse_header(joined).restart_interval == 16
    parts = [imagecodecs.jpeg8_decode(strip) for strip in strips]
    assert np.array_equal(imagecodecs.jpeg8_decode(joined), np.concatenate(parts))


@pytest.mark.parametrize(
    ("strips", "height", "message"),
    [
        (in_strips(PICTURE[:60], 12), 60, "restart interval"),
        (in_strips(PICTURE[:64], 16, subsampling="4:4:4", restart_marker_blocks=24), 64, "restart interval"),
        ([*in_strips(PICTURE[:32], 16), pillow(PICTURE[:16], quality=20)], 48, "different headers"),
        ([pillow(PICTURE[:16]), pillow(PICTURE[:16, :400])], 32, "different headers"),
        (in_strips(PICTURE[:64], 16), 32, "last JPEG strip"),
        (in_strips(PICTURE[:64], 16), 100, "last JPEG strip"),
        ([pillow(PICTURE[:16])[:-40], pillow(PICTURE[:16])], 32, "cut off"),
        ([pillow(PICTURE[:16], progressive=True)] * 2, 32, "cut off"),
    ],
)
def test_strips_that_cannot_be_joined(strips: list[bytes], height: int, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        join_strips(strips, height)


@pytest.mark.parametrize("container", ["j2k", "jp2"])
@pytest.mark.parametrize("reversible", [True, False])
@pytest.mark.parametrize("transform", [True, False])
def test_jpeg2000_headers(container: str, reversible: bool, transform: bool) -> None:
    level = 0 if reversible else 40
    stream = jpeg2000(PICTURE[:99, :131], level=level, codecformat=container, reversible=reversible, mct=transform)
    header = jpeg2000_markers.parse_header(stream)
    assert (header.width, header.height, header.samples, header.bits) == (131, 99, 3, 8)
    assert (header.reversible, header.component_transform) == (reversible, transform)
    assert header.part1
    assert not header.subsampled
    raw = stream[header.codestream_offset : header.codestream_end]
    assert raw.startswith(b"\xff\x4f")
    assert raw.endswith(EOI)
    assert np.array_equal(imagecodecs.jpeg2k_decode(raw), imagecodecs.jpeg2k_decode(stream))


def test_jpeg2000_of_16_bits_in_gray() -> None:
    header = jpeg2000_markers.parse_header(jpeg2000(PICTURE[:, :, 0].astype(np.uint16) << 8, level=0))
    assert (header.samples, header.bits) == (1, 16)


def test_high_throughput_jpeg2000_is_not_part_1() -> None:
    assert not jpeg2000_markers.parse_header(bytes(imagecodecs.htj2k_encode(PICTURE))).part1


JPEG_STREAM = pillow(PICTURE[:64, :64])
JPEG2000_STREAM = jpeg2000(PICTURE[:64, :64], codecformat="jp2", level=40)


def damage(stream: bytes, cut: int, changes: list[tuple[int, int]]) -> bytes:
    damaged = bytearray(stream[: max(2, cut)])
    for at, value in changes:
        damaged[at % len(damaged)] = value
    return bytes(damaged)


STEADY = settings(deadline=None, derandomize=True)
CHANGES = st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), max_size=6)


@STEADY
@given(cut=st.integers(0, len(JPEG_STREAM)), changes=CHANGES)
def test_damaged_jpeg_is_read_or_refused(cut: int, changes: list[tuple[int, int]]) -> None:
    stream = damage(JPEG_STREAM, cut, changes)
    try:
        header = parse_header(stream)
    except CodecError:
        return
    assert 0 < header.scan_offset <= len(stream)
    assert header.width > 0
    assert header.height > 0


@STEADY
@given(cut=st.integers(0, len(JPEG2000_STREAM)), changes=CHANGES)
def test_damaged_jpeg2000_is_read_or_refused(cut: int, changes: list[tuple[int, int]]) -> None:
    stream = damage(JPEG2000_STREAM, cut, changes)
    try:
        header = jpeg2000_markers.parse_header(stream)
    except CodecError:
        return
    assert 0 < header.header_end <= header.codestream_end <= len(stream)


@STEADY
@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data: bytes) -> None:
    for parse in (parse_header, jpeg2000_markers.parse_header):
        with pytest.raises(CodecError):
            parse(data)


def profile_of(size: int) -> bytes:
    """Pillow takes any bytes for a profile."""
    return np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()


class TestIccProfile:
    @pytest.mark.parametrize("size", [1, 588, 65519, 65520, 200_000, 255 * 65519])
    @pytest.mark.parametrize("options", [{}, {"progressive": True}, {"keep_rgb": True}, {"comment": b"\xff\xda"}])
    def test_pillow_reads_it_back(self, size: int, options: dict[str, Any]) -> None:
        plain, profile = pillow(PICTURE[:40, :50], **options), profile_of(size)
        made = with_icc_profile(plain, profile)
        with Image.open(io.BytesIO(made)) as opened, Image.open(io.BytesIO(plain)) as before:
            assert opened.info.pop("icc_profile") == profile
            assert opened.info == before.info
            np.testing.assert_array_equal(np.asarray(opened), np.asarray(before))

    def test_as_pillow_writes_it(self) -> None:
        profile = profile_of(150_000)
        assert with_icc_profile(pillow(PICTURE), profile) == pillow(PICTURE, icc_profile=profile)

    def test_it_replaces_another(self) -> None:
        profile, exif = profile_of(3000), Image.Exif()
        exif[0x010E] = "kept"
        made = with_icc_profile(pillow(PICTURE, icc_profile=profile_of(70_000), exif=exif), profile)
        assert made.count(b"ICC_PROFILE\0") == 1
        with Image.open(io.BytesIO(made)) as opened:
            assert opened.info["icc_profile"] == profile
            assert opened.getexif()[0x010E] == "kept"

    def test_a_stream_without_jfif(self) -> None:
        made = with_icc_profile(silent_rgb(PICTURE), b"profile")
        assert Image.open(io.BytesIO(made)).info["icc_profile"] == b"profile"

    def test_too_long(self) -> None:
        with pytest.raises(CodecError, match="an ICC profile of 16707346 bytes; JPEG holds 16707345"):
            with_icc_profile(pillow(PICTURE), bytes(255 * 65519 + 1))

    @pytest.mark.parametrize("data", [b"", b"PNG", SOI, SOI + EOI, pillow(PICTURE)[:300]])
    def test_no_jpeg(self, data: bytes) -> None:
        with pytest.raises(CodecError):
            with_icc_profile(data, b"profile")


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("options", [{}, {"dpi": (300, 300)}])
def test_density(mode: str, options: dict[str, Any]) -> None:
    stream = io.BytesIO()
    Image.fromarray(PICTURE).convert(mode).save(stream, "jpeg", **options)
    made = with_density(stream.getvalue(), 39604, 65535)
    with Image.open(io.BytesIO(made)) as opened, Image.open(stream) as before:
        assert (opened.info["jfif_unit"], opened.info["jfif_density"]) == (2, (39604, 65535))
        assert opened.info["dpi"] == pytest.approx((39604 * 2.54, 65535 * 2.54))
        np.testing.assert_array_equal(np.asarray(opened), np.asarray(before))
