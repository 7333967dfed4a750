"""Good series, to look at or to break."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from tests.dicom_series import KINDS, Series, write_series


@pytest.fixture(scope="session")
def series_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Series]:
    """A good series of a kind, written once: not to be changed."""
    written: dict[str, Series] = {}

    def find(name: str) -> Series:
        if name not in written:
            kind = next(kind for kind in KINDS if kind.name == name)
            written[name] = write_series(tmp_path_factory.mktemp(name), kind, Dataset())
        return written[name]

    return find


@pytest.fixture
def copy_of(series_of: Callable[[str], Series], tmp_path: Path) -> Callable[[str], Path]:
    """A folder with a copy of a good series, to be broken."""
    return lambda name: Path(shutil.copytree(series_of(name).folder, tmp_path / name))
