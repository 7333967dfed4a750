"""The HTML of our pages. Everything that comes from a slide or a request is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from wsi_dicom.slide import ImageFlavor, Slide
from wsi_dicom.stores import SeriesRecord
from wsi_dicom_server.captions import slide_date, slide_facts, slide_size, slide_title

# OpenSeadragon adds one style element for touch screens; its hash lets in just that text.
_VIEWER_STYLE: Final = b"'sha256-9xTiqzfwFaL2SGb1rmr8gysEwVVjIvqWAgmZgqFqpEE='"
SECURITY: Final = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self' "
        + _VIEWER_STYLE
        + b"; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]
"""Headers of every page: it loads nothing but our own files and runs no script written into it."""


def _page(title: str, root: str, body: str, *, scripts: Sequence[str] = (), body_class: str = "") -> str:
    """A whole document. `root` is the address of the server as the browser knows it, without a final slash."""
    tags = "".join(f'<script src="{root}/static/{name}" defer></script>\n' for name in scripts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<link rel="icon" href="{root}/favicon.svg" type="image/svg+xml">
<link rel="stylesheet" href="{root}/static/site.css">
{tags}</head>
<body class="{body_class}">
{body}
</body>
</html>
"""


def error_page(status: int, reason: str, message: str) -> str:
    """Without links and styles of ours: it is shown under any path, behind any proxy."""
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<title>{status} {escape(reason)}</title></head>
<body><h1>{escape(reason)}</h1><p>{escape(message)}</p></body></html>
"""


def list_page(root: str, records: Sequence[SeriesRecord], page: int, more: bool) -> str:
    """The list of series; `page` counts from 1, `more` tells that another one follows."""
    if records:
        content = f'<ul class="slides">\n{"".join(_card(root, record) for record in records)}</ul>\n'
    elif page > 1:
        content = f'<p>There are no slides on this page. <a href="{root}/">Go to the first one.</a></p>'
    else:
        content = _EMPTY
    older = f'<a rel="next" href="{root}/?page={page + 1}">Older slides</a>' if more else ""
    newer = f'<a rel="prev" href="{root}/?page={page - 1}">Newer slides</a>' if page > 1 else ""
    paging = (
        f'<nav class="paging" aria-label="Pages">{newer}<span>Page {page}</span>{older}</nav>' if newer or older else ""
    )
    return _page("Slides", root, f'<header class="bar"><h1>Slides</h1></header>\n<main>\n{content}{paging}</main>')


_EMPTY: Final = """<section class="empty">
<h2>No slides yet</h2>
<p>Convert a whole slide and it shows up here, newest first:</p>
<pre><code>dicomize slide.svs --pyramid</code></pre>
<p>Then load this page again.</p>
</section>
"""


def _card(root: str, record: SeriesRecord) -> str:
    title = escape(slide_title(record))
    facts = " · ".join(escape(fact) for fact in (slide_size(record), slide_date(record)) if fact)
    if record.width is None:
        kind = escape(f"{record.modality or 'Other'} series, no whole slide")
        return f'<li class="card plain"><h2>{title}</h2><p>{kind}</p></li>\n'
    series = record.series_uid
    return (
        f'<li class="card"><a href="{root}/viewer/{series}">'
        f'<img src="{root}/associated/{series}/thumbnail" alt="" loading="lazy" width="320" height="220">'
        f"<h2>{title}</h2><p>{facts}</p></a></li>\n"
    )


def viewer_page(root: str, series: str, record: SeriesRecord, slide: Slide) -> str:
    """The viewer of one slide. What its script needs stands in data attributes."""
    title, spacing, power = slide_title(record), slide.pyramid.spacing, slide.metadata.objective_power
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in slide_facts(record, slide))
    body = f"""<header class="bar">
<a class="back" href="{root}/" aria-label="Back to the list of slides">←</a>
<h1>{escape(title)}</h1>
<details class="panel">
<summary>Details</summary>
<div>
<dl>{facts}</dl>
{_associated(root, series, (ImageFlavor.LABEL, ImageFlavor.OVERVIEW), slide)}
<p><a href="{root}/iiif/series/{series}/manifest.json">IIIF manifest</a></p>
</div>
</details>
</header>
<main class="stage">
<div id="viewer" role="application" aria-label="Slide: {escape(title)}. Drag to move, scroll to zoom." tabindex="-1"
 data-info="{root}/iiif/tiles/{series}/info.json"
 data-spacing-um="{spacing.x_mm * 1000 if spacing else ""}" data-objective="{power or ""}"></div>
<div class="tools" role="toolbar" aria-label="View">
<button id="zoom-in" type="button" aria-label="Zoom in">+</button>
<button id="zoom-out" type="button" aria-label="Zoom out">−</button>
<button id="home" type="button" aria-label="Show the whole slide">⤢</button>
<button id="rotate" type="button" aria-label="Turn right by 90 degrees">↻</button>
</div>
<div class="measure">
<div id="scale-bar" class="scale-bar" hidden><span id="scale-text"></span></div>
<output id="magnification" aria-label="Magnification"></output>
</div>
<p id="problem" class="problem" role="alert" hidden></p>
<noscript><p class="problem">The viewer needs JavaScript.</p></noscript>
</main>"""
    scripts = ("vendor/openseadragon/openseadragon.min.js", "viewer.js")
    return _page(title, root, body, scripts=scripts, body_class="viewing")


def _associated(root: str, series: str, flavors: Iterable[ImageFlavor], slide: Slide) -> str:
    """Each behind a click of its own: a label may name the patient."""
    return "".join(
        f'<details class="associated"><summary>{flavor.value.capitalize()}</summary>'
        f'<img src="{root}/associated/{series}/{flavor.value.lower()}" alt="{flavor.value.capitalize()} of the slide" '
        f'loading="lazy"></details>'
        for flavor in flavors
        if flavor in slide.associated
    )
