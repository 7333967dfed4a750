"""Runs a command and tells what it cost. Nothing but the standard library, for a reason given at `run`."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

COMMANDS = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds by the wall clock, seconds of processor time, and the peak of the largest process in MB (10^6 bytes)."""

    wall: float
    cpu: float
    peak_mb: float


def run(command: Sequence[str | Path], environment: dict[str, str] | None = None) -> Cost:
    """Runs to the end and measures. Exits, with what the command wrote to stderr, when it fails.

    The kernel starts a child's peak with that of its parent, so this process must stay smaller than what it measures.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        [str(word) for word in command],
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None  # noqa: S101 - a pipe was asked for
    complaint = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        words = " ".join(str(word) for word in command)
        sys.exit(f"exit {process.returncode}: {words}\n{complaint.decode(errors='replace')}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6)


def medians(costs: Iterable[Cost]) -> Cost:
    """The median of each figure, and the highest of the peaks."""
    listed = list(costs)
    return Cost(median(c.wall for c in listed), median(c.cpu for c in listed), max(c.peak_mb for c in listed))


def cost_row(name: str, cost: Cost) -> list[str]:
    return [name, f"{cost.wall:.2f}", f"{cost.cpu:.2f}", f"{cost.peak_mb:.0f}"]


def print_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str] = ()) -> None:
    """A section of docs/performance.md: the machine, the command that made it, and the figures."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    print(f"### {title}\n")
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {memory:.0f} GB, Python {platform.python_version()}: "
        f"`{command}`\n"
    )
    for row in [header, ["---"] * len(header), *rows]:
        print("| " + " | ".join(row) + " |")
    for note in notes:
        print(f"\n{note}")
    print(flush=True)
