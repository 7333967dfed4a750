"""Runs commands and tells what they cost. Nothing but the standard library, for a reason given at `run`."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

COMMANDS = Path(sys.executable).parent

Words = Sequence[str | Path]
Command = Callable[[Path], Words]
"""From an empty folder for the output to the words of a command."""


@dataclass(frozen=True, slots=True)
class Converter:
    """A program of ours that makes something from a source; `output` says where to, and is shown as `output_shown`."""

    name: str
    output: Command
    output_shown: str

    def command(self, source: Path, options: str = "") -> Command:
        return lambda folder: [COMMANDS / self.name, source, *options.split(), *self.output(folder)]

    def shown(self, source: str, options: str = "") -> str:
        return f"`{' '.join([self.name, source, *options.split(), self.output_shown])}`"


DICOMIZE = Converter("dicomize", lambda folder: ["--store", folder], "--store DIR")
DICOM2TIFF = Converter("dicom2tiff", lambda folder: [folder / "out.tif"], "OUT")


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds by the wall clock, seconds of processor time, and the peak of the largest process in MB (10^6 bytes)."""

    wall: float
    cpu: float
    peak_mb: float


def run(command: Words, environment: Mapping[str, str] | None = None) -> Cost:
    """Runs to the end and measures. Exits, with what the command wrote to stderr, when it fails.

    The kernel starts a child's peak with that of its parent, so this process must stay smaller than what it measures.
    Modules may keep their bytecode, as those have it that pip installed: to compile all takes longer than to start.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    process = subprocess.Popen(
        [str(word) for word in command],
        env={**inherited, **(environment or {})},
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


def take_turns(
    commands: Mapping[str, Command], scratch: Path, runs: int, environment: Mapping[str, str] | None = None
) -> dict[str, Cost]:
    """Medians of commands that take turns, so that a slow minute of the machine hits all of them.

    Each has an empty folder in `scratch`, and nothing is left to write from the run before.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            with tempfile.TemporaryDirectory(dir=scratch, prefix="out-") as folder:
                os.sync()
                costs[name].append(run(command(Path(folder)), environment))
    return {name: medians(listed) for name, listed in costs.items()}


def ready(path: Path, builder: str, size: int) -> Path:
    """A slide that is there, and in the page cache. A script builds it, in a process of its own (see `run`)."""
    if not path.exists():
        run([sys.executable, Path(__file__).with_name(builder), "--size", str(size)])
    with path.open("rb") as slide, Path(os.devnull).open("wb") as nowhere:
        shutil.copyfileobj(slide, nowhere, 1 << 20)
    return path


def parser(description: str | None, size: int | None) -> argparse.ArgumentParser:
    """What all benchmarks of a slide may be told: its size, by default `size`, and how often to measure."""
    usual = "one that makes 1 GB" if size is None else str(size)
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--size", type=int, default=size, help=f"pixels per side (default: {usual})")
    made.add_argument("--runs", type=_at_least_three, default=3, help="runs of each command (default: 3)")
    return made


def _at_least_three(word: str) -> int:
    runs = int(word)
    if runs < 3:
        raise argparse.ArgumentTypeError("a median needs at least 3")
    return runs


def verdict(kept: bool) -> str:
    return "kept" if kept else "NOT KEPT"


def cost_row(name: str, cost: Cost) -> list[str]:
    return [name, f"{cost.wall:.2f}", f"{cost.cpu:.2f}", f"{cost.peak_mb:.0f}"]


def print_costs(title: str, costs: Mapping[str, Cost], notes: Iterable[str]) -> None:
    """A section whose rows are commands."""
    print_table(title, ["", "wall s", "CPU s", "peak MB"], [cost_row(*cost) for cost in costs.items()], notes)


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
