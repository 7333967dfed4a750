"""The attributes that the modules of a whole-slide image require, and the values they allow (PS3.3 A.32.8)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from wsi_dicom.validation.finding import Finding
from wsi_dicom.validation.image import Image, items


@dataclass(frozen=True, slots=True)
class Module:
    """Attributes of a module, or of the items of the sequence `within`.

    `filled` are of Type 1, `present` of Type 2; `optional` may be left out, but not be empty. `within` names nested
    sequences from the outside in. `applies` is the condition of the standard, if there is one.
    """

    clause: str
    filled: str = ""
    present: str = ""
    optional: str = ""
    within: str = ""
    applies: Callable[[Image], bool] = lambda _image: True


def _is(*flavors: str) -> Callable[[Image], bool]:
    return lambda image: image.flavor in flavors


def _has(keyword: str, value: str | None = None) -> Callable[[Image], bool]:
    return lambda image: bool(image.text(keyword)) if value is None else image.text(keyword) == value


def _has_frame_of_reference(image: Image) -> bool:
    """Needed for what was scanned; a label or overview may have the module, then wholly."""
    there = "FrameOfReferenceUID" in image.header or "PositionReferenceIndicator" in image.header
    return there or image.flavor in ("VOLUME", "THUMBNAIL")


def _has_slide_label(image: Image) -> bool:
    """Needed for a label; other images may have the module, then wholly."""
    return image.flavor == "LABEL" or "LabelText" in image.header or "BarcodeValue" in image.header


MODULES: Final = (
    Module("C.7.1.1", present="PatientName PatientID PatientBirthDate PatientSex"),
    Module("C.7.2.1", "StudyInstanceUID", "StudyDate StudyTime ReferringPhysicianName StudyID AccessionNumber"),
    Module("C.7.1.1", optional="IssuerOfPatientIDQualifiersSequence"),
    Module("C.7.2.1", optional="IssuerOfAccessionNumberSequence"),
    Module("C.7.3.1", "Modality SeriesInstanceUID", "SeriesNumber"),
    Module("C.7.4.1", "FrameOfReferenceUID", "PositionReferenceIndicator", applies=_has_frame_of_reference),
    Module("C.7.5.2", "Manufacturer ManufacturerModelName DeviceSerialNumber SoftwareVersions"),
    Module("C.7.5.1", optional="PixelPaddingValue"),
    Module("C.7.6.14", present="AcquisitionContextSequence"),
    Module("C.7.6.16", "InstanceNumber ContentDate ContentTime NumberOfFrames SharedFunctionalGroupsSequence"),
    Module(
        "C.7.6.16",
        "InConcatenationNumber ConcatenationFrameOffsetNumber SOPInstanceUIDOfConcatenationSource",
        applies=_has("ConcatenationUID"),
    ),
    Module(
        "A.32.8.4",
        "PixelMeasuresSequence WholeSlideMicroscopyImageFrameTypeSequence",
        within="SharedFunctionalGroupsSequence",
    ),
    Module(
        "C.7.6.16.2.1",
        "PixelSpacing SliceThickness",
        within="SharedFunctionalGroupsSequence PixelMeasuresSequence",
        applies=_is("VOLUME", "THUMBNAIL"),
    ),
    Module(
        "C.7.6.16.2.1",
        optional="PixelSpacing SliceThickness SpacingBetweenSlices",
        within="SharedFunctionalGroupsSequence PixelMeasuresSequence",
    ),
    Module(
        "C.7.6.16.2.6",
        "DerivationCodeSequence",
        "SourceImageSequence",
        within="SharedFunctionalGroupsSequence DerivationImageSequence",
    ),
    Module(
        "C.7.6.16.2.6",
        "ReferencedSOPClassUID ReferencedSOPInstanceUID PurposeOfReferenceCodeSequence",
        within="SharedFunctionalGroupsSequence DerivationImageSequence SourceImageSequence",
    ),
    Module(
        "C.8.12.9",
        "FrameType",
        within="SharedFunctionalGroupsSequence WholeSlideMicroscopyImageFrameTypeSequence",
    ),
    Module("C.7.6.17", "DimensionOrganizationSequence"),
    Module("C.7.6.17", "DimensionOrganizationUID", within="DimensionOrganizationSequence"),
    Module("C.7.6.17", "DimensionIndexSequence", applies=lambda image: not image.tiled_full),
    Module(
        "C.7.6.17",
        "DimensionIndexPointer FunctionalGroupPointer DimensionOrganizationUID",
        within="DimensionIndexSequence",
    ),
    Module("C.7.6.17", optional="DimensionIndexSequence"),
    Module(
        "C.7.6.22",
        "ContainerIdentifier SpecimenDescriptionSequence",
        "IssuerOfTheContainerIdentifierSequence ContainerTypeCodeSequence",
    ),
    Module(
        "C.7.6.22",
        "SpecimenIdentifier SpecimenUID",
        "IssuerOfTheSpecimenIdentifierSequence SpecimenPreparationSequence",
        "SpecimenTypeCodeSequence PrimaryAnatomicStructureSequence",
        within="SpecimenDescriptionSequence",
    ),
    Module(
        "C.7.6.22",
        "SpecimenPreparationStepContentItemSequence",
        within="SpecimenDescriptionSequence SpecimenPreparationSequence",
    ),
    Module(
        "C.8.12.4",
        "ImageType AcquisitionDateTime VolumetricProperties SamplesPerPixel PhotometricInterpretation BitsAllocated "
        "BitsStored HighBit PixelRepresentation BurnedInAnnotation LossyImageCompression SpecimenLabelInImage "
        "FocusMethod ExtendedDepthOfField",
    ),
    Module("C.8.12.4", "PlanarConfiguration", applies=lambda image: (image.samples or 1) > 1),
    Module(
        "C.8.12.4",
        "LossyImageCompressionRatio LossyImageCompressionMethod",
        applies=_has("LossyImageCompression", "01"),
    ),
    Module("C.8.12.4", "ImagedVolumeWidth ImagedVolumeHeight ImagedVolumeDepth", applies=_is("VOLUME")),
    Module(
        "C.8.12.4",
        "NumberOfFocalPlanes DistanceBetweenFocalPlanes",
        applies=_has("ExtendedDepthOfField", "YES"),
    ),
    Module(
        "C.8.12.4",
        "PresentationLUTShape RescaleIntercept RescaleSlope",
        applies=_has("PhotometricInterpretation", "MONOCHROME2"),
    ),
    Module("C.7.6.3", "Rows Columns"),
    Module("C.8.12.5", "OpticalPathSequence"),
    Module("C.8.12.5", "OpticalPathIdentifier IlluminationTypeCodeSequence", within="OpticalPathSequence"),
    Module("C.8.12.5", "NumberOfOpticalPaths", applies=lambda image: image.tiled_full),
    Module("C.8.12.8", present="LabelText BarcodeValue", applies=_has_slide_label),
    Module(
        "C.8.12.14",
        "TotalPixelMatrixColumns TotalPixelMatrixRows TotalPixelMatrixOriginSequence ImageOrientationSlide",
    ),
    Module("C.8.12.14", "TotalPixelMatrixFocalPlanes", applies=lambda image: image.tiled_full),
    Module(
        "C.8.12.14",
        "XOffsetInSlideCoordinateSystem YOffsetInSlideCoordinateSystem",
        optional="ZOffsetInSlideCoordinateSystem",
        within="TotalPixelMatrixOriginSequence",
    ),
    Module("C.7.11.1", optional="PyramidUID"),
    Module("C.12.4", optional="DerivationCodeSequence"),
    Module("C.12.1", "SOPClassUID SOPInstanceUID", optional="SpecificCharacterSet ContributingEquipmentSequence"),
    Module("C.12.1", "Manufacturer PurposeOfReferenceCodeSequence", within="ContributingEquipmentSequence"),
    Module("C.12.2", "SeriesInstanceUID ReferencedInstanceSequence", within="ReferencedSeriesSequence"),
    Module(
        "C.12.2",
        "ReferencedSOPClassUID ReferencedSOPInstanceUID",
        within="ReferencedSeriesSequence ReferencedInstanceSequence",
    ),
)

ALLOWED: Final[tuple[tuple[str, str, frozenset[Any]], ...]] = (
    ("C.7.1.1", "PatientSex", frozenset({"M", "F", "O"})),
    ("C.8.12.3", "Modality", frozenset({"SM"})),
    ("C.7.6.17", "DimensionOrganizationType", frozenset({"TILED_FULL", "TILED_SPARSE", "3D", "3D_TEMPORAL"})),
    ("C.8.12.4", "VolumetricProperties", frozenset({"VOLUME"})),
    ("C.8.12.4", "SamplesPerPixel", frozenset({1, 3})),
    (
        "C.8.12.4",
        "PhotometricInterpretation",
        frozenset({"MONOCHROME2", "RGB", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "XYB"}),
    ),
    ("C.8.12.4", "PlanarConfiguration", frozenset({0})),
    ("C.8.12.4", "BitsAllocated", frozenset({8, 16})),
    ("C.8.12.4", "PixelRepresentation", frozenset({0})),
    ("C.8.12.4", "BurnedInAnnotation", frozenset({"YES", "NO"})),
    ("C.8.12.4", "LossyImageCompression", frozenset({"00", "01"})),
    ("C.8.12.4", "SpecimenLabelInImage", frozenset({"YES", "NO"})),
    ("C.8.12.4", "FocusMethod", frozenset({"AUTO", "MANUAL"})),
    ("C.8.12.4", "ExtendedDepthOfField", frozenset({"YES", "NO"})),
    ("C.8.12.4", "PresentationLUTShape", frozenset({"IDENTITY"})),
    ("C.8.12.4", "RescaleIntercept", frozenset({0})),
    ("C.8.12.4", "RescaleSlope", frozenset({1})),
)


def check_required(image: Image) -> Iterator[Finding]:
    """Type 1 attributes are there with a value, Type 2 attributes are there."""
    for module in MODULES:
        if not module.applies(image):
            continue
        clause, sequences = f"PS3.3 {module.clause}", module.within.split()
        where = f" in {' > '.join(sequences)}" if sequences else ""
        for dataset in _within(image.header, sequences):
            for keyword in (module.filled + " " + module.present).split():
                if keyword not in dataset:
                    allowed = "; it may be empty, but has to be there" if keyword in module.present.split() else ""
                    yield image.error(clause, f"{keyword} is missing{where}{allowed}")
            for keyword in (module.filled + " " + module.optional).split():
                if keyword in dataset and _is_empty(dataset[keyword]):
                    yield image.error(clause, f"{keyword} has no value{where}")


def check_allowed(image: Image) -> Iterator[Finding]:
    """Enumerated values."""
    for clause, keyword, allowed in ALLOWED:
        value = image.header.get(keyword)
        if value is not None and value != "" and value not in allowed:
            choice = ", ".join(map(str, sorted(allowed)))
            yield image.error(f"PS3.3 {clause}", f"{keyword} is {image.text(keyword)}; {choice} is allowed")


def _within(dataset: Dataset, sequences: list[str]) -> Iterable[Dataset]:
    if not sequences:
        return [dataset]
    return [inner for item in items(dataset, sequences[0]) for inner in _within(item, sequences[1:])]


def _is_empty(element: DataElement) -> bool:
    return not element.value if element.VR == "SQ" else element.is_empty
