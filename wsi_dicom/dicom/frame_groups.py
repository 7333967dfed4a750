"""Functional groups that frames have for themselves (PS3.3 C.7.6.16.1.2), read when they are asked for."""

from __future__ import annotations

from array import array
from typing import Final

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from wsi_dicom.dicom.elements import UNDEFINED
from wsi_dicom.dicom.header import PER_FRAME_FUNCTIONAL_GROUPS, Instance, reading
from wsi_dicom.errors import CorruptInput

_LARGEST_GROUPS: Final = 1 << 20
"""Bytes of the functional groups of one frame that are read."""


class FrameGroups:
    """Those of the first `most` frames of an instance, of all with None: where they begin is kept, and no more."""

    def __init__(self, instance: Instance, most: int | None = None) -> None:
        """Raises StoreError, CorruptInput."""
        self._instance = instance
        self._offsets = _offsets(instance, most)

    def read(self, frame: int) -> list[Dataset]:
        """Of a frame, counted from 0; empty for one that has none. Raises CorruptInput, and as pydicom does."""
        if frame >= len(self._offsets):
            return []
        instance = self._instance
        with instance.open_data_set() as file:
            file.seek(self._offsets[frame])
            length = int.from_bytes(file.read(8)[4:], "big" if instance.big_endian else "little")
            if length != UNDEFINED and length > _LARGEST_GROUPS:
                raise CorruptInput(f"{instance.path} has functional groups of {length} bytes for one frame")
            size = None if length == UNDEFINED else length
            return [read_dataset(file, instance.implicit_vr, not instance.big_endian, bytelength=size)]


def _offsets(instance: Instance, most: int | None) -> array[int]:
    """The byte at which each item begins."""
    offsets = array("q")
    if most == 0:
        return offsets
    with reading(instance.path), instance.open_data_set() as file:
        walker = instance.walker(file)
        tag, length = next(walker.elements(), (0, 0))
        if tag == PER_FRAME_FUNCTIONAL_GROUPS:
            for item_length in walker.items(length):
                offsets.append(file.tell() - 8)
                if len(offsets) == most:
                    break
                walker.skip_item(item_length)
    return offsets
