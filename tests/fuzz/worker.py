"""Trials in a process of their own, with limits, since what is tried is native code too."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import random
import resource
import shutil
import signal
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import TracebackType

from tests.fuzz.reading import read
from tests.fuzz.storing import store
from tests.fuzz.to_tiff import write_tiff
from tests.fuzz.trial import Job, Outcome, Verdict, attempt, chosen_options, converted
from wsi_dicom.convert import DicomizeOptions

ADDRESS_SPACE = 3 << 30
MEMORY = 1 << 30
"""That is really used for one slide; its tiles may have 256 MiB, and are held a few times."""
LARGEST_FILE = 1 << 30
PROCESSOR_SECONDS = 120
"""Of one slide, which as a rule needs a tenth of one; but a small file may rightly claim to show a whole glass."""
SECONDS = 600
"""After which it waits for something that does not come."""
_PEAK = Path("/proc/self/clear_refs")
_TOLD = 4000  # characters of what a process that died has said


class Worker:
    """A process that tries one slide after the other, and another one when it has died. A context manager."""

    def __init__(self, folder: Path) -> None:
        """`folder` is where it writes; what it says goes into a file beside that."""
        self._folder, self._said = folder, folder.with_suffix(".txt")
        self._process: SpawnProcess | None = None
        self._jobs: Connection

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def attempt(self, slide: Path, job: Job, seed: int | None) -> Outcome:
        """`seed` is that of the options; None for the ordinary ones."""
        if self._process is None:
            self._start()
        process = self._process
        assert process is not None
        self._jobs.send((slide, job, seed))
        try:
            if not self._jobs.poll(SECONDS):
                os.kill(process.pid or 0, signal.SIGABRT)
                process.join()
            outcome: Outcome = self._jobs.recv()
        except (EOFError, ConnectionResetError):
            process.join()
            self._stop()
            return Outcome(
                Verdict.WRONG, f"{_end(process.exitcode)}\n{self._said.read_text(errors='replace')[-_TOLD:]}"
            )
        return outcome

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy the locks of our threads
        self._jobs, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, self._folder, self._said))
        self._process.start()
        theirs.close()

    def _stop(self) -> None:
        if self._process is not None:
            self._jobs.close()
            self._process.join()
            self._process = None


def _end(code: int | None) -> str:
    if code == -signal.SIGPROF:
        return f"took more than {PROCESSOR_SECONDS} s of processor time"
    if code == -signal.SIGABRT:
        return f"aborted, or took more than {SECONDS} s"
    return f"ended by {signal.Signals(-code).name}" if code is not None and code < 0 else f"exited with {code}"


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise FileNotFoundError(name)
    return path


def _work(jobs: Connection, folder: Path, said: Path) -> None:
    """Takes slides until there are no more."""
    with said.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    faulthandler.enable()
    faulthandler.register(signal.SIGPROF, chain=True)  # tells where it was when its time was over, and ends
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while True:
        try:
            slide, job, seed = jobs.recv()
        except EOFError:
            return
        jobs.send(_within_limits(partial(attempt, folder, _doing(job, slide, seed))))


def _doing(job: Job, slide: Path, seed: int | None) -> Callable[[Path], Outcome]:
    options = DicomizeOptions(threads=2) if seed is None else chosen_options(random.Random(seed))
    return {
        Job.CONVERT: partial(converted, slide, options, _program),
        Job.READ: partial(read, slide, seed),
        Job.STORE: partial(store, slide),
        Job.TIFF: partial(write_tiff, slide, seed),
    }[job]


def _within_limits(attempted: Callable[[], Outcome]) -> Outcome:
    before = _resident("VmRSS")
    _PEAK.write_text("5")  # forgets that of the slides before: proc(5)
    signal.setitimer(signal.ITIMER_PROF, PROCESSOR_SECONDS)
    outcome = attempted()
    signal.setitimer(signal.ITIMER_PROF, 0)
    used = _resident("VmHWM") - before
    return outcome if used <= MEMORY else Outcome(Verdict.WRONG, f"took {used >> 20} MiB: {outcome.text}")


def _resident(field: str) -> int:
    """Bytes of memory that this process has, or had at most."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.split(f"{field}:")[1].split()[0]) << 10
