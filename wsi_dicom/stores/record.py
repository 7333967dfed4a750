"""What the index keeps of a series, taken from the headers of its files."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from wsi_dicom.dicom.header import Instance, reading, text
from wsi_dicom.dicom.image import image_flavor
from wsi_dicom.dicom.structured_content import STEP_ITEMS
from wsi_dicom.dicom.uids import VL_WHOLE_SLIDE, orthanc_identifier
from wsi_dicom.errors import CorruptInput
from wsi_dicom.slide import ImageFlavor
from wsi_dicom.stores import SeriesRecord
from wsi_dicom.stores.instance_record import image_size
from wsi_dicom.summary.series import meaning, meanings
from wsi_dicom.validation.image import first_item, items

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

logger = logging.getLogger(__name__)

_ANATOMY: Final = "PrimaryAnatomicStructureSequence"
_USING_SUBSTANCE: Final = frozenset({"424361007", "G-C350"})
"""The concept Using substance (of a stain) in SNOMED CT, and as SNOMED RT in older files."""


def told(value: str) -> bool:
    """False for what DICOM writers put where they know nothing, but must write something."""
    return value.casefold() not in ("", "unknown")


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
    specimens = _specimens(sorted(instances, key=lambda instance: instance.sop_instance_uid))
    with reading(first.path):
        header, study_uid = first.header, first.study_uid
        patient_id = text(header, "PatientID")
        return SeriesRecord(
            series_uid=first.series_uid,
            study_uid=study_uid,
            orthanc_id=orthanc_identifier(patient_id, study_uid, first.series_uid),
            patient_orthanc_id=orthanc_identifier(patient_id),
            study_orthanc_id=orthanc_identifier(patient_id, study_uid),
            patient_id=patient_id,
            patient_name=text(header, "PatientName"),
            study_date=text(header, "StudyDate"),
            accession_number=text(header, "AccessionNumber"),
            study_description=text(header, "StudyDescription"),
            description=text(header, "SeriesDescription"),
            container_identifier=text(header, "ContainerIdentifier"),
            specimen=specimens.identifiers,
            anatomy=specimens.anatomy,
            stain=specimens.stains,
            scanner=" ".join(filter(told, (text(header, "Manufacturer"), text(header, "ManufacturerModelName")))),
            modality=text(header, "Modality"),
            width=width or None,
            height=height or None,
            instance_count=len(instances),
            frame_count=sum(image_size(instance).frames for instance in instances),
            size=sum(instance.path.stat().st_size for instance in instances),
            added=added,
            folder=folder,
        )


class _Specimens(NamedTuple):
    """Of all specimens on a slide, each value once, parted by ", "."""

    identifiers: str = ""
    anatomy: str = ""
    stains: str = ""


def _specimens(instances: Sequence[Instance]) -> _Specimens:
    """From the first instance that tells of any. What cannot be read keeps no series out of the store."""
    for instance in instances:
        try:
            with reading(instance.path):
                described = items(instance.header, "SpecimenDescriptionSequence")
                if described:
                    identifiers = (text(item, "SpecimenIdentifier") for item in described)
                    anatomy = (part for item in described for part in meanings(item, _ANATOMY))
                    stains = (stain for item in described for stain in _stains(item))
                    return _Specimens(_listed(filter(told, identifiers)), _listed(anatomy), _listed(stains))
        except CorruptInput as error:
            logger.warning("specimens left out of the index: %s", error)
    return _Specimens()


def _stains(specimen: Dataset) -> Iterator[str]:
    """Coded or in free words, as a new antibody is (PS3.16 TID 8003)."""
    for step in items(specimen, "SpecimenPreparationSequence"):
        for content in items(step, STEP_ITEMS):
            if text(first_item(content, "ConceptNameCodeSequence"), "CodeValue") in _USING_SUBSTANCE:
                yield from filter(None, (meaning(content, "ConceptCodeSequence") or text(content, "TextValue"),))


def _listed(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))


def _volume_size(instance: Instance) -> tuple[int, int]:
    """Width and height of a whole-slide level, (0, 0) for everything else."""
    if instance.sop_class_uid != VL_WHOLE_SLIDE or image_flavor(instance) is not ImageFlavor.VOLUME:
        return 0, 0
    with reading(instance.path):
        width, height = instance.header.get("TotalPixelMatrixColumns"), instance.header.get("TotalPixelMatrixRows")
        return int(width or 0), int(height or 0)
