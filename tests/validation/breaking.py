"""Ways to break a good instance, by pydicom alone, and to see what is said about it."""

from __future__ import annotations

import struct
import subprocess
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from tests import oracles
from tests.foreign_series import item, padded, per_frame_groups
from wsi_dicom.validation import Finding, validate_series

BASE, LEVEL, THUMBNAIL, LABEL, OVERVIEW = (f"{number}.dcm" for number in range(1, 6))

Change = Callable[[Dataset], object]


def change(path: Path, how: Change) -> None:
    """Rewrites a file by pydicom, which complains of nonsense that is meant here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path)
        how(dataset)
        dataset.save_as(path, enforce_file_format=False)


def validated(folder: Path) -> list[Finding]:
    return validate_series(sorted(folder.iterdir()))


def assert_found(findings: Sequence[Finding], severity: str, clause: str, name: str, words: str) -> None:
    assert any(
        (f.severity, f.clause, f.instance) == (severity, clause, name) and words in f.message for f in findings
    ), "\n".join(map(str, findings))


def dciodvfy_errors(path: Path, tool: Callable[[str], str]) -> list[str]:
    done = subprocess.run([tool("dciodvfy"), path], capture_output=True, text=True, check=False)
    return [line for line in done.stderr.splitlines() if line.startswith("Error")]


def of_shared(dataset: Dataset, keyword: str) -> Dataset:
    return dataset.SharedFunctionalGroupsSequence[0][keyword].value[0]


def setting(**values: Any) -> Change:
    return lambda dataset: [setattr(dataset, keyword, value) for keyword, value in values.items()]


def without(*keywords: str) -> Change:
    return lambda dataset: [delattr(dataset, keyword) for keyword in keywords]


def put_frames(
    dataset: Dataset, stored: Sequence[bytes], basic: Sequence[int] = (), extended: Sequence[Sequence[int]] = ()
) -> None:
    """Frames as they are given, each an item, behind the tables as they are given."""
    dataset.PixelData = item(struct.pack(f"<{len(basic)}I", *basic)) + b"".join(map(item, stored))
    for keyword, table in zip(("ExtendedOffsetTable", "ExtendedOffsetTableLengths"), extended, strict=False):
        setattr(dataset, keyword, struct.pack(f"<{len(table)}Q", *table))


def starts(stored: Sequence[bytes]) -> list[int]:
    return [sum(8 + len(frame) for frame in stored[:number]) for number in range(len(stored))]


def frames_of(dataset: Dataset) -> list[bytes]:
    return [padded(frame) for frame in oracles.frames(dataset)]


def extended_of(stored: Sequence[bytes]) -> list[list[int]]:
    return [starts(stored), [len(frame) for frame in stored]]


def rewritten(how: Callable[[Dataset, list[bytes]], None]) -> Change:
    return lambda dataset: how(dataset, frames_of(dataset))


def second_path(dataset: Dataset) -> None:
    other = deepcopy(dataset.OpticalPathSequence[0])
    other.OpticalPathIdentifier = "1"
    dataset.OpticalPathSequence.append(other)


def sparse(dataset: Dataset, positions: Sequence[tuple[int, int]]) -> None:
    dataset.DimensionOrganizationType = "TILED_SPARSE"
    dataset.PerFrameFunctionalGroupsSequence = per_frame_groups(positions, path=["0"] * len(positions))
    index = Dataset()
    index.DimensionIndexPointer = 0x0048021E
    index.FunctionalGroupPointer = 0x0048021A
    index.DimensionOrganizationUID = dataset.DimensionOrganizationSequence[0].DimensionOrganizationUID
    other = deepcopy(index)
    other.DimensionIndexPointer = 0x0048021F
    dataset.DimensionIndexSequence = [index, other]


GRID = [(1, 1), (257, 1), (1, 257), (257, 257)]
