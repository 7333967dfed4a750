"""Carries a plan out: encoded frames, in row-major order, into one sink for each level."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
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
            pixels_per_tile = level.output.width * level.output.height // level.output.tile_count
            frames = (
                copied_frames(slide, level, plan.quality, level.output.tiles())
                if level.action is Action.COPY
                else _encoded_frames(slide, level, plan.quality, pool, threads)
            )
            for frame in frames:
                sink.write(frame)
                progress(1, pixels_per_tile)


def copied_frames(slide: Slide, plan: LevelPlan, quality: int, tiles: Iterable[tuple[int, int]]) -> Iterator[bytes]:
    """The stored streams of `tiles`. What is missing, or stored otherwise than its level, is encoded like its level."""
    level = plan.source_level
    for column, row in tiles:
        stored = slide.encoded_tile(level, column, row)
        yield stored.data if stored is not None else encode_tile(slide.tile(level, column, row), plan.encoding, quality)


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


def _encoded_frames(slide: Slide, plan: LevelPlan, quality: int, pool: Executor, threads: int) -> Iterator[bytes]:
    level, source = plan.output, plan.source_level

    def encoded(tile: tuple[int, int]) -> bytes:
        inside = level.tile_region(*tile)
        patch = Patch(inside, read_region(slide, source, inside))
        return encode_tile(patch.tile(level, *tile), plan.encoding, quality)

    return (frame for _, frame in in_order(pool, encoded, level.tiles(), ahead=4 * threads))
