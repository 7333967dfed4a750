"""What other people's programs and libraries say about our files."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pydicom
import tifffile
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import JPEG2000, JPEGBaseline8Bit

_TWINS = {
    "1.2.840.10008.1.2.4.111": JPEGBaseline8Bit,
    **dict.fromkeys((f"1.2.840.10008.1.2.4.{number}" for number in (110, 112, 201, 202, 203)), JPEG2000),
    "1.2.840.10008.1.2.8.1": JPEG2000,
}
"""What dciodvfy does not know, by what it does know that goes with the same photometric interpretations."""

SPARSE_IS_NOT_FULL = "NumberOfFrames does not match expected value for tiled total pixel matrix"
"""dciodvfy counts the frames of TILED_SPARSE as if they were TILED_FULL."""


def _twin(path: Path, folder: Path) -> Path:
    """The same instance in a transfer syntax that dciodvfy knows: it does not look into the pixels."""
    dataset = pydicom.dcmread(path)
    if dataset.file_meta.TransferSyntaxUID not in _TWINS:
        return path
    dataset.file_meta.TransferSyntaxUID = _TWINS[dataset.file_meta.TransferSyntaxUID]
    twin = folder / path.name
    dataset.save_as(twin, enforce_file_format=True)
    return twin


def assert_conformant(files: Iterable[Path], tool: Callable[[str], str]) -> None:
    """dciodvfy finds no error in any instance, dcentvfy nothing in all of them together."""
    with tempfile.TemporaryDirectory() as folder:
        _assert_conformant([str(_twin(path, Path(folder))) for path in files], tool)


def _assert_conformant(names: Sequence[str], tool: Callable[[str], str]) -> None:
    assert names
    for name in names:
        errors = dciodvfy_errors(name, tool)
        assert not errors, f"{name}: {errors}"
    together = subprocess.run([tool("dcentvfy"), *names], capture_output=True, text=True, check=False)
    assert together.stdout + together.stderr == ""


def dciodvfy_errors(name: str | Path, tool: Callable[[str], str]) -> list[str]:
    """What dciodvfy calls an error in a file, but for what it is wrong about."""
    checked = subprocess.run([tool("dciodvfy"), name], capture_output=True, text=True, errors="replace", check=False)
    errors = [line for line in checked.stderr.splitlines() if "Error - " in line]
    if checked.returncode < 0:
        errors.append(f"ended by signal {-checked.returncode}")
    if any(SPARSE_IS_NOT_FULL in line for line in errors) and _is_sparse(name):
        errors = [line for line in errors if SPARSE_IS_NOT_FULL not in line]
    return errors


def _is_sparse(name: str | Path) -> bool:
    return bool(pydicom.dcmread(name, stop_before_pixels=True).get("DimensionOrganizationType") == "TILED_SPARSE")


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
