"""Values that are not what the data dictionary says (PS3.5 6.2, PS3.6 6).

The unreadable ones are taken out of the header, so that later checks find them missing, and all others of their kind.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from pydicom.config import WARN
from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as Items
from pydicom.valuerep import PersonName, validate_value

from wsi_dicom.dicom.header import reading
from wsi_dicom.errors import CorruptInput
from wsi_dicom.validation.finding import Finding, Severity

_DEEPEST: Final = 32
_NOT_VALIDATED_ON_READING: Final = frozenset({"AE", "AS", "CS", "DA", "DT", "TM"})
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    **dict.fromkeys(("AT", "DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"), (int, float)),
    **dict.fromkeys(("OB", "OD", "OF", "OL", "OV", "OW", "UN"), (bytes,)),
}


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
                readable = _is_readable(element)
                if element.VR in _NOT_VALIDATED_ON_READING:
                    for value in _values(element):
                        validate_value(element.VR, value, WARN)
        except CorruptInput:
            readable = False
        if not readable:
            del dataset[tag]
            yield error("PS3.5 6.2", f"{name} has a value that cannot be read")
        elif fault := _dictionary_fault(element):
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


def _is_readable(element: DataElement) -> bool:
    """Whether values are of the type of their VR: pydicom gives those that it cannot convert in another one."""
    if element.is_empty:
        return True
    if element.VR == "SQ":
        return isinstance(element.value, Items)
    kind = _TYPES.get(element.VR, (str, PersonName))
    return all(isinstance(value, kind) for value in _values(element))


def _values(element: DataElement) -> Iterable[Any]:
    return element.value if isinstance(element.value, MultiValue) else [element.value]


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
