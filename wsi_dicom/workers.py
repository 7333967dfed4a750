"""Running tasks in processes of their own: on all processors, and to be ended at any time."""

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
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from typing import Final, Generic, TypeVar

from wsi_dicom.convert.observer import Observer

T = TypeVar("T")

_SECONDS_BETWEEN_REPORTS: Final = 0.2
_SECONDS_TO_CLEAR_AWAY: Final = 30.0

Task = Callable[[Observer], T]
"""Picklable: a module's function, or a partial of one."""


@dataclass(frozen=True, slots=True)
class Advance:
    """So many tiles and pixels of a task were done; with `total_pixels` when it was planned."""

    tiles: int = 0
    pixels: int = 0
    total_pixels: int = 0


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """What came of a task, by its place among those given."""

    number: int
    result: T


@dataclass(frozen=True, slots=True)
class Killed:
    """A task that some process died with, for want of memory, say; not always the one that was to blame."""

    number: int


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
"""Of a worker process, set when it starts: a queue cannot be handed over with a task."""

_starting = threading.Lock()
"""Whoever starts processes has to know which of all children are its own."""


def _start_worker(queue: SimpleQueue[Advance | logging.LogRecord], log_level: int) -> None:
    global _queue  # noqa: PLW0603  # the one thing that a worker process has for all of its tasks
    _queue = queue
    logging.getLogger().setLevel(log_level)
    logging.getLogger().addHandler(_LogOfWorker())
    warnings.filterwarnings("ignore", module="pydicom")  # as in the process that waits
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    end_with_parent(lambda: os._exit(1))


def end_with_parent(end: Callable[[], object]) -> None:
    """Calls `end`, in a thread, once the process that started this one is gone.

    A parent that was killed ends nobody; its processes would wait for the next task for ever.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait_for_it() -> None:
        parent.join()  # by a pipe that its death closes
        end()

    threading.Thread(target=wait_for_it, name="end with parent", daemon=True).start()


def _do(task: Task[T]) -> T:
    reporter = _Reporter()
    try:
        return task(reporter)
    except SystemExit:  # what was begun is cleared away; the pool would go on with the next task
        os._exit(1)
    finally:
        reporter.flush()


def run_all(
    tasks: Sequence[Task[T]], processes: int, advanced: Callable[[Advance], None] | None = None
) -> Generator[Done[T] | Killed]:
    """Runs every task, `processes` at a time; gives what comes of each as it comes. Raises what a task raises.

    `advanced` is called in the thread that iterates, five times a second even when there is nothing to tell; what the
    processes log is logged there too. Who raises in it, or stops iterating and closes the iterator, ends the
    processes, and what they had begun is cleared away.
    """
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of the threads that we have
    queue: SimpleQueue[Advance | logging.LogRecord] = context.SimpleQueue()
    pool = ProcessPoolExecutor(
        min(processes, len(tasks)),
        mp_context=context,
        initializer=_start_worker,
        initargs=(queue, logging.getLogger().getEffectiveLevel()),
    )
    waiting: dict[Future[T], int] = {}
    own: set[BaseProcess] = set()
    try:
        with _starting, _without_interrupts():
            others = set(multiprocessing.active_children())
            try:
                waiting.update((pool.submit(_do, task), number) for number, task in enumerate(tasks))
            finally:
                own = set(multiprocessing.active_children()) - others
        while waiting:
            done, _ = wait(waiting, timeout=_SECONDS_BETWEEN_REPORTS, return_when=FIRST_COMPLETED)
            _pass_on(queue, advanced)
            for future in done:
                number = waiting.pop(future)
                killed = isinstance(future.exception(), BrokenProcessPool)
                yield Killed(number) if killed else Done(number, future.result())
    finally:
        if waiting:  # we are to stop
            _end(own)
        pool.shutdown(cancel_futures=True)
        queue.close()


def _end(processes: set[BaseProcess]) -> None:
    """Asks them to clear away and go; what is stuck in some library's code, and does not hear it, is killed."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _SECONDS_TO_CLEAR_AWAY
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        process.kill()


def _pass_on(queue: SimpleQueue[Advance | logging.LogRecord], advanced: Callable[[Advance], None] | None) -> None:
    while not queue.empty():
        told = queue.get()
        if isinstance(told, logging.LogRecord):
            logging.getLogger(told.name).handle(told)
        elif advanced is not None:
            advanced(told)
    if advanced is not None:
        advanced(Advance())


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes that are started here never see Ctrl-C, which a terminal sends to all: the one that waits ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
