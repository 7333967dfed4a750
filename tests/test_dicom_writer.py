"""The streaming writer: offset tables as other readers see them, what it refuses, and what it leaves behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
import wsidicom
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames, get_frame, parse_basic_offsets, parse_fragments

from tests.dicom_series import KINDS, METADATA, RGB, VOLUME
from wsi_dicom.codecs.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, lossy_method
from wsi_dicom.dicom.dataset import image_dataset
from wsi_dicom.dicom.description import ImageDescription, LossyStep
from wsi_dicom.dicom.uids import SeriesIdentity
from wsi_dicom.dicom.writer import InstanceWriter
from wsi_dicom.errors import StoreError
from wsi_dicom.geometry import Level, Spacing
from wsi_dicom.slide import Encoding, ImageFlavor

BEYOND_32_BITS = 1 << 32
JPEG, J2K_LOSSLESS = KINDS[0], KINDS[2]
NATIVE = Encoding(EXPLICIT_VR_LITTLE_ENDIAN, "RGB")


def dataset_for(level: Level, encoding: Encoding = JPEG.encoding) -> Dataset:
    identity = SeriesIdentity.random()
    method = lossy_method(encoding.transfer_syntax)
    description = ImageDescription(
        flavor=ImageFlavor.VOLUME,
        instance_number=1,
        sop_instance_uid=identity.instance_uid("level 0"),
        level=level,
        spacing=Spacing(0.0005, 0.0005),
        pixel_format=RGB,
        encoding=encoding,
        lossy=(LossyStep(method),) if method else (),
    )
    return image_dataset(identity, description, METADATA, VOLUME, Dataset())


def write(
    path: Path, frames: Iterable[bytes], dataset: Dataset, largest_total: int, frame_count: int | None = None
) -> Dataset:
    count = dataset.NumberOfFrames if frame_count is None else frame_count
    with InstanceWriter(path, dataset, frame_count=count, largest_total=largest_total) as writer:
        for frame in frames:
            writer.write(frame)
    return pydicom.dcmread(path)


def saved(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def row_of(count: int) -> Level:
    return Level(16 * count, 16, 16, 16)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=40), extended=st.booleans())
def test_tables_lead_pydicom_to_every_frame(tmp_path: Path, frames: list[bytes], extended: bool) -> None:
    path = tmp_path / "image.dcm"
    path.unlink(missing_ok=True)
    total = BEYOND_32_BITS if extended else sum(map(len, frames))
    found = write(path, frames, dataset_for(row_of(len(frames))), total)
    padded = [frame + b"\0" * (len(frame) % 2) for frame in frames]
    basic = parse_basic_offsets(found.PixelData)
    assert parse_fragments(found.PixelData[8 + 4 * len(basic) :])[0] == len(frames)
    assert list(generate_frames(found.PixelData, number_of_frames=len(frames))) == padded
    assert ("ExtendedOffsetTable" in found) == extended == (basic == [])
    tables = (found.ExtendedOffsetTable, found.ExtendedOffsetTableLengths) if extended else None
    for index, frame in enumerate(padded):
        assert get_frame(found.PixelData, index, extended_offsets=tables, number_of_frames=len(frames)) == frame
    if tables:
        assert np.frombuffer(tables[1], "<u8").tolist() == [len(frame) for frame in padded]


def test_thousands_of_small_frames(tmp_path: Path) -> None:
    """More pieces than a system writes at once, and more bytes than are written together."""
    frames = [number.to_bytes(2, "big") * (1 + number % 700) for number in range(5000)]
    found = write(tmp_path / "image.dcm", frames, dataset_for(row_of(len(frames))), sum(map(len, frames)))
    assert list(generate_frames(found.PixelData, number_of_frames=len(frames))) == frames


@pytest.mark.parametrize("extended", [False, True])
def test_wsidicom_follows_both_tables(tmp_path: Path, extended: bool) -> None:
    level = Level(64 * 3, 64 * 2, 64, 64)
    tiles = [np.full((64, 64, 3), shade, np.uint8) for shade in (10, 50, 90, 130, 170, 210)]
    frames = [J2K_LOSSLESS.encode(tile) for tile in tiles]
    total = BEYOND_32_BITS if extended else sum(map(len, frames))
    write(tmp_path / "image.dcm", frames, dataset_for(level, J2K_LOSSLESS.encoding), total)
    with wsidicom.WsiDicom.open(tmp_path) as slide:
        for number, tile in enumerate(tiles):
            found = np.asarray(slide.read_tile(0, (number % 3, number // 3)))
            assert np.array_equal(found, tile)


def test_a_short_bound_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsi_dicom.dicom.writer._LARGEST_OFFSET", 1000)
    frames = [bytes(600)] * 3
    with pytest.raises(StoreError, match="larger than announced"):
        write(tmp_path / "image.dcm", frames, dataset_for(row_of(3)), 100)
    assert list(tmp_path.iterdir()) == []


def test_the_last_ratio_is_measured_and_the_rest_of_the_header_untouched(tmp_path: Path) -> None:
    frames = [bytes(77)] * 5
    dataset = dataset_for(row_of(5))
    found = write(tmp_path / "image.dcm", frames, dataset, 385)
    assert len(found.get_item("LossyImageCompressionRatio").value) <= 16
    assert found.LossyImageCompressionRatio == pytest.approx(16 * 16 * 3 / 77, abs=1e-4)
    for keyword in ("PixelData", "LossyImageCompressionRatio"):
        found.pop(keyword)
    dataset.pop("LossyImageCompressionRatio")
    assert saved(found) == saved(dataset)


def test_native_pixels_of_an_odd_number_of_bytes(tmp_path: Path) -> None:
    frame = bytes(range(75)) * 1
    found = write(tmp_path / "image.dcm", [frame] * 3, dataset_for(Level(15, 5, 5, 5), NATIVE), 225)
    assert found.PixelData == frame * 3 + b"\0"
    assert found["PixelData"].VR == "OB"


def test_native_pixels_beyond_one_file_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    level = Level(40000, 40000, 500, 500)
    writer = InstanceWriter(
        tmp_path / "image.dcm", dataset_for(level, NATIVE), frame_count=6400, largest_total=4_800_000_000
    )
    with pytest.raises(StoreError, match=r"4800000000 bytes .* choose a compression"), writer:
        pytest.fail("must not be entered")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("written", [0, 2, 4])
def test_a_wrong_number_of_frames(tmp_path: Path, written: int) -> None:
    with pytest.raises(StoreError, match=rf"image.dcm: {written} of 3 frames"):
        write(tmp_path / "image.dcm", [b"xx"] * written, dataset_for(row_of(3)), 100, frame_count=3)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("encoding", "frame"), [(JPEG.encoding, b""), (NATIVE, b"short")])
def test_a_frame_of_a_wrong_size(tmp_path: Path, encoding: Encoding, frame: bytes) -> None:
    with pytest.raises(StoreError, match=f"frame 1 has {len(frame)} bytes"):
        write(tmp_path / "image.dcm", [frame], dataset_for(row_of(1), encoding), 100)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_an_abort_leaves_nothing(tmp_path: Path, failure: type[BaseException]) -> None:
    def frames() -> Iterator[bytes]:
        yield b"xx"
        assert len(list(tmp_path.iterdir())) == 1
        raise failure

    with pytest.raises(failure):
        write(tmp_path / "image.dcm", frames(), dataset_for(row_of(2)), 100, frame_count=2)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "image.dcm"
    path.write_bytes(b"precious")
    with pytest.raises(StoreError, match=r"image.dcm: cannot be written: File exists"):
        write(path, [b"xx"], dataset_for(row_of(1)), 2)
    assert path.read_bytes() == b"precious"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nowhere/image.dcm: cannot be written: No such file"):
        write(tmp_path / "nowhere" / "image.dcm", [b"xx"], dataset_for(row_of(1)), 2)


FULL_DISK = """
import resource, sys
from pathlib import Path
from tests.test_dicom_writer import dataset_for, row_of, write

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
write(Path(sys.argv[1]), [bytes(10_000)] * 300, dataset_for(row_of(300)), 3_000_000)
"""


def test_no_space_left(tmp_path: Path) -> None:
    """A process that may write 100 kB per file stands in for a full disk."""
    checkout = Path(__file__).parent.parent
    command = [sys.executable, "-c", FULL_DISK, tmp_path / "image.dcm"]
    child = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    last_line = child.stderr.splitlines()[-1]
    assert last_line == f"wsi_dicom.errors.StoreError: {tmp_path}/image.dcm: cannot be written: File too large"
    assert list(tmp_path.iterdir()) == []


def test_the_header_is_what_pydicom_writes(tmp_path: Path) -> None:
    dataset = dataset_for(row_of(1), J2K_LOSSLESS.encoding)
    path = tmp_path / "image.dcm"
    write(path, [b"xx"], dataset, 2)
    assert path.read_bytes().startswith(saved(dataset))
