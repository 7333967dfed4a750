"""Collections of IIIF: the archive holds patients, they hold studies, these hold manifests.

All that is told comes from the index; no file is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from wsi_dicom.errors import NotFound
from wsi_dicom.stores import Entity, SeriesQuery, SeriesRecord, SeriesStore
from wsi_dicom_server.captions import patient_title, slide_title, study_title
from wsi_dicom_server.presentation.listing import PAGE, Listing, Member, page_count
from wsi_dicom_server.presentation.subject import ShownImage, manifest_path, study_path

_ARCHIVE = "collection.json"


@dataclass(frozen=True, slots=True)
class Collections:
    """What somebody sees of a store: whether patients are named, and dates told.

    `page` is the part of a large collection that is asked for, counted from 1; None: the collection itself. Patients
    and studies are known by their Orthanc identifiers. All methods read the index, and raise NotFound.
    """

    store: SeriesStore
    naming: bool
    dates: bool
    page: int | None

    def archive(self) -> Listing:
        total = self.store.count(entity=Entity.PATIENT)
        facts = [("Patients", f"{total:,}"), ("Series", f"{self.store.count():,}")]

        def members(offset: int) -> Iterable[Member]:
            for patient in self.store.patients(limit=PAGE, offset=offset):
                yield Member(_patient_path(patient.orthanc_id), patient_title(patient, patients=self.naming))

        return self._listing(_ARCHIVE, "Archive", total, members, facts=facts)

    def patient(self, identifier: str) -> Listing:
        query = SeriesQuery({"patient_orthanc_id": identifier})
        found = self.store.patients(query, limit=1)
        if not found:
            raise NotFound(f"no patient {identifier[:64]}")

        def members(offset: int) -> Iterable[Member]:
            for study in self.store.studies(query, limit=PAGE, offset=offset):
                title = study_title(study, dates=self.dates, patients=self.naming)
                yield Member(study_path(study.orthanc_id), title)

        label = patient_title(found[0], patients=self.naming)
        return self._listing(_patient_path(identifier), label, found[0].studies, members, holder=_ARCHIVE)

    def study(self, identifier: str) -> Listing:
        found = self.store.studies(SeriesQuery({"study_orthanc_id": identifier}), limit=1)
        if not found:
            raise NotFound(f"no study {identifier[:64]}")
        query = SeriesQuery({"study_orthanc_id": identifier}, images=True)

        def members(offset: int) -> Iterable[Member]:
            return map(_series, self.store.search(query, limit=PAGE, offset=offset))

        label = study_title(found[0], dates=self.dates, patients=self.naming)
        holder = _patient_path(found[0].patient_orthanc_id)
        return self._listing(study_path(identifier), label, self.store.count(query), members, holder=holder)

    def _listing(
        self,
        path: str,
        label: str,
        total: int,
        members: Callable[[int], Iterable[Member]],
        *,
        facts: Sequence[tuple[str, str]] = (),
        holder: str | None = None,
    ) -> Listing:
        """`members` finds those of a page, by the number of members before it."""
        pages, page = page_count(total), self.page
        if page is not None and page > pages:
            raise NotFound(f"page {page} of {pages}")
        shown = [] if page is None and pages > 1 else list(members(((page or 1) - 1) * PAGE))
        return Listing(path, label, total, page, shown, facts, holder)


def _series(record: SeriesRecord) -> Member:
    series, title = record.series_uid, slide_title(record)
    if record.width and record.height:
        return Member(manifest_path(series), title, ShownImage(f"tiles/{series}", title, record.width, record.height))
    return Member(manifest_path(series), title, f"frames/{series}/0")


def _patient_path(patient: str) -> str:
    return f"patients/{patient}/collection.json"
