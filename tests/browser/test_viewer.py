"""The viewer: what is seen is where, and as large, as it says; by mouse, buttons, keys and links."""

from __future__ import annotations

import io
import re

import numpy as np
import openslide
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.watching import faults
from tests.served import SAMPLE, add_sample, running
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.settings import ServerSettings


def magnification(page) -> str:
    return page.locator(".magnification").first.inner_text()


def test_from_the_archive_into_a_slide(site, watched, artifacts):
    page = watched.page
    page.goto(f"{site.address}/")
    page.locator(f'a[href$="{site.sample.series_uid}"]').click()
    watched.drawn()
    page.screenshot(path=artifacts / "viewer.png")
    scale = page.locator(".scale-bar")
    before, first = scale.inner_text(), magnification(page)
    assert re.fullmatch(r"\d+ µm|\d+ mm", before)
    # Towards tissue left of the middle, until tiles of the finest level arrive.
    page.mouse.move(480, 420)
    while 1 not in watched.scales():
        now = magnification(page)
        page.mouse.wheel(0, -300)
        expect(page.locator(".magnification")).not_to_have_text(now)
        watched.drawn()
    expect(scale).not_to_have_text(before)
    assert magnification(page) != first
    page.screenshot(path=artifacts / "viewer-zoomed.png")
    assert {1, 4, 16} <= watched.scales()

    page.get_by_role("button", name="Show the whole slide").click()
    expect(scale).to_have_text(before)
    page.get_by_role("link", name="All slides").click()
    expect(page.locator(".card")).to_have_count(3)


