"""What to look for in a store, and in which order to give it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final
from unicodedata import category

from wsi_dicom.errors import InvalidRequest

MATCHED_FIELDS: Final = frozenset(
    {
        "series_uid",
        "study_uid",
        "orthanc_id",
        "patient_orthanc_id",
        "study_orthanc_id",
        "patient_id",
        "patient_name",
        "study_date",
        "accession_number",
        "study_description",
        "description",
        "container_identifier",
        "specimen",
        "anatomy",
        "stain",
        "scanner",
        "modality",
    }
)
"""Fields of SeriesRecord that SeriesQuery.equal may name."""


_LONGEST: Final = 256
_MOST_WORDS: Final = 16


class SeriesOrder(StrEnum):
    """By what series are sorted: texts whatever their case, a patient's name before the identifier, and the container's
    identifier before those of specimens."""

    ADDED = "added"
    STUDY_DATE = "study_date"
    PATIENT = "patient"
    SPECIMEN = "specimen"
    STAIN = "stain"
    SCANNER = "scanner"


class Entity(StrEnum):
    """What is counted, by the field of SeriesRecord that tells one from another."""

    PATIENT = "patient_orthanc_id"
    STUDY = "study_orthanc_id"
    SERIES = "series_uid"


@dataclass(frozen=True, slots=True)
class SeriesQuery:
    """Series that meet every condition given; without any, all of them.

    `equal` names fields of SeriesRecord and the values that they have exactly. Of the other texts every word occurs
    somewhere, also within words and in whatever case: of `patient` in what names one, which is name, identifier and
    accession number; of `specimen` in the identifiers of container and specimen, or in where it was taken from; of
    `stain`; of `scanner` in manufacturer or model; of `words` in any of these or in a description, but in what names
    the patient only where `naming`. `first_date` and `last_date` bound the study date, both included. `images`: only
    what holds an image.

    Times and dates come newest first, texts from A to Z, and what is equal in that order newest first. Raises
    InvalidRequest.
    """

    equal: Mapping[str, str] = field(default_factory=dict)
    words: str = ""
    naming: bool = False
    patient: str = ""
    specimen: str = ""
    stain: str = ""
    scanner: str = ""
    first_date: date | None = None
    last_date: date | None = None
    images: bool = False
    order: SeriesOrder = SeriesOrder.ADDED

    def __post_init__(self) -> None:
        for text in (self.words, self.patient, self.specimen, self.stain, self.scanner, *self.equal.values()):
            if len(text) > _LONGEST or len(text.split()) > _MOST_WORDS or any(map(_is_control, text)):
                raise InvalidRequest(
                    f"a text to search for has at most {_LONGEST} characters, {_MOST_WORDS} words, and no control "
                    "characters"
                )
        if unknown := sorted(set(self.equal) - MATCHED_FIELDS):
            raise InvalidRequest(
                f"a series cannot be found by {unknown[0]}; search for one of {', '.join(sorted(MATCHED_FIELDS))}"
            )


def _is_control(character: str) -> bool:
    return category(character) in ("Cc", "Cs")


EVERYTHING: Final = SeriesQuery()
