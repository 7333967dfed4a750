"""The pages in a real browser: nothing from elsewhere, nothing in the console, tiles of several levels."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, Response, expect, sync_playwright

from tests.served import add_cytomine, add_sample, running
from wsi_dicom.stores import SeriesRecord
from wsi_dicom.stores.local import LocalStore

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@dataclass
class Site:
    address: str
    sample: SeriesRecord


@dataclass
class Watched:
    """A page, with all it asked for and all it complained of."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._answered)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the viewer itself drops tiles that are no longer in view
            self.complaints.append(f"{request.failure}: {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status}: {response.url}")

    def scales(self) -> set[int]:
        """Scale factors of the tiles asked for: width of the region over width of the picture."""
        parts = (re.search(r"/(\d+),\d+,(\d+),\d+/(\d+),", url) for url in self.requests)
        return {round(int(match[2]) / int(match[3])) for match in parts if match}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, slides: Path) -> Iterator[Site]:
    store = LocalStore(tmp_path_factory.mktemp("store"))
    add_cytomine(store, slides)
    sample = add_sample(store)
    with running(store) as address:
        yield Site(address, sample)
    store.close()


@pytest.fixture(scope="module")
def browser(tool: Callable[[str], str]) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=tool("chromium"), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def watched(browser: Browser, site: Site) -> Iterator[Watched]:
    page = browser.new_page(viewport={"width": 1200, "height": 800})
    watched = Watched(page)
    yield watched
    page.close()
    assert watched.complaints == []
    elsewhere = [url for url in watched.requests if not url.startswith((f"{site.address}/", "data:", "blob:"))]
    assert elsewhere == []


def tiles_drawn(page: Page) -> None:
    """Until OpenSeadragon waits for nothing and something other than background is on its canvas."""
    page.wait_for_load_state("networkidle")
    page.wait_for_function(
        """() => {
            const canvas = document.querySelector("#viewer .openseadragon-canvas canvas");
            if (!canvas) return false;
            const copy = new OffscreenCanvas(canvas.width, canvas.height);
            const context = copy.getContext("2d", { willReadFrequently: true });
            context.drawImage(canvas, 0, 0);
            const { data } = context.getImageData(0, 0, copy.width, copy.height);
            let coloured = 0;
            for (let i = 0; i < data.length; i += 4) coloured += data[i + 3] > 0 && data[i] - data[i + 2] > 20;
            return coloured > 1000;
        }"""
    )


def test_from_the_list_into_a_slide(site, watched, artifacts):
    page = watched.page
    page.goto(f"{site.address}/")
    page.wait_for_load_state("networkidle")
    for picture in page.locator(".card img").all():
        assert picture.evaluate("picture => picture.complete && picture.naturalWidth > 0")
    page.screenshot(path=artifacts / "list.png")
    page.locator(f'a[href$="{site.sample.series_uid}"]').click()

    tiles_drawn(page)
    page.screenshot(path=artifacts / "viewer.png")
    scale, magnification = page.locator("#scale-text"), page.locator("#magnification")
    before = scale.inner_text()
    assert re.fullmatch(r"\d+ µm|\d+ mm", before)
    seen = {magnification.inner_text()}
    # Towards tissue left of the middle, until tiles of the finest level arrive.
    page.mouse.move(480, 420)
    while 1 not in watched.scales():
        now = magnification.inner_text()
        page.mouse.wheel(0, -300)
        expect(magnification).not_to_have_text(now)
        page.wait_for_load_state("networkidle")
    tiles_drawn(page)
    expect(scale).not_to_have_text(before)
    seen.add(magnification.inner_text())
    page.screenshot(path=artifacts / "viewer-zoomed.png")
    assert len(seen) == 2
    assert {1, 4, 16} <= watched.scales()

    page.locator("#home").click()
    expect(scale).to_have_text(before)
    page.locator(".back").click()
    expect(page.locator(".card")).to_have_count(2)


def test_the_scale_bar_is_as_long_as_it_says(site, watched):
    """Against OpenSeadragon's own arithmetic of the region in view: 0.25 micrometres are a pixel."""
    page = watched.page
    page.goto(f"{site.address}/viewer/{site.sample.series_uid}")
    tiles_drawn(page)
    um = float(page.locator("#scale-text").inner_text().split()[0])
    bar = page.locator("#scale-bar").bounding_box()
    stage = page.locator("#viewer").bounding_box()
    assert bar is not None
    assert stage is not None
    # At first the slide, 8192 pixels, fits into the lower of both sides.
    shown = min(stage["width"], stage["height"])
    assert um / 0.25 * shown / 8192 == pytest.approx(bar["width"], rel=0.03)


def test_label_and_overview_only_when_asked_for(site, watched, artifacts):
    page = watched.page
    page.goto(f"{site.address}/viewer/{site.sample.series_uid}")
    tiles_drawn(page)
    page.get_by_text("Details", exact=True).click()
    expect(page.get_by_text("Pixel spacing")).to_be_visible()
    assert not any("/associated/" in url for url in watched.requests)
    for name in ("label", "overview"):
        with page.expect_response(lambda answer, name=name: answer.url.endswith(f"/{name}")):
            page.locator(".associated summary", has_text=name.capitalize()).click()
    expect(page.get_by_alt_text("Label of the slide")).to_be_visible()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=artifacts / "viewer-details.png")


def test_keyboard_and_names(site, watched):
    """Every control has a name and can be reached and used without a mouse."""
    page = watched.page
    page.goto(f"{site.address}/viewer/{site.sample.series_uid}")
    tiles_drawn(page)
    for name in ("Zoom in", "Zoom out", "Show the whole slide", "Turn right by 90 degrees"):
        expect(page.get_by_role("button", name=name)).to_be_visible()
    before = page.locator("#magnification").inner_text()
    page.get_by_role("button", name="Zoom in").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#magnification")).not_to_have_text(before)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_small_and_dark_screens(site, browser, artifacts, scheme):
    page = browser.new_page(viewport={"width": 390, "height": 760}, color_scheme=scheme)
    page.goto(f"{site.address}/viewer/{site.sample.series_uid}")
    tiles_drawn(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(path=artifacts / f"viewer-phone-{scheme}.png")
    page.close()
