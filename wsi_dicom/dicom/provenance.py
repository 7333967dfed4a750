"""Scanner, optics and identifiers that a DICOM series tells of its slide."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from pydicom.dataset import Dataset

from wsi_dicom.dicom.header import Instance, reading, text
from wsi_dicom.metadata import SlideMetadata, parse_moment

_IDENTIFIERS: Final = (
    "PatientID",
    "PatientName",
    "StudyInstanceUID",
    "StudyID",
    "AccessionNumber",
    "SeriesInstanceUID",
    "SeriesNumber",
    "FrameOfReferenceUID",
    "PyramidUID",
    "ContainerIdentifier",
)

_DATE_TIME: Final = re.compile(r"(\d{8})(\d{2})(\d{2})(\d{2})(?:\.(\d{1,6}))?([+-]\d{4})?")


def read_metadata(base: Instance, others: Sequence[Instance]) -> SlideMetadata:
    """What the finest level tells; the barcode is often told by the label image alone."""
    with reading(base.path):
        header = base.header
        optical_path = next(iter(header.get("OpticalPathSequence") or ()), Dataset())
        power = optical_path.get("ObjectiveLensPower")
        barcodes = (text(instance.header, "BarcodeValue") for instance in (base, *others))
        return SlideMetadata(
            manufacturer=text(header, "Manufacturer") or None,
            model=text(header, "ManufacturerModelName") or None,
            serial_number=text(header, "DeviceSerialNumber") or None,
            software_versions=tuple(v for v in text(header, "SoftwareVersions").split("\\") if v),
            acquired=_date_time(text(header, "AcquisitionDateTime")),
            objective_power=float(power) if power else None,
            icc_profile=optical_path.get("ICCProfile") or None,
            barcode=next(filter(None, barcodes), None),
            slide_identifier=text(header, "ContainerIdentifier") or None,
            identifiers={keyword: value for keyword in _IDENTIFIERS if (value := text(header, keyword))},
        )


def _date_time(value: str) -> datetime | None:
    """A DT that tells at least the seconds (PS3.5 6.2); None for less, or for an impossible one."""
    if not (match := _DATE_TIME.fullmatch(value.strip())):
        return None
    date, hours, minutes, seconds, fraction, offset = match.groups()
    return parse_moment(
        f"{date}{hours}{minutes}{seconds}.{fraction or 0}{offset or ''}",
        "%Y%m%d%H%M%S.%f" + ("%z" if offset else ""),
    )
