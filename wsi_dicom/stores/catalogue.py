"""The index of a store: one row a series, in SQL that SQLite and PostgreSQL both understand."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC
from itertools import islice
from pathlib import Path
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, create_engine, delete, event, insert, inspect, or_, select, text, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from wsi_dicom.errors import StoreError
from wsi_dicom.stores import Entity, InstanceRecord, PatientRecord, SeriesQuery, SeriesRecord, StudyRecord
from wsi_dicom.stores.schema import IS_STORED, PENDING, STORED, VERSION, instances, schema, series, version
from wsi_dicom.stores.selection import (
    folded_texts,
    matching_patients,
    matching_series,
    matching_studies,
    number_of,
    stored_series,
)

_ROWS_AT_ONCE: Final = 500


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
        """False for an index that has to be made: its version comes with the first rows, or is an earlier one."""
        with self._reported(), self._engine.connect() as connection:
            if not inspect(connection).has_table(version.name):
                return False
            found = connection.scalar(select(version.c.version))
        if found is not None and found > VERSION:
            raise StoreError(
                f"{self._path} is an index of version {found}, this program knows {VERSION}: use a later one, or "
                "remove the index, and it is made again from the files"
            )
        return found == VERSION

    def check(self) -> None:
        """Reads all of the index. Raises DamagedIndex."""
        with self._reported(), self._engine.connect() as connection:
            verdict = connection.scalar(text("PRAGMA quick_check(1)"))
        if verdict != "ok":
            raise DamagedIndex(f"the index {self._path} is damaged: {verdict}")

    def add_pending(self, record: SeriesRecord, found: Sequence[InstanceRecord]) -> bool:
        """False when the series is there already, in any state."""
        with self._reported(), self._engine.begin() as connection:
            try:
                connection.execute(insert(series).values(_row(record, PENDING)))
            except IntegrityError:
                return False
            connection.execute(insert(instances), [_instance_row(instance) for instance in found])
        return True

    def change(self, series_uid: str, before: str, after: str) -> bool:
        """From one state to another; False when there is no such row in state `before`."""
        query = update(series).where(series.c.series_uid == series_uid, series.c.state == before)
        with self._reported(), self._engine.begin() as connection:
            return connection.execute(query.values(state=after)).rowcount == 1

    def remove(self, series_uid: str, state: str) -> None:
        query = delete(series).where(series.c.series_uid == series_uid, series.c.state == state)
        with self._reported(), self._engine.begin() as connection:
            if connection.execute(query).rowcount:
                connection.execute(delete(instances).where(instances.c.series_uid == series_uid))

    def unfinished(self) -> list[tuple[str, str]]:
        """(series_uid, state) of everything that is pending or being deleted."""
        query = select(series.c.series_uid, series.c.state).where(series.c.state != STORED)
        with self._reported(), self._engine.connect() as connection:
            return [(row.series_uid, row.state) for row in connection.execute(query)]

    def replace_all(self, records: Iterator[tuple[SeriesRecord, Sequence[InstanceRecord]]]) -> int:
        """Forgets every row and stores these instead, in one transaction. Returns how many there are."""
        count = 0
        with self._reported(), self._engine.begin() as connection:
            connection.exec_driver_sql("BEGIN")  # sqlite3 begins by itself only before rows, not before tables
            schema.drop_all(connection)  # they may be those of an earlier version
            schema.create_all(connection)
            connection.execute(insert(version).values(version=VERSION))
            while batch := list(islice(records, _ROWS_AT_ONCE)):
                connection.execute(insert(series), [_row(record, STORED) for record, _ in batch])
                if rows := [_instance_row(instance) for _, found in batch for instance in found]:
                    connection.execute(insert(instances), rows)
                count += len(batch)
        self.complete = True
        return count

    def exact(self, identifier: str) -> SeriesRecord | None:
        """By SeriesInstanceUID or Orthanc identifier."""
        found = or_(series.c.series_uid == identifier, series.c.orthanc_id == identifier.lower())
        return next(self._select(stored_series().where(found)), None)

    def beginning(self, identifier: str, limit: int) -> list[SeriesRecord]:
        found = or_(
            series.c.series_uid.startswith(identifier, autoescape=True),
            series.c.orthanc_id.startswith(identifier.lower(), autoescape=True),
        )
        return list(self._select(stored_series().where(found).order_by(series.c.series_uid).limit(limit)))

    def search(self, query: SeriesQuery, limit: int | None, offset: int) -> Iterator[SeriesRecord]:
        return self._select(matching_series(query, limit, offset))

    def count(self, query: SeriesQuery, entity: Entity) -> int:
        with self._reported(), self._engine.connect() as connection:
            return connection.scalar(number_of(query, entity)) or 0

    def patients(self, query: SeriesQuery, limit: int | None, offset: int) -> list[PatientRecord]:
        with self._reported(), self._engine.connect() as connection:
            found = connection.execute(matching_patients(query, limit, offset))
            return [PatientRecord(**row._asdict()) for row in found]

    def studies(self, query: SeriesQuery, limit: int | None, offset: int) -> list[StudyRecord]:
        with self._reported(), self._engine.connect() as connection:
            found = connection.execute(matching_studies(query, limit, offset))
            return [StudyRecord(**row._asdict()) for row in found]

    def instances(self, series_uid: str) -> list[InstanceRecord]:
        return self._instances(instances.c.series_uid == series_uid)

    def instance(self, identifier: str) -> InstanceRecord | None:
        """By SOPInstanceUID or Orthanc identifier."""
        named = or_(instances.c.sop_instance_uid == identifier, instances.c.orthanc_id == identifier.lower())
        return next(iter(self._instances(named)), None)

    def close(self) -> None:
        self._engine.dispose()

    def _instances(self, condition: ColumnElement[bool]) -> list[InstanceRecord]:
        stored = instances.c.series_uid.in_(select(series.c.series_uid).where(IS_STORED))
        query = select(instances).where(condition, stored).order_by(instances.c.number, instances.c.sop_instance_uid)
        with self._reported(), self._engine.connect() as connection:
            return [
                InstanceRecord(
                    **row._asdict(), path=self._series_folder / row.series_uid / f"{row.sop_instance_uid}.dcm"
                )
                for row in connection.execute(query)
            ]

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


def _row(record: SeriesRecord, state: str) -> dict[str, object]:
    values = asdict(record)
    del values["folder"]
    added = record.added.astimezone(UTC).replace(tzinfo=None)
    return values | folded_texts(record) | {"added": added, "state": state}


def _instance_row(instance: InstanceRecord) -> dict[str, object]:
    values = asdict(instance)
    del values["path"]
    return values


def _write_ahead(connection: sqlite3.Connection, _record: PoolProxiedConnection) -> None:
    """Readers never wait for a writer, and a commit is on the disk when it returns."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
