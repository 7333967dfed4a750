"""Data sets that are not written as they say, or hold more than they should: read all the same, and said once."""

from __future__ import annotations

import logging
import struct
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filereader import dcmread
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from tests.dicom_pixels import tiles
from tests.foreign_series import (
    TILE,
    Picture,
    header,
    item,
    jpeg_frames,
    native_frames,
    per_frame_groups,
    save,
    save_native,
    sparse,
)
from wsi_dicom.dicom.slide import open_series
from wsi_dicom.errors import CorruptInput, UnsupportedFormat
from wsi_dicom.sources import open_slide

GRID = [(1 + column * TILE, 1 + row * TILE) for row in range(2) for column in range(3)]
HUGE = 3 << 30


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("wsi_dicom")]


def with_everything(path: Path, syntax: str) -> tuple[Path, NDArray[np.uint8]]:
    """Positions of frames, sequences, private elements; five of six tiles, in reverse order."""
    frames = native_frames(5)
    light = Dataset()
    light.OpticalPathIdentifier, light.OpticalPathDescription = "1", "day"
    picture = sparse(Picture(photometric="RGB"), per_frame_groups(GRID[:0:-1], path=["1"] * 5))
    picture.attributes |= {"OpticalPathSequence": [light], "Manufacturer": "Scanners & Söhne"}
    picture.attributes["SpecificCharacterSet"] = "ISO_IR 192"
    data = header(picture)
    data.private_block(0x0009, "TEST", create=True).add_new(1, "OB", bytes(70_000))
    return save(path, data, syntax, frames.tobytes()), frames


def assert_has_everything(path: Path, frames: NDArray[np.uint8]) -> None:
    with open_series([path]) as slide:
        assert np.array_equal(tiles(slide)[:0:-1], frames)
        assert slide.absent(0, 0, 0)
        assert slide.metadata.manufacturer == "Scanners & Söhne"
        assert slide.metadata.optical_paths[0].description == "day"


def retold(path: Path, syntax: UID, told: UID) -> None:
    """Changes the transfer syntax that a file tells, and nothing else: the name is as long as it was."""
    content = path.read_bytes()
    before, after = (f"{uid}\0".encode() if len(uid) % 2 else uid.encode() for uid in (syntax, told))
    start = content.index(before, 132)
    assert content[start - 8 : start - 2] == b"\x02\x00\x10\x00UI"
    changed = struct.pack("<H", len(after)) + after
    length = struct.unpack_from("<I", content, 140)[0] + len(after) - len(before)
    path.write_bytes(
        content[:140] + struct.pack("<I", length) + content[144 : start - 2] + changed + content[start + len(before) :]
    )


@pytest.mark.parametrize(
    ("syntax", "told", "kind"),
    [
        (ExplicitVRLittleEndian, ImplicitVRLittleEndian, "explicit"),
        (ImplicitVRLittleEndian, ExplicitVRLittleEndian, "implicit"),
    ],
)
def test_a_transfer_syntax_that_lies_of_its_vr(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, syntax: UID, told: UID, kind: str
) -> None:
    path, frames = with_everything(tmp_path / "image.dcm", syntax)
    retold(path, syntax, told)
    with pytest.warns(UserWarning, match=f"using {kind} VR for reading"):
        data = dcmread(path)
    assert data.file_meta.TransferSyntaxUID == told
    assert np.array_equal(data.pixel_array, frames)
    caplog.clear()
    assert_has_everything(path, frames)
    (said,) = messages(caplog)
    assert said == f"{data.SOPInstanceUID}: its data set has {kind} VR, whatever its transfer syntax {told} says"


