"""The archive: looking around, searching, choosing a second slide, adding slides."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.watching import faults
from tests.served import SAMPLE, running
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.settings import ServerSettings

OTHERS = ("CT_small", "examples_ybr_color")
SMALL = SAMPLE.parent / "ihc-small.tif"


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


def test_uploading_converting_and_looking(tmp_path, opened, artifacts):
    """Chosen files: a slide is converted while one watches, and what is no slide fails in words."""
    (tmp_path / "notes.txt").write_text("no slide")
    store = LocalStore(tmp_path / "store")
    with running(store, ServerSettings(jobs_file=tmp_path / "jobs.sqlite")) as address:
        watched = opened(address=address)
        page = watched.page
        page.goto(address)
        expect(page.get_by_text("No slides yet")).to_be_visible()
        page.screenshot(path=artifacts / "archive-empty.png")
        assert faults(page) == []
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose files").click()
        chooser.value.set_files([SMALL, tmp_path / "notes.txt"])
        panel = page.get_by_role("complementary", name="Uploads and conversions")
        view = panel.get_by_role("listitem").filter(has_text=SMALL.name).get_by_role("link", name="View")
        expect(view).to_be_visible(timeout=60_000)
        failed = panel.get_by_role("listitem").filter(has_text="notes.txt")
        expect(failed).to_have_class("failure", timeout=60_000)
        expect(page.locator(".card")).to_have_count(1)
        page.screenshot(path=artifacts / "archive-jobs.png")
        assert faults(page) == []
        view.click()
        watched.drawn()
    store.close()


def test_dropping_files(tmp_path, slides, opened):
    """DICOM files are stored as they are."""
    store = LocalStore(tmp_path / "store")
    with running(store, ServerSettings(jobs_file=tmp_path / "jobs.sqlite")) as address:
        page = opened(address=address).page
        page.goto(address)
        transfer = page.evaluate_handle(
            """(text) => {
                const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt());
                const transfer = new DataTransfer();
                transfer.items.add(new File([bytes], "CT_small.dcm"));
                return transfer;
            }""",
            base64.b64encode((slides / "dicom_other" / "CT_small.dcm").read_bytes()).decode(),
        )
        page.dispatch_event("body", "dragover", {"dataTransfer": transfer})
        expect(page.get_by_text("Drop to add")).to_be_visible()
        page.dispatch_event("body", "drop", {"dataTransfer": transfer})
        expect(page.get_by_text("Drop to add")).to_be_hidden()
        expect(page.get_by_role("link", name="View")).to_be_visible(timeout=60_000)
        assert [record.modality for record in store.search()] == ["CT"]
    store.close()
