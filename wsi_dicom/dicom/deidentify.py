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

from wsi_dicom.dicom.assumptions import assumptions_in
from wsi_dicom.dicom.confidentiality_profile import (
    EMPTIED,
    KEPT,
    KEPT_TEXTS,
    MOMENTS,
    REPLACED,
    STANDARD_UID_ROOT,
    TECHNICAL_GROUPS,
    TECHNICAL_VRS,
)
from wsi_dicom.dicom.structured_content import (
    LOCALIZATION,
    cleaned_codes,
    cleaned_content,
    cleaned_steps,
    complete_localization,
    holds_codes,
)
from wsi_dicom.errors import InvalidRequest
from wsi_dicom.given_file import read_given_text

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

SHORTEST_KEY: Final = 16
_LONGEST_KEY: Final = 1 << 16
_MOST_DAYS: Final = 3650
_PER_FRAME_GROUPS: Final = 0x52009230
_IDENTIFIERS: Final = frozenset({"ContainerIdentifier", "SpecimenIdentifier"})
_NO_DATE: Final = {"DA": "19000101", "TM": "000000", "DT": "19000101000000"}


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
    return secret_key(read_given_text(path, _LONGEST_KEY))


def pseudonym(name: str, moment: datetime, key: bytes) -> str:
    """A name to show in public, `yymmdd-hhmm-xxxx`: of a moment, and a keyed hash of the name that it stands for."""
    digest = hmac.digest(key, b"pseudonym|" + name.encode(), hashlib.sha256)
    return f"{moment:%y%m%d-%H%M}-{digest.hex()[:4]}"


def pseudonymous(name: str, patient_id: str, moment: datetime, key: bytes) -> tuple[str, str]:
    """Patient's Name and ID to show in public: a pseudonym, which others may share, and a keyed hash of the ID.

    The ID is the same at any moment, and the one that `deidentify` gives. Without an original it stands for the name.
    """
    return pseudonym(name, moment, key), DeidentifyOptions(key).identifier(patient_id or name)


@dataclass(frozen=True, slots=True)
class DeidentifyOptions:
    """`pseudonym` becomes Patient's Name; without one the name is empty. The ID is a keyed hash of the original."""

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
        dataset.PatientName = options.pseudonym
        dataset.PatientID = dataset.PatientID or options.identifier(patient)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    _tell(dataset, options)


class _AsItIs(DeidentifyOptions):
    """UIDs and identifiers stay."""

    def uid(self, original: str) -> str:
        return original

    def identifier(self, original: str) -> str:
        return original


def withhold_names(dataset: Dataset, dates: DatePolicy) -> None:
    """Takes out of any data set, in place, what names a patient, and all else that the profile removes.

    UIDs and the identifiers of container and specimens stay. For showing a data set, not for making one.
    """
    for keyword in (REPLACED | EMPTIED) - _IDENTIFIERS - (MOMENTS if dates is DatePolicy.KEEP else frozenset()):
        if keyword in dataset:
            del dataset[keyword]
    _Cleaning(_AsItIs(dates=dates), timedelta()).clean(dataset)


def _tell(dataset: Dataset, options: DeidentifyOptions) -> None:
    """What was done (PS3.15 E.1.1, PS3.16 CID 7050)."""
    from wsi_dicom.dicom.values import code

    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "wsi-dicom: Basic Application Confidentiality Profile"
    methods = code("113100", "DCM", "Basic Application Confidentiality Profile")
    contents = ("SpecimenPreparationSequence", LOCALIZATION)
    if any(specimen.get(keyword) for specimen in dataset.SpecimenDescriptionSequence for keyword in contents):
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

    def clean(self, dataset: Dataset, where: str = "") -> None:
        """`where`: keyword of the sequence that the data set is an item of."""
        for tag in list(dataset.keys()):
            if tag == _PER_FRAME_GROUPS:
                continue
            element = dataset[tag]
            if not self._stays(element, where):
                del dataset[tag]

    def _stays(self, element: DataElement, where: str) -> bool:
        """Changes the element as it has to be; False when it has to go."""
        keyword, technical = element.keyword, element.tag.group in TECHNICAL_GROUPS
        kept = keyword in KEPT or keyword in KEPT_TEXTS.get(where, ())
        if not keyword:  # private, or unknown
            return False
        if keyword in MOMENTS and self._moves(element):
            return True
        if keyword in EMPTIED:
            element.clear()
        elif element.is_empty:
            return kept or technical or keyword in REPLACED or keyword == "SpecimenPreparationSequence"
        elif keyword in REPLACED:
            element.value = _NO_DATE.get(element.VR) or self.options.identifier(str(element.value))
        elif element.VR == "UI":
            element.value = _mapped(element, self.options.uid)
        elif keyword == "ImageComments" and not where:
            element.value = assumptions_in(str(element.value))
            return not element.is_empty
        elif keyword == "SpecimenPreparationSequence":
            element.value = cleaned_steps(element.value, self.options.identifier)
        elif keyword == LOCALIZATION:
            element.value = cleaned_content(element.value, self.options.identifier)
            return not element.is_empty
        elif kept or (technical and element.VR in TECHNICAL_VRS):
            if element.VR == "SQ":
                self._clean_items(element)
        else:
            return False
        return True

    def _clean_items(self, sequence: DataElement) -> None:
        if holds_codes(sequence.keyword):
            sequence.value = cleaned_codes(sequence.value)
            return
        for item in sequence.value:
            self.clean(item, sequence.keyword)
        if sequence.keyword == "SpecimenDescriptionSequence":
            complete_localization(sequence.value)

    def _moves(self, element: DataElement) -> bool:
        """A date is moved by whole days; the time of day stays. False when the policy, or the date, does not let it."""
        if self.options.dates is DatePolicy.REMOVE:
            return False
        if self.options.dates is DatePolicy.SHIFT and element.VR != "TM" and not element.is_empty:
            try:
                element.value = _mapped(element, self._moved)
            except ValueError:
                return False
        return True

    def _moved(self, text: str) -> str:
        """A DA or DT. Raises ValueError for one that tells less than the day, is impossible, or leaves the calendar."""
        day = date(int(text[:4]), int(text[4:6]), int(text[6:8]))
        if day - date.min < self.shift:
            raise ValueError(f"{self.shift} cannot be taken from {day}")
        return f"{day - self.shift:%Y%m%d}{text[8:]}"


def _mapped(element: DataElement, change: Callable[[str], str]) -> str | list[str]:
    return [change(str(value)) for value in element.value] if element.VM > 1 else change(str(element.value))
