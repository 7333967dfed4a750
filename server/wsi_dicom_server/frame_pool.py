"""Frames of DICOM images of any kind: which file of the store each is in, and those files held open."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from wsi_dicom.dicom.frame_slide import ImageFrames
from wsi_dicom.errors import NotFound, OutOfBounds, StoreError
from wsi_dicom.stores import InstanceRecord, SeriesStore
from wsi_dicom_server.pool import Pool
from wsi_dicom_server.slide_pool import require_identifier, series_tag, stored_series


@dataclass(frozen=True, slots=True)
class ServedFrame:
    """A frame, counted from 0, of an open image. `tag` begins all its entity tags."""

    image: ImageFrames
    frame: int
    tag: str


@dataclass(frozen=True, slots=True)
class _CountedFrames:
    """Images, with the number of frames before each, and in all of them."""

    series_tag: str
    images: tuple[InstanceRecord, ...]
    counts: tuple[int, ...]


class FramePool:
    """Frames of instances, or counted through the instances of a series in the order of their numbers.

    At most `capacity` files are held open.
    """

    def __init__(self, store: SeriesStore, capacity: int) -> None:
        self._store = store
        self._counted: Pool[str, _CountedFrames] = Pool(capacity, self._count)
        self._images: Pool[tuple[str, Path], ImageFrames] = Pool(capacity, _opened)

    async def get(self, identifier: str, frame: int) -> ServedFrame:
        """By UID or Orthanc identifier of an instance or a series. Raises NotFound, OutOfBounds, and as ImageFrames."""
        counted = await self._counted.get(identifier)
        if not 0 <= frame < counted.counts[-1]:
            raise OutOfBounds(f"frame {frame}: there are {counted.counts[-1]}, counted from 0")
        index = bisect_right(counted.counts, frame) - 1
        instance = counted.images[index]
        image = await self._images.get((counted.series_tag, instance.path))
        number = frame - counted.counts[index]
        return ServedFrame(image, number, f"{counted.series_tag}-{instance.sop_instance_uid}-{number}")

    def close(self) -> None:
        self._counted.close()
        self._images.close()

    def _count(self, identifier: str, held: _CountedFrames | None) -> _CountedFrames:
        tag = ""
        try:
            require_identifier(identifier)
            instance = self._store.find_instance(identifier)
            record = stored_series(self._store, instance.series_uid if instance is not None else identifier)
            tag = series_tag(record)
        finally:
            if held is not None and held.series_tag != tag:  # deleted or replaced: its files take up disk space
                self._images.forget((held.series_tag, image.path) for image in held.images)
        if held is not None and held.series_tag == tag:
            return held
        found = [instance] if instance is not None else self._store.instances(record)
        images = tuple(one for one in found if one.frames)
        if not images:
            raise NotFound(f"{identifier} holds no image")
        return _CountedFrames(tag, images, (0, *accumulate(image.frames for image in images)))


def _opened(key: tuple[str, Path], held: ImageFrames | None) -> ImageFrames:
    """Raises as ImageFrames, but for NotFound."""
    _, path = key
    if held is not None and path.is_file():
        return held
    try:
        return ImageFrames(path)
    except NotFound as error:  # the series is there, but this file of it is not
        raise StoreError(str(error)) from error
