"""What every test may ask for: the real slides, the programs that serve as oracles, and a place for artefacts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
IN_CI = os.environ.get("CI") == "true"

DEBIAN_PACKAGES = {
    "chromium": "chromium",
    "dciodvfy": "dicom3tools",
    "dcentvfy": "dicom3tools",
    "dcmdump": "dcmtk",
    "echoscu": "dcmtk",
    "storescp": "dcmtk",
    "tiffcp": "libtiff-tools",
    "tiffinfo": "libtiff-tools",
}


@pytest.fixture(scope="session")
def slides() -> Path:
    """Folder of real scanner slides: WSI_DICOM_TEST_SLIDES, else ../shared/slides beside the checkout."""
    folder = Path(os.environ.get("WSI_DICOM_TEST_SLIDES") or CHECKOUT.parent / "shared" / "slides")
    if not folder.is_dir():
        message = f"no test slides in {folder}: set WSI_DICOM_TEST_SLIDES to their folder"
        if IN_CI:
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="session")
def tool() -> Callable[[str], str]:
    """Finds a program by name: `tool("dciodvfy")` is its path.

    A missing one fails the test and names its Debian package. WSI_DICOM_ALLOW_MISSING_TOOLS=1 makes that a skip, except
    where CI=true.
    """

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            message = f"{name} is not installed: apt-get install {DEBIAN_PACKAGES[name]}"
            if os.environ.get("WSI_DICOM_ALLOW_MISSING_TOOLS") == "1" and not IN_CI:
                pytest.skip(message)
            pytest.fail(message)
        return path

    return find


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Folder for what people want to look at after a run, such as screenshots; git ignores it."""
    folder = CHECKOUT / "artifacts"
    folder.mkdir(exist_ok=True)
    return folder