def test_a_link_shows_the_pixels_of_its_place(site, watched):
    """At full size, against what OpenSlide reads there from the original."""
    watched.view(f"/viewer/{site.sample.series_uid}#x=3000&y=5000&zoom=1")
    seen = watched.picture()
    height, width = seen.shape[:2]
    with openslide.OpenSlide(SAMPLE) as oracle:
        region = oracle.read_region((3000 - width // 2, 5000 - height // 2), 0, (width, height))
    expected = np.asarray(region.convert("RGB"))
    shown = seen.any(axis=2)  # all but what floats over the slide
    assert shown.mean() > 0.8
    error = (seen[shown].astype(float) - expected[shown]) ** 2
    assert 10 * np.log10(255**2 / error.mean()) > 38


def test_the_scale_bar_is_as_long_as_it_says(site, watched):
    """0.25 micrometres are a pixel, and two pixels are one of the screen."""
    page = watched.view(f"/viewer/{site.sample.series_uid}#x=4096&y=4096&zoom=0.5")
    length, unit = page.locator(".scale-bar").inner_text().split()
    assert unit == "µm"
    bar = page.locator(".scale-bar").bounding_box()
    assert bar is not None
    assert bar["width"] == pytest.approx(float(length) / 0.25 * 0.5, rel=0.01)


def test_magnifications_of_the_real_objective(site, watched):
    """40x: at 10x a pixel of the screen is four of the slide; the other slide was scanned at 20x."""
    page = watched.view(f"/viewer/{site.sample.series_uid}")
    buttons = page.get_by_role("group", name="Magnification").get_by_role("button")
    assert buttons.all_inner_texts() == ["40×", "20×", "10×", "5×", "2×"]
    page.get_by_role("button", name="Magnify 10 times").click()
    watched.drawn()
    expect(page.locator(".magnification")).to_have_text("10×")
    expect(page.get_by_role("button", name="Magnify 10 times")).to_have_attribute("aria-pressed", "true")
    assert watched.place()["zoom"] == pytest.approx(0.25)
    page.keyboard.press("5")
    watched.drawn()
    assert watched.place()["zoom"] == pytest.approx(1)
    watched.view(f"/viewer/{site.cytomine.series_uid}")
    assert buttons.all_inner_texts() == ["20×", "10×", "5×", "2×"]


def test_places_in_millimetres(site, watched):
    """The middle of the view is pixel 4000, 2000 of 0.25 micrometres; a hundred pixels of the screen are 400 of it."""
    page = watched.view(f"/viewer/{site.sample.series_uid}#x=4000&y=2000&zoom=0.25")
    stage = page.locator(".picture").bounding_box()
    assert stage is not None
    page.mouse.move(stage["x"] + stage["width"] / 2 + 100, stage["y"] + stage["height"] / 2)
    told = re.fullmatch(r"x ([\d.]+)\s+y ([\d.]+) mm", page.locator(".coordinates").inner_text())
    assert told is not None
    assert [float(part) for part in told.groups()] == pytest.approx([1.1, 0.5], abs=0.001)


def test_turning(site, watched):
    """A quarter to the right, against the upright view turned by NumPy."""
    view = f"/viewer/{site.sample.series_uid}#x=3000&y=5000&zoom=0.25"
    page = watched.view(view)
    upright = watched.picture()
    page.get_by_role("button", name="Turn right").click()
    watched.drawn()
    assert watched.place()["rotation"] == 90
    turned = watched.picture()
    side = 100  # around the middle, where nothing floats
    middle = [slice(n // 2 - side, n // 2 + side) for n in upright.shape[:2]]
    before, now = upright[tuple(middle)].astype(float), turned[tuple(middle)]
    differences = [np.abs(now - np.rot90(before, -quarters)).mean() for quarters in range(4)]
    assert differences[1] < 12
    assert min(differences[0], *differences[2:]) > 20


def test_focal_planes(site, watched, artifacts):
    """The slide has the number of the plane written on it, and each plane its own image service."""
    page = watched.view(f"/viewer/{site.stack.series_uid}")
    slider = page.get_by_role("slider", name="Focal plane")
    expect(slider).to_have_value("3")
    third = watched.picture()
    page.keyboard.press("]")
    expect(slider).to_have_value("4")
    watched.drawn()
    fourth = watched.picture()
    assert (third != fourth).any()
    assert watched.place()["focus"] == 4
    page.screenshot(path=artifacts / "viewer-focus.png")
    slider.fill("3")
    watched.drawn()
    assert np.abs(watched.picture().astype(int) - third).max() <= 2


def test_channels(site, watched, artifacts):
    """All three are alike: red alone, then green in place of it, then nothing but black below a value."""
    page = watched.view(f"/viewer/{site.stack.series_uid}")
    for channel in ("2", "3"):
        page.get_by_label(f"Show Channel {channel}").uncheck()
    watched.drawn()
    red = watched.picture()
    assert red[..., 0].max() > 100
    assert red[..., 1:].max() < 30  # JPEG lets a little of red into its neighbours
    page.get_by_label("Colour of Channel 1").fill("#00ff00")
    watched.drawn()
    green = watched.picture()
    assert green[..., 1].max() > 100
    assert green[..., [0, 2]].max() < 30
    page.get_by_label("Value of Channel 1 that is black").fill("254")
    page.get_by_label("Value of Channel 1 that is brightest").fill("255")
    page.get_by_label("Value of Channel 1 that is brightest").press("Enter")
    watched.drawn()
    page.screenshot(path=artifacts / "viewer-channels.png")
    assert watched.picture().mean() < green.mean() / 4
    assert page.evaluate("new URLSearchParams(location.hash.slice(1)).get('channels')") == "1:00ff00:254-255"
    page.reload()
    watched.drawn()
    expect(page.get_by_label("Show Channel 2")).not_to_be_checked()
    assert watched.picture().mean() < green.mean() / 4


def test_two_slides_move_together(site, watched, artifacts):
    """As far in micrometres: those of the second are twice as long."""
    page = watched.view(f"/viewer/{site.sample.series_uid}?with={site.cytomine.series_uid}")
    bars = page.locator(".scale-bar")
    assert bars.nth(0).inner_text() == bars.nth(1).inner_text()
    first = page.locator(".pane").first.bounding_box()
    assert first is not None
    middle = first["x"] + first["width"] / 2, first["y"] + first["height"] / 2
    page.keyboard.press("4")
    watched.drawn()
    before = watched.place()
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] - 120, middle[1] + 60, steps=4)
    page.mouse.up()
    watched.drawn()
    after = watched.place()
    page.screenshot(path=artifacts / "viewer-two.png")
    assert after["x"] - before["x"] > 100
    for axis in "xy":
        moved = after[axis] - before[axis]
        assert (after[f"{axis}2"] - before[f"{axis}2"]) * 0.499 == pytest.approx(moved * 0.25, abs=1)
    assert after["zoom"] * 0.499 == pytest.approx(after["zoom2"] * 0.25, rel=0.01)

    page.get_by_role("button", name="Move both together").click()
    page.locator(".pane").nth(1).hover()
    page.keyboard.press("ArrowRight")
    watched.drawn()
    alone = watched.place()
    assert alone["x"] == after["x"]
    assert alone["x2"] > after["x2"]
    watched.page.reload()
    watched.drawn()
    assert watched.place() == alone
    page.get_by_role("link", name="Close the second slide").click()
    expect(page.locator(".pane")).to_have_count(1)


def test_the_view_as_a_file(site, watched):
    page = watched.view(f"/viewer/{site.sample.series_uid}#x=3000&y=5000&zoom=1")
    seen = watched.picture()
    with page.expect_download() as download:
        page.keyboard.press("s")
    picture = Image.open(io.BytesIO(download.value.path().read_bytes()))
    assert download.value.suggested_filename.endswith(".png")
    assert picture.size == (seen.shape[1], seen.shape[0])
    saved = np.asarray(picture.convert("RGB"))
    shown = seen.any(axis=2)
    shown[-60:, :220] = False  # where the file has its scale bar
    assert np.abs(saved[shown].astype(int) - seen[shown]).mean() < 1


def test_details_leave_the_magnification_as_it_is(site, watched):
    page = watched.view(f"/viewer/{site.sample.series_uid}#x=4000&y=4000&zoom=0.25")
    page.get_by_role("button", name="Details").click()
    expect(page.get_by_text("Pixel spacing")).to_be_visible()
    watched.drawn()
    page.keyboard.press("ArrowRight")
    watched.drawn()
    assert watched.place()["x"] > 4000
    assert watched.place()["zoom"] == 0.25


def test_the_navigator_frames_what_is_seen_of_a_slide(site, watched):
    page = watched.view(f"/viewer/{site.sample.series_uid}")
    frame = page.locator(".navigator .displayregion")
    expect(frame).to_be_hidden()
    page.keyboard.press("4")
    expect(frame).to_be_visible()
    page.keyboard.press("0")
    expect(frame).to_be_hidden()


def test_label_and_overview_only_when_asked_for(site, watched, artifacts):
    page = watched.view(f"/viewer/{site.sample.series_uid}")
    expect(page.get_by_text("Pixel spacing")).to_be_hidden()
    page.get_by_role("button", name="Details").click()
    expect(page.get_by_text("Pixel spacing")).to_be_visible()
    assert not any("/associated/" in url for url in watched.requests)
    for name in ("label", "overview"):
        with page.expect_response(lambda answer, name=name: answer.url.endswith(f"/{name}")):
            page.locator(".associated summary", has_text=name.capitalize()).click()
    expect(page.get_by_alt_text("Label of the slide")).to_be_visible()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=artifacts / "viewer-details.png")
    assert faults(page) == []


def test_no_label_where_labels_are_hidden(tmp_path, slides, opened):
    store = LocalStore(tmp_path / "store")
    sample = add_sample(store)
    with running(store, ServerSettings(hide_labels=True)) as address:
        page = opened(address=address).view(f"/viewer/{sample.series_uid}")
        page.keyboard.press("d")
        expect(page.get_by_text("Pixel spacing")).to_be_visible()
        expect(page.locator(".associated")).to_have_count(0)
    store.close()


def test_the_manifest_address_is_copied(site, watched):
    page = watched.view(f"/viewer/{site.sample.series_uid}")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.keyboard.press("d")
    page.get_by_role("button", name="Copy the manifest's address").click()
    expect(page.locator(".notice")).to_contain_text("copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"{site.address}/iiif/series/{site.sample.series_uid}/manifest.json"


def test_keyboard_and_names(site, watched, artifacts):
    """Every control has a name and can be reached and used without a mouse."""
    page = watched.view(f"/viewer/{site.sample.series_uid}")
    before = magnification(page)
    page.get_by_role("button", name="Zoom in").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".magnification")).not_to_have_text(before)
    watched.drawn()
    place = watched.place()
    page.keyboard.press("ArrowRight")
    watched.drawn()
    assert watched.place()["x"] > place["x"]
    page.keyboard.press("0")
    expect(page.locator(".magnification")).to_have_text(before)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.screenshot(path=artifacts / "viewer-help.png")
    assert faults(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_small_and_dark_screens(site, opened, artifacts, scheme):
    watched = opened(390, 760, scheme)
    page = watched.view(f"/viewer/{site.stack.series_uid}?with={site.cytomine.series_uid}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(path=artifacts / f"viewer-phone-{scheme}.png")
    assert faults(page) == []


def test_no_script_or_style_from_within_the_page(site, watched):
    """What somebody could have smuggled into a description does not run: the policy is in force, not only sent."""
    page = watched.view(f"/viewer/{site.sample.series_uid}")
    refused = page.evaluate(
        """() => new Promise((resolve) => {
            const refused = [];
            addEventListener("securitypolicyviolation", ({ effectiveDirective }) => {
                refused.push(effectiveDirective);
                if (refused.length === 3) resolve(refused);
            });
            const add = (name, told) => document.body.append(Object.assign(document.createElement(name), told));
            add("script", { textContent: "window.smuggled = true" });
            add("style", { textContent: "body { display: none }" });
            add("link", { rel: "stylesheet", href: "http://192.0.2.1/style.css" });
        })"""
    )
    assert sorted(refused) == ["script-src-elem", "style-src-elem", "style-src-elem"]
    assert page.evaluate("window.smuggled") is None
    assert page.locator(".magnification").is_visible()
    watched.complaints.clear()  # of these three
    watched.requests.remove("http://192.0.2.1/style.css")  # which the policy kept in
