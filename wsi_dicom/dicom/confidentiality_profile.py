"""What the Basic Application Level Confidentiality Profile (PS3.15 table E.1-1) makes of a whole slide image.

The table's choices (X/Z, Z/D, X/Z/D) are taken as the type of the attribute in this IOD asks for. The table lists what
to remove; here it is told what may stay, and all else goes: attributes that the table does not know, that a later
edition adds, or that a user puts where they do not belong.
"""

from __future__ import annotations

from typing import Final

# fmt: off
EMPTIED: Final = frozenset({
    # Z, of type 2
    "PatientName", "PatientBirthDate", "PatientSex", "PatientSexNeutered", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName", "IssuerOfTheContainerIdentifierSequence",
    "IssuerOfTheSpecimenIdentifierSequence", "AcquisitionContextSequence", "LabelText", "BarcodeValue",
    "ClinicalTrialCoordinatingCenterName", "ClinicalTrialProtocolName", "ClinicalTrialSiteID", "ClinicalTrialSiteName",
    "ClinicalTrialTimePointID",
})

REPLACED: Final = frozenset({
    # D, of type 1; and Patient ID, by which patients are told apart
    "PatientID", "ContainerIdentifier", "SpecimenIdentifier", "DeviceSerialNumber", "AcquisitionDateTime",
    "ContentDate", "ContentTime", "ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID", "ClinicalTrialProtocolEthicsCommitteeName",
})

MOMENTS: Final = frozenset({
    # dates and times that the options Retain Longitudinal Temporal Information speak of
    "StudyDate", "StudyTime", "SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime",
    "ContentDate", "ContentTime", "InstanceCreationDate", "InstanceCreationTime", "InstanceCoercionDateTime",
    "ContributionDateTime", "DateOfInstallation", "DateOfLastCalibration", "TimeOfLastCalibration",
    "DateOfManufacture", "PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime",
    "PerformedProcedureStepEndDate", "PerformedProcedureStepEndTime",
})

KEPT: Final = frozenset({
    # not in the table, and needed
    "SpecificCharacterSet", "ImageType", "SOPClassUID", "Modality", "VolumetricProperties", "FrameType",
    "DerivationCodeSequence", "DerivationImageSequence", "ReferencedSeriesSequence", "ReferencedInstanceSequence",
    "ReferencedSOPClassUID", "PurposeOfReferenceCodeSequence", "ContributingEquipmentSequence",
    "SpecimenDescriptionSequence", "SpecimenTypeCodeSequence", "PrimaryAnatomicStructureSequence",
    "ContainerTypeCodeSequence", "XOffsetInSlideCoordinateSystem", "YOffsetInSlideCoordinateSystem",
    "ZOffsetInSlideCoordinateSystem", "WholeSlideMicroscopyImageFrameTypeSequence",
    # X/Z/U*: with other UIDs
    "SourceImageSequence", "ReferencedImageSequence",
})

KEPT_TEXTS: Final = {
    # by the sequence in whose items they are what they should be; "" is the data set itself
    "": ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "PositionReferenceIndicator"),
    "ContributingEquipmentSequence": ("Manufacturer", "ManufacturerModelName", "SoftwareVersions"),
    "OpticalPathSequence": ("OpticalPathIdentifier", "OpticalPathDescription"),
    "OpticalPathIdentificationSequence": ("OpticalPathIdentifier",),
    "DimensionIndexSequence": ("DimensionDescriptionLabel",),
}
# fmt: on

TECHNICAL_GROUPS: Final = frozenset({0x0018, 0x0020, 0x0022, 0x0028, 0x0048, 0x5200})
"""Acquisition, relationship, optics, pixels, whole slides, functional groups: kept but for texts, moments and UIDs."""

TECHNICAL_VRS: Final = frozenset(
    {"AT", "CS", "DS", "FD", "FL", "IS", "OB", "OW", "SL", "SQ", "SS", "SV", "UL", "US", "UV"}
)

STANDARD_UID_ROOT: Final = "1.2.840.10008."
"""UIDs under it are DICOM's own, of classes, syntaxes, context groups: they tell nothing of a patient."""
