"""What DICOM alone tells of a slide: specimens and their preparation, the place on the glass, dates, the patient."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from wsi_dicom.dicom.assumptions import assumptions_in
from wsi_dicom.dicom.header import text
from wsi_dicom.dicom.structured_content import STEP_ITEMS
from wsi_dicom.dicom.uids import VL_WHOLE_SLIDE, orthanc_identifier
from wsi_dicom.validation.image import decimals, first_item, integer, items
from wsi_dicom.validation.values import decode_values

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from wsi_dicom.dicom.header import Instance
    from wsi_dicom.dicom.slide import DicomSlide

_PROCESSING_TYPE: Final = "111701"
_OFFSET: Final = "OffsetInSlideCoordinateSystem"


@dataclass(frozen=True, slots=True)
class PreparationStep:
    """What was done to a specimen, and with what: the meanings of codes (PS3.16 TID 8001). Free text is left out."""

    processing: str | None
    details: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Specimen:
    """What lies on the slide (PS3.3 C.7.6.22)."""

    identifier: str
    uid: str
    type: str | None
    anatomic_structures: tuple[str, ...]
    description: str | None
    preparation: tuple[PreparationStep, ...]


@dataclass(frozen=True, slots=True)
class Container:
    """The glass slide."""

    identifier: str
    type: str | None
    description: str | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where the total pixel matrix lies on the slide (PS3.3 C.8.12.14).

    `origin_mm` is x, y and, if told, z (micrometres in DICOM, millimetres here). `orientation` holds the direction
    cosines of a row, then of a column.
    """

    origin_mm: tuple[float, ...]
    orientation: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Patient:
    """Whom the slide is of, and the text of its label."""

    name: str
    identifier: str
    birth_date: str
    sex: str
    label_text: str


@dataclass(frozen=True, slots=True)
class SeriesSummary:
    """A series of whole-slide images. `frames` counts those of all instances.

    `organizations` are the Dimension Organization Types of its levels, "" where it is missing; `other_objects` counts
    what is no whole-slide image, by the name of its SOP class. Dates and times are as DICOM writes them.
    """

    study_uid: str
    series_uid: str
    orthanc_id: str
    pyramid_uid: str
    frame_of_reference_uid: str
    study_id: str
    accession_number: str
    series_number: int | None
    description: str
    study_date: str
    study_time: str
    content_date: str
    numerical_aperture: float | None
    instances: int
    frames: int
    organizations: tuple[str, ...]
    other_objects: dict[str, int]
    burned_in_annotation: str
    assumptions: str
    container: Container
    specimens: tuple[Specimen, ...]
    place: Place
    patient: Patient | None


def summarize_series(slide: DicomSlide, *, patient: bool) -> SeriesSummary:
    """Values that cannot be read count as missing. Nobody is named unless `patient` is asked for."""
    headers = [readable_header(instance) for instance in _distinct(slide.instances)]
    slides = [header for header in headers if text(header, "SOPClassUID") == VL_WHOLE_SLIDE]
    levels = [header for header in slides if _is_volume(header)]
    base = max(levels or headers, key=lambda header: integer(header, "TotalPixelMatrixColumns") or 0)
    return SeriesSummary(
        study_uid=slide.study_uid,
        series_uid=slide.series_uid,
        orthanc_id=orthanc_identifier(text(base, "PatientID"), slide.study_uid, slide.series_uid),
        pyramid_uid=text(base, "PyramidUID"),
        frame_of_reference_uid=text(base, "FrameOfReferenceUID"),
        study_id=text(base, "StudyID"),
        accession_number=text(base, "AccessionNumber"),
        series_number=integer(base, "SeriesNumber"),
        description=text(base, "SeriesDescription"),
        study_date=text(base, "StudyDate"),
        study_time=text(base, "StudyTime"),
        content_date=text(base, "ContentDate"),
        numerical_aperture=next(
            iter(decimals(first_item(base, "OpticalPathSequence"), "ObjectiveLensNumericalAperture")), None
        ),
        instances=len(headers),
        frames=sum(max(0, integer(header, "NumberOfFrames") or 1) for header in slides),
        organizations=tuple(sorted({text(header, "DimensionOrganizationType") for header in levels})),
        other_objects=_others(headers),
        burned_in_annotation=text(base, "BurnedInAnnotation"),
        assumptions=assumptions_in(text(base, "ImageComments")),
        container=Container(
            text(base, "ContainerIdentifier"),
            meaning(base, "ContainerTypeCodeSequence"),
            text(base, "ContainerDescription") or None,
        ),
        specimens=tuple(map(_specimen, items(base, "SpecimenDescriptionSequence"))),
        place=_place(base),
        patient=_patient(base, slides) if patient else None,
    )


