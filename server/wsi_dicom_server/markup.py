"""The frame that all our pages stand in, and the headers they go out with.

What the pages hold is in `markup_archive`, `markup_viewer` and `markup_iiif`. Whatever comes from a slide or a request
is escaped where it is put into a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from wsi_dicom_server.icons import icon
from wsi_dicom_server.replies import Headers, Reply

_OPENSEADRAGON_STYLE: Final = "'sha256-9xTiqzfwFaL2SGb1rmr8gysEwVVjIvqWAgmZgqFqpEE='"
"""OpenSeadragon adds one style element for touch screens; its hash lets in just that text."""


def security_headers(*styles: str) -> Headers:
    """Of a page: it loads nothing but our own files, and runs no script that is written into it.

    `styles` are sources of style beside our files: hashes of elements that scripts of the page add.
    """
    allowed = " ".join(("'self'", *styles))
    policy = (
        f"default-src 'none'; script-src 'self'; style-src {allowed}; "
        "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    )
    return [
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"same-origin"),  # with less, browsers send no Origin along with a form
    ]


SECURITY: Final = security_headers(_OPENSEADRAGON_STYLE)
"""Headers of every page but Mirador's."""


def page(
    title: str,
    root: str,
    body: str,
    *,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    modules: Sequence[str] = (),
    body_class: str = "",
) -> str:
    """A whole document.

    `root` is the address of the server as the browser knows it, without a final slash. `styles`, `scripts` and
    `modules` are paths of our own files; plain scripts run before modules.
    """
    links = "".join(f'<link rel="stylesheet" href="{root}/static/{name}">\n' for name in ("site.css", *styles))
    tags = "".join(f'<script src="{root}/static/{name}" defer></script>\n' for name in scripts)
    tags += "".join(f'<script src="{root}/static/{name}" type="module"></script>\n' for name in modules)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<link rel="icon" href="{root}/favicon.svg" type="image/svg+xml">
{links}{tags}</head>
<body class="{body_class}">
{body}
</body>
</html>
"""


def page_reply(text: str, security: Headers = SECURITY) -> Reply:
    return Reply(
        200, [(b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-cache"), *security], text.encode()
    )


def error_page(root: str, status: int, reason: str, message: str) -> str:
    """What went wrong, in the words of the error, and the way back."""
    body = f"""<header class="bar">
{brand(root)}
</header>
<main class="error">
<p class="status">{status}</p>
<h1>{escape(reason)}</h1>
<p class="message">{escape(message)}</p>
<p><a class="button main" href="{root}/">All slides</a></p>
</main>"""
    return page(f"{status} {reason}", root, body, styles=("error.css",))


def brand(root: str) -> str:
    """Our sign in the corner of a page; it leads to the archive."""
    return (
        f'<a class="brand" href="{root}/" title="All slides">'
        f'<img src="{root}/favicon.svg" alt="" width="28" height="28">Slides</a>'
    )


def button(name: str, label: str, *, symbol: str | None = None, kind: str = "tool", more: str = "") -> str:
    """A button that shows an icon and tells its label to screen readers, and as a tip.

    Scripts find it by `data-do`, which is `name`; `more` are further attributes.
    """
    return (
        f'<button type="button" class="{kind}" data-do="{name}" aria-label="{escape(label)}" title="{escape(label)}"'
        f"{' ' + more if more else ''}>{icon(symbol or name)}</button>"
    )


def copy_button(manifest: str | None) -> str:
    """One that copies the address of an IIIF manifest, where there is one: see `notices.js`."""
    if manifest is None:
        return ""
    return (
        f'<button type="button" class="button copy" data-copy="{escape(manifest)}">{icon("link")}'
        "<span>Copy the manifest's address</span></button>"
    )
