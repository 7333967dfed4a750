"""Carries a plan out: encoded frames, in row-major order, into one sink for each level."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

from wsi_dicom.codecs import encode_tile
from wsi_dicom.patch import Patch
from wsi_dicom.plan import Action, ConversionPlan, LevelPlan
from wsi_dicom.region import read_region
from wsi_dicom.slide import Slide

Item = TypeVar("Item")
Result = TypeVar("Result")


class FrameSink(Protocol):
    """Takes the frames of one level, row by row from the upper left."""

    def write(self, frame: bytes) -> None: ...


Progress = Callable[[int, int], None]
"""Called with (tiles, pixels) that were done since the last call, from the thread that started the work."""


def write_frames(
    slide: Slide,
    plan: ConversionPlan,
    sinks: Sequence[FrameSink],
    *,
    threads: int,
    scratch: Path,
    progress: Progress,
) -> None:
    """Writes every frame of every level of `plan`; `sinks` are its levels' in order.

    `scratch` is a folder for what must be kept back for a moment. Raises CodecError, CorruptInput, StoreError.
    """
    from wsi_dicom.pyramid import build_pyramid

    with ThreadPoolExecutor(threads, thread_name_prefix="codec") as pool:
        if any(level.action is Action.DERIVE for level in plan.levels):
            build_pyramid(slide, plan, sinks, pool=pool, threads=threads, scratch=scratch, progress=progress)
            return
        for level, sink in zip(plan.levels, sinks, strict=True):
            for row, frames in _rows(slide, level, plan.quality, pool, threads):
                for frame in frames:
                    sink.write(frame)
                progress(level.output.columns, level.output.width * level.output.tile_region(0, row).height)


def copied_row(slide: Slide, plan: LevelPlan, quality: int, row: int) -> list[bytes]:
    """A row of stored tiles. What is missing, or stored otherwise than its level, is encoded like its level."""
    level = plan.source_level
    return [
        encode_tile(slide.tile(level, column, row), plan.encoding, quality) if stored is None else stored.data
        for column, stored in enumerate(slide.encoded_row(level, row))
    ]


def in_order(
    pool: Executor, work: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[tuple[Item, Result]]:
    """(item, work(item)) in the order of `items`, at most `ahead` of them begun and not yet taken."""
    begun: deque[tuple[Item, Future[Result]]] = deque()
    try:
        for item in items:
            begun.append((item, pool.submit(work, item)))
            if len(begun) >= ahead:
                done, future = begun.popleft()
                yield done, future.result()
        while begun:
            done, future = begun.popleft()
            yield done, future.result()
    finally:
        for _, future in begun:
            future.cancel()


def _rows(
    slide: Slide, plan: LevelPlan, quality: int, pool: Executor, threads: int
) -> Iterator[tuple[int, Iterable[bytes]]]:
    """Every row of tiles of a level with its frames. To read ahead in other threads gains nothing: measured."""
    rows = range(plan.output.rows)
    if plan.action is Action.COPY:
        return ((row, copied_row(slide, plan, quality, row)) for row in rows)
    frames = _encoded_frames(slide, plan, quality, pool, threads)
    return ((row, islice(frames, plan.output.columns)) for row in rows)


def _encoded_frames(slide: Slide, plan: LevelPlan, quality: int, pool: Executor, threads: int) -> Iterator[bytes]:
    level, source = plan.output, plan.source_level

    def encoded(tile: tuple[int, int]) -> bytes:
        inside = level.tile_region(*tile)
        patch = Patch(inside, read_region(slide, source, inside))
        return encode_tile(patch.tile(level, *tile), plan.encoding, quality)

    return (frame for _, frame in in_order(pool, encoded, level.tiles(), ahead=4 * threads))
