"""The HTML of the archive: what is searched for, and the series found, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final
from urllib.parse import urlencode

from wsi_dicom.stores import SeriesOrder, SeriesRecord
from wsi_dicom_server.captions import image_count, readable_name, slide_date, slide_size, slide_title
from wsi_dicom_server.icons import icon
from wsi_dicom_server.markup import brand, button
from wsi_dicom_server.markup import page as document

ORDERS: Final = {
    SeriesOrder.ADDED: "Newest first",
    SeriesOrder.STUDY_DATE: "Study date",
    SeriesOrder.SPECIMEN: "Specimen",
    SeriesOrder.STAIN: "Stain",
    SeriesOrder.SCANNER: "Scanner",
    SeriesOrder.PATIENT: "Patient",
}
_FILTERS: Final = {
    "specimen": ("Specimen", "text"),
    "stain": ("Stain", "text"),
    "scanner": ("Scanner", "text"),
    "patient": ("Patient", "text"),
    "from": ("From", "date"),
    "to": ("To", "date"),
}


@dataclass(frozen=True, slots=True)
class ArchivePage:
    """What the page shows. `asked` holds the parameters of the search, by their names in the address.

    `number` counts from 1. `patients`: they may be named. `dates`: they may be told. `uploads`: slides may be added.
    `beside` is the series to which another is to be chosen, with its title. `user` has signed in here.
    """

    root: str
    records: Sequence[SeriesRecord]
    found: int
    number: int
    pages: int
    asked: Mapping[str, str]
    patients: bool
    dates: bool
    uploads: bool
    beside: tuple[str, str] | None
    user: str | None

    def address(self, **changed: str) -> str:
        """Of this search with other parameters; empty ones are left out."""
        query = {name: value for name, value in {**self.asked, **changed}.items() if value}
        return f"{self.root}/?{escape(urlencode(query))}" if query else f"{self.root}/"

    @property
    def searching(self) -> bool:
        return bool(set(self.asked) - {"sort", "beside"})


def archive_page(archive: ArchivePage) -> str:
    body = f"""<header class="bar">
<h1>{brand(archive.root)}</h1>
{_search(archive)}
{_FOLDER + _ADD if archive.uploads else ""}
{_user(archive)}</header>
<main class="archive">
{_beside(archive)}{_content(archive)}</main>
{_jobs(archive) if archive.uploads else ""}<p class="notice" role="status"></p>"""
    modules = ("archive/search.js", *(("archive/uploads.js",) if archive.uploads else ()))
    return document("Slides", archive.root, body, styles=("archive.css",), modules=modules)


_FOLDER: Final = (
    f'<button type="button" class="button" data-do="add-folder" aria-label="Add a folder" title="Add a folder">'
    f"{icon('folder')}</button>"
)
_ADD: Final = (
    f'<button type="button" class="button main" data-do="add">{icon("upload")}<span>Add slides</span></button>'
)


def _user(archive: ArchivePage) -> str:
    if archive.user is None:
        return ""
    return (
        f'<form method="post" action="{archive.root}/logout">'
        f'<button class="button" title="Signed in as {escape(archive.user)}">Sign out</button></form>\n'
    )


def _search(archive: ArchivePage) -> str:
    asked = archive.asked
    hidden = {*(() if archive.patients else ("patient",)), *(() if archive.dates else ("from", "to"))}
    filters = {name: told for name, told in _FILTERS.items() if name not in hidden}
    fields = "".join(
        f'<label class="field{" wide" if name == "scanner" and not archive.patients else ""}"><span>{label}</span>'
        f'<input type="{kind}" name="{name}" value="{escape(asked.get(name, ""))}"></label>'
        for name, (label, kind) in filters.items()
    )
    used = sum(bool(asked.get(name)) for name in filters)
    beside = f'<input type="hidden" name="beside" value="{escape(archive.beside[0])}">' if archive.beside else ""
    return f"""<form id="search" class="search" role="search" action="{archive.root}/">
{beside}<label class="words"><span class="unseen">Search</span>{icon("search")}
<input type="search" name="q" value="{escape(asked.get("q", ""))}" placeholder="Search slides"></label>
<details class="filters">
<summary class="button">{icon("adjust")}<span>Filters{f" ({used})" if used else ""}</span></summary>
<div>{fields}
<button class="button main">Search</button></div>
</details>
</form>"""


def _beside(archive: ArchivePage) -> str:
    if archive.beside is None:
        return ""
    series, title = archive.beside
    return (
        f'<p class="choosing">{icon("beside")}'
        f"<span>Choose the slide to see beside <strong>{escape(title)}</strong></span>"
        f'<a href="{archive.root}/viewer/{series}">Cancel</a></p>\n'
    )


def _content(archive: ArchivePage) -> str:
    if archive.records:
        cards = "".join(_card(archive, record) for record in archive.records)
        return f'{_found(archive)}<ul class="slides">\n{cards}</ul>\n{_paging(archive)}'
    if archive.number > 1:
        return f'<p>There are no slides on this page. <a href="{archive.address(page="")}">Go to the first one.</a></p>'
    if archive.searching:
        return f"{_found(archive)}{_NOTHING}"
    return _empty(archive)


def _found(archive: ArchivePage) -> str:
    number = f"{archive.found:,}".replace(",", " ")
    clear = f'<a href="{archive.root}/">Show all</a>' if archive.searching else ""
    orders = "".join(
        f'<option value="{order}"{" selected" if archive.asked.get("sort") == order else ""}>{words}</option>'
        for order, words in ORDERS.items()
        if order is not SeriesOrder.PATIENT or archive.patients
    )
    return f"""<div class="found"><p>{number} series {clear}</p>
