"""Converting many slides side by side, in processes, so that no processor idles while a header is made.

One slide that fails does not stop the others.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Final

from wsi_dicom.convert import Dicomized, DicomizeOptions, dicomize
from wsi_dicom.errors import WsiError, system_error_line
from wsi_dicom.slide import Slide
from wsi_dicom.stores import SeriesDestination

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_REPORTS: Final = 0.2

Destination = Callable[[], SeriesDestination]
"""Opens where a series goes, in the process that converts it. Picklable: a module's function, or a partial of one."""


@dataclass(frozen=True, slots=True)
class Job:
    """One slide to convert."""

    name: str
    source: Path | Callable[[], Slide]
    """A file, or what opens the slide: picklable too."""
    destination: Destination
    options: DicomizeOptions

    def opened(self) -> Path | Slide:
        """What `dicomize` takes."""
        return self.source if isinstance(self.source, Path) else self.source()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a job: its series, or why there is none."""

    job: Job
    done: Dicomized | None
    failure: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Advance:
    """So many tiles and pixels of a job were done; with `total_pixels` when it was planned."""

    tiles: int = 0
    pixels: int = 0
    total_pixels: int = 0


class _Reporter:
    """An Observer that tells the process that waits, now and then."""

    def __init__(self) -> None:
        self._tiles, self._pixels, self._told = 0, 0, time.monotonic()

    def planned(self, pixels: int) -> None:
        _queue.put(Advance(total_pixels=pixels))

    def advanced(self, tiles: int, pixels: int) -> None:
        self._tiles += tiles
        self._pixels += pixels
        if time.monotonic() - self._told > _SECONDS_BETWEEN_REPORTS:
            self.flush()

    def flush(self) -> None:
        _queue.put(Advance(self._tiles, self._pixels))
        self._tiles, self._pixels, self._told = 0, 0, time.monotonic()


class _LogOfWorker(logging.Handler):
    """Hands the log over to the process that waits."""

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args = self.format(record), None  # arguments and tracebacks are not always picklable
        record.exc_info = record.exc_text = None
        _queue.put(record)


_queue: SimpleQueue[Advance | logging.LogRecord]
"""Of a worker process, set when it starts: a queue cannot be handed over with a job."""


def _start_worker(queue: SimpleQueue[Advance | logging.LogRecord], log_level: int) -> None:
    global _queue  # noqa: PLW0603  # the one thing that a worker process has for all of its jobs
    _queue = queue
    logging.getLogger().setLevel(log_level)
    logging.getLogger().addHandler(_LogOfWorker())
    warnings.filterwarnings("ignore", module="pydicom")  # as in the process that waits
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed ends nobody; its workers would wait for the next job for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _convert(job: Job) -> Outcome:
    begun = time.monotonic()
    reporter = _Reporter()
    done, failure = None, None
    try:
        done = dicomize(job.opened(), job.destination(), job.options, reporter)
    except WsiError as error:
        failure = str(error)
    except OSError as error:
        failure = f"{job.name}: {system_error_line(error)}"
    except Exception as error:  # a bug that one slide meets is told, and does not end the others
        logger.exception("%s: an error of this program; please report it", job.name)
        failure = f"{job.name}: internal error: {type(error).__name__}: {error}"
    except SystemExit:  # what was begun is cleared away; the pool would go on with the next job
        os._exit(1)
    reporter.flush()
    return Outcome(job, done, failure, time.monotonic() - begun)


def dicomize_all(
    jobs: Sequence[Job], processes: int, advanced: Callable[[Advance], None] | None = None
) -> Generator[Outcome]:
    """Converts every slide, `processes` at a time; gives the outcomes as they come.

    `advanced` is called in the thread that iterates; what the processes log is logged there too. When a process dies
    (for want of memory, say), what it may have taken with it is tried once more, each alone. Who stops iterating closes
    the iterator: that ends the processes, and what they had begun is cleared away.
    """
    killed: list[Job] = []
    for job, outcome in _run(jobs, processes, advanced):
        if outcome is None:
            killed.append(job)
        else:
            yield outcome
    for job in killed:
        for _, outcome in _run([job], 1, advanced):
            reason = f"{job.name}: the process that converted it was killed: is there enough memory?"
            yield outcome or Outcome(job, None, reason, 0.0)


def _run(
    jobs: Sequence[Job], processes: int, advanced: Callable[[Advance], None] | None
) -> Iterator[tuple[Job, Outcome | None]]:
    """Each job with its outcome; None when a process died before it had one."""
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of the threads that we have
    queue: SimpleQueue[Advance | logging.LogRecord] = context.SimpleQueue()
    pool = ProcessPoolExecutor(
        min(processes, len(jobs)),
        mp_context=context,
        initializer=_start_worker,
        initargs=(queue, logging.getLogger().getEffectiveLevel()),
    )
    others = multiprocessing.active_children()
    waiting: dict[Future[Outcome], Job] = {}
    try:
        with _without_interrupts():
            waiting.update((pool.submit(_convert, job), job) for job in jobs)
        while waiting:
            done, _ = wait(waiting, timeout=_SECONDS_BETWEEN_REPORTS, return_when=FIRST_COMPLETED)
            _pass_on(queue, advanced)
            for future in done:
                job = waiting.pop(future)
                killed = isinstance(future.exception(), BrokenProcessPool)
                yield job, None if killed else replace(future.result(), job=job)  # the very job, not its copy
    finally:
        if waiting:  # we are to stop
            for process in set(multiprocessing.active_children()).difference(others):
                process.terminate()
        pool.shutdown(cancel_futures=True)


def _pass_on(queue: SimpleQueue[Advance | logging.LogRecord], advanced: Callable[[Advance], None] | None) -> None:
    while not queue.empty():
        told = queue.get()
        if isinstance(told, logging.LogRecord):
            logging.getLogger(told.name).handle(told)
        elif advanced is not None:
            advanced(told)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes that are started here never see Ctrl-C, which a terminal sends to all: the one that waits ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
