"""Items, offset tables and streams that do not fit the header, and files that break off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.foreign_series import padded
from tests.validation.breaking import (
    BASE,
    LABEL,
    LEVEL,
    Change,
    assert_found,
    change,
    dciodvfy_errors,
    extended_of,
    frames_of,
    put_frames,
    rewritten,
    setting,
    starts,
    validated,
    without,
)
from wsi_dicom.validation import Severity, validate_series


def replaced_frame(number: int, frame: bytes) -> Change:
    def put(dataset: Dataset) -> None:
        stored = frames_of(dataset)
        stored[number] = padded(frame)
        put_frames(dataset, stored, starts(stored))

    return put


def fragmented(dataset: Dataset, stored: list[bytes], *, table: bool, extended: Sequence[Sequence[int]] = ()) -> None:
    """Every frame in two items, cut within its header."""
    halves = [part for frame in stored for part in (frame[:200], frame[200:])]
    put_frames(dataset, halves, starts(halves)[::2] if table else (), extended)


@pytest.mark.parametrize(
    "how",
    [
        put_frames,
        lambda d, f: put_frames(d, f, starts(f)),
        lambda d, f: put_frames(d, f, extended=extended_of(f)),
        lambda d, f: fragmented(d, f, table=True),
        lambda d, f: fragmented(d, f, table=False),
    ],
    ids=["no-table", "basic", "extended", "fragments", "fragments-no-table"],
)
def test_frames_may_lie_so(copy_of: Callable[[str], Path], how: Callable[[Dataset, list[bytes]], None]) -> None:
    folder = copy_of("jpeg-ycbcr")
    change(folder / BASE, rewritten(how))
    assert validated(folder) == []


SMALL_JPEG = imagecodecs.jpeg8_encode(np.zeros((128, 256, 3), "u1"))
GRAY_JPEG = imagecodecs.jpeg8_encode(np.zeros((256, 256), "u1"))
PROGRESSIVE = bytes(SMALL_JPEG).replace(b"\xff\xc0", b"\xff\xc2", 1)
BLACK = np.zeros((256, 256, 3), "u1")
PLAIN_J2K = imagecodecs.jpeg2k_encode(BLACK, codecformat="j2k", reversible=True, mct=False)
LOSSY_J2K = imagecodecs.jpeg2k_encode(BLACK, level=40, codecformat="j2k", reversible=False, mct=True)
JP2_FILE = imagecodecs.jpeg2k_encode(BLACK, codecformat="jp2", reversible=True, mct=True)

ITEMS, EXTENDED, JPEG, J2K = "PS3.5 A.4", "PS3.3 C.7.6.3.1.8", "PS3.5 8.2.1", "PS3.5 8.2.4"

PIXEL_FAULTS: list[tuple[str, Change, str, str]] = [
    ("jpeg-ycbcr", rewritten(lambda d, f: put_frames(d, f, [0, 2, *starts(f)[2:]])), ITEMS,
     "1 offsets do not lead to an item, first of them that of frame 2"),
    ("jpeg-ycbcr", rewritten(lambda d, f: put_frames(d, f, [*starts(f)[:3], 1 << 30])), ITEMS, "that of frame 4"),
    ("jpeg-ycbcr", rewritten(lambda d, f: put_frames(d, f, starts(f)[:3])), ITEMS, "table has 12 bytes; 16 or none"),
    ("jpeg-ycbcr", rewritten(lambda d, f: put_frames(d, f, starts(f), extended_of(f))), EXTENDED, "is not empty"),
    ("jpeg-ycbcr", rewritten(lambda d, f: put_frames(d, f, (), [starts(f)])), EXTENDED, "Lengths is missing"),
    ("jpeg-ycbcr", rewritten(lambda d, f: put_frames(d, f, (), [starts(f)[:2], extended_of(f)[1]])), EXTENDED,
     "ExtendedOffsetTable has 16 bytes; 32 are due"),
    ("jpeg-ycbcr", rewritten(lambda d, f: put_frames(d, f, (), [[8, *starts(f)[1:]], extended_of(f)[1]])), EXTENDED,
     "that of frame 1"),
    ("jpeg-ycbcr", rewritten(lambda d, f: put_frames(d, f, (), [starts(f), [4, *extended_of(f)[1][1:]]])), EXTENDED,
     "1 of the ExtendedOffsetTableLengths are wrong: that of frame 1 is 4"),
    ("jpeg-ycbcr", rewritten(lambda d, f: put_frames(d, [f[0] + b"\0", *f[1:]])), ITEMS, "1 of 4 items have an odd"),
    ("jpeg-ycbcr", rewritten(lambda d, f: put_frames(d, f[:3])), ITEMS, "3 frames in 3 items; NumberOfFrames is 4"),
    ("jpeg-ycbcr", rewritten(lambda d, f: put_frames(d, [f[0], *f])), ITEMS, "5 frames in 5 items"),
    ("jpeg-ycbcr", replaced_frame(1, bytes(SMALL_JPEG)), JPEG, "frame 2 has 256 x 128 pixels"),
    ("jpeg-ycbcr", replaced_frame(3, bytes(GRAY_JPEG)), JPEG, "frame 4 has 1 samples"),
    ("jpeg-ycbcr", replaced_frame(0, PROGRESSIVE), JPEG, "process SOF2"),
    ("jpeg-ycbcr", replaced_frame(2, b"no picture"), "PS3.5 8.2", "frame 3 has no readable header"),
    ("jpeg-ycbcr", replaced_frame(2, b""), "PS3.5 8.2", "frame 3 has no readable header"),
    ("jpeg-ycbcr", rewritten(lambda d, f: put_frames(d, [f[0][:-400], *f[1:]])), "PS3.5 8.2", "frame 1 is cut off"),
    ("j2k-lossless", replaced_frame(1, bytes(PLAIN_J2K)), "PS3.3 C.7.6.3.1.2", "has no component transform"),
    ("j2k-lossless", replaced_frame(1, bytes(LOSSY_J2K)), J2K, "frame 2 is irreversible"),
    ("j2k-lossless", replaced_frame(1, bytes(JP2_FILE)), "PS3.5 A.4.4", "frame 2 is a JP2 file"),
    ("j2k-lossless", setting(Rows=255), J2K, "(and 3 more) has 256 x 256 pixels; Columns x Rows is 256 x 255"),
    ("j2k-lossless", setting(BitsStored=7), J2K, "has 8 bits; BitsStored is 7"),
    ("jpeg-ycbcr", rewritten(lambda d, f: fragmented(d, f, table=False, extended=extended_of(f))), EXTENDED,
     "frames are in several fragments"),
    ("native", setting(ExtendedOffsetTable=bytes(32), ExtendedOffsetTableLengths=bytes(32)), EXTENDED,
     "but pixels are uncompressed"),
    ("native", lambda d: setattr(d, "PixelData", d.PixelData[:-2]), "PS3.5 8.1.1", "786432 are due"),
    ("jpeg-ycbcr", without("PixelData"), "PS3.3 C.7.6.3", "PixelData is missing"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "how", "clause", "words"),
    PIXEL_FAULTS,
    ids=[f"{number}-{row[3]}" for number, row in enumerate(PIXEL_FAULTS)],
)
def test_a_fault_of_the_pixel_data(
    copy_of: Callable[[str], Path], kind: str, how: Change, clause: str, words: str
) -> None:
    folder = copy_of(kind)
    change(folder / BASE, how)
    assert_found(validate_series([folder / BASE]), "error", clause, BASE, words)


def test_items_where_pixels_are_uncompressed(copy_of: Callable[[str], Path]) -> None:
    """The transfer syntax alone is changed, in place: both have 22 or fewer characters, padded to the same length."""
    folder = copy_of("jpeg-ycbcr")
    data = (folder / BASE).read_bytes()
    told = b"1.2.840.10008.1.2.4.50"
    (folder / BASE).write_bytes(data.replace(told, b"1.2.840.10008.1.2.1".ljust(len(told), b"\0"), 1))
    assert_found(validated(folder), "error", ITEMS, BASE, "have items, which transfer syntax")


def test_another_vr_than_told(copy_of: Callable[[str], Path], tool: Callable[[str], str]) -> None:
    """OB for 16 bits; and a data set of explicit VR that its transfer syntax, changed in place, calls implicit."""
    folder = copy_of("gray-16")
    change(folder / BASE, lambda d: setattr(d["PixelData"], "VR", "OB"))
    assert_found(validate_series([folder / BASE]), "error", "PS3.5 A.2", BASE, "has the VR OB; OW is due")
    assert any("VR = OB" in error for error in dciodvfy_errors(folder / BASE, tool))
    explicit = b"1.2.840.10008.1.2.1\0"
    lying = (folder / LABEL).read_bytes().replace(explicit, b"1.2.840.10008.1.2".ljust(len(explicit), b"\0"), 1)
    (folder / LABEL).write_bytes(lying)
    assert_found(validate_series([folder / LABEL]), "error", "PS3.5 A", LABEL, "the data set has explicit VR")


def test_a_file_that_breaks_off(copy_of: Callable[[str], Path]) -> None:
    """Wherever it does: in the tables, in a frame, before the end of the sequence, in the header, in the preamble."""
    folder = copy_of("jpeg-ycbcr")
    whole = (folder / BASE).read_bytes()
    size, pixels = len(whole), whole.index(b"\xe0\x7f\x10\x00OB")
    for cut in (size - 8, size - 3, size - 20_000, pixels + 40, pixels + 14, pixels + 5, pixels, 5000, 400, 140, 60, 0):
        (folder / BASE).write_bytes(whole[:cut])
        findings = validate_series([folder / LABEL, folder / BASE])
        assert findings, cut
        assert findings[0].severity is Severity.ERROR
        assert {finding.instance for finding in findings} == {BASE}
        assert all(len(finding.message.splitlines()) == 1 for finding in findings)


def test_damage_never_ends_in_a_traceback(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("jpeg-ycbcr")
    whole = (folder / LEVEL).read_bytes()
    header = whole.index(b"\xe0\x7f\x10\x00OB") + 40
    for number, position in enumerate(range(132, header, 41)):
        value = b"\x00\xff\x41"[number % 3 : number % 3 + 1]
        (folder / LEVEL).write_bytes(whole[:position] + value + whole[position + 1 :])
        validate_series([folder / LEVEL])
