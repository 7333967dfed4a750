"""Makes the pictures of the README, docs/archive.png and docs/viewer.png: `python scripts/screenshots.py`.

The slides are parts of our own sample slide, with invented specimens. Needs Chromium, and what the tests need.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import openslide
from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT: Final = Path(__file__).resolve().parent.parent
PROGRAMS: Final = Path(sys.executable).parent
SAMPLE: Final = ROOT / "sample_data" / "ihc-8k.svs"
PARTS: Final = (  # x, y, width, height in pixels of the sample; degrees; specimen and its stains
    (900, 2600, 2600, 2000, 90, "Colon, hot snare", "hematoxylin|eosin"),
    (3000, 4700, 3000, 2600, 0, "Ascending colon", "hematoxylin"),
    (5300, 1700, 2000, 2600, 180, "Polyp, cold snare", "hematoxylin|eosin"),
    (1300, 1500, 4600, 5000, 270, "Sigmoid resection", "hematoxylin"),
    (4300, 3600, 3400, 3400, 90, "Rectum, anterior", "hematoxylin|eosin"),
)


def build(folder: Path) -> Path:
    """A store with the sample and its parts."""
    rows = [(SAMPLE.name, "Colon, transverse", "S26-0001-A-1", "hematoxylin")]
    files = [SAMPLE]
    with openslide.OpenSlide(SAMPLE) as slide:
        for number, (x, y, width, height, degrees, specimen, stains) in enumerate(PARTS, 2):
            part = slide.read_region((x, y), 0, (width, height)).convert("RGB").rotate(degrees, expand=True)
            files.insert(0, folder / f"S26-000{number}.jpg")
            part.save(files[0], quality=90)
            rows.append((files[0].name, specimen, f"S26-000{number}-A-1", stains))
    table = folder / "slides.csv"
    with table.open("w", newline="") as out:
        csv.writer(out).writerows([("file", "Container.Identifier", "Specimen.Identifier", "Specimen.Stains"), *rows])
    store = folder / "store"
    options = ("--pyramid", "--spacing", "0.00025", "--metadata-csv", table, "--store", store)
    # Our own program, and arguments from above.
    subprocess.run([PROGRAMS / "dicomize", *files, *options], check=True)  # noqa: S603
    return store


def drawn(page: Page) -> None:
    page.wait_for_function("() => document.querySelector('.pane')?.ariaBusy === 'false'")


def shoot(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_load_state("networkidle")
    save(page, "archive")
    page.locator(".card a").first.click()
    drawn(page)
    page.get_by_role("button", name="Details").click()
    page.get_by_role("button", name="Magnify 5 times").click()
    page.locator(".associated summary", has_text="Label").click()
    page.wait_for_load_state("networkidle")
    drawn(page)
    save(page, "viewer")


def save(page: Page, name: str) -> None:
    """With 256 colours, a third of the size: nobody looks at the pixels of these."""
    target = ROOT / "docs" / f"{name}.png"
    page.screenshot(path=target)
    with Image.open(target) as picture:
        small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(target, optimize=True)


@contextmanager
def served(store: Path) -> Iterator[str]:
    """The address of a server of it."""
    command: list[str | Path] = [PROGRAMS / "wsi-dicom", "serve", "--store", store, "--port", "0"]
    # Our own program, and a folder of ours.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603
        assert server.stdout is not None  # noqa: S101 - asked for above; tells the type checker
        try:
            yield server.stdout.readline().split()[-1]
        finally:
            server.terminate()


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as place,
        served(build(Path(place))) as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shoot(browser.new_page(viewport={"width": 1200, "height": 750}, reduced_motion="reduce"), address)
        browser.close()


if __name__ == "__main__":
    main()
