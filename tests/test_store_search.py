"""Searching, sorting and counting in the index, against the same done in Python over all records."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataelem import DataElement
from pydicom.filereader import dcmread

from tests.contracts.store_contract import write_series
from tests.described import stained, substance
from tests.invented_series import invented
from wsi_dicom.dicom.uids import orthanc_identifier
from wsi_dicom.errors import InvalidRequest
from wsi_dicom.stores import Entity, SeriesOrder, SeriesQuery, SeriesRecord
from wsi_dicom.stores.catalogue import Catalogue
from wsi_dicom.stores.local import LocalStore

RECORDS = [invented(number) for number in range(140)]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    index = Catalogue(tmp_path_factory.mktemp("index") / "index.sqlite", Path(), read_only=False)
    index.replace_all((record, []) for record in RECORDS)
    yield index
    index.close()


def has(query: SeriesQuery, record: SeriesRecord) -> bool:
    who = f"{record.patient_name} {record.patient_id} {record.accession_number}"
    specimen = f"{record.container_identifier} {record.specimen} {record.anatomy}"
    told = f"{specimen} {record.stain} {record.scanner} {record.description} {record.study_description}"
    places = [(query.patient, [who]), (query.specimen, [specimen]), (query.stain, [record.stain])]
    places += [(query.scanner, [record.scanner]), (query.words, [told, who] if query.naming else [told])]
    return (
        all(
            any(word in text.casefold() for text in texts)
            for wanted, texts in places
            for word in wanted.casefold().split()
        )
        and all(getattr(record, name) == value for name, value in query.equal.items())
        and (query.first_date is None or record.study_date >= f"{query.first_date:%Y%m%d}")
        and (query.last_date is None or "" < record.study_date <= f"{query.last_date:%Y%m%d}")
        and (not query.images or record.frame_count > 0)
    )


ORDERS: dict[SeriesOrder, Callable[[SeriesRecord], Any]] = {
    SeriesOrder.ADDED: lambda r: -r.added.timestamp(),
    SeriesOrder.STUDY_DATE: lambda r: -int(r.study_date or 0),
    SeriesOrder.PATIENT: lambda r: f"{r.patient_name} {r.patient_id} {r.accession_number}".casefold(),
    SeriesOrder.SPECIMEN: lambda r: f"{r.container_identifier} {r.specimen} {r.anatomy}".casefold(),
    SeriesOrder.STAIN: lambda r: r.stain.casefold(),
    SeriesOrder.SCANNER: lambda r: r.scanner.casefold(),
}


def found(query: SeriesQuery) -> list[SeriesRecord]:
    def key(record: SeriesRecord) -> tuple[Any, ...]:
        return ORDERS[query.order](record), -record.added.timestamp(), record.series_uid

    return sorted((record for record in RECORDS if has(query, record)), key=key)


TEXTS = st.sampled_from(
    ["", "doe", "MÜLLER", "σοφός", "jane doe", "%", "_", "o'b", "s24-1", "ki-67", "gt450", "a1", "/"]
)
DAYS = st.none() | st.sampled_from([date(2024, 1, 1), date(2024, 2, 28), date(2023, 12, 31)])
QUERIES = st.builds(
    SeriesQuery,
    equal=st.dictionaries(st.sampled_from(["patient_id", "study_uid", "stain"]), st.sampled_from(["P1", "1.2.3", ""])),
    words=TEXTS,
    naming=st.booleans(),
    patient=TEXTS,
    specimen=TEXTS,
    stain=TEXTS,
    scanner=TEXTS,
    first_date=DAYS,
    last_date=DAYS,
    images=st.booleans(),
    order=st.sampled_from(list(SeriesOrder)),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(QUERIES | st.builds(SeriesQuery, words=TEXTS, order=st.sampled_from(list(SeriesOrder))))
def test_any_query(index: Catalogue, query: SeriesQuery) -> None:
    expected = [record.series_uid for record in found(query)]
    assert [record.series_uid for record in index.search(query, None, 0)] == expected
    assert [record.series_uid for record in index.search(query, 7, 3)] == expected[3:10]
    assert index.count(query, Entity.SERIES) == len(expected)
    for entity in (Entity.PATIENT, Entity.STUDY):
        assert index.count(query, entity) == len({getattr(record, entity) for record in found(query)})


@pytest.mark.parametrize("query", [SeriesQuery(), SeriesQuery(stain="ki-67"), SeriesQuery({"patient_id": ""})], ids=str)
def test_patients_and_studies(index: Catalogue, query: SeriesQuery) -> None:
    records = found(query)
    patients = sorted({record.patient_orthanc_id for record in records})
    assert [patient.orthanc_id for patient in index.patients(query, None, 0)] == patients
    assert [patient.orthanc_id for patient in index.patients(query, 2, 1)] == patients[1:3]
    for patient in index.patients(query, None, 0):
        own = [record for record in records if record.patient_orthanc_id == patient.orthanc_id]
        assert patient.series == len(own)
        assert patient.studies == len({record.study_orthanc_id for record in own})
        assert {(patient.patient_id, patient.patient_name)} == {(r.patient_id, r.patient_name) for r in own}
    studies = {record.study_orthanc_id: record for record in records}
    newest = sorted(studies, key=lambda study: (-int(studies[study].study_date or 0), study))
    assert [study.orthanc_id for study in index.studies(query, None, 0)] == newest
    assert [study.orthanc_id for study in index.studies(query, 3, 2)] == newest[2:5]
    for study in index.studies(query, None, 0):
        own = [record for record in records if record.study_orthanc_id == study.orthanc_id]
        told = (study.study_uid, study.patient_orthanc_id, study.study_date, study.description, study.series)
        first = own[0]
        assert told == (first.study_uid, first.patient_orthanc_id, first.study_date, "Biopsy", len(own))


@pytest.mark.parametrize("text", ["x" * 257, "a\0b", "\ud800", "a\nb", "a " * 17])
def test_texts_that_nobody_searches_for(text: str) -> None:
    for query in ({"words": text}, {"stain": text}, {"equal": {"patient_id": text}}):
        with pytest.raises(InvalidRequest):
            SeriesQuery(**query)  # type: ignore[arg-type]  # of one type each


def test_what_a_series_tells_is_found(tmp_path: Path) -> None:
    specimen = stained(
        substance(meaning="Hematoxylin"), substance("HER2 clone 4B5"), substance(meaning="Wax", code="1")
    )
    store = LocalStore(tmp_path / "store")
    record = store.add(
        write_series(
            tmp_path / "in",
            SpecimenDescriptionSequence=[specimen],
            Manufacturer="Aperio",
            ManufacturerModelName="Unknown",
            StudyDescription="Second look",
        )
    )
    told = (record.specimen, record.anatomy, record.stain, record.scanner, record.study_description)
    assert told == ("S24-1-A", "Liver", "Hematoxylin, HER2 clone 4B5", "Aperio", "Second look")
    assert record.frame_count == 6 + 2 + 1
    assert (record.patient_orthanc_id, record.study_orthanc_id) == (
        orthanc_identifier("P1"),
        orthanc_identifier("P1", record.study_uid),
    )
    for query in (SeriesQuery(stain="her2"), SeriesQuery(specimen="liver"), SeriesQuery(words="second aperio")):
        assert list(store.search(query)) == [record]
    store.close()


def test_unreadable_specimens_keep_no_series_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = write_series(tmp_path / "in")
    for file in files:
        data = dcmread(file)
        data.add(DataElement("SpecimenDescriptionSequence", "UT", "no sequence at all"))
        data.save_as(file)
    store = LocalStore(tmp_path / "store")
    record = store.add(files)
    assert (record.specimen, record.stain) == ("", "")
    assert "specimens left out of the index" in caplog.text
    store.close()


def test_index_of_an_earlier_version_is_made_again(tmp_path: Path) -> None:
    root = tmp_path / "store"
    store = LocalStore(root)
    record = store.add(write_series(tmp_path / "in"))
    store.close()
    with sqlite3.connect(root / "index.sqlite") as index:
        index.execute("DROP TABLE series")
        index.execute("CREATE TABLE series (series_uid VARCHAR PRIMARY KEY)")  # it had fewer columns
        index.execute("UPDATE schema_version SET version = 1")
    index.close()
    again = LocalStore(root)
    assert list(again.search()) == [replace(record, folder=root / "series" / record.series_uid)]
    again.close()
