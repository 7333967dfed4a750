"""Values that are not what the data dictionary says (PS3.5 6.2, PS3.6 6).

The unreadable ones are taken out of the header, so that later checks find them missing, and all others of their kind.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from wsi_dicom.dicom.header import reading
from wsi_dicom.errors import CorruptInput
from wsi_dicom.validation.finding import Finding, Severity

_DEEPEST: Final = 32


def decode_values(dataset: Dataset, path: Path, depth: int = 0) -> Iterator[Finding]:
    """Decodes every element, also in sequences; removes those that are unreadable, of a wrong VR or too deep."""

    def error(clause: str, message: str) -> Finding:
        return Finding(Severity.ERROR, clause, path.name, message)

    for tag in list(dataset.keys()):
        name = keyword_for_tag(tag) or str(tag)
        try:
            with warnings.catch_warnings(record=True) as complaints, reading(path):
                warnings.simplefilter("always")
                element = dataset[tag]
        except CorruptInput:
            del dataset[tag]
            yield error("PS3.5 6.2", f"{name} has a value that cannot be read")
            continue
        if fault := _dictionary_fault(element):
            del dataset[tag]
            yield error("PS3.6 6", f"{name} {fault}")
        elif element.VR == "SQ" and depth == _DEEPEST:
            del dataset[tag]
            yield error("wsi-dicom", f"{name} is nested more than {_DEEPEST} deep and is not looked into")
        elif element.VR == "SQ":
            for item in element.value:
                yield from decode_values(item, path, depth + 1)
        elif complaints and element.VR != "UI":  # UIDs have a check of their own
            yield error("PS3.5 6.2", f"{name} breaks the rules of its VR, {element.VR}")


def _dictionary_fault(element: DataElement) -> str:
    if not element.keyword:
        return ""
    if element.VR not in dictionary_VR(element.tag):
        return f"has the VR {element.VR}; {dictionary_VR(element.tag)} is due"
    if element.VR == "SQ" or element.is_empty:
        return ""
    allowed = dictionary_VM(element.tag)
    if allowed.isdecimal() and int(allowed) != element.VM:
        return f"has {element.VM} values; {allowed} are due"
    return ""
