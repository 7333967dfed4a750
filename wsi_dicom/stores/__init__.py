"""Places a series can live or go. One file per kind, chosen by URL scheme."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from wsi_dicom.stores.query import EVERYTHING, Entity, SeriesOrder, SeriesQuery

if TYPE_CHECKING:
    from wsi_dicom.dicom.slide import DicomSlide

__all__ = [
    "EVERYTHING",
    "Entity",
    "InstanceRecord",
    "PatientRecord",
    "SeriesDestination",
    "SeriesOrder",
    "SeriesQuery",
    "SeriesRecord",
    "SeriesStore",
    "StudyRecord",
]


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """What the index of a store knows about a series, without opening its files.

    `orthanc_id` is the SHA-1 of `PatientID|StudyInstanceUID|SeriesInstanceUID` in five groups of eight hex digits, and
    those of study and patient that of the first two and of the first. `specimen` holds the identifiers of all specimens
    on the slide, `anatomy` where they were taken from, `stain` what they were stained with, each parted by ", ";
    `scanner` is manufacturer and model. Texts are "" where nothing is told. `width` and `height` are those of the
    finest VOLUME image, None when the series holds no whole slide. `frame_count` is over all images.
    `size` is in bytes, over all files.
    """

    series_uid: str
    study_uid: str
    orthanc_id: str
    patient_orthanc_id: str
    study_orthanc_id: str
    patient_id: str
    patient_name: str
    study_date: str
    accession_number: str
    study_description: str
    description: str
    container_identifier: str
    specimen: str
    anatomy: str
    stain: str
    scanner: str
    modality: str
    width: int | None
    height: int | None
    instance_count: int
    frame_count: int
    size: int
    added: datetime
    folder: Path


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """What the index of a store knows about one file of a series.

    `orthanc_id` is made as those of SeriesRecord, with the SOPInstanceUID as the fourth part. `number` is Instance
    Number, 0 where none is told. `frames`, and their `width` and `height`, are 0 for what is no image.
    """

    sop_instance_uid: str
    series_uid: str
    orthanc_id: str
    sop_class_uid: str
    number: int
    frames: int
    width: int
    height: int
    path: Path


@dataclass(frozen=True, slots=True)
class PatientRecord:
    """A patient, with the numbers of studies and series that were found."""

    orthanc_id: str
    patient_id: str
    patient_name: str
    studies: int
    series: int


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study, with the number of series that were found."""

    orthanc_id: str
    study_uid: str
    patient_orthanc_id: str
    study_date: str
    accession_number: str
    description: str
    series: int


class SeriesDestination(Protocol):
    """Takes whole series: a store, or a plain folder. Every call is all or nothing."""

    def staging(self) -> AbstractContextManager[Path]:
        """A private folder on the store's own file system to write files into before `add`; gone afterwards.

        Raises StoreError.
        """
        ...

    def add(self, files: Sequence[Path]) -> SeriesRecord:
        """Stores the files of one series; they are moved when they lie in a `staging` folder, else copied.

        Raises StoreError (cannot write, already stored), CorruptInput (not DICOM, or of several series).
        """
        ...

    def find(self, series_uid: str) -> SeriesRecord | None:
        """The series of exactly this SeriesInstanceUID, if it is known to be here."""
        ...

    def files(self, record: SeriesRecord) -> list[Path]:
        """Where the files of a series lie that is here, by name."""
        ...


class SeriesStore(SeriesDestination, Protocol):
    """Keeps series and gives them back. Safe to use from many threads and processes at once."""

    def search(
        self, query: SeriesQuery = EVERYTHING, *, limit: int | None = None, offset: int = 0
    ) -> Iterator[SeriesRecord]:
        """Series that meet the query, in its order: by default the newest first."""
        ...

    def count(self, query: SeriesQuery = EVERYTHING, entity: Entity = Entity.SERIES) -> int:
        """How many series, or studies or patients of such series, there are."""
        ...

    def patients(
        self, query: SeriesQuery = EVERYTHING, *, limit: int | None = None, offset: int = 0
    ) -> list[PatientRecord]:
        """Patients with series that meet the query, by Orthanc identifier: an order that tells nothing."""
        ...

    def studies(
        self, query: SeriesQuery = EVERYTHING, *, limit: int | None = None, offset: int = 0
    ) -> list[StudyRecord]:
        """Studies with series that meet the query, newest first."""
        ...

    def resolve(self, identifier: str) -> SeriesRecord:
        """By SeriesInstanceUID or Orthanc identifier, or a unique beginning of either.

        Raises NotFound, InvalidRequest (ambiguous; the message lists the candidates).
        """
        ...

    def instances(self, record: SeriesRecord) -> list[InstanceRecord]:
        """Those of a series, in the order of their numbers."""
        ...

    def find_instance(self, identifier: str) -> InstanceRecord | None:
        """By SOPInstanceUID or Orthanc identifier, whole."""
        ...

    def open(self, identifier: str, background: tuple[int, int, int] | None = None) -> DicomSlide:
        """`background` is what absent tiles look like, see `open_series`.

        Raises NotFound, InvalidRequest, CorruptInput.
        """
        ...

    def delete(self, identifier: str) -> SeriesRecord:
        """Removes a series, files and index entry. Raises NotFound, InvalidRequest, StoreError."""
        ...

    def opener(self) -> Callable[[], SeriesStore]:
        """Opens this store in another process: picklable. Raises StoreError when it is called."""
        ...

    def close(self) -> None: ...
