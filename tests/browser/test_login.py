"""Signing in and out as people do it, where browsers decide what they send along with a form."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.watching import Opened
from tests.served import add_sample, running
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.access.accounts import ACCESS_FILE, Accounts
from wsi_dicom_server.access.principal import Scope
from wsi_dicom_server.settings import ServerSettings

SAID = ("401: ", "error: Failed to load resource: the server responded with a status of 401", "info: Clear-Site-Data ")
"""What Chromium itself says of a wrong password, and of its cache that is emptied."""
PASSWORD = "correct horse battery"  # noqa: S105 - of nobody


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of a server that wants to know who asks, and of a viewer page of it."""
    store = LocalStore(tmp_path_factory.mktemp("store"))
    series = add_sample(store).series_uid
    Accounts(store.root / ACCESS_FILE).add_user("alice", PASSWORD, Scope.READ)
    with running(store, ServerSettings(access_file=store.root / ACCESS_FILE)) as address:
        yield address, f"{address}/viewer/{series}"
    store.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_from_a_link_through_the_login_to_the_slide(
    opened: Opened, guarded: tuple[str, str], artifacts: Path, scheme: str
) -> None:
    address, viewer = guarded
    watched = opened(address=address, scheme=scheme, tolerates=SAID, width=700, height=600)
    page = watched.page
    page.goto(viewer)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("alice")
    page.keyboard.press("Tab")
    page.keyboard.type("wrong password")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Wrong name or password.")
    page.screenshot(path=artifacts / f"login-{scheme}.png")
    page.get_by_label("Name").fill("alice")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(viewer)
    watched.drawn()
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
    assert cookies["wsi_session"]["httpOnly"]
    assert page.evaluate("document.cookie") == ""
    page.goto(address)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{address}/login")
    page.goto(viewer)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
