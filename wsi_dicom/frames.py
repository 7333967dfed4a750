"""Carries a plan out: encoded frames, in the order of DICOM's TILED_FULL, into one sink for each level."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

from wsi_dicom.codecs import encode_tile
from wsi_dicom.codecs.stream_head import bare_tile, stream_head
from wsi_dicom.decoded_cache import kept_tiles
from wsi_dicom.errors import CodecError
from wsi_dicom.geometry import Plane
from wsi_dicom.opencv_threads import one_thread_in_opencv
from wsi_dicom.patch import Patch
from wsi_dicom.plan import Action, ConversionPlan, LevelPlan
from wsi_dicom.region import read_region
from wsi_dicom.slide import EncodedTile, ImageFlavor, Slide

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
        nullcontext() if copies else one_thread_in_opencv,
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


def associated_frame(slide: Slide, plan: ConversionPlan, flavor: ImageFlavor) -> bytes:
    """A label, overview or thumbnail of `plan` as one frame. Raises CodecError, CorruptInput."""
    image, planned = slide.associated[flavor], plan.associated[flavor]

    def encoded() -> bytes:
        return encode_tile(image.pixels(), planned.encoding, plan.quality)

    stored, name = image.encoded() if planned.action.keeps_tiles else None, f"{slide.name}: {flavor.lower()}"
    if stored is None:
        return encoded()
    try:
        stored, alike = bare_tile(stored, anonymous=plan.anonymous), plan.sampled_alike
        size = image.width, image.height
        if stored is None or stream_head(stored, *size, image.pixel_format, sampled_alike=alike) is None:
            return encoded()
    except CodecError as error:
        raise CodecError(f"{name}: {error}") from error
    return recompress(stored, name, encoded) if planned.action is Action.RECOMPRESS else stored.data


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
        copier = _Copier(slide, level, plan.quality, plane)
        return ((row, copier.frames(row)) for row in rows)
    frames = _made_frames(slide, level, plan.quality, plane, pool, threads)
    return ((row, islice(frames, level.output.columns)) for row in rows)


class _Copier:
    """Copies the tiles of a level; what is missing, or stored otherwise than its level, is encoded like its level."""

    def __init__(self, slide: Slide, plan: LevelPlan, quality: int, plane: Plane) -> None:
        self._slide, self._plan, self._quality, self._plane = slide, plan, quality, plane
        self._blank: bytes | None = None

    def frames(self, row: int) -> Iterator[bytes | None]:
        for column, stored in enumerate(self._slide.encoded_row(self._plan.source_level, row, self._plane)):
            yield self._made(column, row) if stored is None else stored.data

    def _made(self, column: int, row: int) -> bytes | None:
        """Absent tiles all look alike: they are encoded once."""
        place = self._plan.source_level, column, row, self._plane
        if not self._slide.absent(*place):
            return self._encoded(*place)
        if self._blank is None and not self._plan.sparse:
            self._blank = self._encoded(*place)
        return self._blank

    def _encoded(self, level: int, column: int, row: int, plane: Plane) -> bytes:
        return encode_tile(self._slide.tile(level, column, row, plane), self._plan.encoding, self._quality)


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
