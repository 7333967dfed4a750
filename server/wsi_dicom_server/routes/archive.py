"""`/`: the archive. A search in the index, a page at a time; no slide is opened for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final

from anyio import to_thread
from starlette.requests import Request
from starlette.routing import Route

from wsi_dicom.errors import InvalidRequest
from wsi_dicom.stores import SeriesOrder, SeriesQuery, SeriesRecord
from wsi_dicom_server import markup_archive
from wsi_dicom_server.access.cookies import SESSION_COOKIE
from wsi_dicom_server.access.principal import Scope, principal_of
from wsi_dicom_server.addresses import home_url, page_number
from wsi_dicom_server.captions import slide_title
from wsi_dicom_server.markup import page_reply
from wsi_dicom_server.markup_archive import ArchivePage
from wsi_dicom_server.replies import Reply
from wsi_dicom_server.site import Site, site_of
from wsi_dicom_server.slide_pool import stored_series

_PER_PAGE: Final = 48
_TEXTS: Final = ("q", "specimen", "stain", "scanner", "patient", "from", "to", "sort", "beside")


async def archive(request: Request) -> Reply:
    site, principal = site_of(request), principal_of(request)
    number = page_number(request.query_params.get("page", "1"))
    asked = {name: value for name in _TEXTS if (value := request.query_params.get(name, "").strip())}
    dates = not site.settings.hide_dates
    hidden = {*(() if principal.identified else ("patient",)), *(() if dates else ("from", "to"))}
    for name in hidden:  # an answer to "patient=..." would tell as much as the name does
        asked.pop(name, None)
    query = _query(asked, naming=principal.identified)
    found, records = await to_thread.run_sync(_found, site, query, number)
    beside = None
    if "beside" in asked:
        record = await to_thread.run_sync(stored_series, site.store, asked["beside"])
        beside = record.series_uid, slide_title(record)
    shown = ArchivePage(
        root=home_url(request),
        records=records,
        found=found,
        number=number,
        pages=max(1, -(-found // _PER_PAGE)),
        asked=asked,
        patients=principal.identified,
        dates=dates,
        uploads=principal.may(Scope.WRITE) and site.jobs is not None,
        beside=beside,
        user=principal.name if SESSION_COOKIE in request.cookies else None,
    )
    return page_reply(markup_archive.archive_page(shown))


def _found(site: Site, query: SeriesQuery, number: int) -> tuple[int, list[SeriesRecord]]:
    """How many there are, and those of a page."""
    records = site.store.search(query, limit=_PER_PAGE, offset=(number - 1) * _PER_PAGE)
    return site.store.count(query), list(records)


def _query(asked: Mapping[str, str], *, naming: bool) -> SeriesQuery:
    """Raises InvalidRequest."""
    order = asked.get("sort", SeriesOrder.ADDED)
    if order not in list(SeriesOrder) or (order == SeriesOrder.PATIENT and not naming):
        raise InvalidRequest(f"sort={order[:20]!r}: series cannot be sorted by this")
    return SeriesQuery(
        words=asked.get("q", ""),
        naming=naming,
        patient=asked.get("patient", ""),
        specimen=asked.get("specimen", ""),
        stain=asked.get("stain", ""),
        scanner=asked.get("scanner", ""),
        first_date=_date(asked, "from"),
        last_date=_date(asked, "to"),
        order=SeriesOrder(order),
    )


def _date(asked: Mapping[str, str], name: str) -> date | None:
    if name not in asked:
        return None
    try:
        return date.fromisoformat(asked[name])
    except ValueError:
        raise InvalidRequest(f"{name}={asked[name][:20]!r}: expected a date like 2024-01-31") from None


routes = [Route("/", archive)]
