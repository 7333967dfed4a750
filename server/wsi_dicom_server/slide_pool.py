"""Slides held open between requests, because opening one means reading the headers of all its instances."""

from __future__ import annotations

import hashlib
import re
import time
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Final

from anyio import CapacityLimiter, to_thread

from wsi_dicom.errors import InvalidRequest, NotFound, StoreError
from wsi_dicom.slide import Slide
from wsi_dicom.stores import SeriesRecord, SeriesStore

_CHECK_AFTER_S: Final = 10.0
_UID = r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+"
_ORTHANC_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{8}){4}"
_IDENTIFIER: Final = re.compile(f"{_UID}|{_ORTHANC_ID}", re.ASCII)


@dataclass(slots=True, weakref_slot=True)
class ServedSlide:
    """An open slide with what the index knows of it. `tag` begins all its entity tags.

    The slide is closed when the pool and the last request have let go of this object: never under a reader.
    """

    slide: Slide
    record: SeriesRecord
    tag: str
    checked: float


class SlidePool:
    """At most `capacity` slides, the least recently used one going first. Safe to use from many threads.

    A slide is looked up in the index again after a few seconds, so that a series which is deleted or replaced through
    another process does not live on here.
    """

    def __init__(self, store: SeriesStore, capacity: int) -> None:
        self._store = store
        self._capacity = capacity
        self._slides: OrderedDict[str, ServedSlide] = OrderedDict()
        self._lock = Lock()
        self._opening = CapacityLimiter(1)

    async def get(self, identifier: str) -> ServedSlide:
        """By SeriesInstanceUID or Orthanc identifier. Raises NotFound, and what opening a slide raises."""
        served = self._ready(identifier)
        if served is None:
            # One at a time: a page that asks for twenty tiles at once opens its slide once.
            async with self._opening:
                served = self._ready(identifier)
                if served is None:
                    served = await to_thread.run_sync(self._open, identifier)
        return served

    def close(self) -> None:
        with self._lock:
            self._slides.clear()

    def _ready(self, identifier: str) -> ServedSlide | None:
        """The open slide, unless it has to be opened or checked first."""
        with self._lock:
            served = self._slides.get(identifier)
            if served is None or time.monotonic() - served.checked > _CHECK_AFTER_S:
                return None
            self._slides.move_to_end(identifier)
            return served

    def _open(self, identifier: str) -> ServedSlide:
        if len(identifier) > 64 or not _IDENTIFIER.fullmatch(identifier):
            raise NotFound(f"{identifier[:64]!r} is neither a SeriesInstanceUID nor an Orthanc identifier")
        try:
            record = self._store.resolve(identifier)
        except (NotFound, InvalidRequest):  # unknown, or the beginning of several
            self._forget(identifier)
            raise NotFound(f"no series {identifier}") from None
        if identifier not in (record.series_uid, record.orthanc_id):  # a beginning of one is no stable address
            raise NotFound(f"no series {identifier}")
        if record.width is None:
            raise NotFound(f"series {identifier} is not a whole slide")
        served = self._slides.get(identifier)
        if served is not None and served.record == record:
            served.checked = time.monotonic()
            return served
        try:
            slide = self._store.open(record.series_uid)
        except NotFound as error:  # the series is there, but files of it are not
            raise StoreError(str(error)) from error
        tag = hashlib.sha256(f"{record.series_uid} {record.added.isoformat()}".encode()).hexdigest()[:20]
        served = ServedSlide(slide, record, tag, time.monotonic())
        weakref.finalize(served, slide.close)
        with self._lock:
            self._slides[identifier] = served
            self._slides.move_to_end(identifier)
            while len(self._slides) > self._capacity:
                self._slides.popitem(last=False)
        return served

    def _forget(self, identifier: str) -> None:
        with self._lock:
            self._slides.pop(identifier, None)
