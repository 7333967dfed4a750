"""Our manifests and images in the viewers of others, under a policy that lets in nothing else."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.watching import faults

OF_MIRADOR = (
    "info: %cDownload the React DevTools",
    "error: Accessing element.ref was removed in React 19",
    "warning: The result function returned its own inputs without modification",
)
"""What Mirador 4.0.0 says to its developers."""


def test_mirador_opens_a_manifest_and_zooms(site, opened, artifacts):
    watched = opened(tolerates=OF_MIRADOR)
    page = watched.page
    page.goto(f"{site.address}/mirador/{site.sample.series_uid}")
    zoom_in = page.get_by_role("button", name="Zoom in")
    expect(zoom_in).to_be_visible()
    while 4 not in watched.scales():
        with page.expect_response(lambda answer: answer.url.endswith("default.jpg") and answer.ok):
            zoom_in.click()
    canvas = page.locator(".mirador-osd-container canvas").first
    expect(canvas).to_be_visible()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=artifacts / "mirador.png")
    assert faults(page, without="#mirador") == []
    assert any(url.endswith("/manifest.json") for url in watched.requests)


def test_mirador_opens_several(site, opened, artifacts):
    watched = opened(tolerates=OF_MIRADOR, scheme="dark")
    page = watched.page
    page.goto(f"{site.address}/mirador/{site.sample.series_uid}?with={site.cytomine.series_uid}")
    expect(page.locator(".mirador-osd-container")).to_have_count(2)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=artifacts / "mirador-two.png")
    shown = {match[1] for url in watched.requests if (match := re.search(r"/iiif/tiles/([\d.]+)/\d", url))}
    assert shown == {site.sample.series_uid, site.cytomine.series_uid}


def test_style_from_within_mirador_stays_out(site, opened):
    """Only elements without text are let in: rules come through the object model."""
    watched = opened(tolerates=OF_MIRADOR)
    page = watched.page
    page.goto(f"{site.address}/mirador/{site.sample.series_uid}")
    expect(page.get_by_role("button", name="Zoom in")).to_be_visible()
    refused = page.evaluate(
        """() => new Promise((resolve) => {
            addEventListener("securitypolicyviolation", ({ effectiveDirective }) => resolve(effectiveDirective));
            const style = Object.assign(document.createElement("style"), { textContent: "body { opacity: 0 }" });
            document.body.append(style);
        })"""
    )
    assert refused == "style-src-elem"
    assert page.evaluate("getComputedStyle(document.body).opacity") == "1"
    watched.complaints[:] = [text for text in watched.complaints if "style-src" not in text]


def test_openseadragon_as_it_comes(site, watched):
    page = watched.page
    with page.expect_response(lambda answer: answer.url.endswith("default.jpg")):
        page.goto(f"{site.address}/openseadragon/{site.cytomine.series_uid}")
    page.wait_for_load_state("networkidle")
    assert faults(page) == []
