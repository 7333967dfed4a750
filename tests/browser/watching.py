"""A page in a real browser with all it asked for and complained of, and what is asked of it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, Request, Response

AXE = Path(__file__).parent.parent / "vendor" / "axe-core" / "axe.min.js"

OF_OPENSEADRAGON = "warning: Ignoring tile"
"""It says so when a tile comes that was asked for before the channels were changed."""


@dataclass
class Watched:
    """`tolerates` are the beginnings of complaints that are not ours: of scripts that we serve but did not write."""

    page: Page
    address: str
    tolerates: tuple[str, ...] = ()
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

    def check(self) -> None:
        """That nothing went wrong, and nothing was asked of another host."""
        tolerated = (*self.tolerates, OF_OPENSEADRAGON)
        complaints = [text for text in self.complaints if not text.startswith(tolerated)]
        assert not complaints, complaints
        elsewhere = [url for url in self.requests if not url.startswith((f"{self.address}/", "data:", "blob:"))]
        assert not elsewhere, elsewhere

    def scales(self) -> set[int]:
        """Scale factors of the tiles asked for: width of the region over width of the picture."""
        parts = (re.search(r"/(\d+),\d+,(\d+),\d+/(\d+),", url) for url in self.requests)
        return {round(int(match[2]) / int(match[3])) for match in parts if match}

    def view(self, path: str) -> Page:
        """Opens a page of the viewer, and waits until its slides are drawn."""
        self.page.goto(f"{self.address}{path}")
        self.drawn()
        return self.page

    def drawn(self) -> None:
        """Until every picture has come that the views need, and has been drawn.

        What somebody does to a view shows in the next frame; the one after that has it drawn.
        """
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        self.page.wait_for_function(
            """() => {
                const panes = [...document.querySelectorAll(".pane")];
                return panes.length && panes.every((pane) => pane.ariaBusy === "false");
            }"""
        )

    def place(self) -> dict[str, float]:
        """What the address says of the view, when it has come to rest."""
        told = self.page.evaluate("Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")
        return {name: float(value) for name, value in told.items()}

    def picture(self, pane: int = 0) -> NDArray[Any]:
        """The pixels on a slide's canvas, shape (height, width, 3)."""
        canvas = self.page.locator(".picture .openseadragon-canvas").nth(pane)
        return pixels(canvas.screenshot(mask=self.page.locator(".float").all(), mask_color="#000000"))


def pixels(png: bytes) -> NDArray[Any]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def faults(page: Page, without: str = "") -> list[str]:
    """What axe-core calls serious or worse; `without` is a part of the page that is not ours."""
    page.evaluate(AXE.read_text())
    found = page.evaluate(
        """async (without) => {
            const context = without ? { exclude: [without] } : document;
            const { violations } = await axe.run(context);
            return violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
                .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 120)}`));
        }""",
        without,
    )
    return list(found)


Opened = Callable[..., Watched]
"""Opens a page of the given width, height and colour scheme, of a phone with `fingers`."""
