"""The HTML of the viewer: one slide, or two beside each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from wsi_dicom.geometry import Spacing
from wsi_dicom_server.icons import icon
from wsi_dicom_server.markup import button, copy_button
from wsi_dicom_server.markup import page as document


@dataclass(frozen=True, slots=True)
class ShownPath:
    """An optical path: what it is called, and its colour in hexadecimal digits, as in ff0000."""

    name: str
    color: str


@dataclass(frozen=True, slots=True)
class ShownPicture:
    """What the viewer's scripts have to know of a slide, or of the frames of another series or of an instance.

    `image` is the address of its image service, or where those of the frames begin. `spacing` is that of its finest
    pixels. `frames` is None for a slide; else they begin at `first_frame`, and `window` is whether they are grays that
    are seen through one. `channels` is whether the paths can be laid over each other; a `dark` picture stands on black.
    """

    image: str
    dark: bool
    spacing: Spacing | None = None
    objective: float | None = None
    paths: Sequence[ShownPath] = ()
    focal_planes: int = 1
    focal_spacing_um: float | None = None
    channels: bool = False
    frames: int | None = None
    first_frame: int = 0
    window: bool = False

    def told(self, title: str) -> dict[str, Any]:
        """In the names of the scripts."""
        return {
            "title": title,
            "image": self.image,
            "dark": self.dark,
            "spacingUm": self.spacing.x_mm * 1000 if self.spacing is not None else None,
            "spacingYUm": self.spacing.y_mm * 1000 if self.spacing is not None else None,
            "objective": self.objective,
            "paths": [{"name": path.name, "color": path.color} for path in self.paths],
            "focalPlanes": self.focal_planes,
            "focalSpacingUm": self.focal_spacing_um,
            "channels": self.channels,
            "frames": self.frames,
            "firstFrame": self.first_frame,
            "window": self.window,
        }


@dataclass(frozen=True, slots=True)
class ShownSeries:
    """A series as the viewer shows it.

    `summary` is one line under the title. `associated` are names of pictures beside the slide, with their addresses;
    `links` what else there is of it and `downloads` files of all of it, in words with their addresses; `manifest` the
    address of that of IIIF, if there is one.
    """

    identifier: str
    title: str
    summary: str
    facts: Sequence[tuple[str, str]]
    shown: ShownPicture
    associated: Sequence[tuple[str, str]]
    manifest: str | None
    links: Sequence[tuple[str, str]]
    downloads: Sequence[tuple[str, str]]


def viewer_page(root: str, series: Sequence[ShownSeries]) -> str:
    """`series` are one or two."""
    first, two = series[0], len(series) == 2
    title = " and ".join(one.title for one in series)
    body = f"""<header class="bar">
<a class="tool" href="{root}/" aria-label="All slides" title="All slides">{icon("back")}</a>
<div class="heading"><h1>{escape(title)}</h1>{"" if two else f"<p>{escape(first.summary)}</p>"}</div>
<div class="actions" role="toolbar" aria-label="This view">
{_beside(root, series)}
{button("link", "Copy the link to this view (l)")}
{button("save", "Save this view as a picture (s)", kind="tool spacious")}
{button("full-screen", "Full screen (f)")}
{button("help", "Keyboard (?)", more='aria-haspopup="dialog"')}
{button("details", "Details (d)", more='aria-expanded="false" aria-controls="details"')}
</div>
</header>
<main class="stage">
<div class="panes">
{"".join(_pane(one, named=two) for one in series)}</div>
<aside id="details" class="details" aria-label="Details" tabindex="-1" hidden>
{"".join(_details(one) for one in series)}</aside>
</main>
<dialog class="help" aria-labelledby="help-title">
<header><h2 id="help-title">Keyboard</h2>{button("close", "Close")}</header>
<dl class="keys"></dl>
</dialog>
<p class="notice" role="status"></p>"""
    return document(
        title,
        root,
        body,
        styles=("viewer.css",),
        scripts=("vendor/openseadragon/openseadragon.min.js",),
        modules=("viewer/main.js",),
        body_class="viewing",
    )


def _beside(root: str, series: Sequence[ShownSeries]) -> str:
    """What leads from one slide to two, or from two back to one."""
    first = series[0].identifier
    if len(series) == 1:
        return (
            f'<a class="tool" href="{root}/?beside={first}" aria-label="Choose a slide to see beside this one" '
            f'title="Choose a slide to see beside this one">{icon("beside")}</a>'
        )
    return button("together", "Move both together (t)", more='aria-pressed="true"') + (
        f'<a class="tool" href="{root}/viewer/{first}" aria-label="Close the second slide" '
        f'title="Close the second slide">{icon("close")}</a>'
    )


def _pane(one: ShownSeries, *, named: bool) -> str:
    return f"""<section class="pane{" dark" if one.shown.dark else ""}" aria-label="{escape(one.title)}"
 data-slide="{escape(json.dumps(one.shown.told(one.title)))}">
