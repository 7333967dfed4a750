"""What a series made from another one says of the same slide: its patient, study, specimen, equipment and optics.

Carried over is what stays true when the pixels are stored otherwise. Not carried over: what tells the new series and
its instances from others, what describes pixels and their compression, what the new conversion says of itself, and
private attributes, whose meaning only their maker knows.
"""

from __future__ import annotations

import logging
import re
from copy import deepcopy
from typing import Final

from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName, validate_value

from wsi_dicom.dicom.additions import COMPLETED, check_additions
from wsi_dicom.dicom.header import Instance, reading
from wsi_dicom.errors import CorruptInput, InvalidRequest

logger = logging.getLogger(__name__)

# fmt: off
_PATIENT: Final = (  # C.7.1.1, C.7.1.3
    "PatientName", "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "TypeOfPatientID",
    "PatientBirthDate", "PatientBirthTime", "PatientSex", "OtherPatientNames", "OtherPatientIDsSequence",
    "QualityControlSubject", "EthnicGroup", "EthnicGroupCodeSequence", "PatientComments", "PatientSpeciesDescription",
    "PatientSpeciesCodeSequence", "PatientBreedDescription", "PatientBreedCodeSequence",
    "BreedRegistrationSequence", "StrainDescription", "StrainNomenclature", "StrainCodeSequence",
    "StrainAdditionalInformation", "StrainStockSequence", "GeneticModificationsSequence", "ResponsiblePerson",
    "ResponsiblePersonRole", "ResponsibleOrganization", "PatientIdentityRemoved", "DeidentificationMethod",
    "DeidentificationMethodCodeSequence", "LongitudinalTemporalInformationModified", "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID", "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID", "ClinicalTrialProtocolEthicsCommitteeName",
    "ClinicalTrialProtocolEthicsCommitteeApprovalNumber",
)
_STUDY: Final = (  # C.7.2.1, C.7.2.2, C.7.2.3
    "StudyInstanceUID", "StudyDate", "StudyTime", "TimezoneOffsetFromUTC", "StudyID", "StudyDescription",
    "AccessionNumber", "IssuerOfAccessionNumberSequence", "ReferringPhysicianName",
    "ReferringPhysicianIdentificationSequence", "ConsultingPhysicianName", "PhysiciansOfRecord",
    "PhysiciansOfRecordIdentificationSequence", "NameOfPhysiciansReadingStudy",
    "RequestingService", "RequestingServiceCodeSequence", "ReferencedStudySequence", "ProcedureCodeSequence",
    "ReasonForPerformedProcedureCodeSequence", "AdmittingDiagnosesDescription", "AdmittingDiagnosesCodeSequence",
    "PatientAge", "PatientSize", "PatientWeight", "Occupation", "AdditionalPatientHistory", "PatientSexNeutered",
    "AdmissionID", "IssuerOfAdmissionIDSequence", "ServiceEpisodeID", "ServiceEpisodeDescription",
    "ClinicalTrialTimePointID", "ClinicalTrialTimePointDescription", "LongitudinalTemporalOffsetFromEvent",
    "LongitudinalTemporalEventType", "ConsentForClinicalTrialUseSequence",
)
_SERIES: Final = (  # C.7.3.1, C.8.12.3, C.7.1.3.3
    "SeriesDescription", "SeriesDescriptionCodeSequence", "PerformingPhysicianName", "OperatorsName",
    "OperatorIdentificationSequence", "ReferencedPerformedProcedureStepSequence", "BodyPartExamined", "ProtocolName",
    "PerformedProcedureStepID", "PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime",
    "PerformedProcedureStepDescription", "PerformedProtocolCodeSequence", "RequestAttributesSequence",
    "AnatomicalOrientationType", "ClinicalTrialCoordinatingCenterName", "ClinicalTrialSeriesID",
    "ClinicalTrialSeriesDescription",
)
_EQUIPMENT: Final = (  # C.7.5.1, C.7.5.2
    "Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions", "InstitutionName",
    "InstitutionAddress", "InstitutionalDepartmentName", "InstitutionalDepartmentTypeCodeSequence", "StationName",
    "DeviceUID", "UDISequence", "GantryID", "SpatialResolution", "DateOfManufacture", "DateOfInstallation",
    "DateOfLastCalibration", "TimeOfLastCalibration",
)
_SPECIMEN: Final = (  # C.7.6.22, C.7.6.14
    "ContainerIdentifier", "IssuerOfTheContainerIdentifierSequence", "AlternateContainerIdentifierSequence",
    "ContainerTypeCodeSequence", "ContainerDescription", "ContainerComponentSequence", "SpecimenDescriptionSequence",
    "AcquisitionContextSequence", "AcquisitionContextDescription",
)
_ACQUISITION: Final = (  # C.7.10.1, C.8.12.4: how the slide was scanned
    "AcquisitionDateTime", "AcquisitionDuration", "AcquisitionUID", "BurnedInAnnotation", "FocusMethod", "LabelText",
    "PositionReferenceIndicator", "RecommendedAbsentPixelCIELabValue",
)
_PLACE: Final = ("FrameOfReferenceUID", "TotalPixelMatrixOriginSequence", "ImageOrientationSlide")  # on the slide
_FUSED_PLANES: Final = ("ExtendedDepthOfField", "NumberOfFocalPlanes", "DistanceBetweenFocalPlanes")
# fmt: on

