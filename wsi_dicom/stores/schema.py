"""The tables of a store's index. They can always be made again from the files."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    text,
)

from wsi_dicom.stores.query import SeriesOrder

VERSION: Final = 3
"""Of these tables; an index of an earlier one is made again."""

PENDING: Final = "pending"
STORED: Final = "stored"
DELETING: Final = "deleting"

schema = MetaData()
version = Table("schema_version", schema, Column("version", Integer, primary_key=True))
series = Table(
    "series",
    schema,
    Column("series_uid", String(64), primary_key=True),
    Column("study_uid", String(64), nullable=False),
    Column("orthanc_id", String(44), nullable=False, unique=True),
    Column("patient_orthanc_id", String(44), nullable=False),
    Column("study_orthanc_id", String(44), nullable=False),
    Column("patient_id", String, nullable=False),
    Column("patient_name", String, nullable=False),
    Column("study_date", String, nullable=False),
    Column("accession_number", String, nullable=False),
    Column("study_description", String, nullable=False),
    Column("description", String, nullable=False),
    Column("container_identifier", String, nullable=False),
    Column("specimen", String, nullable=False),
    Column("anatomy", String, nullable=False),
    Column("stain", String, nullable=False),
    Column("scanner", String, nullable=False),
    Column("modality", String, nullable=False),
    Column("width", BigInteger),
    Column("height", BigInteger),
    Column("instance_count", Integer, nullable=False),
    Column("frame_count", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("added", DateTime, nullable=False),  # UTC; SQLite keeps no time zone
    Column("state", String(8), nullable=False),
    # What is searched for parts of it, case folded: databases differ in what they take for the same letter.
    Column("patient_text", String, nullable=False),
    Column("specimen_text", String, nullable=False),
    Column("stain_text", String, nullable=False),
    Column("scanner_text", String, nullable=False),
    Column("any_text", String, nullable=False),  # but the patient_text
)
instances = Table(  # they are there as long as their series is, in whatever state
    "instances",
    schema,
    Column("series_uid", String(64), primary_key=True),
    Column("sop_instance_uid", String(64), primary_key=True, index=True),
    Column("orthanc_id", String(44), nullable=False, index=True),
    Column("sop_class_uid", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("frames", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
)

_NEWEST_FIRST: Final = ((series.c.added, True), (series.c.series_uid, False))
ORDERS: Final = {
    SeriesOrder.ADDED: _NEWEST_FIRST,
    SeriesOrder.STUDY_DATE: ((series.c.study_date, True), *_NEWEST_FIRST),
    SeriesOrder.PATIENT: ((series.c.patient_text, False), *_NEWEST_FIRST),
    SeriesOrder.SPECIMEN: ((series.c.specimen_text, False), *_NEWEST_FIRST),
    SeriesOrder.STAIN: ((series.c.stain_text, False), *_NEWEST_FIRST),
    SeriesOrder.SCANNER: ((series.c.scanner_text, False), *_NEWEST_FIRST),
}
"""Columns, and whether their largest value comes first."""

IS_STORED: Final = series.c.state == bindparam("stored", STORED, literal_execute=True)
"""Written into statements as it is, so that databases see that the indexes below hold all that is asked for."""


def _index(name: str, *columns: ColumnElement[Any]) -> None:
    """Of stored series. SQLite reads the state from the index too, or else it would look up every row for it."""
    stored = text("state = 'stored'")
    Index(name, *columns, series.c.state, sqlite_where=stored, postgresql_where=stored)


# Parts of texts are found by reading all of them, from this index alone, which is much smaller than the table: newest
# first, until a page is full or there are no more. That of 100,000 series takes some tens of milliseconds.
_index(
    "series_texts",
    series.c.added.desc(),
    series.c.series_uid,
    series.c.study_date,
    series.c.patient_text,
    series.c.specimen_text,
    series.c.stain_text,
    series.c.scanner_text,
    series.c.any_text,
)
# A page of all in another order is a walk along one of these.
for _order, _columns in ORDERS.items():
    if _order is not SeriesOrder.ADDED:
        _index(f"series_by_{_order}", *(column.desc() if falling else column for column, falling in _columns))
_index(
    "series_of_patient",
    series.c.patient_orthanc_id,
    series.c.study_orthanc_id,
    series.c.study_date,
    series.c.series_uid,
)
_index("series_of_study", series.c.study_orthanc_id, series.c.study_date, series.c.series_uid)
for _name in ("study_uid", "patient_id", "accession_number", "container_identifier"):
    _index(f"series_by_{_name}", series.c[_name])
