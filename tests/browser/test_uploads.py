"""Adding slides to the archive: files and folders, chosen and dropped; a job for each, a look at what came of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.watching import Opened, Watched, faults
from tests.served import SAMPLE, running
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.settings import ServerSettings

SMALL = SAMPLE.parent / "ihc-small.tif"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    store = LocalStore(tmp_path / "store")
    yield store
    store.close()


@pytest.fixture
def archive(tmp_path: Path, store: LocalStore, opened: Opened) -> Iterator[Watched]:
    """The page of an archive without slides."""
    with running(store, ServerSettings(jobs_file=tmp_path / "jobs.sqlite", jobs_at_once=2)) as address:
        watched = opened(address=address)
        watched.page.goto(address)
        expect(watched.page.get_by_text("No slides yet")).to_be_visible()
        yield watched


@pytest.fixture
def folder(tmp_path: Path, slides: Path) -> Path:
    """A disc as a hospital burns it: two series of one image each, in folders of folders."""
    images = tmp_path / "disc" / "DICOM" / "images"
    images.mkdir(parents=True)
    for number, name in enumerate(("CT_small", "MR_small")):
        shutil.copy(slides / "dicom_other" / f"{name}.dcm", images / f"IM{number}")
    return tmp_path / "disc"


def jobs(page: Page, name: str) -> Locator:
    return (
        page.get_by_role("complementary", name="Uploads and conversions").get_by_role("listitem").filter(has_text=name)
    )


def drop(page: Page, *files: Path) -> None:
    """As the system does when somebody lets go of files of the disk over the page: no script of the page makes them."""
    devtools = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})
    expect(page.get_by_text("Drop to add")).to_be_visible()
    devtools.send("Input.dispatchDragEvent", {"type": "drop", "x": 300, "y": 300, "data": data})
    expect(page.get_by_text("Drop to add")).to_be_hidden()


def test_chosen_files(tmp_path: Path, archive: Watched, artifacts: Path) -> None:
    """A slide is converted while one watches, and what is no slide fails in words."""
    page = archive.page
    (tmp_path / "notes.txt").write_text("no slide")
    page.screenshot(path=artifacts / "archive-empty.png")
    assert faults(page) == []
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose files").click()
    chooser.value.set_files([SMALL, tmp_path / "notes.txt"])
    view = jobs(page, SMALL.name).get_by_role("link", name="View")
    expect(view).to_be_visible(timeout=60_000)
    expect(jobs(page, "notes.txt")).to_have_class("failure", timeout=60_000)
    expect(page.locator(".card")).to_have_count(1)
    page.screenshot(path=artifacts / "archive-jobs.png")
    assert faults(page) == []
    view.click()
    archive.drawn()


def test_a_connection_that_breaks_meanwhile(archive: Watched) -> None:
    page = archive.page
    page.route("**/jobs?expand", lambda route: route.abort("aborted"), times=2)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose files").click()
    chooser.value.set_files(SMALL)
    expect(jobs(page, SMALL.name).get_by_role("link", name="View")).to_be_visible(timeout=60_000)


def test_a_chosen_folder(store: LocalStore, archive: Watched, folder: Path) -> None:
    """By keyboard alone."""
    page = archive.page
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a folder").press("Enter")
    chooser.value.set_files(folder)
    expect(jobs(page, "disc").get_by_role("link", name="View")).to_be_visible(timeout=60_000)
    assert sorted(record.modality for record in store.search()) == ["CT", "MR"]


def test_a_dropped_folder_and_files_beside_it(
    store: LocalStore, archive: Watched, folder: Path, slides: Path, artifacts: Path
) -> None:
    """The folder is one job, and so are the loose DICOM files. From there into the viewer."""
    loose = [slides / "dicom_other" / f"{name}.dcm" for name in ("examples_palette", "examples_ybr_color")]
    page = archive.page
    drop(page, folder, *loose)
    for name in ("disc", "DICOM files"):
        expect(jobs(page, name).get_by_role("link", name="View")).to_be_visible(timeout=60_000)
    expect(page.locator(".card")).to_have_count(4)
    assert sorted(record.modality for record in store.search()) == ["CT", "MR", "US", "US"]
    page.screenshot(path=artifacts / "archive-dropped.png")
    jobs(page, "DICOM files").get_by_role("link", name="View").click()
    archive.drawn()
    assert archive.picture().std() > 10


def test_an_empty_folder_is_told(archive: Watched, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    drop(archive.page, tmp_path / "nothing")
    expect(archive.page.get_by_role("status").filter(has_text="There are no files in this")).to_be_visible()
