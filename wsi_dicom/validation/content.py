"""Codes, content items and issuers of identifiers, wherever they stand (PS3.3 8.8, 10.2, 10.14)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset

from wsi_dicom.dicom.structured_content import LOCALIZATION, STEP_ITEMS, holds_codes
from wsi_dicom.validation.finding import Finding
from wsi_dicom.validation.image import Image

_CONTENT: Final = (STEP_ITEMS, LOCALIZATION, "AcquisitionContextSequence")
_VALUES: Final = {
    "CODE": ("ConceptCodeSequence",),
    "COMPOSITE": ("ReferencedSOPSequence",),
    "DATE": ("Date",),
    "DATETIME": ("DateTime",),
    "IMAGE": ("ReferencedSOPSequence",),
    "NUMERIC": ("NumericValue", "MeasurementUnitsCodeSequence"),
    "PNAME": ("PersonName",),
    "TEXT": ("TextValue",),
    "TIME": ("Time",),
    "UIDREF": ("UID",),
}
"""Where a content item of each Value Type has its value."""
_SINGLE: Final = {
    "ConceptCodeSequence": "10.2",
    "ConceptNameCodeSequence": "10.2",
    "ContainerTypeCodeSequence": "C.7.6.22",
    "IlluminationColorCodeSequence": "C.8.12.5",
    "IssuerOfAccessionNumberSequence": "C.7.2.1",
    "IssuerOfPatientIDQualifiersSequence": "C.7.1.1",
    "IssuerOfTheContainerIdentifierSequence": "C.7.6.22",
    "IssuerOfTheSpecimenIdentifierSequence": "C.7.6.22",
    "MeasurementUnitsCodeSequence": "10.2",
    "PixelMeasuresSequence": "C.7.6.16.2.1",
    "PurposeOfReferenceCodeSequence": "C.12.1",
    "SharedFunctionalGroupsSequence": "C.7.6.16",
    "SpecimenTypeCodeSequence": "C.7.6.22",
    "TotalPixelMatrixOriginSequence": "C.8.12.14",
    "WholeSlideMicroscopyImageFrameTypeSequence": "C.8.12.9",
}
"""Sequences of which only a single item is permitted, by the clause that says so."""


def check_single_items(image: Image) -> Iterator[Finding]:
    for element in image.header.iterall():
        if element.keyword in _SINGLE and len(element.value) > 1:
            clause = f"PS3.3 {_SINGLE[element.keyword]}"
            yield image.error(clause, f"{element.keyword} has {len(element.value)} items; one is allowed")


def check_codes(image: Image) -> Iterator[Finding]:
    """Coded entries have a value, a scheme and a meaning (PS3.3 8.8)."""
    for keyword, item in _sequence_items(image):
        if not holds_codes(keyword):
            continue
        if not any(item.get(value) for value in ("CodeValue", "LongCodeValue", "URNCodeValue")):
            yield image.error("PS3.3 8.8", f"{keyword} has no CodeValue")
        if not (item.get("CodingSchemeDesignator") or item.get("URNCodeValue")):
            yield image.error("PS3.3 8.8", f"{keyword} has no CodingSchemeDesignator")
        if not item.get("CodeMeaning"):
            yield image.error("PS3.3 8.8", f"{keyword} has no CodeMeaning")


def check_content_items(image: Image) -> Iterator[Finding]:
    """Content items, of specimen preparation for instance, have a type, a name and a value."""
    for keyword, item in _sequence_items(image):
        if keyword not in _CONTENT:
            continue
        kind = str(item.get("ValueType") or "")
        if kind and kind not in _VALUES:
            yield image.error(
                "PS3.3 10.2", f"ValueType is {kind} in an item of {keyword}; {', '.join(_VALUES)} is allowed"
            )
        for needed in ("ValueType", "ConceptNameCodeSequence", *_VALUES.get(kind, ())):
            value = item.get(needed)
            if value is None or value == "" or (needed.endswith("Sequence") and not value):
                yield image.error("PS3.3 10.2", f"an item of {keyword} has no {needed}")


def check_issuers(image: Image) -> Iterator[Finding]:
    """Who gave an identifier is told by a local name, or by a universal one and its kind."""
    for keyword, item in _sequence_items(image):
        if not (keyword.startswith("IssuerOf") and keyword.endswith(("IdentifierSequence", "NumberSequence"))):
            continue
        local, universal = item.get("LocalNamespaceEntityID"), item.get("UniversalEntityID")
        if not (local or universal):
            yield image.error("PS3.3 10.14", f"{keyword} has neither LocalNamespaceEntityID nor UniversalEntityID")
        elif universal and not item.get("UniversalEntityIDType"):
            yield image.error("PS3.3 10.14", f"{keyword} has no UniversalEntityIDType")


def _sequence_items(image: Image) -> Iterator[tuple[str, Dataset]]:
    """Every item of every sequence, with the keyword of its sequence."""
    for element in image.header.iterall():
        if element.VR == "SQ":
            for item in element.value:
                yield element.keyword, item
