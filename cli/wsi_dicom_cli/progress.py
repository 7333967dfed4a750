"""Showing how a conversion goes: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from wsi_dicom.batch import Outcome
    from wsi_dicom.convert import Observer
    from wsi_dicom.workers import Advance

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def shown_progress(name: str, *, quiet: bool) -> Iterator[Observer | None]:
    """An observer that shows the conversion of `name` on standard error while the context lasts; None when quiet."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar() as bar:
            yield BarObserver(bar, name)
    else:
        yield LineObserver(name)


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%  {task.fields[tiles]:,} tiles  {task.fields[speed]:.0f} MP/s"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


@contextmanager
def shown_batch(slides: int, *, quiet: bool) -> Iterator[BatchDisplay]:
    """Shows how far all slides are together while the context lasts; failures as they come."""
    display = BatchDisplay(slides, quiet=quiet)
    if quiet or not sys.stderr.isatty():
        yield display
        return
    with _bar() as bar:
        display.bar = bar
        display.task = bar.add_task(f"0 of {slides} slides", total=None, tiles=0, speed=0.0)
        yield display


class BatchDisplay:
    """One bar for all slides on a terminal; elsewhere a line for each that is done."""

    def __init__(self, slides: int, *, quiet: bool) -> None:
        self.bar: Progress | None = None
        self.task: TaskID | None = None
        self._slides, self._quiet, self._finished = slides, quiet, 0
        self._counter, self._planned = _Counter(), 0

    def advanced(self, advance: Advance) -> None:
        """Some slide came further, or was planned."""
        self._counter.advanced(advance.tiles, advance.pixels)
        if advance.total_pixels:
            self._planned += 1
            self._counter.total_pixels += advance.total_pixels
        self._update()

    def finished(self, outcome: Outcome) -> None:
        """A slide is done, or failed."""
        self._finished += 1
        self._update()
        if self._quiet:
            return
        said = f"{self._finished} of {self._slides}: {outcome.job.name}"
        line = f"{said}: FAILED: {outcome.failure}" if outcome.failure else f"{said}: {outcome.seconds:.1f} s"
        if self.bar is None:
            click.echo(line, err=True)
        elif outcome.failure:
            self.bar.console.print(line, markup=False)

    def _update(self) -> None:
        if self.bar is None or self.task is None:
            return
        # slides that wait are taken to be as large as those that were planned
        total = self._counter.total_pixels * self._slides // max(1, self._planned)
        self.bar.update(
            self.task,
            description=f"{self._finished} of {self._slides} slides",
            total=total or None,
            completed=self._counter.pixels,
            tiles=self._counter.tiles,
            speed=self._counter.megapixels_per_second,
        )


class _Counter:
    """Adds up what was done, and how fast."""

    def __init__(self) -> None:
        self.tiles = self.pixels = self.total_pixels = 0
        self._begun = time.monotonic()

    def planned(self, pixels: int) -> None:
        self.total_pixels = pixels
        self._begun = time.monotonic()

    def advanced(self, tiles: int, pixels: int) -> None:
        self.tiles += tiles
        self.pixels += pixels

    @property
    def megapixels_per_second(self) -> float:
        return self.pixels / 1e6 / max(1e-6, time.monotonic() - self._begun)


class BarObserver:
    """A bar with tiles, MP/s and the time left."""

    def __init__(self, bar: Progress, name: str) -> None:
        self._bar, self._name, self._counter = bar, name, _Counter()
        self._task: TaskID | None = None

    def planned(self, pixels: int) -> None:
        self._counter.planned(pixels)
        self._task = self._bar.add_task(self._name, total=pixels, tiles=0, speed=0.0)

    def advanced(self, tiles: int, pixels: int) -> None:
        before, counter = self._counter.pixels, self._counter
        counter.advanced(tiles, pixels)
        # a thousand steps are enough for any bar, and cost nothing beside a copy of a million tiles
        step = max(1, counter.total_pixels // 1000)
        if self._task is not None and (before // step != counter.pixels // step):
            self._bar.update(
                self._task, completed=counter.pixels, tiles=counter.tiles, speed=counter.megapixels_per_second
            )


class LineObserver:
    """A plain line every ten seconds, for logs."""

    def __init__(self, name: str) -> None:
        self._name, self._counter = name, _Counter()
        self._next = time.monotonic() + SECONDS_BETWEEN_LINES

    def planned(self, pixels: int) -> None:
        self._counter.planned(pixels)

    def advanced(self, tiles: int, pixels: int) -> None:
        counter = self._counter
        counter.advanced(tiles, pixels)
        now = time.monotonic()
        if now >= self._next:
            self._next = now + SECONDS_BETWEEN_LINES
            share = 100 * counter.pixels // max(1, counter.total_pixels)
            click.echo(
                f"{self._name}: {share}%, {counter.tiles} tiles, {counter.megapixels_per_second:.0f} MP/s", err=True
            )
