"""Scanner, optics and identifiers that a DICOM series tells of its slide."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from pydicom.dataset import Dataset

from wsi_dicom.dicom.header import Instance, reading, text
from wsi_dicom.metadata import OpticalPath, SlideMetadata, parse_moment

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

_EPIFLUORESCENCE: Final = "111743"  # DCM

_DATE_TIME: Final = re.compile(r"(\d{8})(\d{2})(\d{2})(\d{2})(?:\.(\d{1,6}))?([+-]\d{4})?")


def read_metadata(images: Sequence[Instance], others: Sequence[Instance], optical_paths: int) -> SlideMetadata:
    """What the finest level tells, whose `images` have so many optical paths together.

    The barcode is often told by the label image alone, one of the `others`.
    """
    base = images[0]
    with reading(base.path):
        header = base.header
        described = list(header.get("OpticalPathSequence") or ())
        for image in images[1:]:
            known = {text(item, "OpticalPathIdentifier") for item in described}
            more = image.header.get("OpticalPathSequence") or ()
            described += [item for item in more if text(item, "OpticalPathIdentifier") not in known]
        described = described[:optical_paths]
        optical_path = described[0] if described else Dataset()
        power, depth = optical_path.get("ObjectiveLensPower"), header.get("ImagedVolumeDepth")
        barcodes = (text(instance.header, "BarcodeValue") for instance in (base, *others))
        return SlideMetadata(
            manufacturer=_known(text(header, "Manufacturer")),
            model=_known(text(header, "ManufacturerModelName")),
            serial_number=_known(text(header, "DeviceSerialNumber")),
            software_versions=tuple(filter(_known, text(header, "SoftwareVersions").split("\\"))),
            acquired=_date_time(text(header, "AcquisitionDateTime")),
            objective_power=float(power) if power else None,
            icc_profile=optical_path.get("ICCProfile") or None,
            barcode=next(filter(None, barcodes), None),
            optical_paths=tuple(map(_optical_path, described)),
            slide_identifier=text(header, "ContainerIdentifier") or None,
            imaged_depth_um=depth if depth and 0 < depth < 1e6 else None,
            identifiers={keyword: value for keyword in _IDENTIFIERS if (value := text(header, keyword))},
        )


def _known(value: str) -> str | None:
    """None for what writers put where a value is required and they know none (type 1)."""
    return None if value.lower() in ("", "unknown") else value


def _optical_path(item: Dataset) -> OpticalPath:
    """Light reaches the specimen with the illuminator's wavelength, or what its filter lets pass (PS3.3 C.8.12.5)."""
    kinds = {text(code, "CodeValue") for code in item.get("IlluminationTypeCodeSequence") or ()}
    return OpticalPath(
        identifier=text(item, "OpticalPathIdentifier"),
        description=text(item, "OpticalPathDescription") or None,
        fluorescence=_EPIFLUORESCENCE in kinds,
        excitation_nm=_wavelength(item, "IlluminationWaveLength", "LightPathFilterPassThroughWavelength"),
        emission_nm=_wavelength(item, "ImagePathFilterPassThroughWavelength"),
        color=_palette_color(item),
    )


def _wavelength(item: Dataset, *keywords: str) -> float | None:
    values = (item.get(keyword) for keyword in keywords)
    return next((float(value) for value in values if value), None)


def _palette_color(item: Dataset) -> tuple[int, int, int] | None:
    """The colour of the brightest gray: the last entries of the palette's tables, of 16 bits (PS3.3 C.7.9)."""
    for palette in item.get("PaletteColorLookupTableSequence") or ():
        tables = [
            palette.get(f"{color}PaletteColorLookupTableData")
            or palette.get(f"Segmented{color}PaletteColorLookupTableData")  # its last word is an entry as well
            for color in ("Red", "Green", "Blue")
        ]
        if all(isinstance(table, bytes) and len(table) >= 2 for table in tables):
            red, green, blue = (round(int.from_bytes(table[-2:], "little") / 257) for table in tables)
            return red, green, blue
    return None


def _date_time(value: str) -> datetime | None:
    """A DT that tells at least the seconds (PS3.5 6.2); None for less, or for an impossible one."""
    if not (match := _DATE_TIME.fullmatch(value.strip())):
        return None
    date, hours, minutes, seconds, fraction, offset = match.groups()
    return parse_moment(
        f"{date}{hours}{minutes}{seconds}.{fraction or 0}{offset or ''}",
        "%Y%m%d%H%M%S.%f" + ("%z" if offset else ""),
    )
