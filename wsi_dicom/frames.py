"""Carries a plan out: encoded frames, in the order of DICOM's TILED_FULL, into one sink for each level."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Final, Protocol, TypeVar

from wsi_dicom.codecs import encode_tile
from wsi_dicom.decoded_cache import kept_tiles
from wsi_dicom.errors import CodecError
from wsi_dicom.geometry import Plane
from wsi_dicom.patch import Patch
from wsi_dicom.plan import Action, ConversionPlan, LevelPlan
from wsi_dicom.region import read_region
from wsi_dicom.slide import EncodedTile, Slide

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


class FrameSink(Protocol):
    """Takes the frames of one level: plane by plane, each row by row from the upper left."""

    def write(self, frame: bytes | None) -> None:
        """Takes the next frame; None for one that a sparse level goes without."""
        ...


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

    copies = all(level.action is Action.COPY for level in plan.levels) and not plan.verify
    with (
        nullcontext() if copies else _one_thread_in_opencv,
        ThreadPoolExecutor(threads, thread_name_prefix="codec") as pool,
    ):
        for plane in plan.planes:
            if any(level.action is Action.DERIVE for level in plan.levels):
                build_pyramid(
                    slide, plan, sinks, plane=plane, pool=pool, threads=threads, scratch=scratch, progress=progress
                )
                continue
            for number, sink in enumerate(sinks):
                level = plan.levels[number].output
                for row, frames in level_rows(slide, plan, number, plane, pool, threads):
                    for frame in frames:
                        sink.write(frame)
                    progress(level.columns, level.width * level.tile_region(0, row).height)


class _OneThreadInOpenCv:
    """While anybody is within, OpenCV has no threads of its own: ours, which call it, would only be in their way.

    They take a tenth of the time of a rebuild. To import it takes 0.04 s, which those who only copy are spared.
    """

    def __init__(self) -> None:
        self._lock, self._users, self._threads = threading.Lock(), 0, 1

    def __enter__(self) -> None:
        import cv2

        with self._lock:
            if not self._users:
                self._threads = cv2.getNumThreads()
                cv2.setNumThreads(1)
            self._users += 1

    def __exit__(self, *_: object) -> None:
        import cv2

        with self._lock:
            self._users -= 1
            if not self._users:
                cv2.setNumThreads(self._threads)


_one_thread_in_opencv: Final = _OneThreadInOpenCv()
"""One for the process, as the number of OpenCV's threads is."""


def recompress(stored: EncodedTile, name: str, otherwise: Callable[[], Result]) -> bytes | Result:
    """A JPEG stream in JPEG XL that gives it back bit by bit; where libjxl does not take it, what `otherwise` makes.

    `name` is what the warning then begins with.
    """
    from wsi_dicom.codecs.jpegxl import recompress as packed

    try:
        return packed(stored.data)
    except CodecError as error:
        logger.warning("%s: encoded anew: %s", name, error)
        return otherwise()


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


def level_rows(
    slide: Slide, plan: ConversionPlan, number: int, plane: Plane, pool: Executor, threads: int
) -> Iterator[tuple[int, Iterable[bytes | None]]]:
    """Every row of tiles of a level that is not derived, with its frames; None for what a sparse level goes without."""
    level = plan.levels[number]
    rows = range(level.output.rows)
    if level.action is Action.COPY and not plan.verify:  # to read rows ahead in other threads gains nothing: measured
        return ((row, _copied_row(slide, level, plan.quality, row, plane)) for row in rows)
    frames = _made_frames(slide, level, plan.quality, plane, pool, threads)
    return ((row, islice(frames, level.output.columns)) for row in rows)


def _copied_row(slide: Slide, plan: LevelPlan, quality: int, row: int, plane: Plane) -> Iterator[bytes | None]:
    """What is missing, or stored otherwise than its level, is encoded like its level."""
    level = plan.source_level
    for column, stored in enumerate(slide.encoded_row(level, row, plane)):
        if stored is not None:
            yield stored.data
        elif plan.sparse and slide.absent(level, column, row, plane):
            yield None
        else:
            yield encode_tile(slide.tile(level, column, row, plane), plan.encoding, quality)


def _made_frames(
    slide: Slide, plan: LevelPlan, quality: int, plane: Plane, pool: Executor, threads: int
) -> Iterator[bytes | None]:
    """The frames of a level tile by tile, made in the pool."""
    level, source = plan.output, plan.source_level
    # where the new tiles are not the source's, several of them show parts of the same one
    tiles = None if level == slide.pyramid.level(source) else kept_tiles(slide, source, plane)

    def encoded(tile: tuple[int, int]) -> bytes | None:
        inside = level.tile_region(*tile)
        shown = slide.pyramid.level(source).tiles(inside)
        if plan.sparse and all(slide.absent(source, *stored, plane) for stored in shown):
            return None
        pixels = read_region(slide, source, inside, plane, absent=set() if plan.sparse else None, tiles=tiles)
        return encode_tile(Patch(inside, pixels).tile(level, *tile), plan.encoding, quality)

    def kept(tile: tuple[int, int]) -> bytes | None:
        stored = slide.encoded_tile(source, *tile, plane)
        if stored is None:
            return encoded(tile)
        if plan.action is not Action.RECOMPRESS:
            return stored.data
        name = f"{slide.name}: level {source}, tile column {tile[0]}, row {tile[1]}"
        return recompress(stored, name, lambda: encoded(tile))

    work = kept if plan.action.keeps_tiles else encoded
    return (frame for _, frame in in_order(pool, work, level.tiles(), ahead=4 * threads))