<div class="picture"></div>
{f'<h2 class="float">{escape(one.title)}</h2>' if named else ""}
<div class="float tools" role="toolbar" aria-label="View" aria-orientation="vertical">
{button("zoom-in", "Zoom in (+)")}
<div class="magnifications" role="group" aria-label="Magnification"></div>
{button("zoom-out", "Zoom out (-)")}
<hr>
{button("home", "Show the whole slide (0)")}
{button("turn-left", "Turn left by 90 degrees (R)")}
{button("turn-right", "Turn right by 90 degrees (r)")}
</div>
{_adjust(one.shown)}
<div class="float measure">
<div class="scale-bar" hidden></div>
<output class="magnification" aria-label="Magnification" aria-live="off"></output>
<output class="coordinates" aria-label="Place under the pointer" aria-live="off"></output>
</div>
<div class="float navigator" aria-hidden="true"></div>
<p class="float problem" role="alert" hidden></p>
<noscript><p class="float problem">The viewer needs JavaScript.</p></noscript>
</section>
"""


def _adjust(shown: ShownPicture) -> str:
    """Controls for what there is to choose: frame and window, focal plane, channels or optical path."""
    parts = []
    if shown.frames is not None and shown.frames > 1:
        parts.append(_slider("frame", "Frame", 0, shown.frames - 1))
    if shown.window:
        parts.append(_WINDOW)
    if shown.focal_planes > 1:
        parts.append(_slider("focus", "Focal plane", 1, shown.focal_planes))
    if shown.channels:
        rows = "".join(_channel(number, path) for number, path in enumerate(shown.paths, 1))
        parts.append(f'<fieldset class="channels"><legend>Channels</legend>{rows}</fieldset>')
    elif len(shown.paths) > 1:
        options = "".join(f'<option value="{n}">{escape(path.name)}</option>' for n, path in enumerate(shown.paths, 1))
        parts.append(
            f'<fieldset><label class="field"><span>Optical path</span><select name="path">{options}</select></label>'
            "</fieldset>"
        )
    if not parts:
        return ""
    return f'<details class="float adjust" open><summary>{icon("adjust")}Adjust</summary>\n{"".join(parts)}</details>'


def _slider(name: str, title: str, least: int, most: int) -> str:
    return (
        f'<fieldset><legend>{title}<output data-of="{name}"></output></legend>'
        f'<input type="range" name="{name}" aria-label="{title}" min="{least}" max="{most}" step="1"></fieldset>\n'
    )


_WINDOW = f"""<fieldset><legend>Window</legend><div class="frame-range">
<label class="field"><span>Centre</span>
<input type="number" name="center" step="any" placeholder="as stored"></label>
<label class="field"><span>Width</span>
<input type="number" name="width" min="0" step="any" placeholder="as stored"></label>
{button("own-window", "Window as stored", symbol="turn-left")}
</div></fieldset>
"""


def _channel(number: int, path: ShownPath) -> str:
    name = escape(path.name)
    return f"""<div class="channel" data-path="{number}">
<input type="checkbox" name="shown" checked aria-label="Show {name}">
<input type="color" name="color" value="#{path.color}" aria-label="Colour of {name}">
<span>{name}</span>
<div class="range">
<input type="number" name="low" min="0" placeholder="black" aria-label="Value of {name} that is black">
<input type="number" name="high" min="0" placeholder="bright" aria-label="Value of {name} that is brightest">
</div></div>
"""


def _details(one: ShownSeries) -> str:
    """What is known; pictures beside the slide each behind a click of its own: a label may name the patient."""
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in one.facts)
    pictures = "".join(
        f'<details class="associated"><summary>{name}</summary>'
        f'<img src="{address}" alt="{name} of the slide" loading="lazy"></details>'
        for name, address in one.associated
    )
    return f"""<section><h2>{escape(one.title)}</h2>
<dl>{facts}</dl>
{pictures}
{_links("Download", one.downloads)}{_links("For other programs", one.links)}
{copy_button(one.manifest)}
</section>
"""


def _links(title: str, links: Sequence[tuple[str, str]]) -> str:
    entries = "".join(f'<li><a href="{escape(address)}">{escape(words)}</a></li>' for words, address in links)
    return f"<h3>{title}</h3><ul>{entries}</ul>\n" if links else ""
