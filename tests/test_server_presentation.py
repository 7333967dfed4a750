"""Manifests of IIIF Presentation 3.0 and 2.1: read by iiif-prezi3, and every address in them asked for."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from iiif_prezi3 import Manifest
from PIL import Image
from pydicom.filereader import dcmread

from tests.described import SECRETS, described
from tests.ome_stack import CHANNELS, write_stack
from tests.served import SAMPLE, add_cytomine, client_of, known_reader
from wsi_dicom.convert import DicomizeOptions, dicomize
from wsi_dicom.stores import SeriesRecord
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.settings import ServerSettings

CONTEXT = "http://iiif.io/api/presentation/3/context.json"
CONTEXT_2 = "http://iiif.io/api/presentation/2/context.json"


@dataclass
class Archive:
    store: LocalStore
    slide: SeriesRecord
    """With everything that can be told."""
    foreign: SeriesRecord
    """With a label and an overview."""
    stack: SeriesRecord
    """Three channels of two focal planes."""
    ct: SeriesRecord
    colors: SeriesRecord
    """Two frames in one instance."""

    @property
    def records(self) -> list[SeriesRecord]:
        return [self.slide, self.foreign, self.stack, self.ct, self.colors]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, slides: Path) -> Iterator[Archive]:
    folder = tmp_path_factory.mktemp("archive")
    store = LocalStore(folder / "store")
    pixels = np.random.default_rng(1).integers(0, 4000, (3, 2, 150, 210)).astype(np.uint16)
    yield Archive(
        store,
        dicomize(SAMPLE, store, DicomizeOptions(additions=described())).series,
        add_cytomine(store, slides),
        dicomize(write_stack(folder / "stack.ome.tif", pixels, CHANNELS), store, DicomizeOptions()).series,
        store.add([slides / "dicom_other" / "CT_small.dcm"]),
        store.add([slides / "dicom_other" / "SC_rgb_rle_2frame.dcm"]),
    )
    store.close()


@pytest.fixture(scope="module")
def client(archive: Archive) -> Iterator[httpx.Client]:
    with client_of(archive.store) as client:
        yield client


def manifest_of(client: httpx.Client, record: SeriesRecord, version: str = "", **headers: str) -> dict[str, Any]:
    answer = client.get(f"/iiif/{version}series/{record.series_uid}/manifest.json", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def resources(content: Any) -> Iterator[dict[str, Any]]:
    """Every object within a document."""
    if isinstance(content, dict):
        yield content
        content = list(content.values())
    if isinstance(content, list):
        for item in content:
            yield from resources(item)


def facts(manifest: dict[str, Any]) -> dict[str, str]:
    return {entry["label"]["en"][0]: entry["value"]["none"][0] for entry in manifest["metadata"]}


@pytest.mark.parametrize("prefix", ["", "/wsi"])
def test_slide(client: httpx.Client, archive: Archive, prefix: str) -> None:
    answer = client.get(f"{prefix}/iiif/series/{archive.slide.series_uid}/manifest.json")
    assert answer.headers["content-type"] == f'application/ld+json;profile="{CONTEXT}"'
    assert answer.headers["access-control-allow-origin"] == "*"
    manifest = answer.json()
    assert (manifest["@context"], manifest["id"]) == (CONTEXT, str(answer.url))
    assert manifest["label"] == {"none": ["Needle biopsy"]}
    canvas = manifest["items"][0]
    assert (canvas["width"], canvas["height"]) == (8192, 8192)
    (annotation,) = canvas["items"][0]["items"]
    assert (annotation["motivation"], annotation["target"]) == ("painting", canvas["id"])
    told = facts(manifest)
    assert told.pop("Scanner").startswith("Aperio")
    assert told == {
        "Objective": "40×",
        "Pixel spacing": "0.25 µm",
        "Size": "8 192 × 8 192 pixels",
        "Date": "2024-03-14",
        "Container": "S24-1-A-1",
        "Specimen": "S24-1-A",
        "Anatomic site": "Liver",
        "Stain": "Hematoxylin, Ki-67",
    }
    assert manifest["navDate"] == "2024-03-14T00:00:00Z"
    (physical,) = canvas["service"]
    assert (physical["physicalScale"], physical["physicalUnits"]) == (pytest.approx(0.00025), "mm")


@pytest.mark.parametrize("version", ["", "2/"])
def test_every_address_answers(client: httpx.Client, archive: Archive, version: str) -> None:
    """What a manifest shows has the type and the size that it tells; image services call themselves so too."""
    asked = 0
    for record in archive.records:
        for found in resources(manifest_of(client, record, version)):
            address = found.get("id") or found.get("@id", "")
            media_type = found.get("format")
            if "/full/" in address or media_type or found.get("type") == "Collection":
                answer = client.get(address)
                assert answer.status_code == 200, (address, answer.text)
                assert media_type is None or answer.headers["content-type"].startswith(media_type), address
                asked += 1
            elif "physdim" in found.get("profile", ""):
                assert {"@id", "@type", "@context"} <= set(found)
            elif "/image/" in found.get("@context", "") or found.get("type") == "ImageService3":
                answer = client.get(address, follow_redirects=True)
                info = answer.raise_for_status().json()
                assert (info.get("id") or info["@id"]) == address
                assert all({"@id", "@type"} <= set(service) for service in info.get("service", ()))
                asked += 1
    assert asked > 60


def test_pictures_have_the_sizes_they_tell(client: httpx.Client, archive: Archive) -> None:
    for record in archive.records:
        for version in ("", "2/"):
            manifest = manifest_of(client, record, version)
            for canvas in manifest.get("items") or manifest["sequences"][0]["canvases"]:
                for found in resources(canvas):
                    service = found.get("service")
                    if found.get("format") == "image/jpeg":
                        service = service[0] if isinstance(service, list) else service
                        info = client.get(f"{service.get('id') or service['@id']}/info.json").json()
                        assert (info["width"], info["height"]) == (canvas["width"], canvas["height"])
                        assert max(found["width"], found["height"]) <= 1024


def test_iiif_prezi3_reads_them_back(client: httpx.Client, archive: Archive) -> None:
    for record in archive.records:
        content = manifest_of(client, record)
        again = json.loads(Manifest(**content).json())
        assert again == content


def test_planes_are_a_choice(client: httpx.Client, archive: Archive) -> None:
    names = [CHANNELS[0]["name"], CHANNELS[1]["name"]]
    (canvas,) = manifest_of(client, archive.stack)["items"]
    choice = canvas["items"][0]["items"][0]["body"]
    assert choice["type"] == "Choice"
    images = {item["label"]["none"][0]: item["service"][0]["id"].rpartition(":")[2] for item in choice["items"]}
    assert list(images.values()) == ["channels", "channels.2", "1.1", "1.2", "2.1", "2.2", "3.1", "3.2"]
    labels = list(images)
    assert labels[0] == "All channels, focal plane 1, 0 µm"
    assert [label.partition(", focal plane")[0] for label in labels[2:6]] == [names[0]] * 2 + [names[1]] * 2
    (old,) = manifest_of(client, archive.stack, "2/")["sequences"][0]["canvases"]
    resource = old["images"][0]["resource"]
    assert resource["@type"] == "oa:Choice"
    assert len([resource["default"], *resource["item"]]) == 8


def test_frames_are_canvases(client: httpx.Client, archive: Archive) -> None:
    manifest = manifest_of(client, archive.colors)
    assert [(canvas["width"], canvas["height"]) for canvas in manifest["items"]] == [(100, 100)] * 2
    bodies = [canvas["items"][0]["items"][0]["body"]["service"][0]["id"] for canvas in manifest["items"]]
    assert [body.rpartition("/frames/")[2] for body in bodies] == [f"{archive.colors.series_uid}/{n}" for n in (0, 1)]
    assert facts(manifest)["Images"] == "2"
    assert facts(manifest_of(client, archive.ct))["Modality"] == "CT"


@pytest.mark.parametrize("prefix", ["", "/wsi"])
def test_a_frame_has_a_manifest_of_its_own(client: httpx.Client, archive: Archive, prefix: str) -> None:
    """By instance, which Orthanc has, and by series; of a whole slide it is one tile."""
    for record in (archive.colors, archive.ct, archive.slide):
        instance = archive.store.instances(record)[0]
        number = record.frame_count - 1 if record is archive.colors else 0
        for identifier in (instance.orthanc_id, instance.sop_instance_uid, record.series_uid):
            answer = client.get(f"{prefix}/iiif/frames-pyramids/{identifier}/{number}/manifest.json")
            manifest = answer.raise_for_status().json()
            assert (manifest["@context"], manifest["id"]) == (CONTEXT, str(answer.url))
            assert json.loads(Manifest(**manifest).json()) == manifest
            (canvas,) = manifest["items"]
            assert (canvas["width"], canvas["height"]) == (instance.width, instance.height)
            if record is archive.ct:
                assert canvas["service"][0]["physicalScale"] == pytest.approx(0.661468)
            body = canvas["items"][0]["items"][0]["body"]
            shown = Image.open(io.BytesIO(client.get(body["id"]).raise_for_status().content))
            assert shown.size == (body["width"], body["height"])
            service = body["service"][0]["id"]
            assert client.get(f"{service}/info.json").json()["id"] == service
            assert client.get(manifest["homepage"][0]["id"]).status_code == 200
            study = client.get(manifest["partOf"][0]["id"]).raise_for_status().json()
            assert record.series_uid in json.dumps(study["items"])

            old = client.get(f"{prefix}/iiif/2/frames-pyramids/{identifier}/{number}/manifest.json").json()
            resource = old["sequences"][0]["canvases"][0]["images"][0]["resource"]
            assert (old["@context"], resource["width"]) == (CONTEXT_2, body["width"])
            assert client.get(resource["@id"]).content == client.get(body["id"]).content
            assert client.get(old["within"]).json()["@type"] == "sc:Collection"


def test_what_no_frame_has_a_manifest_of(client: httpx.Client, archive: Archive) -> None:
    uid = archive.store.instances(archive.colors)[0].sop_instance_uid
    for place in (f"{uid}/2", f"{uid}/-1", f"{uid}/x", "1.2.3/0", "..%2F..%2Fetc/0"):
        for version in ("", "2/"):
            assert client.get(f"/iiif/{version}frames-pyramids/{place}/manifest.json").status_code == 404
    label = next(one for one in archive.store.instances(archive.slide) if "LABEL" in dcmread(one.path).ImageType)
    with client_of(archive.store, ServerSettings(hide_labels=True, hide_dates=True)) as hiding:
        assert hiding.get(f"/iiif/frames-pyramids/{label.sop_instance_uid}/0/manifest.json").status_code == 404
        told = hiding.get(f"/iiif/frames-pyramids/{archive.slide.series_uid}/0/manifest.json").raise_for_status().text
        assert "2024-03" not in told
        assert not any(secret in told for secret in SECRETS)


def test_associated_images_come_after_the_slide(archive: Archive, client: httpx.Client) -> None:
    labels = [canvas["label"]["none"][0] for canvas in manifest_of(client, archive.foreign)["items"]]
    assert labels[1:] == ["Overview", "Label"]
    with client_of(archive.store, ServerSettings(hide_labels=True)) as hiding:
        for version in ("", "2/"):
            text = json.dumps(manifest_of(hiding, archive.foreign, version))
            assert ":label" not in text
            assert ":overview" not in text


def test_patients_are_named_only_to_those_who_are_known(archive: Archive, tmp_path: Path) -> None:
    settings, known = known_reader(tmp_path)
    with client_of(archive.store, settings) as client:
        for version in ("", "2/"):
            text = json.dumps(manifest_of(client, archive.slide, version))
            assert not any(secret in text for secret in SECRETS)
            named = manifest_of(client, archive.slide, version, **known)
            assert all(secret in json.dumps(named) for secret in SECRETS)
        assert facts(manifest_of(client, archive.slide, **known))["Patient"] == "Doe, Jane"
        path = f"/iiif/series/{archive.slide.series_uid}/manifest.json"
        etag = client.get(path, headers=known).headers["etag"]
        assert client.get(path, headers=known | {"If-None-Match": etag}).status_code == 304
        assert client.get(path, headers={"If-None-Match": etag}).status_code == 200


def test_statements(archive: Archive) -> None:
    rights = "http://creativecommons.org/licenses/by/4.0/"
    settings = ServerSettings(
        rights=rights,
        attribution="Courtesy of the hospital",
        provider="The hospital",
        provider_url="https://hospital.example/",
        hide_dates=True,
    )
    with client_of(archive.store, settings) as client:
        manifest = manifest_of(client, archive.slide)
        read = Manifest(**manifest)
        assert (str(read.rights), read.requiredStatement.value["none"]) == (rights, ["Courtesy of the hospital"])
        assert (str(read.provider[0].id), read.provider[0].label["none"]) == (
            "https://hospital.example/",
            ["The hospital"],
        )
        assert "Date" not in facts(manifest)
        assert "navDate" not in manifest
        old = manifest_of(client, archive.slide, "2/")
        assert (old["license"], old["attribution"]) == (rights, ["Courtesy of the hospital", "The hospital"])
        assert "2024-03" not in json.dumps(old) + json.dumps(manifest)


def test_negotiation_and_errors(client: httpx.Client, archive: Archive) -> None:
    path = f"series/{archive.slide.series_uid}/manifest.json"
    assert (
        client.get(f"/iiif/{path}", headers={"Accept": "application/json"}).headers["content-type"]
        == "application/json"
    )
    old = client.get(f"/iiif/2/{path}")
    assert old.headers["content-type"] == "application/json"
    assert f'<{CONTEXT_2}>;rel="http://www.w3.org/ns/json-ld#context"' in old.headers["link"]
    assert old.json()["@context"] == CONTEXT_2
    for version in ("", "2/"):
        assert client.get(f"/iiif/{version}{path}", headers={"Accept": "text/turtle"}).status_code == 406
        assert client.get(f"/iiif/{version}series/1.2.3/manifest.json").status_code == 404
        assert client.get(f"/iiif/{version}series/..%2F..%2Fetc/manifest.json").status_code == 404
        etag = client.get(f"/iiif/{version}{path}").headers["etag"]
        assert client.get(f"/iiif/{version}{path}", headers={"If-None-Match": etag}).status_code == 304
