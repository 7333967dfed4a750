from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.served import add_cytomine, add_sample, client_of
from wsi_dicom.stores import SeriesRecord
from wsi_dicom.stores.local import LocalStore

CONTEXT = "http://iiif.io/api/presentation/3/context.json"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStore]:
    store = LocalStore(tmp_path_factory.mktemp("store"))
    yield store
    store.close()


@pytest.fixture(scope="module")
def records(store: LocalStore, slides: Path) -> list[SeriesRecord]:
    return [add_sample(store), add_cytomine(store, slides)]


@pytest.fixture(scope="module")
def client(store: LocalStore) -> Iterator[httpx.Client]:
    with client_of(store) as client:
        yield client


@pytest.mark.parametrize("prefix", ["", "/wsi"])
def test_manifest_shows_the_slide_as_one_canvas(client, records, prefix):
    record = records[0]
    answer = client.get(f"{prefix}/iiif/series/{record.series_uid}/manifest.json")
    assert answer.headers["content-type"] == f'application/ld+json;profile="{CONTEXT}"'
    assert answer.headers["access-control-allow-origin"] == "*"
    manifest = answer.json()
    assert manifest["@context"] == CONTEXT
    assert manifest["id"] == str(answer.url)
    (canvas,) = manifest["items"]
    assert (canvas["width"], canvas["height"]) == (8192, 8192)
    (annotation,) = canvas["items"][0]["items"]
    assert (annotation["motivation"], annotation["target"]) == ("painting", canvas["id"])
    metadata = {entry["label"]["none"][0]: entry["value"]["none"][0] for entry in manifest["metadata"]}
    assert metadata["Scanner"].startswith("Aperio")
    assert metadata["Objective"] == "40×"
    assert metadata["Pixel spacing"] == "0.25 µm"
    assert metadata["Date"] == "2024-03-14"
    (physical,) = canvas["service"]
    assert {"@id", "@type", "@context", "profile"} <= set(physical)
    assert (physical["physicalScale"], physical["physicalUnits"]) == (pytest.approx(0.00025), "mm")


def test_every_picture_of_a_manifest_is_there_and_has_the_size_it_tells(client, records):
    for record in records:
        manifest = client.get(f"/iiif/series/{record.orthanc_id}/manifest.json").json()
        body = manifest["items"][0]["items"][0]["items"][0]["body"]
        for resource in (body, *manifest["thumbnail"]):
            picture = client.get(resource["id"])
            assert picture.headers["content-type"] == resource["format"]
            info = client.get(resource["service"][0]["id"], follow_redirects=True).json()
            assert info["id"] == resource["service"][0]["id"]
            assert max(resource["width"], resource["height"]) <= 1024


def test_nothing_of_the_patient_is_told(client, store, records):
    for record in records:
        text = client.get(f"/iiif/series/{record.series_uid}/manifest.json").text
        for value in (record.patient_name, record.patient_id):
            assert not value or value not in text


def test_iiif_prezi3_finds_it_valid(client, records):
    if importlib.util.find_spec("iiif_prezi3") is None:
        message = "iiif-prezi3 is not installed: pip install iiif-prezi3"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    from iiif_prezi3 import Manifest

    for record in records:
        content = client.get(f"/iiif/series/{record.series_uid}/manifest.json").json()
        manifest = Manifest(**content)
        assert manifest.items[0].width == record.width


def test_negotiation_and_errors(client, records):
    path = f"/iiif/series/{records[0].series_uid}/manifest.json"
    assert client.get(path, headers={"Accept": "application/json"}).headers["content-type"] == "application/json"
    assert client.get(path, headers={"Accept": "text/turtle"}).status_code == 406
    assert client.get("/iiif/series/1.2.3/manifest.json").status_code == 404
    etag = client.get(path).headers["etag"]
    assert client.get(path, headers={"If-None-Match": etag}).status_code == 304
