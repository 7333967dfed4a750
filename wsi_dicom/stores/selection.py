"""Queries of a store's index as SQL that SQLite and PostgreSQL both understand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, Subquery, func, or_, select
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from wsi_dicom.stores import SeriesRecord
from wsi_dicom.stores.query import Entity, SeriesOrder, SeriesQuery
from wsi_dicom.stores.schema import IS_STORED, ORDERS, series

RECORD_FIELDS: Final = tuple(field.name for field in fields(SeriesRecord) if field.name != "folder")
"""Those of SeriesRecord that the index keeps."""

_record_columns: Final = tuple(series.c[name] for name in RECORD_FIELDS)


def folded_texts(record: SeriesRecord) -> dict[str, str]:
    """The columns that are searched for parts of texts."""
    specimen = f"{record.container_identifier} {record.specimen} {record.anatomy}"
    others = f"{record.description} {record.study_description}"
    return {
        "patient_text": f"{record.patient_name} {record.patient_id} {record.accession_number}".casefold(),
        "specimen_text": specimen.casefold(),
        "stain_text": record.stain.casefold(),
        "scanner_text": record.scanner.casefold(),
        "any_text": f"{specimen} {record.stain} {record.scanner} {others}".casefold(),
    }


def stored_series() -> Select[Any]:
    return select(*_record_columns).where(IS_STORED)


def matching_series(query: SeriesQuery, limit: int | None, offset: int) -> Select[Any]:
    """Rows of SeriesRecord, in the order asked for. An index tells those of a page: only these are read."""
    if limit is None:
        return select(*_record_columns).where(*_conditions(query)).order_by(*_order(query)).offset(offset)
    if query.order is not SeriesOrder.ADDED and _has_texts(query):
        # Databases would rather walk along the order asked for, and look up every row on the way to see its texts.
        columns = (series.c.series_uid, *(column for column, _ in ORDERS[query.order][:-1]))
        fence = select(*columns).where(*_conditions(query)).cte("found").prefix_with("MATERIALIZED")
        page = select(fence.c.series_uid).order_by(*_order(query, fence.c))
    else:
        page = select(series.c.series_uid).where(*_conditions(query)).order_by(*_order(query))
    page = page.limit(limit).offset(offset)
    return select(*_record_columns).where(series.c.series_uid.in_(page)).order_by(*_order(query))


def number_of(query: SeriesQuery, entity: Entity) -> Select[Any]:
    found = select(series.c[entity]).where(*_conditions(query))
    if entity is not Entity.SERIES:
        found = found.distinct()
    return select(func.count()).select_from(found.subquery())


def matching_patients(query: SeriesQuery, limit: int | None, offset: int) -> Select[Any]:
    """Rows of PatientRecord."""
    identifier, studies = series.c.patient_orthanc_id, func.count(series.c.study_orthanc_id.distinct())
    shown = select(identifier).where(*_conditions(query)).distinct().order_by(identifier).limit(limit).offset(offset)
    page = _groups(query, identifier, studies.label("studies")).where(identifier.in_(shown)).subquery()
    columns = (page.c.identifier.label("orthanc_id"), series.c.patient_id, series.c.patient_name)
    return _with_example(page, *columns, page.c.studies, page.c.series).order_by(page.c.identifier)


def matching_studies(query: SeriesQuery, limit: int | None, offset: int) -> Select[Any]:
    """Rows of StudyRecord."""
    identifier, newest = series.c.study_orthanc_id, func.max(series.c.study_date)
    groups = _groups(query, identifier, newest.label("study_date"))
    page = groups.order_by(newest.desc(), identifier).limit(limit).offset(offset).subquery()
    return _with_example(
        page,
        page.c.identifier.label("orthanc_id"),
        series.c.study_uid,
        series.c.patient_orthanc_id,
        page.c.study_date,
        series.c.accession_number,
        series.c.study_description.label("description"),
        page.c.series,
    ).order_by(page.c.study_date.desc(), page.c.identifier)


def _groups(query: SeriesQuery, identifier: ColumnElement[str], told: ColumnElement[Any]) -> Select[Any]:
    """What an index tells of each group of series, and which one of them may stand for it."""
    return (
        select(
            identifier.label("identifier"),
            told,
            func.count().label("series"),
            func.min(series.c.series_uid).label("example"),
        )
        .where(*_conditions(query))
        .group_by(identifier)
    )


def _with_example(page: Subquery, *columns: ColumnElement[Any]) -> Select[Any]:
    """The groups of a page: only of these are rows read."""
    return select(*columns).join_from(page, series, series.c.series_uid == page.c.example)


def _conditions(query: SeriesQuery) -> Iterator[ColumnElement[bool]]:
    yield IS_STORED
    for name, value in query.equal.items():
        yield series.c[name] == value
    for name in ("patient", "specimen", "stain", "scanner"):
        for word in _words(getattr(query, name)):
            yield _contains(series.c[f"{name}_text"], word)
    for word in _words(query.words):
        found = _contains(series.c.any_text, word)
        yield or_(found, _contains(series.c.patient_text, word)) if query.naming else found
    if query.first_date is not None:
        yield series.c.study_date >= f"{query.first_date:%Y%m%d}"
    if query.last_date is not None:
        yield series.c.study_date.between("0", f"{query.last_date:%Y%m%d}")  # from "0": not those without a date
    if query.images:
        yield series.c.frame_count > 0


def _has_texts(query: SeriesQuery) -> bool:
    return any((query.words, query.patient, query.specimen, query.stain, query.scanner))


def _words(text: str) -> list[str]:
    return text.casefold().split()


def _contains(text: ColumnElement[str], word: str) -> ColumnElement[bool]:
    return text.contains(word, autoescape=True)


def _order(query: SeriesQuery, columns: ReadOnlyColumnCollection[str, Any] = series.c) -> Iterator[ColumnElement[Any]]:
    for column, falling in ORDERS[query.order]:
        ordered = columns[column.name]
        yield ordered.desc() if falling else ordered
