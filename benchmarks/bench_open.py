"""Opening large instances: 216,225 frames tiled in full, with each kind of offset table, and 180,000 sparse ones.

What importing costs is taken off, by a small slide opened before. Limits: 0.2 s and 30 MB in full; 5 s sparse, once,
and then 0.2 s from what the store has kept.
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from measure import print_table, verdict
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, JPEGBaseline8Bit, generate_uid

ACROSS, SIDE, SPARSE = 465, 16, 180_000
STREAM = b"\xff\xd8" + bytes(700) + b"\xff\xd9"
ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, len(STREAM)) + STREAM

MEASURE = """
import sys, time
from pathlib import Path
from wsi_dicom.dicom.position_cache import PositionCache
from wsi_dicom.dicom.slide import open_series

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6

cache = PositionCache(Path(sys.argv[3]))
open_series([Path(sys.argv[1])], cache=cache)
before, begun = peak(), time.perf_counter()
slide = open_series([Path(sys.argv[2])], cache=cache)
opened = time.perf_counter() - begun
begun = time.perf_counter()
slide.encoded_tile(0, 100, 100)
print(opened, time.perf_counter() - begun, peak() - before)
"""


def write(path: Path, across: int, frames: int, kind: str) -> None:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.77.1.6")
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID, data.Modality = generate_uid(), generate_uid(), "SM"
    data.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    data.Rows = data.Columns = SIDE
    data.TotalPixelMatrixColumns = data.TotalPixelMatrixRows = across * SIDE
    data.NumberOfFrames = frames
    data.DimensionOrganizationType = "TILED_SPARSE" if kind == "sparse" else "TILED_FULL"
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "YBR_FULL_422", 0
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    data.save_as(path, enforce_file_format=True)
    with path.open("ab") as file:
        if kind == "sparse":
            file.write(struct.pack("<HH2sHI", 0x5200, 0x9230, b"SQ", 0, 0xFFFFFFFF))
            file.writelines(position_items(frames))
            file.write(struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))
        if kind == "extended":
            for element, values in ((1, range(0, frames * len(ITEM), len(ITEM))), (2, [len(STREAM)] * frames)):
                file.write(struct.pack("<HH2sHI", 0x7FE0, element, b"OV", 0, 8 * frames))
                file.write(struct.pack(f"<{frames}Q", *values))
        file.write(struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF))
        table = struct.pack(f"<{frames}I", *range(0, frames * len(ITEM), len(ITEM))) if kind == "basic" else b""
        file.write(struct.pack("<HHI", 0xFFFE, 0xE000, len(table)) + table)
        file.writelines(ITEM for _ in range(frames))
        file.write(struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))


def position_items(frames: int) -> Iterator[bytes]:
    """Functional groups of a frame, as many writers have them: offsets of different lengths, defined lengths."""
    for frame in range(frames):
        row, column = divmod(frame, ACROSS)
        content = element(0x0020, 0x9157, b"UL", struct.pack("<II", column + 1, row + 1))
        place = b"".join(
            (
                element(0x0040, 0x072A, b"DS", text(column * SIDE * 0.0005)),
                element(0x0040, 0x073A, b"DS", text(row * SIDE * 0.0005)),
                element(0x0040, 0x074A, b"DS", b"0 "),
                element(0x0048, 0x021E, b"SL", struct.pack("<i", column * SIDE + 1)),
                element(0x0048, 0x021F, b"SL", struct.pack("<i", row * SIDE + 1)),
            )
        )
        yield item(sequence(0x0020, 0x9111, content) + sequence(0x0048, 0x021A, place))


def text(value: float) -> bytes:
    written = f"{value:.6g}".encode()
    return written + b" " * (len(written) % 2)


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def item(content: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def sequence(group: int, number: int, content: bytes) -> bytes:
    return struct.pack("<HH2sHI", group, number, b"SQ", 0, len(content) + 8) + item(content)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "small.dcm", 2, 4, "basic")
        rows = []
        for kind in ("basic", "extended", "none", "sparse", "sparse, kept"):
            path = folder / f"{kind.split(',')[0]}.dcm"
            if not path.exists():
                write(path, ACROSS, SPARSE if kind == "sparse" else ACROSS**2, kind)
            words = [sys.executable, "-c", MEASURE, str(folder / "small.dcm"), str(path), str(folder / "cache")]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            opened, first_tile, megabytes = map(float, done.stdout.split())
            limit = 5.0 if kind == "sparse" else 0.2
            kept = opened < limit and (path.stem == "sparse" or megabytes < 30)
            rows.append([kind, f"{opened:.3f}", f"{first_tile:.3f}", f"{megabytes:.1f}", f"{limit:g} s", verdict(kept)])
        print_table("Opening", ["offset table", "open s", "first tile s", "MB", "limit", ""], rows)


if __name__ == "__main__":
    main()
