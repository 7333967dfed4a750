"""Headless Chromium, and a server to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.watching import Opened, Watched
from tests.served import add_cytomine, add_sample, running
from wsi_dicom.convert import DicomizeOptions, dicomize
from wsi_dicom.stores import SeriesRecord
from wsi_dicom.stores.local import LocalStore

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--no-first-run",
]


@dataclass
class Site:
    """`sample` has 0.25 micrometres a pixel, `cytomine` twice that; `stack` has three channels of five focal planes."""

    address: str
    sample: SeriesRecord
    cytomine: SeriesRecord
    stack: SeriesRecord


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, slides: Path) -> Iterator[Site]:
    store = LocalStore(tmp_path_factory.mktemp("store"))
    stack = dicomize(slides / "ome_tiff" / "multi-channel-z-series.ome.tif", store, DicomizeOptions()).series
    cytomine, sample = add_cytomine(store, slides), add_sample(store)
    with running(store) as address:
        yield Site(address, sample, cytomine, stack)
    store.close()


@pytest.fixture(scope="package")  # while it runs, no other test of this process may run an event loop
def browser(tool: Callable[[str], str]) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=tool("chromium"), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser, site: Site) -> Iterator[Opened]:
    """Makes pages. Whatever happens on them, none complains or asks another host for anything."""
    pages: list[Watched] = []

    def make(
        width: int = 1200,
        height: int = 800,
        scheme: str = "light",
        address: str = "",
        tolerates: tuple[str, ...] = (),
        fingers: bool = False,
    ) -> Watched:
        viewport = {"width": width, "height": height}
        page = browser.new_page(
            viewport=viewport, color_scheme=scheme, reduced_motion="reduce", has_touch=fingers, is_mobile=fingers
        )
        pages.append(Watched(page, address or site.address, tolerates))
        return pages[-1]

    yield make
    for watched in pages:
        watched.page.close()
    for watched in pages:
        watched.check()


@pytest.fixture
def watched(opened: Opened) -> Watched:
    return opened()
