"""De-identification after the Basic Application Level Confidentiality Profile (PS3.15 annex E).

What replaces a UID, an identifier or a date comes from a keyed hash: the same for the same original and key, so that
images, series and slides of a patient stay together, and not to be guessed without the key. Label and overview are to
be left out by the caller: what is written on glass cannot be removed from them here.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wsi_dicom.dicom.confidentiality_profile import (
    EMPTIED,
    KEPT,
    KEPT_IN_ITEMS,
    MOMENTS,
    REPLACED,
    STANDARD_UID_ROOT,
    TECHNICAL_GROUPS,
    TECHNICAL_VRS,
)
from wsi_dicom.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

SHORTEST_KEY: Final = 16
_LONGEST_KEY: Final = 1 << 16
_MOST_DAYS: Final = 3650
_PER_FRAME_GROUPS: Final = 0x52009230
_NO_DATE: Final = {"DA": "19000101", "TM": "000000", "DT": "19000101000000"}
_STEP_ITEMS: Final = "SpecimenPreparationStepContentItemSequence"
_KEPT_TEXTS: Final = ("121041", "111705")  # DCM: identifiers of a specimen and of its parent


class DatePolicy(StrEnum):
    """What becomes of dates and times: removed, moved by the same number of days for each patient, or kept."""

    REMOVE = "remove"
    SHIFT = "shift"
    KEEP = "keep"


def random_key() -> bytes:
    return secrets.token_bytes(32)


def secret_key(text: str) -> bytes:
    """The key that a user gives as text. Raises InvalidRequest for one that is short enough to be guessed."""
    key = text.strip().encode()
    if len(key) < SHORTEST_KEY:
        raise InvalidRequest(f"the key of de-identification has {len(key)} bytes; at least {SHORTEST_KEY} are needed")
    return key


def read_key(path: Path) -> bytes:
    """The key in a file. Raises NotFound, InvalidRequest."""
    try:
        with path.open("rb") as file:
            return secret_key(file.read(_LONGEST_KEY).decode())
    except FileNotFoundError as error:
        raise NotFound(f"{path}: no such file") from error
    except OSError as error:
        raise InvalidRequest(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{path}: a key is text, in UTF-8") from error


def pseudonym(name: str, moment: datetime, key: bytes) -> str:
    """A name to show in public, `yymmdd-hhmm-xxxx`: of a moment, and a keyed hash of the name that it stands for."""
    digest = hmac.digest(key, b"pseudonym|" + name.encode(), hashlib.sha256)
    return f"{moment:%y%m%d-%H%M}-{digest.hex()[:4]}"


@dataclass(frozen=True, slots=True)
class DeidentifyOptions:
    """`pseudonym` becomes Patient's Name and ID; without one the name is empty and the ID a keyed hash."""

    key: bytes = field(default_factory=random_key, repr=False)
    dates: DatePolicy = DatePolicy.REMOVE
    pseudonym: str | None = None

    def uid(self, original: str) -> str:
        """What stands for a UID: one of DICOM's own for itself."""
        if original.startswith(STANDARD_UID_ROOT):
            return original
        return f"2.25.{uuid.UUID(bytes=self._digest('uid', original)[:16], version=5).int}"

    def identifier(self, original: str) -> str:
        """What stands for an identifier of a patient, a specimen, a container, a device."""
        return self._digest("identifier", original).hex()[:12].upper()

    def days(self, patient: str) -> int:
        """By how many days the patient's dates are moved into the past: 1 to 3650."""
        return 1 + int.from_bytes(self._digest("days", patient)[:8], "big") % _MOST_DAYS

    def _digest(self, purpose: str, original: str) -> bytes:
        return hmac.digest(self.key, f"{purpose}|{original}".encode(), hashlib.sha256)


def deidentify(dataset: Dataset, options: DeidentifyOptions) -> None:
    """Changes a dataset of `image_dataset`, and its `file_meta`, in place.

    Per-frame functional groups, which tell positions alone, stay as they are.
    """
    if dataset.ImageType[2] in ("LABEL", "OVERVIEW"):
        raise ValueError(f"a {dataset.ImageType[2]} shows what is written on the glass and must not be written")
    # elements that the user gave are shared by all images
    for tag in set(dataset.keys()) - {_PER_FRAME_GROUPS}:
        dataset[tag] = deepcopy(dataset[tag])
    # dates of one patient keep their distances, over all of the patient's slides
    patient = str(dataset.get("PatientID") or dataset.get("PatientName") or dataset.StudyInstanceUID)
    _Cleaning(options, timedelta(options.days(patient))).clean(dataset)
    if options.pseudonym is not None:
        dataset.PatientName = dataset.PatientID = options.pseudonym
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    _tell(dataset, options)


