"""Collections of the archive, of patients and studies: read by iiif-prezi3, and walked to the last manifest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from iiif_prezi3 import Collection

from tests.contracts.store_contract import write_series
from tests.invented_series import invented
from tests.served import client_of, known_reader
from wsi_dicom.dicom.uids import orthanc_identifier
from wsi_dicom.stores import SeriesRecord
from wsi_dicom.stores.catalogue import Catalogue
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.settings import ServerSettings

CONTEXT = "http://iiif.io/api/presentation/3/context.json"
CONTEXT_2 = "http://iiif.io/api/presentation/2/context.json"
SECRETS = ("Doe", "Jane", "PAT-", "ACC-")


def crowd(number: int) -> SeriesRecord:
    """A thousand series of 250 patients, the first of whom has more than half of them, in a study each."""
    patient = f"PAT-{number % 500 if number % 2 else 0}"
    study = f"1.2.{number}" if number else "1.2.2"
    record = invented(number)
    return replace(
        record,
        patient_id=patient,
        patient_name=f"Doe^Jane{patient}",
        accession_number=f"ACC-{number}",
        study_uid=study,
        patient_orthanc_id=orthanc_identifier(patient),
        study_orthanc_id=orthanc_identifier(patient, study),
        orthanc_id=orthanc_identifier(patient, study, record.series_uid),
        frame_count=1,
    )


RECORDS = [crowd(number) for number in range(1000)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStore]:
    """An index alone: nothing that a collection tells may come from files."""
    root = tmp_path_factory.mktemp("store")
    (root / "series").mkdir()
    index = Catalogue(root / "index.sqlite", root / "series", read_only=False)
    index.replace_all((record, []) for record in RECORDS)
    index.close()
    store = LocalStore(root)
    yield store
    store.close()


@pytest.fixture(scope="module")
def client(store: LocalStore) -> Iterator[httpx.Client]:
    with client_of(store) as client:
        yield client


def read(client: httpx.Client, address: str, **headers: str) -> dict[str, Any]:
    answer = client.get(address, headers=headers)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    assert content["id"] == str(answer.url)
    assert len(content["items"]) <= 100
    Collection(**content)
    return content


def members(client: httpx.Client, address: str) -> list[dict[str, Any]]:
    """Of a collection, through its parts if it has such."""
    content = read(client, address)
    if not any("page=" in item["id"] for item in content["items"]):
        return content["items"]
    found = []
    for part in content["items"]:
        page = read(client, part["id"])
        assert (page["label"], page["partOf"][0]["id"]) == (part["label"], content["id"])
        found += page["items"]
    return found


def identifiers(items: list[dict[str, Any]]) -> list[str]:
    return [item["id"].split("/")[-2] for item in items]


def test_archive_leads_to_every_series(client: httpx.Client) -> None:
    archive = read(client, "/iiif/collection.json")
    assert [entry["value"]["none"][0] for entry in archive["metadata"]] == ["251", "1,000"]
    patients = members(client, "/iiif/collection.json")
    assert sorted(identifiers(patients)) == sorted({record.patient_orthanc_id for record in RECORDS})
    largest = orthanc_identifier("PAT-0")
    for patient in (largest, orthanc_identifier("PAT-1")):
        studies = members(client, f"/iiif/patients/{patient}/collection.json")
        own = [record for record in RECORDS if record.patient_orthanc_id == patient]
        assert sorted(identifiers(studies)) == sorted({record.study_orthanc_id for record in own})
    content = read(client, studies[0]["id"])
    assert content["partOf"][0]["id"].endswith(f"/iiif/patients/{patient}/collection.json")
    series = [record.series_uid for record in RECORDS if record.study_orthanc_id == identifiers(studies)[0]]
    assert identifiers(content["items"]) == series
    assert {item["type"] for item in content["items"]} == {"Manifest"}


def test_parts_are_linked(client: httpx.Client) -> None:
    address, seen = "/iiif/collection.json", []
    answer = client.get(address)
    links = dict(reversed(pair) for pair in re.findall('<([^>]*)>;rel="([a-z]*)"', answer.headers["link"]))
    assert set(links) == {"first", "last"}
    following = links["first"]
    while following:
        answer = client.get(following)
        seen.append(answer.url.query.decode())
        links = dict(reversed(pair) for pair in re.findall('<([^>]*)>;rel="([a-z]*)"', answer.headers["link"]))
        following = links.get("next", "")
    assert seen == ["page=1", "page=2", "page=3"]
    assert links["prev"].endswith("page=2")


def test_old_collections_are_paged_as_their_version_has_it(client: httpx.Client, slides: Path, tmp_path: Path) -> None:
    """Presentation API 2.1, section 5.9: a large one holds nothing but the way to its pages."""
    answer = client.get("/iiif/2/collection.json")
    assert answer.headers["content-type"] == "application/json"
    whole = answer.json()
    assert whole["@context"] == CONTEXT_2
    assert (whole["@id"], whole["@type"], whole["total"]) == (str(answer.url), "sc:Collection", 251)
    assert not {"collections", "manifests", "members"} & set(whole)
    found, starts, following = [], [], whole["first"]
    while following:
        page = client.get(following).raise_for_status().json()
        assert (page["@id"], page["@type"], page["within"]) == (following, "sc:Collection", whole["@id"])
        found += page["collections"]
        starts.append(page["startIndex"])
        last, following = page, page.get("next", "")
    assert (last["@id"], starts) == (whole["last"], [0, 100, 200])
    assert client.get(last["prev"]).json()["next"] == last["@id"]
    assert sorted(one["@id"].split("/")[-2] for one in found) == sorted({r.patient_orthanc_id for r in RECORDS})
    patient = client.get(found[-1]["@id"]).raise_for_status().json()
    assert patient["within"] == whole["@id"]

    store = LocalStore(tmp_path / "store")
    store.add(write_series(tmp_path / "in", "1.2.3"))
    store.add([slides / "dicom_other" / "CT_small.dcm"])
    with client_of(store) as own:
        for patient in own.get("/iiif/2/collection.json").json()["collections"]:
            for study in own.get(patient["@id"]).json()["collections"]:
                content = own.get(study["@id"]).json()
                assert content["within"] == patient["@id"]
                (manifest,) = content["manifests"]
                assert own.get(manifest["@id"]).json()["within"] == study["@id"]
                assert own.get(manifest["thumbnail"]["@id"]).headers["content-type"] == "image/jpeg"
    store.close()


@pytest.mark.parametrize("prefix", ["/iiif/", "/wsi/iiif/", "/iiif/2/", "/wsi/iiif/2/"])
def test_all_addresses_are_those_of_the_proxy(store: LocalStore, prefix: str) -> None:
    """In the collection, its pages and their web links; each answers where the proxy leads it."""
    public = "https://slides.example/archive"
    with client_of(store, ServerSettings(public_url=public)) as client:
        patient, study = RECORDS[1].patient_orthanc_id, RECORDS[1].study_orthanc_id
        owners, seen = (f"patients/{patient}/", f"studies/{study}/"), set()
        for path in ("collection.json", "collection.json?page=2", *(f"{owner}collection.json" for owner in owners)):
            answer = client.get(prefix + path).raise_for_status()
            told = re.findall(r'"(?:@id|id|within|first|last|next|prev)": ?"([^"]+)"', answer.text)
            told += re.findall(r"<([^>]+)>;rel=\"(?:first|last|next|prev)", answer.headers.get("link", ""))
            assert told
            for address in told:
                assert address.startswith(public + prefix), address
                seen.add(address.removeprefix(public))
        pages = {address for address in seen if "page=" in address}
        assert pages == {f"{prefix}collection.json?page={page}" for page in (1, 2, 3)}
        for address in sorted(pages) + sorted(address for address in seen if "/studies/" in address)[:3]:
            assert client.get(address).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("collection.json?page=0", 400),
        ("collection.json?page=x", 400),
        ("collection.json?page=1e9", 400),
        ("collection.json?page=99999999999999999999", 400),
        ("collection.json?page=4", 404),
        ("patients/none/collection.json", 404),
        ("patients/..%2F..%2Fetc/collection.json", 404),
        ("patients/%00/collection.json", 400),
        (f"studies/{'x' * 300}/collection.json", 400),
        ("studies/00000000-00000000-00000000-00000000-00000000/collection.json", 404),
    ],
)
def test_what_is_not_there(client: httpx.Client, path: str, status: int) -> None:
    for version in ("", "2/"):
        assert client.get(f"/iiif/{version}{path}").status_code == status


def test_nobody_is_named_but_to_those_who_are_known(store: LocalStore, tmp_path: Path) -> None:
    settings, known = known_reader(tmp_path)
    patient = orthanc_identifier("PAT-1")
    study = next(record.study_orthanc_id for record in RECORDS if record.patient_orthanc_id == patient)
    with client_of(store, settings) as client:
        for path, secret in (
            ("collection.json?page=1", "Doe, Jane"),
            (f"patients/{patient}/collection.json", "ACC-"),
            (f"studies/{study}/collection.json", "ACC-"),
        ):
            for version in ("", "2/"):
                assert not any(name in client.get(f"/iiif/{version}{path}").text for name in SECRETS)
                assert secret in client.get(f"/iiif/{version}{path}", headers=known).text


def test_dates_are_told_unless_that_is_set(store: LocalStore, client: httpx.Client) -> None:
    path = f"patients/{orthanc_identifier('PAT-0')}/collection.json?page=1"
    with client_of(store, ServerSettings(hide_dates=True)) as hiding:
        for prefix in ("/iiif/", "/iiif/2/"):
            assert "2024-01-01" in client.get(prefix + path).text
            assert "2024-" not in hiding.get(prefix + path).text


def test_empty_archive(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    with client_of(store) as client:
        assert read(client, "/iiif/collection.json")["items"] == []
    store.close()


def test_manifests_and_thumbnails_answer(tmp_path: Path, slides: Path) -> None:
    """Of real series; one that holds no image is left out."""
    store = LocalStore(tmp_path / "store")
    store.add(write_series(tmp_path / "in", "1.2.3"))
    store.add([slides / "dicom_other" / "CT_small.dcm"])
    with client_of(store) as client:
        found = 0
        for patient in members(client, "/iiif/collection.json"):
            for study in members(client, patient["id"]):
                for manifest in members(client, study["id"]):
                    assert client.get(manifest["id"]).json()["label"] == manifest["label"]
                    picture = client.get(manifest["thumbnail"][0]["id"])
                    assert picture.headers["content-type"] == "image/jpeg", picture.text
                    found += 1
    assert found == 2
    store.close()
