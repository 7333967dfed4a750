"""What both directions have in common: carrying a plan out, and telling how it goes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from wsi_dicom.frames import FrameSink, write_frames
from wsi_dicom.plan import ConversionPlan
from wsi_dicom.slide import Slide


def usable_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Observer(Protocol):
    """Is told how a conversion goes, in the thread that called it."""

    def planned(self, pixels: int) -> None:
        """Once, before the first tile: how many there will be."""
        ...

    def advanced(self, tiles: int, pixels: int) -> None:
        """So much was done since the last call."""
        ...


def carry_out(
    slide: Slide,
    plan: ConversionPlan,
    sinks: Sequence[FrameSink],
    threads: int,
    scratch: Path,
    observer: Observer | None,
) -> None:
    """Writes every frame of `plan`, see `write_frames`, and tells the observer, if any."""
    if observer is not None:
        observer.planned(plan.pixel_count)
    progress = _ignore if observer is None else observer.advanced
    write_frames(slide, plan, sinks, threads=threads, scratch=scratch, progress=progress)


def _ignore(tiles: int, pixels: int) -> None:
    """The progress of a conversion that nobody watches."""
