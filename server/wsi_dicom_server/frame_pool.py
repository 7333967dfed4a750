"""Frames of DICOM images of any kind: which file of the store each is in, and those files held open."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from wsi_dicom.dicom.frame_slide import ImageFrames
from wsi_dicom.dicom.header import read_instance
from wsi_dicom.dicom.image import shows_label
from wsi_dicom.dicom.uids import VL_WHOLE_SLIDE
from wsi_dicom.errors import NotFound, OutOfBounds, StoreError
from wsi_dicom.stores import InstanceRecord, SeriesRecord, SeriesStore
from wsi_dicom_server.pool import Pool
from wsi_dicom_server.slide_pool import require_identifier, series_tag, stored_series


@dataclass(frozen=True, slots=True)
class ServedFrame:
    """A frame, counted from 0, of an open image. `tag` begins all its entity tags."""

    image: ImageFrames
    frame: int
    tag: str


@dataclass(frozen=True, slots=True)
class CountedFrames:
    """Images of a series, with the number of frames before each, and in all of them."""

    record: SeriesRecord
    series_tag: str
    images: tuple[InstanceRecord, ...]
    counts: tuple[int, ...]

    def require(self, frame: int) -> None:
        """Raises OutOfBounds when no frame has this number."""
        if not 0 <= frame < self.total:
            raise OutOfBounds(f"frame {frame}: there are {self.total}, counted from 0")

    @property
    def total(self) -> int:
        return self.counts[-1]


class FramePool:
    """Frames of instances, or counted through the instances of a series in the order of their numbers.

    At most `capacity` files are held open. With `hide_labels` the images that show a slide's label are not there.
    """

    def __init__(self, store: SeriesStore, capacity: int, *, hide_labels: bool = False) -> None:
        self._store, self._hide_labels = store, hide_labels
        self._counted: Pool[str, CountedFrames] = Pool(capacity, self._count)
        self._images: Pool[tuple[str, Path], ImageFrames] = Pool(capacity, _opened)

    async def get(self, identifier: str, frame: int) -> ServedFrame:
        """By UID or Orthanc identifier of an instance or a series. Raises NotFound, OutOfBounds, and as ImageFrames."""
        counted = await self.counted(identifier)
        counted.require(frame)
        index = bisect_right(counted.counts, frame) - 1
        instance = counted.images[index]
        image = await self._images.get((counted.series_tag, instance.path))
        number = frame - counted.counts[index]
        return ServedFrame(image, number, f"{counted.series_tag}-{instance.sop_instance_uid}-{number}")

    async def counted(self, identifier: str) -> CountedFrames:
        """All frames that an identifier is for. Raises NotFound also where there is none, StoreError, CorruptInput."""
        return await self._counted.get(identifier)

    def close(self) -> None:
        self._counted.close()
        self._images.close()

    def _count(self, identifier: str, held: CountedFrames | None) -> CountedFrames:
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
        images = tuple(one for one in found if one.frames and not self._hidden(one))
        if not images:
            raise NotFound(f"{identifier} holds no image that may be shown")
        return CountedFrames(record, tag, images, (0, *accumulate(image.frames for image in images)))

    def _hidden(self, image: InstanceRecord) -> bool:
        """Raises StoreError, CorruptInput: what cannot be read may show a label."""
        if not self._hide_labels or image.sop_class_uid != VL_WHOLE_SLIDE:
            return False
        with _there():
            return shows_label(read_instance(image.path))


def _opened(key: tuple[str, Path], held: ImageFrames | None) -> ImageFrames:
    """Raises as ImageFrames, but for NotFound."""
    _, path = key
    if held is not None and path.is_file():
        return held
    with _there():
        return ImageFrames(path)


@contextmanager
def _there() -> Iterator[None]:
    """Where the series is there, its files should be. Raises StoreError in place of NotFound."""
    try:
        yield
    except NotFound as error:
        raise StoreError(str(error)) from error
