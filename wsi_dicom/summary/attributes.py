"""The attributes of an image in the DICOM JSON Model (PS3.18 Annex F), as much of them as may be told."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from wsi_dicom.dicom.deidentify import DatePolicy, withhold_names
from wsi_dicom.summary.series import readable_header

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

    from wsi_dicom.dicom.header import Instance

_LARGEST: Final = 1 << 16
"""Bytes of a binary value that is told; what is larger, as a rule a picture, is left out."""

_NUMBERS: Final = frozenset({"DS", "FD", "FL"})


def json_attributes(instance: Instance, *, patient: bool, dates: bool) -> dict[str, Any]:
    """Without pixel data and per-frame functional groups, and without values that cannot be read.

    `patient`: everything else. Otherwise nothing that names one: what the Basic Application Level Confidentiality
    Profile leaves, with the UIDs and with the identifiers of containers and specimens; `dates` whether these stay too.
    """
    header = readable_header(instance)
    if not patient:
        withhold_names(header, DatePolicy.KEEP if dates else DatePolicy.REMOVE)
    _leave_out(header)
    content: dict[str, Any] = header.to_json_dict(suppress_invalid_tags=True)
    return content


def _leave_out(dataset: Dataset) -> None:
    """What JSON cannot hold, or should not."""
    for element in list(dataset):
        if element.VR == "SQ":
            for item in element.value:
                _leave_out(item)
        elif _is_large(element) or not _is_finite(element):
            del dataset[element.tag]


def _is_large(element: DataElement) -> bool:
    return isinstance(element.value, bytes) and len(element.value) > _LARGEST


def _is_finite(element: DataElement) -> bool:
    if element.VR not in _NUMBERS or element.is_empty:
        return True
    values: Iterable[Any] = element.value if element.VM > 1 else [element.value]
    return all(math.isfinite(float(value)) for value in values)
