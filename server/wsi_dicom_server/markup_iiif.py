"""The HTML of pages that show our IIIF services in viewers of others: Mirador, and OpenSeadragon as it comes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Final

from wsi_dicom_server.icons import icon
from wsi_dicom_server.markup import copy_button, security_headers
from wsi_dicom_server.markup import page as document
from wsi_dicom_server.markup_viewer import ShownSeries

_EMPTY_STYLE: Final = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
"""Mirador puts style elements without text into its page, and its rules through the object model, which no policy sees:
so the hash of nothing is enough, and style that is written into the page stays shut out."""

MIRADOR_SECURITY: Final = security_headers(_EMPTY_STYLE)


def mirador_page(root: str, series: str, windows: Sequence[tuple[str, str]]) -> str:
    """`windows` have a title and the address of a manifest each; the first is of `series`."""
    titles, manifests = zip(*windows, strict=True)
    return _page(
        root,
        series,
        "Mirador",
        titles,
        f'<div id="mirador" class="stage" data-manifests="{escape(json.dumps(manifests))}"></div>',
        "mirador",
        manifests[0],
    )


def openseadragon_page(root: str, shown: ShownSeries, image: str) -> str:
    """`image` is the address of an image service."""
    return _page(
        root,
        shown.identifier,
        "OpenSeadragon",
        [shown.title],
        f'<div id="openseadragon" class="stage" data-info="{image}/info.json"></div>',
        "openseadragon",
        shown.manifest,
    )


def _page(
    root: str, series: str, viewer: str, titles: Sequence[str], stage: str, script: str, manifest: str | None
) -> str:
    title = " and ".join(titles)
    back = "Back to our own viewer"
    body = f"""<header class="bar">
<a class="tool" href="{root}/viewer/{series}" aria-label="{back}" title="{back}">{icon("back")}</a>
<div class="heading"><h1>{escape(title)}</h1><p>{viewer}</p></div>
{copy_button(manifest)}
</header>
<main class="stage">{stage}</main>
<p class="notice" role="status"></p>"""
    return document(
        f"{title} in {viewer}",
        root,
        body,
        styles=("viewer.css",),
        scripts=(f"vendor/{script}/{script}.min.js",),
        modules=(f"{script}.js",),
        body_class="viewing",
    )
