"""What a slide is called, and what is told of it, on pages and in manifests. Never who the patient is.

Patients are named only to those who have said who they are themselves.
"""

from __future__ import annotations

from datetime import datetime

from wsi_dicom.slide import Slide
from wsi_dicom.stores import PatientRecord, SeriesRecord, StudyRecord
from wsi_dicom.stores.record import told


def slide_title(record: SeriesRecord) -> str:
    for name in (record.description, record.container_identifier):
        if told(name):
            return name
    return f"{'Slide' if record.width else record.modality or 'Series'} {record.orthanc_id[:8]}"


def study_title(study: StudyRecord, *, dates: bool, patients: bool) -> str:
    names = [
        dashed_date(study.study_date) if dates else "",
        study.description,
        study.accession_number if patients else "",
    ]
    return " · ".join(filter(told, names)) or f"Study {study.orthanc_id[:8]}"


def patient_title(patient: PatientRecord, *, patients: bool) -> str:
    if not patient.patient_id and not patient.patient_name:
        return "Without a patient"
    names = [readable_name(patient.patient_name), patient.patient_id] if patients else []
    return " · ".join(filter(None, names)) or f"Patient {patient.orthanc_id[:8]}"


def readable_name(name: str) -> str:
    """A name as DICOM writes it (PS3.5 6.2.1), `Doe^Jane^^Dr`, as people do: Doe, Jane, Dr."""
    parts = (" ".join(part.split()) for part in name.partition("=")[0].split("^"))
    return ", ".join(part for part in parts if part)


def slide_date(record: SeriesRecord) -> str:
    return dashed_date(record.study_date)


def dashed_date(date: str) -> str:
    """A date of DICOM as 2024-01-31; as it is when it is no date."""
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if len(date) == 8 and date.isdigit() else date


def calendar_date(date: str) -> str:
    """A date of DICOM as 2024-01-31; "" when there is no such day."""
    try:
        return datetime.strptime(date, "%Y%m%d").date().isoformat() if len(date) == 8 else ""
    except ValueError:
        return ""


def slide_size(record: SeriesRecord) -> str:
    return f"{record.width:,} × {record.height:,} pixels".replace(",", " ") if record.width else ""


def image_count(number: int) -> str:
    return f"{number} image{'' if number == 1 else 's'}"


def slide_facts(record: SeriesRecord, slide: Slide, *, dates: bool = True) -> list[tuple[str, str]]:
    """Pairs of label and value, only what is known."""
    metadata, spacing = slide.metadata, slide.pyramid.spacing
    acquired = metadata.acquired.strftime("%Y-%m-%d") if metadata.acquired else slide_date(record)
    facts = [
        ("Scanner", record.scanner),
        ("Objective", f"{metadata.objective_power:g}×" if metadata.objective_power else ""),
        ("Pixel spacing", f"{spacing.x_mm * 1000:.4g} µm" if spacing else ""),
        ("Size", slide_size(record)),
        ("Date", acquired if dates else ""),
    ]
    return [(label, value) for label, value in facts if value] + specimen_facts(record)


def series_facts(record: SeriesRecord, *, dates: bool = True) -> list[tuple[str, str]]:
    """Of a series that is no slide: pairs of label and value, only what is known."""
    facts = [
        ("Modality", record.modality),
        ("Scanner", record.scanner),
        ("Images", str(record.frame_count)),
        ("Date", slide_date(record) if dates else ""),
    ]
    return [(label, value) for label, value in facts if value] + specimen_facts(record)


def patient_facts(record: SeriesRecord) -> list[tuple[str, str]]:
    """Only for those who may know."""
    facts = [
        ("Patient", readable_name(record.patient_name)),
        ("Patient ID", record.patient_id),
        ("Accession number", record.accession_number),
    ]
    return [(label, value) for label, value in facts if value]


def specimen_facts(record: SeriesRecord) -> list[tuple[str, str]]:
    facts = [
        ("Container", record.container_identifier),
        ("Specimen", record.specimen),
        ("Anatomic site", record.anatomy),
        ("Stain", record.stain),
    ]
    return [(label, value) for label, value in facts if told(value)]
