"""What other people's programs and libraries say about our files."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pydicom
import tifffile
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames


def assert_conformant(files: Iterable[Path], tool: Callable[[str], str]) -> None:
    """dciodvfy finds no error in any instance, dcentvfy nothing in all of them together."""
    names = [str(path) for path in files]
    assert names
    for name in names:
        checked = subprocess.run([tool("dciodvfy"), name], capture_output=True, text=True, check=False)
        errors = [line for line in checked.stderr.splitlines() if line.startswith("Error")]
        assert not errors, f"{name}: {errors}"
    together = subprocess.run([tool("dcentvfy"), *names], capture_output=True, text=True, check=False)
    assert together.stdout + together.stderr == ""


def images(folder: Path) -> dict[str, list[Dataset]]:
    """The instances of a folder by flavour, the largest first."""
    found: dict[str, list[Dataset]] = {}
    for path in folder.glob("*.dcm"):
        dataset = pydicom.dcmread(path)
        found.setdefault(dataset.ImageType[2], []).append(dataset)
    for datasets in found.values():
        datasets.sort(key=lambda dataset: -dataset.TotalPixelMatrixColumns)
    return found


def frames(dataset: Dataset) -> list[bytes]:
    """The encapsulated frames, by pydicom."""
    return list(generate_frames(dataset.PixelData, number_of_frames=int(dataset.NumberOfFrames)))


def tiff_tiles(page: tifffile.TiffPage) -> Iterator[bytes]:
    """The tiles of a TIFF page as they lie in the file."""
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        page.parent.filehandle.seek(offset)
        yield page.parent.filehandle.read(count)


def scan(jpeg: bytes) -> bytes:
    """The entropy-coded part of a baseline JPEG: all from its SOS segment to its EOI marker."""
    position = 2
    while jpeg[position + 1] != 0xDA:
        position += 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
    return jpeg[position : jpeg.rindex(b"\xff\xd9") + 2]
