"""Converting many slides side by side, in processes, so that no processor idles while a header is made.

One slide that fails does not stop the others.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from wsi_dicom.convert import Dicomized, DicomizeOptions, Observer, dicomize
from wsi_dicom.errors import WsiError, system_error_line
from wsi_dicom.slide import Slide
from wsi_dicom.stores import SeriesDestination
from wsi_dicom.workers import Advance, Killed, run_all

logger = logging.getLogger(__name__)

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


def _convert(job: Job, observer: Observer) -> Outcome:
    begun = time.monotonic()
    done, failure = None, None
    try:
        done = dicomize(job.opened(), job.destination(), job.options, observer)
    except WsiError as error:
        failure = str(error)
    except OSError as error:
        failure = f"{job.name}: {system_error_line(error)}"
    except Exception as error:  # a bug that one slide meets is told, and does not end the others
        logger.exception("%s: an error of this program; please report it", job.name)
        failure = f"{job.name}: internal error: {type(error).__name__}: {error}"
    return Outcome(job, done, failure, time.monotonic() - begun)


def dicomize_all(
    jobs: Sequence[Job], processes: int, advanced: Callable[[Advance], None] | None = None
) -> Generator[Outcome]:
    """Converts every slide, `processes` at a time; gives the outcomes as they come.

    `advanced` is called as `run_all` does it. When a process dies (for want of memory, say), what it may have taken
    with it is tried once more, each alone. Who stops iterating closes the iterator: that ends the processes, and what
    they had begun is cleared away.
    """
    killed: list[Job] = []
    for done in run_all([partial(_convert, job) for job in jobs], processes, advanced):
        if isinstance(done, Killed):
            killed.append(jobs[done.number])
        else:
            yield replace(done.result, job=jobs[done.number])  # the very job, not its copy
    for job in killed:
        for alone in run_all([partial(_convert, job)], 1, advanced):
            if isinstance(alone, Killed):
                reason = f"{job.name}: the process that converted it was killed: is there enough memory?"
                yield Outcome(job, None, reason, 0.0)
            else:
                yield replace(alone.result, job=job)
