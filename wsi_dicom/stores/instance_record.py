"""What the index keeps of each instance of a series, taken from the headers of its files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, NamedTuple

from wsi_dicom.dicom.header import Instance, integer, reading, text
from wsi_dicom.dicom.uids import orthanc_identifier
from wsi_dicom.errors import CorruptInput
from wsi_dicom.stores import InstanceRecord, SeriesRecord

logger = logging.getLogger(__name__)

_MOST: Final = (1 << 31) - 1  # Instance Number and Number of Frames are IS
_PIXEL_ATTRIBUTES: Final = ("Rows", "Columns", "BitsAllocated")


class ImageSize(NamedTuple):
    """Of one instance: how many frames, and of how many pixels each."""

    frames: int
    width: int
    height: int


def describe_instances(instances: Sequence[Instance], record: SeriesRecord) -> list[InstanceRecord]:
    """Those of the series that `record` is of, in the order of their numbers."""
    described = [
        InstanceRecord(
            sop_instance_uid=instance.sop_instance_uid,
            series_uid=record.series_uid,
            orthanc_id=orthanc_identifier(
                record.patient_id, record.study_uid, record.series_uid, instance.sop_instance_uid
            ),
            sop_class_uid=instance.sop_class_uid,
            number=_number(instance),
            **image_size(instance)._asdict(),
            path=record.folder / f"{instance.sop_instance_uid}.dcm",
        )
        for instance in instances
    ]
    return sorted(described, key=lambda instance: (instance.number, instance.sop_instance_uid))


def _number(instance: Instance) -> int:
    with reading(instance.path):
        told = text(instance.header, "InstanceNumber").strip()
    return int(told) if told.isascii() and told.isdigit() and len(told) < 10 else 0


def image_size(instance: Instance) -> ImageSize:
    """Nothing for what is no image, and for numbers that make no sense: they keep no series out of the store."""
    try:
        with reading(instance.path):
            if all(instance.header.get(keyword) for keyword in _PIXEL_ATTRIBUTES):
                width, height = (integer(instance, keyword, high=0xFFFF) for keyword in ("Columns", "Rows"))
                return ImageSize(integer(instance, "NumberOfFrames", 1, high=_MOST), width, height)
    except CorruptInput as error:
        logger.warning("frames left out of the index: %s", error)
    return ImageSize(0, 0, 0)
