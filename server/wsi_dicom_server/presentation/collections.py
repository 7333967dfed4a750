"""Collections of IIIF Presentation 3.0: the archive holds patients, they hold studies, these hold manifests.

Presentation 3.0 has no pages of collections, so a large one holds smaller ones, of a hundred members each, which every
viewer understands. All that is told comes from the index; no file is opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from wsi_dicom.errors import NotFound
from wsi_dicom.stores import Entity, SeriesQuery, SeriesRecord, SeriesStore
from wsi_dicom_server.captions import patient_title, slide_title, study_title
from wsi_dicom_server.presentation.subject import Addresses, ShownImage
from wsi_dicom_server.presentation.version_3 import (
    CONTEXT,
    THUMBNAIL_SIDE,
    image_service,
    metadata,
    text,
    thumbnail,
    told_statements,
)
from wsi_dicom_server.settings import ServerSettings

PAGE: Final = 100
"""Members of a collection, or of a part of a large one."""

Item = dict[str, Any]


class Collection(NamedTuple):
    """What is sent, and web links (RFC 8288) to other parts of it."""

    content: Item
    links: list[str]


@dataclass(frozen=True, slots=True)
class Collections:
    """What somebody sees of a store; `naming` tells whether patients are named.

    `page` is the part of a large collection that is asked for, counted from 1; None: the collection itself. Patients
    and studies are known by their Orthanc identifiers. All methods read the index, and raise NotFound.
    """

    store: SeriesStore
    addresses: Addresses
    settings: ServerSettings
    naming: bool
    page: int | None

    def archive(self) -> Collection:
        total = self.store.count(entity=Entity.PATIENT)
        facts = [("Patients", f"{total:,}"), ("Series", f"{self.store.count():,}")]
        patients = (
            _collection_item(
                self.addresses.collection("patients", patient.orthanc_id),
                patient_title(patient, patients=self.naming),
            )
            for patient in self.store.patients(limit=PAGE, offset=self._offset)
        )
        return self._made(self.addresses.archive, "Archive", total, patients, facts=facts)

    def patient(self, identifier: str) -> Collection:
        query = SeriesQuery({"patient_orthanc_id": identifier})
        found = self.store.patients(query, limit=1)
        if not found:
            raise NotFound(f"no patient {identifier[:64]}")
        studies = (
            _collection_item(
                self.addresses.collection("studies", study.orthanc_id),
                study_title(study, dates=not self.settings.hide_dates, patients=self.naming),
            )
            for study in self.store.studies(query, limit=PAGE, offset=self._offset)
        )
        label = patient_title(found[0], patients=self.naming)
        uri = self.addresses.collection("patients", identifier)
        return self._made(uri, label, found[0].studies, studies, parent=self.addresses.archive)

    def study(self, identifier: str) -> Collection:
        found = self.store.studies(SeriesQuery({"study_orthanc_id": identifier}), limit=1)
        if not found:
            raise NotFound(f"no study {identifier[:64]}")
        query = SeriesQuery({"study_orthanc_id": identifier}, images=True)
        series = (self._manifest_item(record) for record in self.store.search(query, limit=PAGE, offset=self._offset))
        label = study_title(found[0], dates=not self.settings.hide_dates, patients=self.naming)
        parent = self.addresses.collection("patients", found[0].patient_orthanc_id)
        uri = self.addresses.collection("studies", identifier)
        return self._made(uri, label, self.store.count(query), series, parent=parent)

    @property
    def _offset(self) -> int:
        return ((self.page or 1) - 1) * PAGE

    def _made(
        self,
        uri: str,
        label: str,
        total: int,
        members: Iterable[Item],
        *,
        facts: Sequence[tuple[str, str]] = (),
        parent: str | None = None,
    ) -> Collection:
        """`total` members in all, of which `members` are those of the page; `parent` is what holds the collection."""
        pages, page = max(1, -(-total // PAGE)), self.page
        if page is not None and page > pages:
            raise NotFound(f"page {page} of {pages}")
        content: Item = {
            "@context": CONTEXT,
            "id": uri if page is None else _page_uri(uri, page),
            "type": "Collection",
            "label": text(label if page is None else _page_label(label, page, total)),
            **told_statements(self.settings, self.addresses.home),
        }
        if facts:
            content["metadata"] = metadata(facts)
        if (holder := parent if page is None else uri) is not None:
            content["partOf"] = [{"id": holder, "type": "Collection"}]
        if page is None and pages > 1:
            parts = range(1, pages + 1)
            content["items"] = [
                _collection_item(_page_uri(uri, part), _page_label(label, part, total)) for part in parts
            ]
        else:
            content["items"] = list(members)
        return Collection(content, _page_links(uri, page, pages))

    def _manifest_item(self, record: SeriesRecord) -> Item:
        """With a thumbnail; where the index tells no size, the service makes it fit."""
        series, title = record.series_uid, slide_title(record)
        if record.width and record.height:
            picture = thumbnail(ShownImage(f"tiles/{series}", title, record.width, record.height), self.addresses)
        else:
            service = f"{self.addresses.base}/iiif/frames/{series}/0"
            picture = {
                "id": f"{service}/full/^!{THUMBNAIL_SIDE},{THUMBNAIL_SIDE}/0/default.jpg",
                "type": "Image",
                "format": "image/jpeg",
                "service": [image_service(service)],
            }
        return {
            "id": f"{self.addresses.series(series)}/manifest.json",
            "type": "Manifest",
            "label": text(title),
            "thumbnail": [picture],
        }


def _collection_item(uri: str, label: str) -> Item:
    return {"id": uri, "type": "Collection", "label": text(label)}


def _page_uri(uri: str, page: int) -> str:
    return f"{uri}?page={page}"


def _page_label(label: str, page: int, total: int) -> str:
    return f"{label}, {(page - 1) * PAGE + 1}–{min(page * PAGE, total)}"


def _page_links(uri: str, page: int | None, pages: int) -> list[str]:
    """From the whole to its first and last part, from a part to those beside it too."""
    if pages == 1:
        return []
    beside = {} if page is None else {"prev": page - 1, "next": page + 1}
    relations = {"first": 1, "last": pages, **beside}
    return [f'<{_page_uri(uri, part)}>;rel="{relation}"' for relation, part in relations.items() if 1 <= part <= pages]
