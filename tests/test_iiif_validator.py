"""The official validator of the IIIF Image API against our server, with its own picture."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.served import running
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.convert import DicomizeOptions, dicomize
from wsi_dicom.plan import PlanOptions
from wsi_dicom.stores.local import LocalStore

NEVER_PASSES = {"format_webp"}
"""The tool compares bytes with text there (iiif-validator 1.0.5): test_server_iiif_image.py tests WebP."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, slides: Path) -> Iterator[tuple[str, str]]:
    """The address of a server, without its scheme, and the series of the validator's picture: squares of colours."""
    (source,) = (slides / "iiif").glob("*.png")
    store = LocalStore(tmp_path_factory.mktemp("store"))
    made = dicomize(source, store, DicomizeOptions(plan=PlanOptions(compression=Compression.NONE)))
    with running(store) as address:
        yield address.removeprefix("http://"), made.series.orthanc_id
    store.close()


@pytest.mark.parametrize(("version", "prefix", "tests"), [("2.0", "iiif/2/tiles", 42), ("3.0", "iiif/tiles", 45)])
def test_all_that_can_pass_passes(served, tool, version, prefix, tests):
    assert tool("file")  # which brings libmagic1, by which the validator tells JPEG 2000 and PDF
    server, image = served
    program = Path(__file__).parent / "iiif_validate.py"
    words = ["-s", server, "-p", prefix, "-i", image, "--version", version, "--level", "3"]
    done = subprocess.run([sys.executable, program, *words], capture_output=True, text=True, check=False, timeout=120)
    results = dict(re.findall(r"^\[\d+\] test (\w+) (PASS|FAIL)$", done.stderr, re.MULTILINE))
    assert len(results) == tests
    assert {name for name, result in results.items() if result == "FAIL"} == NEVER_PASSES, done.stderr
