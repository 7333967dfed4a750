"""DICOM files that are refused: absurd headers, positions off the grid, what is no slide, and damaged bytes."""

from __future__ import annotations

import struct
import tracemalloc
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

from tests.conftest import Run
from tests.foreign_series import (
    TILE,
    Picture,
    header,
    jpeg_frames,
    native_frames,
    per_frame_groups,
    save,
    save_native,
    sparse,
)
from tests.fuzz.dicom_elements import elements
from tests.fuzz.dicom_specimens import layouts
from wsi_dicom.dicom.slide import open_series
from wsi_dicom.errors import CorruptInput, NotFound, UnsupportedFormat, WsiError

GRID = [(1 + column * TILE, 1 + row * TILE) for row in range(2) for column in range(3)]


def headed(path: Path, elements_before: bytes) -> Path:
    """An image with something before its pixel data."""
    save_native(path, Picture(), native_frames(6))
    content = path.read_bytes()
    pixel_data = content.index(struct.pack("<HH", 0x7FE0, 0x0010))
    path.write_bytes(content[:pixel_data] + elements_before + content[pixel_data:])
    return path


def test_a_number_that_is_several(tmp_path: Path) -> None:
    path = save_native(tmp_path / "image.dcm", Picture(attributes={"HighBit": 7}), native_frames(6))
    rows = struct.pack("<HH2sHH", 0x0028, 0x0010, b"US", 2, TILE)
    content = path.read_bytes()
    assert content.count(rows) == 1
    path.write_bytes(content.replace(rows, struct.pack("<HH2sHHH", 0x0028, 0x0010, b"US", 4, TILE, TILE)))
    with pytest.raises(CorruptInput, match=r"image\.dcm has Rows \[16, 16\], which is no whole number"):
        open_series([path])


@pytest.mark.parametrize("kind", ["items", "endless items", "elements"])
def test_headers_of_very_many_parts(tmp_path: Path, kind: str) -> None:
    """A few megabytes would become gigabytes of Python objects, and take minutes."""
    count = 150_000
    items = struct.pack("<HHI", 0xFFFE, 0xE000, 0) * count
    sequence = struct.pack("<HH2sH", 0x5200, 0x9229, b"SQ", 0)
    parts = {
        "items": sequence + struct.pack("<I", len(items)) + items,
        "endless items": sequence + b"\xff" * 4 + items + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0),
        "elements": b"".join(struct.pack("<HH2sH", 0x3001 + 2 * (n >> 15), n & 0x7FFF, b"LO", 0) for n in range(count)),
    }
    path = headed(tmp_path / "image.dcm", parts[kind])
    with pytest.raises(CorruptInput, match=r"image\.dcm has .* header"):
        open_series([path])


@pytest.mark.parametrize(
    ("attributes", "error"),
    [
        ({"Rows": 0}, CorruptInput),
        ({"NumberOfFrames": 0}, CorruptInput),
        ({"NumberOfFrames": 2**31 - 1}, CorruptInput),
        ({"Rows": 65535, "Columns": 65535}, CorruptInput),
        ({"TotalPixelMatrixColumns": 0}, CorruptInput),
        ({"TotalPixelMatrixColumns": 2**32 - 1, "TotalPixelMatrixRows": 2**32 - 1}, CorruptInput),
        (
            {
                "DimensionOrganizationType": "TILED_SPARSE",
                "TotalPixelMatrixColumns": 2**32 - 1,
                "TotalPixelMatrixRows": 2**32 - 1,
                "PerFrameFunctionalGroupsSequence": per_frame_groups(GRID),
            },
            CorruptInput,
        ),
        ({"TotalPixelMatrixFocalPlanes": 2**32 - 1}, CorruptInput),
        ({"ConcatenationUID": "1.2", "ConcatenationFrameOffsetNumber": 2**31}, CorruptInput),
        ({"Columns": None}, CorruptInput),
        ({"SeriesInstanceUID": None}, CorruptInput),
        ({"ImageType": ["DERIVED", "PRIMARY"], "NumberOfFrames": 1}, UnsupportedFormat),
        ({"ImageType": ["DERIVED", "PRIMARY", "LOCALIZER", "NONE"]}, UnsupportedFormat),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, UnsupportedFormat),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, UnsupportedFormat),
        ({"PhotometricInterpretation": "YBR_RCT"}, UnsupportedFormat),
        ({"SamplesPerPixel": 4}, UnsupportedFormat),
        ({"BitsStored": 9}, UnsupportedFormat),
        ({"HighBit": 6}, UnsupportedFormat),
        ({"PixelRepresentation": 1}, UnsupportedFormat),
    ],
    ids=str,
)
def test_headers_that_are_refused(tmp_path: Path, attributes: dict[str, Any], error: type[WsiError]) -> None:
    picture = Picture(photometric="RGB", attributes=attributes)
    path = save(tmp_path / "image.dcm", header(picture), ExplicitVRLittleEndian, native_frames(6).tobytes())
    with pytest.raises(error) as raised:
        open_series([path])
    assert "image.dcm" in str(raised.value) or picture.series_uid in str(raised.value)


@pytest.mark.parametrize(
    ("positions", "error"),
    [
        ([(2, 1)], UnsupportedFormat),
        ([(1, 1), (1, 1)], UnsupportedFormat),
        ([(1 + 3 * TILE, 1)], CorruptInput),
        ([(1 - TILE, 1)], CorruptInput),
    ],
)
def test_positions_that_are_refused(tmp_path: Path, positions: list[tuple[int, int]], error: type[WsiError]) -> None:
    picture = sparse(Picture(), per_frame_groups(positions))
    with pytest.raises(error, match=r"image\.dcm"):
        open_series([save_native(tmp_path / "image.dcm", picture, native_frames(len(positions)))])


