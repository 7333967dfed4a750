"""The archive: looking around, searching, choosing a second slide, adding slides."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.watching import faults
from tests.served import running
from wsi_dicom.stores.local import LocalStore

TOO_SMALL = """() => [...document.querySelectorAll("a, button, input, select, summary")]
    .filter((control) => control.checkVisibility() && control.type !== "checkbox")
    .map((control) => [control.outerHTML.slice(0, 120), control.getBoundingClientRect()])
    .filter(([, { width, height }]) => Math.min(width, height) < 44)
    .map(([markup, { width, height }]) => `${width} x ${height}: ${markup}`)"""
OTHERS = ("CT_small", "examples_ybr_color")


@pytest.fixture(scope="module")
def hospital(tmp_path_factory, slides) -> Iterator[str]:
    """A store with no slide, but with computed tomography and ultrasound."""
    store = LocalStore(tmp_path_factory.mktemp("store"))
    for name in OTHERS:
        store.add([slides / "dicom_other" / f"{name}.dcm"])
    with running(store) as address:
        yield address
    store.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_looking_around(site, opened, artifacts, width, scheme):
    page = opened(width, 800, scheme).page
    page.goto(f"{site.address}/")
    page.wait_for_load_state("networkidle")
    for picture in page.locator(".card img").all():
        assert picture.evaluate("picture => picture.complete && picture.naturalWidth > 0")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(path=artifacts / f"archive-{width}-{scheme}.png")
    assert faults(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_address_of_nothing(site, opened, artifacts, scheme):
    watched = opened(390, 844, scheme, tolerates=("404: ", "error: Failed to load resource"), fingers=True)
    page = watched.page
    page.goto(f"{site.address}/viewer/1.2.3")
    expect(page.get_by_role("heading", name="Not found")).to_be_visible()
    expect(page.get_by_text("no series 1.2.3")).to_be_visible()
    ground = {"light": "rgb(244, 243, 247)", "dark": "rgb(18, 16, 23)"}[scheme]
    expect(page.locator("body")).to_have_css("background-color", ground)
    page.screenshot(path=artifacts / f"error-{scheme}.png")
    assert faults(page) == []
    page.get_by_role("link", name="All slides").click()
    expect(page.locator(".card")).to_have_count(3)


def test_fingers(site, opened, artifacts):
    """What is touched is 44 pixels wide and high (WCAG 2.2, 2.5.5), on all of our pages."""
    watched = opened(390, 844, fingers=True)
    page = watched.page
    for path in ("/", "/?q=zebra", f"/viewer/{site.stack.series_uid}", f"/viewer/{site.sample.series_uid}"):
        page.goto(f"{site.address}{path}")
        if "viewer" in path:
            watched.drawn()
            page.get_by_role("button", name="Details").click()
        assert page.evaluate(TOO_SMALL) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(path=artifacts / "viewer-fingers.png")


def test_searching_and_sorting(site, watched, artifacts):
    page = watched.page
    page.goto(f"{site.address}/")
    page.get_by_role("searchbox", name="Search").fill("aperio")
    page.keyboard.press("Enter")
    expect(page.locator(".card")).to_have_count(1)
    assert page.url == f"{site.address}/?q=aperio"
    page.get_by_label("Order").select_option("Scanner")
    page.wait_for_url("**/?q=aperio&sort=scanner")
    expect(page.locator(".card")).to_have_count(1)
    page.get_by_text("Filters").click()
    page.get_by_label("To").fill("2024-12-31")
    page.screenshot(path=artifacts / "archive-filters.png")
    assert faults(page) == []
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".card")).to_have_count(1)
    expect(page.get_by_text("Filters (1)")).to_be_visible()
    page.get_by_text("Filters (1)").click()
    page.get_by_label("To").fill("2023-12-31")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    page.get_by_role("link", name="Show all").click()
    expect(page.locator(".card")).to_have_count(3)


def test_keyboard_alone(site, watched):
    """From the sign in the corner through search and filters to the first slide, in the order they are seen."""
    page = watched.page
    page.goto(f"{site.address}/")
    focused = page.locator(":focus")
    page.keyboard.press("Tab")
    expect(focused).to_have_text("Slides")
    page.keyboard.press("Tab")
    expect(focused).to_have_attribute("type", "search")
    page.keyboard.press("Tab")
    expect(focused).to_have_text("Filters")
    assert float(focused.evaluate("it => parseFloat(getComputedStyle(it).outlineWidth)")) >= 2
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(focused).to_have_attribute("name", "specimen")
    page.keyboard.press("Escape")
    expect(page.get_by_role("textbox", name="Specimen")).to_be_hidden()
    expect(focused).to_have_text("Filters")
    page.keyboard.press("Tab")
    expect(focused).to_have_attribute("name", "sort")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/viewer/*")
    watched.drawn()
    expect(page.locator(".pane")).to_have_count(1)


def test_choosing_a_slide_to_see_beside(site, watched):
    page = watched.view(f"/viewer/{site.sample.series_uid}")
    page.get_by_role("link", name="Choose a slide to see beside this one").click()
    page.locator(f'a[href$="with={site.cytomine.series_uid}"]').click()
    watched.drawn()
    expect(page.locator(".pane")).to_have_count(2)


def test_other_images(hospital, opened, artifacts):
    """Frames of ultrasound one after the other; the window of computed tomography."""
    watched = opened(address=hospital)
    page = watched.page
    page.goto(hospital)
    expect(page.get_by_text("US · 30 images")).to_be_visible()
    page.get_by_text("US · 30 images").click()
    watched.drawn()
    first = watched.picture()
    page.get_by_role("slider", name="Frame").fill("15")
    watched.drawn()
    assert (watched.picture() != first).any()
    assert watched.place()["frame"] == 15
    page.screenshot(path=artifacts / "viewer-frames.png")

    page.goto(hospital)
    page.get_by_text("CT · 1 image").click()
    watched.drawn()
    wide = watched.picture()
    page.get_by_label("Centre").fill("100")
    page.get_by_label("Width").fill("50")
    page.get_by_label("Width").press("Enter")
    watched.drawn()
    narrow = watched.picture()
    assert narrow.std() > 1.3 * wide.std()
    assert faults(page) == []
    page.screenshot(path=artifacts / "viewer-window.png")
    assert re.search(r"window=100%2C50", page.url)
