"""Pixels of every kind in whole-slide instances that pydicom writes: what they look like, and which are copied."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import RLELosslessEncoder
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from tests.dicom_pixels import assert_not_copied, bits_of, by_pydicom, tiles
from tests.foreign_series import TILE, Picture, header, native_frames, per_frame_groups, save, sparse
from tests.test_codecs import FRAMES
from wsi_dicom.codecs import transfer_syntaxes as syntaxes
from wsi_dicom.dicom.slide import open_series
from wsi_dicom.dicom.uids import transfer_syntax_uid
from wsi_dicom.errors import CorruptInput, UnsupportedFormat, WsiError
from wsi_dicom.slide import Pixels

GRID = [(1 + column * TILE, 1 + row * TILE) for row in range(2) for column in range(3)]
NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)

RAW_FRAMES = [
    ("Explicit_VR_Big_Endian-GRAYSCALE-16.raw", ExplicitVRBigEndian, "MONOCHROME2", 0),
    ("Explicit_VR_Big_Endian-GRAYSCALE-8.raw", ExplicitVRBigEndian, "MONOCHROME2", 0),
    ("Explicit_VR_Big_Endian-RGB-8.raw", ExplicitVRBigEndian, "RGB", 0),
    ("Explicit_VR_Little_Endian-GRAYSCALE-16.raw", ExplicitVRLittleEndian, "MONOCHROME2", 0),
]
MORE_FRAMES = [
    ("JPEG_2000_Image_Compression-GRAYSCALE-16.jp2", syntaxes.JPEG_2000, "MONOCHROME2", 800),
    ("JPEG_2000_Image_Compression_(Lossless_Only)-GRAYSCALE-8.jp2", syntaxes.JPEG_2000_LOSSLESS, "MONOCHROME2", 0),
    ("JPEG_2000_Image_Compression-RGB-8.jp2", syntaxes.JPEG_2000, "RGB", 3),
    ("JPEG_Extended_(Process_2_and_4)-GRAYSCALE-12.jpg", syntaxes.JPEG_EXTENDED, "MONOCHROME2", 16),
]
ALL_FRAMES = [*FRAMES, *RAW_FRAMES, *MORE_FRAMES]


@pytest.mark.parametrize(("name", "syntax", "photometric", "error"), ALL_FRAMES, ids=[frame[0] for frame in ALL_FRAMES])
def test_frames_of_others(slides: Path, tmp_path: Path, name: str, syntax: str, photometric: str, error: int) -> None:
    frame = (slides / "codec_frames" / name).read_bytes()
    bits = 12 if "-12." in name else 16 if "-16." in name else 8
    data = header(Picture(240, 240, tile=240, frames=1, photometric=photometric))
    bits_of(data, 16 if bits > 8 else 8, bits)
    stored = frame if name.endswith(".raw") else encapsulate([frame])
    path = save(tmp_path / "image.dcm", data, syntax, stored)
    if photometric == "MONOCHROME2":
        due = np.fromfile(slides / "codec_frames" / RAW_FRAMES[3 if bits > 8 else 1][0], "<u2" if bits > 8 else "u1")
        due = due.reshape(240, 240, 1) // (16 if bits == 12 else 1)
    else:
        due = np.asarray(Image.open(slides / "codec_frames" / "test_tile.png"))
    with open_series([path]) as slide:
        assert np.abs(slide.tile(0, 0, 0).astype(int) - due).max() <= error


def test_all_frames_of_others_are_tried(slides: Path) -> None:
    files = {path.name for path in (slides / "codec_frames").iterdir()} - {"test_tile.png"}
    assert files == {frame[0] for frame in ALL_FRAMES}


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("bits", [8, 16])
def test_uncompressed_colour(tmp_path: Path, syntax: str, planar: int, bits: int) -> None:
    frames = native_frames(6, kind=f"u{bits // 8}")
    stored = np.moveaxis(frames, 3, 1) if planar else frames
    data = bits_of(header(Picture(photometric="RGB", attributes={"PlanarConfiguration": planar})), bits)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    path = save(tmp_path / "image.dcm", data, syntax, stored.astype(f"{order}u{bits // 8}").tobytes())
    with open_series([path]) as slide:
        assert np.array_equal(tiles(slide), by_pydicom(path))
        tile = slide.encoded_tile(0, 2, 1)
        assert tile is not None
        assert tile.data == frames[5].astype(f"<u{bits // 8}").tobytes()


def test_words_of_two_samples_in_big_endian(tmp_path: Path) -> None:
    """PS3.5 7.3: samples of 8 bits in OW lie two in a word, of which the second one comes first."""
    frames = native_frames(6)
    data = header(Picture(photometric="RGB"))
    path = save(tmp_path / "image.dcm", data, ExplicitVRBigEndian, frames.reshape(-1).view("<u2").byteswap().tobytes())
    content = path.read_bytes()
    marker = struct.pack(">HH", 0x7FE0, 0x0010)
    assert content.count(marker + b"OB") == 1
    path.write_bytes(content.replace(marker + b"OB", marker + b"OW"))
    with open_series([path]) as slide:
        assert np.array_equal(tiles(slide), frames)
    assert np.array_equal(by_pydicom(path), frames)


def test_big_endian_positions(tmp_path: Path) -> None:
    frames = native_frames(2, kind="u2", samples=1)
    picture = sparse(Picture(photometric="MONOCHROME2"), per_frame_groups([GRID[4], GRID[1]]))
    data = bits_of(header(picture), 16)
    path = save(tmp_path / "image.dcm", data, ExplicitVRBigEndian, frames.astype(">u2").tobytes())
    with open_series([path]) as slide:
        assert np.array_equal(slide.tile(0, 1, 1), frames[0])
        assert np.array_equal(slide.tile(0, 1, 0), frames[1])
        assert slide.absent(0, 0, 0)


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize(("photometric", "planar"), [("YBR_FULL", 0), ("YBR_FULL", 1), ("YBR_FULL_422", 0)])
def test_uncompressed_luma_and_chroma(tmp_path: Path, syntax: str, photometric: str, planar: int) -> None:
    frames = native_frames(6)
    stored = np.moveaxis(frames, 3, 1) if planar else frames
    if photometric == "YBR_FULL_422":
        stored = np.random.default_rng(1).integers(0, 256, (6, TILE * TILE * 2), np.uint8)
    data = header(Picture(photometric=photometric, attributes={"PlanarConfiguration": planar}))
    path = save(tmp_path / "image.dcm", data, syntax, stored.tobytes())
    due = convert_color_space(by_pydicom(path, raw=True), "YBR_FULL", "RGB")
    with open_series([path]) as slide:
        np.testing.assert_allclose(tiles(slide).astype(int), due, atol=1)
        assert_not_copied(slide)


def test_chroma_that_is_shared_in_word_only(tmp_path: Path) -> None:
    """YBR_FULL_422, and three samples for every pixel."""
    frames = native_frames(6)
    path = save(tmp_path / "image.dcm", header(Picture()), ExplicitVRLittleEndian, frames.tobytes())
    with open_series([path]) as slide:
        np.testing.assert_allclose(tiles(slide).astype(int), convert_color_space(frames, "YBR_FULL", "RGB"), atol=1)


def test_chroma_shared_beyond_the_edge(tmp_path: Path) -> None:
    data = header(Picture(45, 32, tile=15, frames=9))
    path = save(tmp_path / "image.dcm", data, ExplicitVRLittleEndian, bytes(9 * 15 * 15 * 2))
    with pytest.raises(UnsupportedFormat, match=r"YBR_FULL_422 tiles of 15 x 15 .*dcmconv"):
        open_series([path])


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, syntaxes.DEFLATED_IMAGE_FRAME])
def test_luma_and_chroma_in_streams_that_know_no_colour(tmp_path: Path, syntax: str) -> None:
    frames = native_frames(6)
    encode: dict[str, Callable[[Pixels], bytes]] = {
        RLELossless: rle_stream,
        JPEGLSLossless: lambda frame: bytes(imagecodecs.jpegls_encode(frame)),
        syntaxes.DEFLATED_IMAGE_FRAME: lambda frame: raw_deflate(frame.tobytes()),
    }
    stored = encapsulate([encode[syntax](frame) for frame in frames])
    uid = transfer_syntax_uid(syntax)
    path = save(tmp_path / "image.dcm", header(Picture(photometric="YBR_FULL")), uid, stored)
    with open_series([path]) as slide:
        np.testing.assert_allclose(tiles(slide).astype(int), convert_color_space(frames, "YBR_FULL", "RGB"), atol=1)
        assert_not_copied(slide)


@pytest.mark.parametrize("told", ["RGB", "YBR_FULL"])
@pytest.mark.parametrize("marked", [True, False], ids=["marked", "silent"])
def test_lossless_jpeg_of_luma_and_chroma(tmp_path: Path, told: str, marked: bool) -> None:
    """A stream that says what it holds wins over the attribute; one that is silent has what the attribute says."""
    frames = native_frames(6)
    options: dict[str, Any] = {"colorspace": "RGB", "outcolorspace": "RGB", "lossless": True, "predictor": 1}
    streams = []
    for frame in frames:
        stream = bytearray(imagecodecs.jpeg8_encode(frame, **options))
        adobe, sof, sos = stream.index(b"Adobe"), stream.index(b"\xff\xc3"), stream.index(b"\xff\xda")
        stream[adobe + 11] = 1  # its transform: YCbCr
        if not marked:
            stream[sof + 10 : sof + 19 : 3] = stream[sos + 5 : sos + 11 : 2] = b"\1\2\3"  # names of components
            del stream[adobe - 4 : adobe + 12]
        streams.append(bytes(stream))
    data = header(Picture(photometric=told))
    path = save(tmp_path / "image.dcm", data, syntaxes.JPEG_LOSSLESS_SV1, encapsulate(streams))
    converted = convert_color_space(frames, "YBR_FULL", "RGB")
    with open_series([path]) as slide:
        due = frames if told == "RGB" and not marked else converted
        np.testing.assert_allclose(tiles(slide).astype(int), due, atol=1)


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def rle_stream(frame: Pixels) -> bytes:
    return RLELosslessEncoder.encode(
        frame, rows=TILE, columns=TILE, number_of_frames=1, samples_per_pixel=3, bits_allocated=8, bits_stored=8,
        pixel_representation=0, photometric_interpretation="RGB", planar_configuration=0,
    )  # fmt: skip


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("bits", "stored"), [(8, 8), (16, 16), (16, 12), (16, 8), (8, 7)])
@pytest.mark.parametrize("signed", [False, True])
def test_uncompressed_gray(tmp_path: Path, syntax: str, photometric: str, bits: int, stored: int, signed: bool) -> None:
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    half = 1 << stored - 1
    values = np.random.default_rng(2).integers(0, 2 * half, (6, TILE, TILE, 1)) - (half if signed else 0)
    data = bits_of(header(Picture(photometric="MONOCHROME2")), bits, stored, signed=signed)
    data.PhotometricInterpretation = photometric
    path = save(
        tmp_path / "image.dcm", data, syntax, values.astype(f"{order}{'i' if signed else 'u'}{bits // 8}").tobytes()
    )
    due = by_pydicom(path)[..., np.newaxis].astype(int) + (half if signed else 0)
    due = 2 * half - 1 - due if photometric == "MONOCHROME1" else due
    if stored < 8:
        due = np.rint(due * 255 / (2 * half - 1))
    with open_series([path]) as slide:
        assert slide.pyramid.pixel_format.bits == (8 if stored <= 8 else 16)
        assert np.array_equal(tiles(slide), due)
        if signed or photometric == "MONOCHROME1" or stored <= 8 < bits or stored < 8:
            assert_not_copied(slide)
        else:
            assert slide.encoding(0) is not None


def test_samples_in_the_high_bits(tmp_path: Path) -> None:
    values = np.random.default_rng(2).integers(0, 1 << 12, (6, TILE, TILE, 1))
    data = bits_of(header(Picture(photometric="MONOCHROME2")), 16, 12)
    data.HighBit = 15
    stored = (values << 4 | values & 15).astype("<u2")  # what lies below is something else
    with open_series([save(tmp_path / "image.dcm", data, ExplicitVRLittleEndian, stored.tobytes())]) as slide:
        assert np.array_equal(tiles(slide), values)
        assert_not_copied(slide)


@pytest.mark.parametrize(("slope", "intercept"), [(1, 32768), (0.5, 20000), (1, -1024), (-1, 32767)])
def test_signed_numbers_are_moved_up_whatever_their_rescale(tmp_path: Path, slope: float, intercept: float) -> None:
    """By half their range: a rescale by less than 1 would make two of them one."""
    values = native_frames(6, kind="i2", samples=1)
    data = bits_of(header(Picture(photometric="MONOCHROME2")), 16, signed=True)
    data.RescaleSlope, data.RescaleIntercept = slope, intercept
    path = save(tmp_path / "image.dcm", data, ExplicitVRLittleEndian, values.tobytes())
    with open_series([path]) as slide:
        assert np.array_equal(tiles(slide), values.astype(int) + 32768)


def test_inverted_streams(tmp_path: Path) -> None:
    frames = native_frames(6, samples=1)
    data = header(Picture(photometric="MONOCHROME2"))
    data.PhotometricInterpretation = "MONOCHROME1"
    streams = [bytes(imagecodecs.jpegls_encode(frame[:, :, 0])) for frame in frames]
    with open_series([save(tmp_path / "image.dcm", data, JPEGLSLossless, encapsulate(streams))]) as slide:
        assert np.array_equal(tiles(slide), 255 - frames)
        assert_not_copied(slide)


@pytest.mark.parametrize(("told", "transformed"), [("RGB", True), ("YBR_RCT", False), ("YBR_ICT", True)])
def test_jpeg2000_stream_wins_over_the_attribute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, told: str, transformed: bool
) -> None:
    frames = native_frames(6)
    streams = [
        bytes(imagecodecs.jpeg2k_encode(frame, level=0, codecformat="j2k", reversible=True, mct=transformed))
        for frame in frames
    ]
    data = header(Picture(photometric=told))
    with open_series([save(tmp_path / "image.dcm", data, JPEG2000Lossless, encapsulate(streams))]) as slide:
        encoding = slide.encoding(0)
        assert encoding is not None
        assert encoding.photometric == ("YBR_RCT" if transformed else "RGB")
        assert np.array_equal(tiles(slide), frames)
    assert caplog.text.count(data.SOPInstanceUID) == 1


@pytest.mark.parametrize("tag", [0x00080001, 0x00091001])
def test_deflated_bombs_do_not_go_off(tmp_path: Path, tag: int) -> None:
    """A header that would inflate to 200 MB."""
    data = header(Picture(photometric="RGB"))
    path = save(tmp_path / "image.dcm", data, DeflatedExplicitVRLittleEndian, native_frames(6).tobytes())
    content = path.read_bytes()
    start = 144 + struct.unpack_from("<I", content, 140)[0]
    path.write_bytes(content[:start] + raw_deflate(element(tag, b"OB", bytes(200_000_000))))
    tracemalloc.start()
    try:
        with pytest.raises(WsiError):
            open_series([path])
        assert tracemalloc.get_traced_memory()[1] < 160 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("cut", [700, 4000])
def test_deflated_data_sets_that_break_off(tmp_path: Path, cut: int) -> None:
    data = header(Picture(photometric="RGB"))
    path = save(tmp_path / "image.dcm", data, DeflatedExplicitVRLittleEndian, native_frames(6).tobytes())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CorruptInput, match=r"image\.dcm"):
        open_series([path])


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    size = len(value) if length is None else length
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr, 0, size) + value


def test_private_elements_with_pixels_of_their_own(tmp_path: Path) -> None:
    """In the header, more than a header may have; behind it, a sequence in disguise; and lengths of groups."""
    frames = native_frames(6)
    data = header(Picture(photometric="RGB", attributes={"AcquisitionDateTime": "20240229123000"}))
    path = save(tmp_path / "image.dcm", data, ExplicitVRLittleEndian, frames.tobytes())
    content = path.read_bytes()
    nested = struct.pack("<HHI", 0x7FE0, 0x0010, 4) + b"\1\2\3\4"  # implicit VR, as within any UN (PS3.5 6.2.2)
    undefined = 0xFFFFFFFF
    item = struct.pack("<HHI", 0xFFFE, 0xE000, undefined) + nested + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
    disguised = element(0x7FDF1010, b"UN", item + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0), undefined)
    group_length = struct.pack("<HH2sHI", 0x7FE0, 0, b"UL", 4, 0)
    pixels = content.index(struct.pack("<HH", 0x7FE0, 0x0010) + b"OB")
    image = content.index(struct.pack("<HH", 0x0028, 0x0002) + b"US")
    huge = element(0x00271010, b"OB", bytes(65 << 20))
    icon = element(0x00271012, b"UN", item + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0), undefined)
    path.write_bytes(
        content[:image] + huge + icon + content[image:pixels] + disguised + group_length + content[pixels:]
    )
    with open_series([path]) as slide:
        assert np.array_equal(tiles(slide), frames)
        assert slide.metadata.acquired is not None


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom says what it thinks of each value
@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"ImageType": ["DERIVED", "PRIMARY", "VOLUME"]}, "Image Type has 3 values"),
        ({"ImageType": ["DERIVED", "PRIMARY", "VOLUME", "NONE", "X"]}, "Image Type has 5 values"),
        ({"ImageType": None}, "Image Type has 0 values instead of 4, the image is taken for a VOLUME"),
        ({"Modality": "GM"}, "Modality is GM"),
        ({"Modality": None}, "Modality is missing"),
        ({"StudyInstanceUID": "1.2." + "3" * 70}, "StudyInstanceUID is no valid UID"),
        ({"StudyInstanceUID": "slide-17"}, "StudyInstanceUID is no valid UID"),
        ({"PhotometricInterpretation": None}, "RGB is assumed"),
    ],
    ids=str,
)
def test_what_is_repaired_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, attributes: dict[str, Any], said: str
) -> None:
    frames = native_frames(6)
    data = header(Picture(photometric="RGB", attributes=attributes))
    with open_series([save(tmp_path / "image.dcm", data, ExplicitVRLittleEndian, frames.tobytes())]) as slide:
        assert np.array_equal(tiles(slide), frames)
        assert slide.study_uid == data.StudyInstanceUID
    (record,) = [record for record in caplog.records if record.name.startswith("wsi_dicom")]
    assert data.SOPInstanceUID in record.getMessage()
    assert said in record.getMessage()


def test_nothing_is_said_of_what_is_right(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = header(Picture(photometric="RGB"))
    with open_series([save(tmp_path / "image.dcm", data, ExplicitVRLittleEndian, native_frames(6).tobytes())]) as slide:
        assert slide.pyramid.spacing is None
        assert slide.pyramid.optical_paths == 1
    assert not caplog.records


@pytest.mark.parametrize(("values", "spacing"), [([0.002, 0.001], (0.001, 0.002)), ([0, 0.001], None)])
def test_spacing_outside_of_the_functional_groups(
    tmp_path: Path, values: list[float], spacing: tuple[float, float] | None
) -> None:
    data = header(Picture(photometric="RGB", attributes={"PixelSpacing": values}))
    with open_series([save(tmp_path / "image.dcm", data, ExplicitVRLittleEndian, native_frames(6).tobytes())]) as slide:
        assert slide.pyramid.spacing == spacing