def test_fewer_positions_than_frames(tmp_path: Path) -> None:
    picture = sparse(Picture(), per_frame_groups(GRID[:2]))
    picture.frames = 3
    with pytest.raises(CorruptInput, match="positions of 2 of its 3 frames"):
        open_series([save_native(tmp_path / "image.dcm", picture, native_frames(3))])


def test_files_that_are_no_slide(tmp_path: Path) -> None:
    text = tmp_path / "text.dcm"
    text.write_text("This is no DICOM file. " * 20)
    with pytest.raises(CorruptInput, match=r"text\.dcm is not a DICOM file"):
        open_series([text])
    with pytest.raises(NotFound, match=r"absent\.dcm"):
        open_series([tmp_path / "absent.dcm"])
    with pytest.raises(WsiError):
        open_series([tmp_path])
    with pytest.raises(UnsupportedFormat):
        open_series([])
    two = [save_native(tmp_path / f"{name}.dcm", Picture(), native_frames(6)) for name in "ab"]
    with pytest.raises(CorruptInput, match="different series"):
        open_series(two)


def test_two_images_of_one_size_are_refused(tmp_path: Path) -> None:
    series = generate_uid()
    files = [save_native(tmp_path / f"{n}.dcm", Picture(series_uid=series), native_frames(6)) for n in range(2)]
    with pytest.raises(UnsupportedFormat, match="not parts of one concatenation"):
        open_series(files)


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom says what it thinks of each value
@pytest.mark.parametrize("seed", range(4))
def test_damaged_bytes_never_surprise(tmp_path: Path, seed: int) -> None:
    """Whatever bytes of the header are wrong: it opens, or a WsiError says why not."""
    random = np.random.default_rng(seed)
    picture = sparse(Picture(), per_frame_groups(GRID)) if seed % 2 else Picture()
    path = save(tmp_path / "image.dcm", header(picture), picture.syntax, encapsulate(jpeg_frames(6)))
    content = path.read_bytes()
    opened = 0
    for _ in range(150):
        damaged = bytearray(content)
        for position in random.integers(132, len(content), 3):
            damaged[position] = random.integers(0, 256)
        path.write_bytes(damaged)
        try:
            with open_series([path]) as slide:
                for column, row in islice(slide.pyramid.base.tiles(), 20):
                    slide.tile(0, column, row)
                    opened += 1
        except WsiError as error:
            assert str(error)  # noqa: PT017 - both outcomes are right
    assert opened


def test_meta_information_that_claims_4_gib(tmp_path: Path) -> None:
    path = save_native(tmp_path / "image.dcm", Picture(), native_frames(6))
    content = path.read_bytes()
    huge = struct.pack("<HH2sHI", 2, 0x0001, b"OB", 0, 0xFFFFFFF0)
    path.write_bytes(content[:132] + huge + content[132:])
    tracemalloc.start()
    try:
        with pytest.raises(CorruptInput, match=r"image\.dcm has a header of more than 64 MiB"):
            open_series([path])
        assert tracemalloc.get_traced_memory()[1] < 96 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.filterwarnings("ignore:Found unknown escape sequence")  # pydicom, of what is told here
@pytest.mark.parametrize("told", ["\x1b[2J\r\nRGB\0", "\u202eRGB", "R" * 60_000])
def test_what_a_file_says_is_told_as_a_short_line(tmp_path: Path, told: str) -> None:
    """No terminal obeys it, no log breaks its lines for it."""
    data = header(Picture(photometric="RGB"))
    data.SpecificCharacterSet = "ISO_IR 192"
    data.add(DataElement("PhotometricInterpretation", "UT", told))
    path = save(tmp_path / "image.dcm", data, ExplicitVRLittleEndian, native_frames(6).tobytes())
    with pytest.raises(UnsupportedFormat, match=r"image\.dcm has the photometric interpretation ") as raised:
        open_series([path])
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 1100


def test_values_that_make_no_sense_are_not_told_of(run: Run, tmp_path: Path) -> None:
    """pydicom would log each: they may be of the patient, and hold anything."""
    data = header(Picture())
    with config.disable_value_validation():
        data.PatientBirthDate = "born \x1b[31min 1911"
        data.StudyDate = "long ago"
    path = save(tmp_path / "image.dcm", data, JPEGBaseline8Bit, encapsulate(jpeg_frames(6)))
    told = run("wsi-dicom", "info", path)
    assert "in 1911" not in told.stdout + told.stderr
    assert "long ago" not in told.stderr
    assert "Invalid value" not in told.stderr


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom says what it thinks of each
def test_any_element_may_have_a_value_that_does_not_decode(tmp_path: Path) -> None:
    """pydicom decodes when a value is first looked at, wherever that is."""
    path = next(layouts()["planes"](tmp_path).glob("*.dcm"))
    content, refused = path.read_bytes(), []
    found = [element for element in elements(content) if element.length.code.endswith("H")]
    for element in found:
        path.write_bytes(content[: element.begin + 4] + b"ZZ" + content[element.begin + 6 :])
        try:
            with open_series([path]) as slide:
                slide.carried_attributes()
                for level in range(len(slide.pyramid.levels)):
                    slide.tile(level, 0, 0)
                    slide.losses(level)
                    slide.derivation(level)
        except WsiError as error:
            refused.append(element.tag)
            assert "image.dcm" in str(error)  # noqa: PT017 - both outcomes are right
    assert len(found) > 30
    assert 0x00280010 in refused  # Rows
    assert len(refused) < len(found)