def _tell(dataset: Dataset, options: DeidentifyOptions) -> None:
    """What was done (PS3.15 E.1.1, PS3.16 CID 7050)."""
    from wsi_dicom.dicom.values import code

    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "wsi-dicom: Basic Application Confidentiality Profile"
    methods = code("113100", "DCM", "Basic Application Confidentiality Profile")
    if dataset.SpecimenDescriptionSequence[0].get("SpecimenPreparationSequence"):
        methods.extend(code("113104", "DCM", "Clean Structured Content Option"))
    temporal = "Retain Longitudinal Temporal Information"
    if options.dates is DatePolicy.KEEP:
        methods.extend(code("113106", "DCM", f"{temporal} Full Dates Option"))
    elif options.dates is DatePolicy.SHIFT:
        methods.extend(code("113107", "DCM", f"{temporal} Modified Dates Option"))
    dataset.DeidentificationMethodCodeSequence = methods
    dataset.LongitudinalTemporalInformationModified = {
        DatePolicy.KEEP: "UNMODIFIED",
        DatePolicy.SHIFT: "MODIFIED",
        DatePolicy.REMOVE: "REMOVED",
    }[options.dates]


@dataclass(frozen=True, slots=True)
class _Cleaning:
    """One instance's de-identification: every element of every item in turn."""

    options: DeidentifyOptions
    shift: timedelta

    def clean(self, dataset: Dataset, *, nested: bool = False) -> None:
        for tag in list(dataset.keys()):
            if tag == _PER_FRAME_GROUPS:
                continue
            element = dataset[tag]
            if not self._stays(element, nested=nested):
                del dataset[tag]

    def _stays(self, element: DataElement, *, nested: bool) -> bool:
        """Changes the element as it has to be; False when it has to go."""
        keyword, technical = element.keyword, element.tag.group in TECHNICAL_GROUPS
        kept = keyword in KEPT or (nested and keyword in KEPT_IN_ITEMS)
        if not keyword:  # private, or unknown
            return False
        if keyword in MOMENTS and self.options.dates is not DatePolicy.REMOVE:
            self._move(element)
        elif keyword in EMPTIED:
            element.clear()
        elif element.is_empty:
            return kept or technical or keyword in REPLACED
        elif keyword in REPLACED:
            element.value = _NO_DATE.get(element.VR) or self.options.identifier(str(element.value))
        elif element.VR == "UI":
            element.value = _mapped(element, self.options.uid)
        elif keyword == "SpecimenPreparationSequence":
            self._clean_preparation(element)
        elif kept or (technical and element.VR in TECHNICAL_VRS):
            if element.VR == "SQ":
                for item in element.value:
                    self.clean(item, nested=True)
        else:
            return False
        return True

    def _move(self, element: DataElement) -> None:
        """A date is moved by whole days; the time of day stays."""
        if self.options.dates is DatePolicy.SHIFT and element.VR != "TM" and not element.is_empty:
            element.value = _mapped(element, self._moved)

    def _moved(self, text: str) -> str:
        """A DA or DT; what tells less than the day, or lies before the calendar, becomes no date."""
        if len(text) < len("YYYYMMDD"):
            return _NO_DATE["DA"]
        day = date(int(text[:4]), int(text[4:6]), int(text[6:8]))
        if day - date.min < self.shift:
            return _NO_DATE["DA"]
        return f"{day - self.shift:%Y%m%d}{text[8:]}"

    def _clean_preparation(self, element: DataElement) -> None:
        """Codes stay, of what texts there are only identifiers, replaced (PS3.15 E.3.4)."""
        for step in element.value:
            items = (_cleaned(item, self.options) for item in step.get(_STEP_ITEMS) or ())
            setattr(step, _STEP_ITEMS, [item for item in items if item is not None])


def _cleaned(item: Dataset, options: DeidentifyOptions) -> Dataset | None:
    from pydicom.dataset import Dataset

    names = item.get("ConceptNameCodeSequence")
    concept = names[0].get("CodeValue") if names else None
    cleaned = Dataset()
    cleaned.ValueType = item.get("ValueType")
    cleaned.ConceptNameCodeSequence = names
    if cleaned.ValueType == "CODE":
        cleaned.ConceptCodeSequence = item.get("ConceptCodeSequence")
    elif cleaned.ValueType == "TEXT" and concept in _KEPT_TEXTS:
        cleaned.TextValue = options.identifier(str(item.get("TextValue")))
    else:
        return None
    return cleaned


def _mapped(element: DataElement, change: Callable[[str], str]) -> str | list[str]:
    return [change(str(value)) for value in element.value] if element.VM > 1 else change(str(element.value))