<label>Order <select name="sort" form="search">{orders}</select></label></div>
"""


_NOTHING: Final = '<section class="empty"><h2>Nothing matches</h2><p>Try fewer words or filters.</p></section>'


def _empty(archive: ArchivePage) -> str:
    adding = (
        "<p>Drop slides, DICOM files or folders of them anywhere on this page, or</p>\n"
        f'<p class="ways"><button type="button" class="button main" data-do="add">{icon("upload")}Choose files</button>'
        f'<button type="button" class="button" data-do="add-folder">{icon("folder")}Choose a folder</button></p>\n'
        "<p>On the command line it is</p>"
        if archive.uploads
        else "<p>Convert a whole slide and it shows up here:</p>"
    )
    return f"""<section class="empty">
<h2>No slides yet</h2>
{adding}
<pre><code>dicomize slide.svs --pyramid</code></pre>
</section>
"""


def _card(archive: ArchivePage, record: SeriesRecord) -> str:
    root, series = archive.root, record.series_uid
    address = f"{root}/viewer/{archive.beside[0]}?with={series}" if archive.beside else f"{root}/viewer/{series}"
    patient = " · ".join(filter(None, (readable_name(record.patient_name), record.patient_id)))
    date = slide_date(record) if archive.dates else ""
    lines = [
        patient if archive.patients else "",
        " · ".join(filter(None, (record.stain, record.anatomy))) or ("" if record.width else _kind(record)),
        record.scanner,
        " · ".join(filter(None, (date, slide_size(record).removesuffix(" pixels")))),
    ]
    told = "".join(f"<p>{escape(line)}</p>" for line in lines if line)
    if not record.frame_count:
        return f'<li class="card"><div><h2>{escape(slide_title(record))}</h2>{told}</div></li>\n'
    return (
        f'<li class="card"><a href="{address}">'
        f'<img src="{root}/associated/{series}/thumbnail" alt="" loading="lazy" width="320" height="240">'
        f'<h2 title="{escape(slide_title(record))}">{escape(slide_title(record))}</h2>{told}</a></li>\n'
    )


def _kind(record: SeriesRecord) -> str:
    images = image_count(record.frame_count) if record.frame_count else "no images"
    return " · ".join(filter(None, (record.modality, images)))


def _paging(archive: ArchivePage) -> str:
    if archive.pages == 1:
        return ""
    number = archive.number
    before = f'<a class="button" rel="prev" href="{archive.address(page=str(number - 1))}">Previous</a>'
    after = f'<a class="button" rel="next" href="{archive.address(page=str(number + 1))}">Next</a>'
    return (
        f'<nav class="paging" aria-label="Pages">{before if number > 1 else ""}'
        f"<span>Page {number} of {archive.pages}</span>{after if number < archive.pages else ''}</nav>\n"
    )


def _jobs(archive: ArchivePage) -> str:
    """Uploads and conversions under way; filled by the script, hidden while there are none."""
    return f"""<aside class="jobs" aria-label="Uploads and conversions" data-root="{archive.root}" hidden>
<header><h2>Uploads and conversions</h2>{button("hide-jobs", "Hide", symbol="close")}</header>
<ul></ul>
</aside>
<template id="job-row"><li>
<span class="name"></span><span class="state" role="status"></span>
<span class="does">{button("end", "Cancel", symbol="close")}<a class="button" hidden>View</a></span>
<progress aria-label="Progress" hidden></progress>
</li></template>
<div class="drop" hidden><p>{icon("upload")}Drop to add</p></div>
<input type="file" multiple hidden data-files>
<input type="file" webkitdirectory hidden data-folder>
"""