def _distinct(instances: Sequence[Instance]) -> Iterator[Instance]:
    """Without copies of the same instance."""
    return iter({instance.sop_instance_uid: instance for instance in instances}.values())


def readable_header(instance: Instance) -> Dataset:
    """A copy of the header, with values that decode."""
    header = deepcopy(instance.header)
    for _fault in decode_values(header, instance.path):
        pass  # `wsi-dicom validate` tells them
    return header


def _is_volume(header: Dataset) -> bool:
    values = text(header, "ImageType").split("\\")
    return len(values) < 3 or values[2] == "VOLUME"


def _others(headers: Sequence[Dataset]) -> dict[str, int]:
    from pydicom.uid import UID

    classes = (text(header, "SOPClassUID") for header in headers)
    return dict(Counter(UID(uid).name for uid in classes if uid != VL_WHOLE_SLIDE))


def _place(header: Dataset) -> Place:
    origin = first_item(header, "TotalPixelMatrixOriginSequence")
    x, y, z = (decimals(origin, f"{axis}{_OFFSET}")[:1] for axis in "XYZ")
    orientation = decimals(header, "ImageOrientationSlide")
    told = [*x, *y, *(value / 1000 for value in z)] if x and y else []
    return Place(
        tuple(told) if all(map(math.isfinite, told)) else (),
        tuple(orientation) if len(orientation) == 6 and all(map(math.isfinite, orientation)) else (),
    )


def _patient(base: Dataset, slides: Sequence[Dataset]) -> Patient:
    """The label's text is told by the label's image alone."""
    labels = (text(header, "LabelText") for header in slides)
    return Patient(
        text(base, "PatientName"),
        text(base, "PatientID"),
        text(base, "PatientBirthDate"),
        text(base, "PatientSex"),
        next(filter(None, labels), ""),
    )


def _specimen(item: Dataset) -> Specimen:
    return Specimen(
        identifier=text(item, "SpecimenIdentifier"),
        uid=text(item, "SpecimenUID"),
        type=meaning(item, "SpecimenTypeCodeSequence"),
        anatomic_structures=tuple(meanings(item, "PrimaryAnatomicStructureSequence")),
        description=text(item, "SpecimenShortDescription") or text(item, "SpecimenDetailedDescription") or None,
        preparation=tuple(map(_step, items(item, "SpecimenPreparationSequence"))),
    )


def _step(item: Dataset) -> PreparationStep:
    processing, details = None, []
    for content in items(item, STEP_ITEMS):
        told = meaning(content, "ConceptCodeSequence")
        if text(first_item(content, "ConceptNameCodeSequence"), "CodeValue") == _PROCESSING_TYPE:
            processing = told
        elif told is not None:
            details.append(told)
    return PreparationStep(processing, tuple(details))


def meanings(dataset: Dataset, keyword: str) -> Iterator[str]:
    """Those of the codes in a sequence; the value of a code that has none."""
    for code in items(dataset, keyword):
        if meaning := text(code, "CodeMeaning") or text(code, "CodeValue"):
            yield meaning


def meaning(dataset: Dataset, keyword: str) -> str | None:
    """That of the first code in a sequence."""
    return next(meanings(dataset, keyword), None)
