"""What a slide is called, and what is told of it, on pages and in manifests. Never who the patient is.

The server asks nobody for a name or password by itself, so nothing it shows by default may identify a patient.
"""

from __future__ import annotations

from wsi_dicom.slide import Slide
from wsi_dicom.stores import SeriesRecord


def slide_title(record: SeriesRecord) -> str:
    return _told(record.description) or _told(record.container_identifier) or f"Slide {record.orthanc_id[:8]}"


def _told(value: str | None) -> str:
    """Nothing for what DICOM writers put where they know nothing, but must write something."""
    return value if value and value.casefold() != "unknown" else ""


def slide_date(record: SeriesRecord) -> str:
    """Study Date as 2024-01-31; as it is when it is no date."""
    date = record.study_date
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if len(date) == 8 and date.isdigit() else date


def slide_size(record: SeriesRecord) -> str:
    return f"{record.width:,} × {record.height:,} pixels".replace(",", " ") if record.width else ""


def slide_facts(record: SeriesRecord, slide: Slide) -> list[tuple[str, str]]:
    """Pairs of label and value, only what is known."""
    metadata, spacing = slide.metadata, slide.pyramid.spacing
    scanner = " ".join(part for part in (_told(metadata.manufacturer), _told(metadata.model)) if part)
    acquired = metadata.acquired.strftime("%Y-%m-%d") if metadata.acquired else slide_date(record)
    facts = [
        ("Scanner", scanner),
        ("Objective", f"{metadata.objective_power:g}×" if metadata.objective_power else ""),
        ("Pixel spacing", f"{spacing.x_mm * 1000:.4g} µm" if spacing else ""),
        ("Size", slide_size(record)),
        ("Date", acquired),
        ("Container", _told(record.container_identifier)),
    ]
    return [(label, value) for label, value in facts if value]
