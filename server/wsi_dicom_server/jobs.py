"""Jobs of the background: so many wait, so many run at once, each in a process of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from wsi_dicom.errors import StoreError, WsiError, on_one_line
from wsi_dicom.workers import Advance, Done, run_all
from wsi_dicom_server.intake import TakenIn, Upload, take_in
from wsi_dicom_server.job_records import ALIVE_EVERY_S, JobRecord, JobRecords, JobState

logger = logging.getLogger(__name__)

_LOOKED_AFTER_EVERY_S: Final = 0.25
_NOTHING: Final = TakenIn((), ())


class Busy(WsiError):
    """Too many jobs wait already."""


class _Stopped(Exception):
    """Somebody cancelled it, or the server ends."""


@dataclass(slots=True)
class _Job:
    """A job of this process: what is to be done, and the folder that goes away with it; at last what came of it."""

    upload: Upload
    folder: ExitStack
    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    steps: int = 0
    total_steps: int = 0
    ended: tuple[JobState, TakenIn] | None = None

    def advanced(self, advance: Advance) -> None:
        """Raises _Stopped."""
        if self.stop.is_set():
            raise _Stopped
        self.steps += advance.pixels
        self.total_steps += advance.total_pixels

    def end(self, state: JobState, taken: TakenIn = _NOTHING) -> None:
        """Clears away first: who reads that a job has ended finds nothing of it."""
        self.folder.close()
        self.ended = state, taken

    @property
    def progress(self) -> int:
        return min(99, 100 * self.steps // max(1, self.total_steps))


class Jobs:
    """The jobs of one process of the server; the records tell of those of the others, too.

    One thread looks after them: it starts what may run, and sees what is to be cancelled, by whichever process that
    was asked for. It begins with the first job.
    """

    def __init__(self, records: JobRecords, *, at_once: int, most: int) -> None:
        self.records = records
        self._at_once, self._most = at_once, most
        self._jobs: dict[str, _Job] = {}
        self._receiving = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._keeper: threading.Thread | None = None

    @contextmanager
    def place(self) -> Iterator[None]:
        """Kept while an upload comes in, so that it is not for nothing. Raises Busy, StoreError."""
        with self._lock:
            if self._receiving + self.records.undone() >= self._most:
                raise Busy("too many uploads wait")
            self._receiving += 1
        try:
            yield
        finally:
            with self._lock:
                self._receiving -= 1

    def submit(self, name: str, upload: Upload, folder: ExitStack) -> JobRecord:
        """`folder` is taken over, and left when the job has ended, however it does. Raises Busy, StoreError."""
        with self._lock:
            record = self.records.add(name, self._most) if not self._closing else None
            if record is None:
                raise Busy("too many uploads wait")
            self._jobs[record.id] = _Job(upload, folder.pop_all())
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, name="jobs", daemon=True)
                self._keeper.start()
        self._wake.set()
        return record

    def close(self) -> None:
        """Ends all that this process has to do, and clears it away."""
        with self._lock:
            self._closing = True
        self._wake.set()
        if self._keeper is not None:
            self._keeper.join()

    def _keep(self) -> None:
        told, pause_s = time.monotonic(), _LOOKED_AFTER_EVERY_S
        while not (self._closing and not self._jobs):
            self._wake.wait(pause_s if self._jobs else None)
            self._wake.clear()
            pause_s = _LOOKED_AFTER_EVERY_S
            try:
                self._look_after()
                if self._jobs and time.monotonic() - told > ALIVE_EVERY_S:
                    self.records.stay_alive()
                    told = time.monotonic()
            except StoreError as error:
                logger.error("%s", error)  # noqa: TRY400 - its line says all
                pause_s = ALIVE_EVERY_S  # a full disk does not need four lines a second
                if self._closing:
                    self._stop_all()

    def _stop_all(self) -> None:
        """Without the records, which cannot be used."""
        for job in self._jobs.values():
            job.stop.set()
        for job in self._jobs.values():
            if job.thread is not None:
                job.thread.join()
            else:
                job.end(JobState.CANCELLED)
        self._jobs.clear()

    def _look_after(self) -> None:
        """The oldest first. Raises StoreError: what could not be written down then is so the next time."""
        with self._lock:  # whatever is in here has its record
            jobs = dict(self._jobs)
        records = {record.id: record for record in self.records.own()} if jobs else {}
        for identifier, job in jobs.items():
            record = records.get(identifier)
            if record is None or record.cancelling or self._closing:  # None: others took this process for dead
                job.stop.set()
            if job.thread is None and job.stop.is_set():
                job.end(JobState.CANCELLED)
            if job.ended is not None:
                state, taken = job.ended
                self.records.end(identifier, state, taken.series, on_one_line("; ".join(taken.failures)))
                del self._jobs[identifier]
            elif job.thread is None:
                if self.records.begin(identifier, self._at_once):
                    job.thread = threading.Thread(target=self._run, args=(identifier, job), name=f"job {identifier}")
                    job.thread.start()
            elif record is not None and job.progress > record.progress:
                self.records.advance(identifier, job.progress)

    def _run(self, identifier: str, job: _Job) -> None:
        state, taken = JobState.FAILURE, _NOTHING
        try:
            with closing(run_all([partial(take_in, job.upload)], 1, job.advanced)) as running:
                done = next(running)
            if isinstance(done, Done):
                taken = done.result
            else:
                taken = TakenIn((), ("the process that converted this was killed: is there enough memory?",))
            state = JobState.FAILURE if taken.failures else JobState.SUCCESS
        except _Stopped:
            state = JobState.CANCELLED
        except Exception:  # a bug ends its job, not the server
            logger.exception("job %s: an error of this program; please report it", identifier)
            taken = TakenIn((), ("internal error; the server's log has the details",))
        job.end(state, taken)
        self._wake.set()
