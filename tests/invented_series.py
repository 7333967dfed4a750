"""What an index knows of series that are nowhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from wsi_dicom.dicom.uids import orthanc_identifier
from wsi_dicom.stores import SeriesRecord

NAMES = ["Doe^Jane", "Müller^Ünal", "ΣΟΦΌΣ^Α", "o'Brien_%^X", ""]
STAINS = ["Hematoxylin stain, Water soluble eosin stain", "Ki-67", "KI-67 (mib1)", ""]
SCANNERS = ["Leica GT450", "3DHISTECH", ""]
DATES = ["20240101", "20240229", "20231231", ""]


def invented(number: int) -> SeriesRecord:
    """The names repeat in cycles of different lengths, so that every pair of values occurs."""
    patient, study, series = f"P{number % 7}" if number % 7 else "", f"1.2.{number % 20}", f"1.3.{number}"
    return SeriesRecord(
        series_uid=series,
        study_uid=study,
        orthanc_id=orthanc_identifier(patient, study, series),
        patient_orthanc_id=orthanc_identifier(patient),
        study_orthanc_id=orthanc_identifier(patient, study),
        patient_id=patient,
        patient_name=NAMES[number % 7 % 5],
        study_date=DATES[number % 20 % 4],
        accession_number=f"A{number % 11}",
        study_description="Biopsy",
        description=f"Slide {number % 3}",
        container_identifier=f"S24-{number % 13}",
        specimen=f"S24-{number % 13}-A",
        anatomy="Leber" if number % 2 else "Ärmel",
        stain=STAINS[number % 4],
        scanner=SCANNERS[number % 3],
        modality="SM" if number % 5 else "CT",
        width=100 if number % 5 else None,
        height=100 if number % 5 else None,
        instance_count=1,
        frame_count=number % 6,
        size=1,
        added=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number // 3),
        folder=Path(series),
    )
