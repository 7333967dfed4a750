"""What the index keeps of a series, taken from the headers of its files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from wsi_dicom.dicom.header import Instance, reading, text
from wsi_dicom.dicom.image import image_flavor
from wsi_dicom.dicom.uids import VL_WHOLE_SLIDE, orthanc_identifier
from wsi_dicom.errors import CorruptInput
from wsi_dicom.slide import ImageFlavor
from wsi_dicom.stores import SeriesRecord


def describe_series(instances: Sequence[Instance], folder: Path, added: datetime) -> SeriesRecord:
    """The record of a series that will lie, or lies, in `folder`.

    Raises CorruptInput when the instances are not of one series, or one is there twice.
    """
    # Whatever order they come in, so that an index that is made again is the same where instances disagree.
    first = min(instances, key=lambda instance: instance.sop_instance_uid)
    seen: dict[str, Path] = {}
    for instance in instances:
        if instance.series_uid != first.series_uid:
            raise CorruptInput(f"{instance.path} and {first.path} belong to different series")
        if instance.sop_instance_uid in seen:
            raise CorruptInput(f"{instance.path} and {seen[instance.sop_instance_uid]} are the same SOP instance")
        seen[instance.sop_instance_uid] = instance.path
    width, height = max(map(_volume_size, instances))
    with reading(first.path):
        patient_id = text(first.header, "PatientID")
        return SeriesRecord(
            series_uid=first.series_uid,
            study_uid=first.study_uid,
            orthanc_id=orthanc_identifier(patient_id, first.study_uid, first.series_uid),
            patient_id=patient_id,
            patient_name=text(first.header, "PatientName"),
            study_date=text(first.header, "StudyDate"),
            accession_number=text(first.header, "AccessionNumber"),
            description=text(first.header, "SeriesDescription"),
            container_identifier=text(first.header, "ContainerIdentifier"),
            modality=text(first.header, "Modality"),
            width=width or None,
            height=height or None,
            instance_count=len(instances),
            size=sum(instance.path.stat().st_size for instance in instances),
            added=added,
            folder=folder,
        )


def _volume_size(instance: Instance) -> tuple[int, int]:
    """Width and height of a whole-slide level, (0, 0) for everything else."""
    if instance.sop_class_uid != VL_WHOLE_SLIDE or image_flavor(instance) is not ImageFlavor.VOLUME:
        return 0, 0
    with reading(instance.path):
        width, height = instance.header.get("TotalPixelMatrixColumns"), instance.header.get("TotalPixelMatrixRows")
        return int(width or 0), int(height or 0)
