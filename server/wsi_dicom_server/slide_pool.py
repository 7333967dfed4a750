"""Slides held open between requests, because opening one means reading the headers of all its instances."""

from __future__ import annotations

import hashlib
import re
import weakref
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from wsi_dicom.errors import InvalidRequest, NotFound, StoreError, WsiError
from wsi_dicom.slide import Slide
from wsi_dicom.stores import SeriesRecord, SeriesStore
from wsi_dicom_server.pool import Pool

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


class SlidePool(Pool[str, ServedSlide]):
    """By SeriesInstanceUID or Orthanc identifier. `get` raises NotFound, and what opening a slide raises."""

    def __init__(self, store: SeriesStore, capacity: int) -> None:
        super().__init__(capacity, self._served)
        self._store = store

    def _served(self, identifier: str, held: ServedSlide | None) -> ServedSlide:
        record = stored_series(self._store, identifier)
        if record.width is None:
            raise NotFound(f"series {identifier} is not a whole slide")
        if held is not None and held.record == record:
            return held
        try:
            slide = self._store.open(record.series_uid)
        except NotFound as error:  # the series is there, but files of it are not
            raise StoreError(str(error)) from error
        _find_frames(slide)
        served = ServedSlide(slide, record, series_tag(record))
        weakref.finalize(served, slide.close)
        return served


def _find_frames(slide: Slide) -> None:
    """Reads a tile of each level and plane: without an offset table all frames are visited for the first one.

    That may take a second, and stored tiles are read in the event loop.
    """
    for level in range(len(slide.pyramid.levels)):
        for plane in slide.pyramid.planes:
            with suppress(WsiError):  # told to whoever asks for a tile
                slide.encoded_tile(level, 0, 0, plane)


def is_identifier(text: str) -> bool:
    """Whether a series or an instance could be called this."""
    return len(text) <= 64 and _IDENTIFIER.fullmatch(text) is not None


def require_identifier(identifier: str) -> None:
    """Raises NotFound for what nothing can be called, before the store is asked."""
    if not is_identifier(identifier):
        raise NotFound(f"{identifier[:64]!r} is neither a DICOM UID nor an Orthanc identifier")


def stored_series(store: SeriesStore, identifier: str) -> SeriesRecord:
    """By its whole SeriesInstanceUID or Orthanc identifier: a beginning is no stable address. Raises NotFound."""
    require_identifier(identifier)
    try:
        record = store.resolve(identifier)
    except (NotFound, InvalidRequest):  # unknown, or the beginning of several
        raise NotFound(f"no series {identifier}") from None
    if identifier not in (record.series_uid, record.orthanc_id):
        raise NotFound(f"no series {identifier}")
    return record


def series_tag(record: SeriesRecord) -> str:
    """Begins the entity tags of all that comes from a series: another one when it is stored anew."""
    return hashlib.sha256(f"{record.series_uid} {record.added.isoformat()}".encode()).hexdigest()[:20]
