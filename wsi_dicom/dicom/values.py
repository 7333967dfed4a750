"""Python values as DICOM values: texts, decimal strings, date times, codes, references (PS3.5 6.2)."""

from __future__ import annotations

import unicodedata
from datetime import datetime

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import format_number_as_ds

from wsi_dicom.dicom.uids import VL_WHOLE_SLIDE


def clean_text(value: str, limit: int) -> str:
    """What a scanner wrote, as one value of at most `limit` characters (64 for LO and PN, 16 for SH).

    Control characters become spaces, and a backslash, which would part the value in two, becomes a slash.
    """
    printable = "".join(" " if unicodedata.category(c)[0] == "C" else c for c in value.replace("\\", "/"))
    return " ".join(printable.split())[:limit].rstrip()


def decimal(value: float) -> str:
    """A decimal string (DS) of at most 16 characters."""
    return format_number_as_ds(float(value))


def date_time(moment: datetime) -> str:
    """A date time (DT) with microseconds; with the offset from UTC when `moment` knows it."""
    return moment.strftime("%Y%m%d%H%M%S.%f%z")


def code(value: str, scheme: str, meaning: str) -> Sequence:
    """A code sequence of one item (PS3.3 8.8)."""
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = scheme
    item.CodeMeaning = meaning
    return Sequence([item])


def reference(sop_instance_uid: str) -> Dataset:
    """An item that refers to a whole slide image (PS3.3 10.8)."""
    item = Dataset()
    item.ReferencedSOPClassUID = VL_WHOLE_SLIDE
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item
