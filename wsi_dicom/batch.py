"""Converting many slides side by side, in processes, so that no processor idles while a header is made.

One slide that fails does not stop the others.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wsi_dicom.convert import Dicomized, DicomizeOptions, dicomize
from wsi_dicom.errors import WsiError
from wsi_dicom.slide import Slide
from wsi_dicom.stores import SeriesDestination

if TYPE_CHECKING:
    from wsi_dicom.plan import ConversionPlan

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

    def __init__(self, queue: SimpleQueue[Advance]) -> None:
        self._queue, self._tiles, self._pixels, self._told = queue, 0, 0, time.monotonic()

    def planned(self, plan: ConversionPlan) -> None:
        self._queue.put(Advance(total_pixels=plan.pixel_count))

    def advanced(self, tiles: int, pixels: int) -> None:
        self._tiles += tiles
        self._pixels += pixels
        if time.monotonic() - self._told > _SECONDS_BETWEEN_REPORTS:
            self.flush()

    def flush(self) -> None:
        self._queue.put(Advance(self._tiles, self._pixels))
        self._tiles, self._pixels, self._told = 0, 0, time.monotonic()


_queue: SimpleQueue[Advance]
"""Of a worker process, set when it starts: a queue cannot be handed over with a job."""


def _start_worker(queue: SimpleQueue[Advance]) -> None:
    global _queue  # noqa: PLW0603  # the one thing that a worker process has for all of its jobs
    _queue = queue


def _convert(job: Job) -> Outcome:
    begun = time.monotonic()
    reporter = _Reporter(_queue)
    try:
        done = dicomize(job.opened(), job.destination(), job.options, reporter)
    except WsiError as error:
        return Outcome(job, None, str(error), time.monotonic() - begun)
    finally:
        reporter.flush()
    return Outcome(job, done, None, time.monotonic() - begun)


def dicomize_all(
    jobs: Sequence[Job], processes: int, advanced: Callable[[Advance], None] | None = None
) -> Iterator[Outcome]:
    """Converts every slide, `processes` at a time; gives the outcomes as they come.

    `advanced` is called in the thread that iterates. When a process dies (for want of memory, say), what it may have
    taken with it is tried once more, each alone.
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
    queue: SimpleQueue[Advance] = context.SimpleQueue()
    pool = ProcessPoolExecutor(
        min(processes, len(jobs)), mp_context=context, initializer=_start_worker, initargs=(queue,)
    )
    try:
        waiting = {pool.submit(_convert, job): job for job in jobs}
        while waiting:
            done, _ = wait(waiting, timeout=_SECONDS_BETWEEN_REPORTS, return_when=FIRST_COMPLETED)
            while not queue.empty():
                advance = queue.get()
                if advanced is not None:
                    advanced(advance)
            for future in done:
                job = waiting.pop(future)
                killed = isinstance(future.exception(), BrokenProcessPool)
                yield job, None if killed else replace(future.result(), job=job)  # the very job, not its copy
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