_TOGETHER: Final = (
    *((keyword,) for keyword in (*_PATIENT, *_STUDY, *_SERIES, *_EQUIPMENT, *_SPECIMEN, *_ACQUISITION)),
    _PLACE,
    _FUSED_PLANES,
    ("OpticalPathSequence",),
)
"""Attributes that are carried over one by one, and those that make sense only together."""

_OF_PIXELS: Final = ("ICCProfile", "ColorSpace", "ObjectiveLensPower", "PaletteColorLookupTableSequence")
"""Of an optical path: what belongs to the pixels of an image, and is not true of labels. SlideMetadata tells it."""

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
"""Characters that no text of DICOM has (PS3.5 6.1.3)."""

_NUMBERS_IN_WORDS: Final = ("DS", "IS")


def carried_attributes(source: Instance) -> Dataset:
    """The attributes of an image that one made from it should have too; all of them pass `check_additions`.

    A value that DICOM does not allow, and scanners write all the same, stays behind, with a warning that does not quote
    it.
    """
    carried = Dataset()
    for keywords in _TOGETHER:
        try:
            with reading(source.path):  # values are parsed, and text decoded, when they are first looked at
                found = _found(source, keywords)
                if keywords is not _PLACE or _is_placed(found):
                    check_additions(found)
                    carried.update(found)
        except (CorruptInput, InvalidRequest) as error:
            logger.warning("%s: %s is not carried over: %s", source.path, " ".join(keywords), error)
    return carried


def _found(source: Instance, keywords: tuple[str, ...]) -> Dataset:
    """A copy of those of the attributes that are there and have a value."""
    found = Dataset()
    for keyword in keywords:
        if keyword in source.header and not source.header[keyword].is_empty:
            found.add(deepcopy(source.header[keyword]))
    _remove_unwritable(found, str(source.path))
    for path in found.get("OpticalPathSequence") or ():
        for keyword in set(_OF_PIXELS).intersection(path.dir()):
            delattr(path, keyword)
    return found


def _is_placed(found: Dataset) -> bool:
    """Whether all is there that a position in the frame of reference follows from (PS3.3 C.8.12.4.1.1)."""
    if not all(keyword in found for keyword in _PLACE):
        return False
    return all(
        f"{axis}OffsetInSlideCoordinateSystem" in origin
        for origin in found.TotalPixelMatrixOriginSequence
        for axis in "XY"
    )


def _remove_unwritable(dataset: Dataset, name: str) -> bool:
    """Removes private elements, and values that their VR does not allow, at any depth; whether there were such values.

    A code, or a step of a preparation, without one of its values says nothing or something else: it goes as a whole.
    """
    broken = False
    for element in list(dataset):
        if element.tag.is_private:
            del dataset[element.tag]
            continue
        writable = _is_writable(element)
        if writable and element.VR == "SQ" and element.value:
            whole = [item for item in element.value if not _remove_unwritable(item, name) or _is_completed(element)]
            writable = bool(whole)
            element.value = whole
        if not writable:
            broken = True
            del dataset[element.tag]
            logger.warning("%s: the value of %s is invalid and not carried over", name, element.keyword)
    return broken


def _is_completed(sequence: DataElement) -> bool:
    """Whether what is missing in its items is filled in with what we know."""
    return sequence.keyword in (*COMPLETED, "OpticalPathSequence")


def _is_writable(element: DataElement) -> bool:
    if not element.keyword or element.VR not in dictionary_VR(element.tag):  # such as "US or SS"
        return False
    values = element.value if element.VM > 1 else [element.value]
    if any(_CONTROL.search(str(value)) for value in values if isinstance(value, str | PersonName)):
        return False
    try:
        for value in values:
            validate_value(element.VR, str(value) if element.VR in _NUMBERS_IN_WORDS else value, config.RAISE)
    except ValueError:
        return False
    return True
