"""What is known of jobs, in a file that all processes of a server share.

Nobody else may read it: the names of files may name patients. A process that has jobs to do says every few seconds
that it is alive: jobs of one that no longer does have failed.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)

from wsi_dicom.errors import NotFound
from wsi_dicom_server.private_database import PrivateDatabase

JOBS_FILE: Final = "jobs.sqlite"
_VERSION: Final = "jobs_1"  # the table's name: a later version makes its own
_KEPT: Final = 200
_SILENT_S: Final = 20.0
ALIVE_EVERY_S: Final = 2.0

_schema = MetaData()
_jobs = Table(
    _VERSION,
    _schema,
    Column("number", Integer, primary_key=True),  # in the order in which they came
    Column("id", String(36), nullable=False, unique=True),
    Column("owner", String(32), nullable=False),
    Column("alive", Float, nullable=False),  # when its owner last said so; seconds since 1970, as all times here
    Column("name", String, nullable=False),
    Column("state", String(10), nullable=False),
    Column("progress", Integer, nullable=False),
    Column("cancelling", Boolean, nullable=False),
    Column("created", Float, nullable=False),
    Column("begun", Float),
    Column("ended", Float),
    Column("error", String, nullable=False),
    Column("series", String, nullable=False),  # JSON
)


class JobState(StrEnum):
    """Orthanc's words; the last is ours."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCESS = "Success"
    FAILURE = "Failure"
    CANCELLED = "Cancelled"


_UNDONE: Final = (JobState.PENDING, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as it stands. `progress` goes to 100; times are in seconds since 1970; `error` says what failed."""

    id: str
    name: str
    state: JobState
    progress: int
    cancelling: bool
    created: float
    begun: float | None
    ended: float | None
    error: str
    series: tuple[str, ...]

    @property
    def done(self) -> bool:
        return self.state not in _UNDONE


class JobRecords:
    """Safe to use from many threads and processes at once. Every method raises StoreError when the file cannot do it.

    The file is made with the first job.
    """

    def __init__(self, path: Path) -> None:
        self._file = PrivateDatabase(path, "the jobs")
        self._owner = uuid.uuid4().hex

    def add(self, name: str, most: int) -> JobRecord | None:
        """A new job of this process, that waits; None when `most` wait or run already."""
        now, identifier = time.time(), str(uuid.uuid4())
        values = {"id": identifier, "owner": self._owner, "alive": now, "name": name, "created": now}
        values |= {"state": JobState.PENDING, "progress": 0, "cancelling": False, "error": "", "series": "[]"}
        with self._connected() as connection:
            if self._count(connection, *_UNDONE) >= most:
                return None
            connection.execute(insert(_jobs).values(**values))
            ended = select(_jobs.c.number).where(_jobs.c.state.not_in(_UNDONE)).order_by(_jobs.c.number.desc())
            connection.execute(delete(_jobs).where(_jobs.c.number.in_(ended.offset(_KEPT))))
        return self.get(identifier)

    def undone(self) -> int:
        """How many wait or run."""
        if not self._file.exists():
            return 0
        with self._connected() as connection:
            return self._count(connection, *_UNDONE)

    def all(self) -> list[JobRecord]:
        """The newest first."""
        if not self._file.exists():
            return []
        with self._connected() as connection:
            self._bury(connection)
            return [_record(row) for row in connection.execute(select(_jobs).order_by(_jobs.c.number.desc()))]

    def own(self) -> list[JobRecord]:
        """What this process has to do, the oldest first."""
        query = select(_jobs).where(_jobs.c.owner == self._owner, _jobs.c.state.in_(_UNDONE)).order_by(_jobs.c.number)
        with self._connected() as connection:
            return [_record(row) for row in connection.execute(query)]

    def get(self, identifier: str) -> JobRecord:
        """Raises NotFound."""
        if self._file.exists():
            with self._connected() as connection:
                self._bury(connection)
                for row in connection.execute(select(_jobs).where(_jobs.c.id == identifier)):
                    return _record(row)
        raise NotFound(f"no job {identifier[:40]!r}")

    def begin(self, identifier: str, at_once: int) -> bool:
        """Whether it runs now: never more than `at_once` do."""
        with self._connected() as connection:
            if self._count(connection, JobState.RUNNING) >= at_once:
                return False
            return self._set(connection, identifier, state=JobState.RUNNING, begun=time.time())

    def advance(self, identifier: str, progress: int) -> None:
        """`progress` is of 100; of a job that has ended it stays as it is."""
        with self._connected() as connection:
            self._set(connection, identifier, progress=progress)

    def end(self, identifier: str, state: JobState, series: tuple[str, ...] = (), error: str = "") -> None:
        """`series` are SeriesInstanceUIDs that are stored now, `error` says what failed; it ends once."""
        told = {"state": state, "ended": time.time(), "series": json.dumps(series), "error": error}
        if state is JobState.SUCCESS:
            told["progress"] = 100
        with self._connected() as connection:
            self._set(connection, identifier, **told)

    def cancel(self, identifier: str) -> JobRecord | None:
        """Asks the owner to end it; one that has ended is forgotten: None. Raises NotFound."""
        if self.get(identifier).done:
            with self._connected() as connection:
                connection.execute(delete(_jobs).where(_jobs.c.id == identifier))
            return None
        with self._connected() as connection:
            self._set(connection, identifier, cancelling=True)
        return self.get(identifier)

    def stay_alive(self) -> None:
        """To be said every ALIVE_EVERY_S by who has jobs to do."""
        query = update(_jobs).where(_jobs.c.owner == self._owner, _jobs.c.state.in_(_UNDONE)).values(alive=time.time())
        with self._connected() as connection:
            connection.execute(query)

    def _bury(self, connection: Connection) -> None:
        """Jobs of others: who asks lives, however long the machine slept."""
        silent = (_jobs.c.alive < time.time() - _SILENT_S) & (_jobs.c.owner != self._owner)
        query = update(_jobs).where(_jobs.c.state.in_(_UNDONE), silent)
        words = "the server ended before this was done; upload it again"
        connection.execute(query.values(state=JobState.FAILURE, error=words, ended=_jobs.c.alive))

    def _count(self, connection: Connection, *states: JobState) -> int:
        self._bury(connection)
        query = select(func.count()).select_from(_jobs).where(_jobs.c.state.in_(states))
        return connection.scalar(query) or 0

    @staticmethod
    def _set(connection: Connection, identifier: str, **values: Any) -> bool:
        """Whether there was anything to change: what has ended stays as it is."""
        undone = update(_jobs).where(_jobs.c.id == identifier, _jobs.c.state.in_(_UNDONE))
        return connection.execute(undone.values(**values)).rowcount > 0

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        with self._file.writing() as connection:
            _schema.create_all(connection)
            yield connection


def _record(row: Any) -> JobRecord:
    return JobRecord(
        row.id,
        row.name,
        JobState(row.state),
        row.progress,
        row.cancelling,
        row.created,
        row.begun,
        row.ended,
        row.error,
        tuple(json.loads(row.series)),
    )