def test_implicit_vr_around_compressed_frames(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Encapsulated frames ask for explicit VR (PS3.5 A.4)."""
    picture, frames = Picture(), jpeg_frames(6)
    data = header(picture)
    path = save(tmp_path / "image.dcm", data, JPEGBaseline8Bit, encapsulate(frames))
    meta_end = 144 + struct.unpack_from("<I", path.read_bytes(), 140)[0]
    head = path.read_bytes()[:meta_end]
    del data.PixelData
    plain = save(tmp_path / "plain.dcm", data, ImplicitVRLittleEndian, None).read_bytes()
    body = plain[144 + struct.unpack_from("<I", plain, 140)[0] :]
    pixels = struct.pack("<HHI", 0x7FE0, 0x0010, 0xFFFFFFFF) + encapsulate(frames)
    path.write_bytes(head + body + pixels + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))
    with open_series([path]) as slide:
        stored = [slide.encoded_tile(0, column, row) for column, row in slide.pyramid.base.tiles()]
    assert [tile.data for tile in stored if tile is not None] == frames
    assert len(messages(caplog)) == 1


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
@pytest.mark.parametrize("lengths", ["+e", "-e"], ids=["defined", "undefined"])
def test_group_lengths_everywhere(
    tmp_path: Path, tool: Callable[[str], str], caplog: pytest.LogCaptureFixture, syntax: UID, lengths: str
) -> None:
    """As DCMTK puts them into every group, of items too; of defined and undefined lengths."""
    source, frames = with_everything(tmp_path / "source.dcm", ExplicitVRLittleEndian)
    options = {
        ExplicitVRLittleEndian: "+te",
        ImplicitVRLittleEndian: "+ti",
        ExplicitVRBigEndian: "+tb",
        DeflatedExplicitVRLittleEndian: "+td",
    }
    path = tmp_path / "image.dcm"
    subprocess.run([tool("dcmconv"), "+g", lengths, options[syntax], source, path], check=True)
    told = dcmread(path)
    assert 0x00100000 in told
    assert 0x00480000 in told.PerFrameFunctionalGroupsSequence[0].PlanePositionSlideSequence[0]
    assert_has_everything(path, frames)
    assert not messages(caplog)


def hole(path: Path, before: bytes, head: bytes, tail: bytes = b"") -> None:
    """Puts `head`, 3 GiB that take no room on the disk, and `tail` in front of the only element that begins so."""
    content = path.read_bytes()
    assert content.count(before) == 1
    start = content.index(before)
    with path.open("wb") as file:
        file.write(content[:start] + head)
        file.seek(HUGE, 1)
        file.write(tail + content[start:])


def private(tag: int, syntax: UID, length: int) -> bytes:
    if syntax == ImplicitVRLittleEndian:
        return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, length)
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"OB", 0, length)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize(
    ("tag", "before"),
    [(0x00271010, (0x0028, 0x0002)), (0x60011010, (0x7FE0, 0x0010)), (0x7FDF1010, (0x7FE0, 0x0010))],
    ids=["within the header", "behind the positions", "before the pixels"],
)
@pytest.mark.parametrize("fragments", [False, True], ids=["whole", "fragments"])
def test_private_pixels_of_gigabytes_are_not_read(
    tmp_path: Path, syntax: UID, tag: int, before: tuple[int, int], fragments: bool
) -> None:
    path, frames = with_everything(tmp_path / "image.dcm", syntax)
    mark = struct.pack("<HH", *before)
    if syntax == ExplicitVRLittleEndian:
        mark += b"US" if before[0] == 0x28 else b"OB"
    elif before[0] == 0x28:
        mark += struct.pack("<I", 2)
    head, tail = private(tag, syntax, HUGE), b""
    if fragments:
        head = private(tag, syntax, 0xFFFFFFFF) + item(b"") + struct.pack("<HHI", 0xFFFE, 0xE000, HUGE)
        tail = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    hole(path, mark, head, tail)
    tracemalloc.start()
    try:
        assert_has_everything(path, frames)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # pydicom says what it thinks of each value
@pytest.mark.parametrize("uid", ["1.2." + "3" * 70, "1.02.3", "slide 17"])
@pytest.mark.parametrize("keyword", ["SeriesInstanceUID", "SOPInstanceUID", "StudyInstanceUID"])
def test_invalid_uids(tmp_path: Path, caplog: pytest.LogCaptureFixture, keyword: str, uid: str) -> None:
    data = header(Picture(photometric="RGB", attributes={keyword: uid}))
    frames = native_frames(6)
    path = save(tmp_path / "image.dcm", data, ExplicitVRLittleEndian, frames.tobytes())
    with open_series([path]) as slide:
        assert np.array_equal(tiles(slide), frames)
        assert uid in (slide.series_uid, slide.study_uid, slide.instances[0].sop_instance_uid)
    (said,) = messages(caplog)
    assert said == f"{data.SOPInstanceUID}: {keyword} is no valid UID and kept as text"


@pytest.mark.parametrize("levels", [1, 3])
def test_what_is_repaired_is_said_once_for_each_instance(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, levels: int
) -> None:
    """Whichever of its files is named, and however many tiles are read."""
    caplog.set_level(logging.INFO)
    first = Picture(96, 64, photometric="RGB")
    uids = []
    for number in range(levels):
        picture = Picture(96 >> number, 64 >> number, series_uid=first.series_uid, photometric="RGB")
        picture.frames = -(-picture.width // TILE) * -(-picture.height // TILE)
        picture.attributes = {"Modality": "OT", "ImageType": ["DERIVED", "PRIMARY", "VOLUME"]}
        data = header(picture)
        save(tmp_path / f"{number}.dcm", data, ExplicitVRLittleEndian, native_frames(picture.frames).tobytes())
        uids.append(str(data.SOPInstanceUID))
    with open_slide(tmp_path / "0.dcm") as slide:
        for level in range(levels):
            slide.tile(level, 0, 0)
            slide.tile(level, 0, 0)
    said = "Image Type has 3 values instead of 4, the image is taken for a VOLUME; Modality is OT and should be SM"
    assert sorted(messages(caplog)) == sorted(f"{uid}: {said}" for uid in uids)


@pytest.mark.parametrize("told", ["YBR_PARTIAL_420", "MONOCHROME2", "PALETTE COLOR", "ybr_full_422"])
@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")  # pydicom writes it all the same
def test_streams_win_over_what_cannot_be(tmp_path: Path, caplog: pytest.LogCaptureFixture, told: str) -> None:
    data, frames = header(Picture()), jpeg_frames(6)
    data.PhotometricInterpretation = told
    path = save(tmp_path / "image.dcm", data, JPEGBaseline8Bit, encapsulate(frames))
    with open_series([path]) as slide:
        assert np.array_equal(tiles(slide), np.stack([imagecodecs.jpeg8_decode(frame) for frame in frames]))
        assert (encoding := slide.encoding(0)) is not None
        assert encoding.photometric == "YBR_FULL_422"
    said = f"{told} is no photometric interpretation of its 3 samples; YBR_FULL_422 is assumed"
    assert [message.split(": ")[1] for message in messages(caplog)] == ([said] if told.isupper() else [])


def test_uncompressed_pixels_of_unknown_colours_are_refused(tmp_path: Path) -> None:
    data = header(Picture(photometric="YBR_PARTIAL_420"))
    path = save(tmp_path / "image.dcm", data, ExplicitVRLittleEndian, native_frames(6).tobytes())
    with pytest.raises(UnsupportedFormat, match=r"image\.dcm has the photometric interpretation YBR_PARTIAL_420"):
        open_series([path])


@pytest.mark.parametrize(("described", "named"), [(None, "1"), (" 1", " 1"), ("1", "1 ")])
def test_optical_paths_described_badly_or_not_at_all(tmp_path: Path, described: str | None, named: str) -> None:
    picture = sparse(Picture(), per_frame_groups(GRID[::-1], path=[named] * 6))
    if described is not None:
        light = Dataset()
        light.OpticalPathIdentifier = described
        picture.attributes["OpticalPathSequence"] = [light]
    frames = native_frames(6)
    with open_series([save_native(tmp_path / "image.dcm", picture, frames)]) as slide:
        assert slide.pyramid.optical_paths == 1
        assert np.array_equal(tiles(slide)[::-1], frames)


def test_several_optical_paths_that_nothing_describes_are_refused(tmp_path: Path) -> None:
    picture = sparse(Picture(), per_frame_groups(GRID, path=["1", "2"] * 3))
    path = save_native(tmp_path / "image.dcm", picture, native_frames(6))
    with pytest.raises(CorruptInput, match=r"image\.dcm: frame 2 tells no valid .* optical path"):
        open_series([path])


@pytest.mark.parametrize("organization", ["TILED_SPARSE", None])
def test_frames_that_nothing_places(tmp_path: Path, caplog: pytest.LogCaptureFixture, organization: str | None) -> None:
    """The order that nearly everybody writes is the best guess, and is said to be one."""
    frames = native_frames(6)
    path = save_native(tmp_path / "image.dcm", Picture(attributes={"DimensionOrganizationType": organization}), frames)
    with open_series([path]) as slide:
        assert np.array_equal(tiles(slide), frames)
        uid = slide.instances[0].sop_instance_uid
    assert messages(caplog) == [f"{uid}: nothing tells where its frames lie, they are taken for TILED_FULL"]
