"""The index of a store: one row a series, in SQL that SQLite and PostgreSQL both understand."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import UTC
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    create_engine,
    delete,
    event,
    insert,
    inspect,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from wsi_dicom.errors import InvalidRequest, StoreError
from wsi_dicom.stores import SeriesRecord

_VERSION: Final = 1

_schema = MetaData()
_version = Table("schema_version", _schema, Column("version", Integer, primary_key=True))
_series = Table(
    "series",
    _schema,
    Column("series_uid", String(64), primary_key=True),
    Column("study_uid", String(64), nullable=False, index=True),
    Column("orthanc_id", String(44), nullable=False, unique=True),
    Column("patient_id", String, nullable=False, index=True),
    Column("patient_name", String, nullable=False, index=True),
    Column("study_date", String, nullable=False, index=True),
    Column("accession_number", String, nullable=False, index=True),
    Column("description", String, nullable=False),
    Column("container_identifier", String, nullable=False, index=True),
    Column("modality", String, nullable=False),
    Column("width", BigInteger),
    Column("height", BigInteger),
    Column("instance_count", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("added", DateTime, nullable=False, index=True),  # UTC; SQLite keeps no time zone
    Column("state", String(8), nullable=False),
)

PENDING: Final = "pending"
STORED: Final = "stored"
DELETING: Final = "deleting"

_RECORD_FIELDS: Final = tuple(field.name for field in fields(SeriesRecord) if field.name != "folder")
_SEARCHABLE: Final = tuple(name for name in _RECORD_FIELDS if isinstance(_series.c[name].type, String))
_record_columns: Final = tuple(_series.c[name] for name in _RECORD_FIELDS)


class DamagedIndex(StoreError):
    """SQLite does not take the file for a database, or not for a sound one."""


class Catalogue:
    """Rows come and go in three steps, so that a killed process leaves a trace of what it was doing:

    `pending` before the files get their place, `stored` after, `deleting` before they lose it. Only stored ones show.
    Every method raises StoreError when the database cannot do it.
    """

    def __init__(self, path: Path, series_folder: Path, *, read_only: bool) -> None:
        """Opens the SQLite file; one that is new lists nothing, and is not `complete`, before `replace_all`."""
        self._path = path
        self._series_folder = series_folder
        mode = "rwc"
        if read_only:
            # Without the side files of write-ahead logging nobody writes, and SQLite need not make any to read.
            mode = "ro" if path.with_name(f"{path.name}-wal").exists() else "ro&immutable=1"
        uri = f"{path.resolve().as_uri()}?mode={mode}"
        self._engine = create_engine(
            "sqlite://",
            poolclass=QueuePool,  # which a URL without a file name would not get
            creator=lambda: sqlite3.connect(uri, uri=True, timeout=60, check_same_thread=False),
        )
        if not read_only:
            event.listen(self._engine, "connect", _write_ahead)
        try:
            self.complete = self._has_version()
        except StoreError:
            self.close()
            raise
        if read_only and not self.complete:
            self.close()
            raise StoreError(f"the index {path} is not complete: who may write there has to open the store once")

    def _has_version(self) -> bool:
        """False for an index whose making was never finished: the version comes with the first rows."""
        with self._reported(), self._engine.connect() as connection:
            if not inspect(connection).has_table(_version.name):
                return False
            found = connection.scalar(select(_version.c.version))
        if found not in (None, _VERSION):
            raise StoreError(
                f"{self._path} is an index of version {found}, this program needs {_VERSION}: remove it, and it is "
                "made again from the files"
            )
        return found is not None

    def check(self) -> None:
        """Reads all of the index. Raises DamagedIndex."""
        with self._reported(), self._engine.connect() as connection:
            verdict = connection.scalar(text("PRAGMA quick_check(1)"))
        if verdict != "ok":
            raise DamagedIndex(f"the index {self._path} is damaged: {verdict}")

    def add_pending(self, record: SeriesRecord) -> bool:
        """False when the series is there already, in any state."""
        with self._reported(), self._engine.begin() as connection:
            try:
                connection.execute(insert(_series).values(_row(record, PENDING)))
            except IntegrityError:
                return False
        return True

    def change(self, series_uid: str, before: str, after: str) -> bool:
        """From one state to another; False when there is no such row in state `before`."""
        query = update(_series).where(_series.c.series_uid == series_uid, _series.c.state == before)
        with self._reported(), self._engine.begin() as connection:
            return connection.execute(query.values(state=after)).rowcount == 1

    def remove(self, series_uid: str, state: str) -> None:
        query = delete(_series).where(_series.c.series_uid == series_uid, _series.c.state == state)
        with self._reported(), self._engine.begin() as connection:
            connection.execute(query)

    def unfinished(self) -> list[tuple[str, str]]:
        """(series_uid, state) of everything that is pending or being deleted."""
        query = select(_series.c.series_uid, _series.c.state).where(_series.c.state != STORED)
        with self._reported(), self._engine.connect() as connection:
            return [(row.series_uid, row.state) for row in connection.execute(query)]

    def replace_all(self, records: Iterator[SeriesRecord]) -> int:
        """Forgets every row and stores these instead, in one transaction. Returns how many there are."""
        count = 0
        with self._reported(), self._engine.begin() as connection:
            connection.exec_driver_sql("BEGIN")  # sqlite3 begins by itself only before rows, not before tables
            _schema.create_all(connection)
            connection.execute(delete(_version))
            connection.execute(delete(_series))
            connection.execute(insert(_version).values(version=_VERSION))
            for record in records:
                connection.execute(insert(_series).values(_row(record, STORED)))
                count += 1
        self.complete = True
        return count

    def exact(self, identifier: str) -> SeriesRecord | None:
        """By SeriesInstanceUID or Orthanc identifier."""
        found = or_(_series.c.series_uid == identifier, _series.c.orthanc_id == identifier.lower())
        return next(self._select(_stored().where(found)), None)

    def beginning(self, identifier: str, limit: int) -> list[SeriesRecord]:
        found = or_(
            _series.c.series_uid.startswith(identifier, autoescape=True),
            _series.c.orthanc_id.startswith(identifier.lower(), autoescape=True),
        )
        return list(self._select(_stored().where(found).order_by(_series.c.series_uid).limit(limit)))

    def search(self, match: Mapping[str, str], limit: int | None, offset: int) -> Iterator[SeriesRecord]:
        """Newest first. Raises InvalidRequest for what is not a field of text."""
        if unknown := sorted(set(match) - set(_SEARCHABLE)):
            raise InvalidRequest(
                f"a series cannot be found by {unknown[0]}; search for one of {', '.join(_SEARCHABLE)}"
            )
        query = _stored().where(*(_series.c[name] == value for name, value in match.items()))
        return self._select(query.order_by(_series.c.added.desc(), _series.c.series_uid).limit(limit).offset(offset))

    def close(self) -> None:
        self._engine.dispose()

    def _select(self, query: Select[Any]) -> Iterator[SeriesRecord]:
        with self._reported(), self._engine.connect() as connection:
            for row in connection.execution_options(yield_per=500).execute(query):
                values = row._asdict()
                values["added"] = row.added.replace(tzinfo=UTC)
                yield SeriesRecord(**values, folder=self._series_folder / row.series_uid)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            reason = getattr(error, "orig", None) or error
            code = getattr(reason, "sqlite_errorcode", 0) & 0xFF  # the higher bits tell which kind of it
            kind = DamagedIndex if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) else StoreError
            raise kind(
                f"the index {self._path} cannot be used ({reason}); if it is damaged, "
                f"`wsi-dicom index rebuild --store {self._path.parent}` makes it again from the files"
            ) from error


def set_aside(path: Path) -> Path:
    """Renames an index that nobody uses, and says to what. Raises OSError."""
    kept = path.with_name(f"{path.name}.damaged")
    for suffix in ("-wal", "-shm", ""):  # SQLite would take a side file without its index for that of the next one
        source, target = Path(f"{path}{suffix}"), Path(f"{kept}{suffix}")
        target.unlink(missing_ok=True)
        if source.exists():
            source.rename(target)
    return kept


def _stored() -> Select[Any]:
    return select(*_record_columns).where(_series.c.state == STORED)


def _row(record: SeriesRecord, state: str) -> dict[str, object]:
    values = asdict(record)
    del values["folder"]
    added = record.added.astimezone(UTC).replace(tzinfo=None)
    return values | {"added": added, "state": state}


def _write_ahead(connection: sqlite3.Connection, _record: PoolProxiedConnection) -> None:
    """Readers never wait for a writer, and a commit is on the disk when it returns."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
