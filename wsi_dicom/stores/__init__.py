"""Places a series can live or go. One file per kind, chosen by URL scheme."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from wsi_dicom.dicom.slide import DicomSlide


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """What the index of a store knows about a series, without opening its files.

    `orthanc_id` is the SHA-1 of `PatientID|StudyInstanceUID|SeriesInstanceUID` in five groups of eight hex digits.
    `width` and `height` are those of the finest VOLUME image, None when the series holds no whole slide.
    `size` is in bytes, over all files.
    """

    series_uid: str
    study_uid: str
    orthanc_id: str
    patient_id: str
    patient_name: str
    study_date: str
    accession_number: str
    description: str
    container_identifier: str
    modality: str
    width: int | None
    height: int | None
    instance_count: int
    size: int
    added: datetime
    folder: Path


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
        self, match: Mapping[str, str] | None = None, *, limit: int | None = None, offset: int = 0
    ) -> Iterator[SeriesRecord]:
        """Series whose fields equal those of `match` (names of SeriesRecord), newest first."""
        ...

    def resolve(self, identifier: str) -> SeriesRecord:
        """By SeriesInstanceUID or Orthanc identifier, or a unique beginning of either.

        Raises NotFound, InvalidRequest (ambiguous; the message lists the candidates).
        """
        ...

    def open(self, identifier: str, background: tuple[int, int, int] | None = None) -> DicomSlide:
        """`background` is what absent tiles look like, see `open_series`.

        Raises NotFound, InvalidRequest, CorruptInput.
        """
        ...

    def delete(self, identifier: str) -> SeriesRecord:
        """Removes a series, files and index entry. Raises NotFound, InvalidRequest, StoreError."""
        ...

    def close(self) -> None: ...
