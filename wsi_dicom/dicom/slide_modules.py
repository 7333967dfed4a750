"""The modules of a whole slide image that say whose slide it is, what is on it and what scanned it (PS3.3 A.32.8).

Each function adds one module to the dataset. What nobody told stays empty where DICOM allows it (type 2), and is
"Unknown" where a value is required (type 1).
"""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from wsi_dicom import __version__
from wsi_dicom.dicom.uids import SeriesIdentity
from wsi_dicom.dicom.values import clean_text, code, date_time
from wsi_dicom.metadata import SlideMetadata

_UNKNOWN: Final = "Unknown"
_CARRIED_OVER: Final = {"PatientID": 64, "PatientName": 64, "AccessionNumber": 16, "StudyID": 16}
"""Identifiers taken over from a DICOM source, with their limits."""


def add_patient_and_study(dataset: Dataset, identity: SeriesIdentity, metadata: SlideMetadata) -> None:
    """Patient (C.7.1.1), General Study (C.7.2.1) and the series (C.7.3.1, C.8.12.3)."""
    scanned = metadata.acquired or identity.created
    dataset.PatientName = ""
    dataset.PatientID = ""
    dataset.PatientBirthDate = ""
    dataset.PatientSex = ""
    dataset.StudyInstanceUID = identity.study_uid
    dataset.StudyDate = scanned.strftime("%Y%m%d")
    dataset.StudyTime = scanned.strftime("%H%M%S")
    dataset.StudyID = ""
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.Modality = "SM"
    dataset.SeriesInstanceUID = identity.series_uid
    dataset.SeriesNumber = 1
    for keyword, limit in _CARRIED_OVER.items():
        if keyword in metadata.identifiers:
            setattr(dataset, keyword, clean_text(metadata.identifiers[keyword], limit))


def add_equipment(dataset: Dataset, identity: SeriesIdentity, metadata: SlideMetadata) -> None:
    """Enhanced General Equipment (C.7.5.2): the scanner; and ourselves in Contributing Equipment (C.12.1)."""
    versions = [clean_text(version, 64) for version in metadata.software_versions]
    dataset.Manufacturer = clean_text(metadata.manufacturer or "", 64) or _UNKNOWN
    dataset.ManufacturerModelName = clean_text(metadata.model or "", 64) or _UNKNOWN
    dataset.DeviceSerialNumber = clean_text(metadata.serial_number or "", 64) or _UNKNOWN
    dataset.SoftwareVersions = [version for version in versions if version] or _UNKNOWN
    ourselves = Dataset()
    ourselves.PurposeOfReferenceCodeSequence = code("109102", "DCM", "Processing Equipment")
    ourselves.Manufacturer = "wsi-dicom"
    ourselves.ManufacturerModelName = "wsi-dicom"
    ourselves.SoftwareVersions = __version__
    ourselves.ContributionDateTime = date_time(identity.created)
    ourselves.ContributionDescription = "Conversion to DICOM"
    dataset.ContributingEquipmentSequence = Sequence([ourselves])


def add_specimen(dataset: Dataset, identity: SeriesIdentity, metadata: SlideMetadata) -> None:
    """Specimen (C.7.6.22): one specimen in the one container, called as the slide is."""
    names = (clean_text(name or "", 64) for name in (metadata.slide_identifier, metadata.barcode))
    name = next(filter(None, names), _UNKNOWN)
    specimen = Dataset()
    specimen.SpecimenIdentifier = name
    specimen.SpecimenUID = identity.specimen_uid
    specimen.IssuerOfTheSpecimenIdentifierSequence = Sequence()
    specimen.SpecimenPreparationSequence = Sequence()
    dataset.ContainerIdentifier = name
    dataset.IssuerOfTheContainerIdentifierSequence = Sequence()
    dataset.ContainerTypeCodeSequence = code("433466003", "SCT", "Microscope slide")
    dataset.SpecimenDescriptionSequence = Sequence([specimen])
    dataset.AcquisitionContextSequence = Sequence()


def add_slide_label(dataset: Dataset, metadata: SlideMetadata) -> None:
    """Slide Label (C.8.12.8), for images that show it."""
    dataset.LabelText = ""
    dataset.BarcodeValue = clean_text(metadata.barcode or "", 10240)
