from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import httpx
import numpy as np
import openslide
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import generate_frames

from tests.served import SAMPLE, add_cytomine, add_sample, client_of
from wsi_dicom.stores import SeriesRecord
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.access.accounts import Accounts
from wsi_dicom_server.access.principal import Scope
from wsi_dicom_server.settings import ServerSettings


class Links(HTMLParser):
    """Everything that a page loads or links to, and how much script or style stands in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.found += [told[name] for name in ("href", "src", "data-info", "data-copy") if told.get(name)]
        self.found += json.loads(told.get("data-manifests") or "[]")
        if slide := told.get("data-slide"):
            self.found.append(f"{json.loads(slide)['image']}/info.json")
        self.inline += [name for name in told if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in told):
            self.inline.append(tag)


@pytest.fixture(scope="module")
def sample(store: LocalStore) -> SeriesRecord:
    return add_sample(store)


@pytest.fixture(scope="module")
def cytomine(store: LocalStore, slides: Path) -> SeriesRecord:
    return add_cytomine(store, slides)


@pytest.fixture(scope="module")
def client(store: LocalStore, sample: SeriesRecord, cytomine: SeriesRecord) -> Iterator[httpx.Client]:
    with client_of(store) as client:
        yield client


def test_an_empty_store_tells_how_to_add_a_slide(tmp_path):
    store = LocalStore(tmp_path / "store")
    with client_of(store) as client:
        answer = client.get("/")
    store.close()
    assert answer.status_code == 200
    assert "dicomize slide.svs --pyramid" in answer.text
    assert str(tmp_path) not in answer.text


def test_pages_link_only_to_what_this_server_has(client, sample):
    series = sample.series_uid
    for page in ("/", *(f"/{viewer}/{series}" for viewer in ("viewer", "mirador", "openseadragon"))):
        answer = client.get(page)
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert not re.search(r"https?:", policy)
        links = Links(answer.text)
        assert links.inline == []
        assert len(links.found) >= 4
        for link in links.found:
            address = urljoin(str(answer.url), link)
            assert address.startswith(str(client.base_url)), address
            assert client.get(address).status_code == 200, address


def test_the_list_shows_each_series(client, sample, cytomine):
    page = client.get("/").text
    for record in (sample, cytomine):
        assert f"/viewer/{record.series_uid}" in page
    assert "8 192 × 8 192" in page


def test_names_are_escaped_and_long_lists_are_paged(tmp_path, slides):
    """Forty-nine series of one small image, each with markup for a description."""
    store = LocalStore(tmp_path / "store")
    for number in range(49):
        dataset = pydicom.dcmread(slides / "dicom_wsi" / "highdicom" / "sm_image.dcm")
        dataset.SeriesInstanceUID = f"1.2.826.0.1.{number + 1}"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.0.2.{number + 1}"
        dataset.SeriesDescription = f"<script>alert({number})</script>"
        dataset.PatientName, dataset.PatientID = "Very^Secret", "ID-4711"
        dataset.save_as(tmp_path / "one.dcm")
        store.add([tmp_path / "one.dcm"])
    with client_of(store) as client:
        pages = [client.get("/").text, client.get("/?page=2").text]
        beyond = client.get("/?page=3")
        viewer = client.get("/viewer/1.2.826.0.1.7").text
        manifest = client.get("/iiif/series/1.2.826.0.1.7/manifest.json").text
        wrong = [
            client.get(f"/?{asked}").status_code
            for asked in ("page=0", "page=-1", "page=x", f"page={'9' * 30}", "from=1.1.24", "sort=size", "sort=patient")
        ]
        named = client.get("/?patient=secret").text
    store.close()
    shown = [re.findall(r"/viewer/([\d.]+)", page) for page in pages]
    assert [len(series) for series in shown] == [48, 1]
    assert len({*shown[0], *shown[1]}) == 49
    assert 'rel="next"' in pages[0]
    assert 'rel="prev"' in pages[1]
    assert 'rel="next"' not in pages[1]
    assert beyond.status_code == 200
    assert wrong == [400] * 7
    for page in (*pages, viewer):
        assert "<script>alert" not in page
    assert "&lt;script&gt;alert(6)&lt;/script&gt;" in viewer
    assert named.count("/viewer/") == 48  # whether somebody of this name is here is not told either
    for text in (*pages, viewer, manifest):
        assert "Secret" not in text
        assert "ID-4711" not in text


def test_associated_pictures(client, sample, cytomine):
    """As stored, the thumbnail no larger than it is shown.

    A label without loss is PNG, with the pixels that OpenSlide reads from the original.
    """
    stored = {}
    for path in cytomine.folder.glob("*.dcm"):
        dataset = pydicom.dcmread(path)
        stored[dataset.ImageType[2]] = next(iter(generate_frames(dataset.PixelData, number_of_frames=1)))
    for flavor in ("LABEL", "OVERVIEW", "THUMBNAIL"):
        answer = client.get(f"/associated/{cytomine.series_uid}/{flavor.lower()}")
        shown, oracle = (Image.open(io.BytesIO(data)) for data in (answer.content, stored[flavor]))
        if flavor == "THUMBNAIL":
            oracle = oracle.resize((383, 512), Image.Resampling.BOX)
        assert shown.size == oracle.size
        assert np.abs(np.asarray(shown, int) - np.asarray(oracle, int)).mean() < 5
        assert client.get(answer.url, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    label = client.get(f"/associated/{sample.series_uid}/label")
    assert label.headers["content-type"] == "image/png"
    with openslide.OpenSlide(SAMPLE) as oracle:
        expected = oracle.associated_images["label"].convert("RGB")
    assert Image.open(io.BytesIO(label.content)).tobytes() == expected.tobytes()
    for flavor in ("volume", "macro", "..%2f..", "x" * 300):
        assert client.get(f"/associated/{sample.series_uid}/{flavor}").status_code == 404


def test_a_slide_without_a_thumbnail_gets_one(tmp_path, slides):
    store = LocalStore(tmp_path / "store")
    record = store.add([slides / "dicom_wsi" / "gcp_single" / "bone_jpeg.dcm"])
    with client_of(store) as client:
        thumbnail = client.get(f"/associated/{record.series_uid}/thumbnail")
        assert client.get(f"/associated/{record.series_uid}/label").status_code == 404
        viewer = client.get(f"/viewer/{record.series_uid}").text
    store.close()
    assert Image.open(io.BytesIO(thumbnail.content)).size == (512, 383)
    assert "/associated/" not in viewer


def test_browsers_get_errors_as_pages(client):
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    answer = client.get("/viewer/1.2.3", headers=browser)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "no series 1.2.3" in answer.text
    links = Links(answer.text)
    assert links.inline == []
    base = str(client.base_url).rstrip("/")
    assert {f"{base}/", f"{base}/static/site.css"} <= set(links.found)
    assert [client.get(link).status_code for link in links.found] == [200] * len(links.found)
    assert "style-src 'self'" in answer.headers["content-security-policy"]
    evil = client.get("/viewer/<script>alert(1)<%2fscript>", headers=browser)
    assert evil.status_code == 404
    assert "<script>" not in evil.text
    nowhere = client.get("/", headers=browser | {"Host": "no$host"})
    assert (nowhere.status_code, nowhere.headers["content-type"]) == (400, "text/html; charset=utf-8")
    assert 'href="/static/site.css"' in nowhere.text
    assert "no$host" not in nowhere.text


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "image/webp,*/*;q=0.5", "text/plain, */*"])
def test_programs_get_errors_as_json(client, accept):
    answer = client.get("/viewer/1.2.3", headers={"Accept": accept} if accept else {})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    assert answer.json()["HttpStatus"] == 404


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/%2fetc/passwd", "/static/", "/static/x"]
)
def test_only_our_own_files_are_served(client, path):
    answer = httpx.get(f"{str(client.base_url).rstrip('/')}{path}")
    assert answer.status_code == 404


def test_static_files_are_revalidated(client):
    for path in ("/static/viewer/main.js", "/static/site.css", "/favicon.ico", "/favicon.svg"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert client.get(path, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304


def test_more_slides_than_may_be_open(tmp_path, slides):
    """One place for two slides: every request opens its slide anew, and the files of the other are closed."""
    own = LocalStore(tmp_path / "store")
    sample, cytomine = add_sample(own), add_cytomine(own, slides)
    with client_of(own, ServerSettings(open_slides=1)) as client:
        for _ in range(5):
            for record in (sample, cytomine):
                assert client.get(f"/tiles/{record.series_uid}/0/1/1").status_code == 200
        held = {path.resolve().parent for path in Path("/proc/self/fd").iterdir() if path.exists()}
        assert cytomine.folder.resolve() in held
        assert sample.folder.resolve() not in held
    own.close()


def test_a_series_that_is_deleted_goes_away(tmp_path, slides, monkeypatch):
    monkeypatch.setattr("wsi_dicom_server.pool._CHECK_AFTER_S", 0.0)
    own = LocalStore(tmp_path / "store")
    record = add_cytomine(own, slides)
    tile = f"/tiles/{record.series_uid}/0/1/1"
    with client_of(own) as client:
        first = client.get(tile)
        own.delete(record.series_uid)
        assert client.get(tile).status_code == 404
        add_cytomine(own, slides)
        again = client.get(tile)
    own.close()
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert again.headers["etag"] != first.headers["etag"]


@pytest.fixture(scope="module")
def other(store: LocalStore, slides: Path, client: httpx.Client) -> SeriesRecord:
    """Ultrasound of thirty frames."""
    return store.add([slides / "dicom_other" / "examples_ybr_color.dcm"])


def test_frames_of_other_series(client, store, other):
    """By series and by instance, from a frame on; there is none after the last."""
    (instance,) = store.instances(other)
    for name in (other.series_uid, other.orthanc_id, instance.sop_instance_uid, instance.orthanc_id):
        page = client.get(f"/viewer/{name}?frame=7")
        slide = json.loads(html.unescape(re.findall(r'data-slide="([^"]+)"', page.text)[0]))
        assert (slide["frames"], slide["firstFrame"]) == (30, 7)
        assert client.get(f"{slide['image']}/7/info.json").status_code == 200
    for frame in ("30", "-1", "x", "9" * 40):
        assert client.get(f"/viewer/{other.series_uid}?frame={frame}").status_code == 404
    thumbnail = client.get(f"/associated/{other.series_uid}/thumbnail")
    assert Image.open(io.BytesIO(thumbnail.content)).size == (320, 240)
    assert "US · 30 images" in client.get("/").text


def test_addresses_of_orthanc_lead_to_our_pages(client, store, sample, other):
    (instance,) = store.instances(other)
    one = instance.orthanc_id
    series, base = sample.orthanc_id, str(client.base_url).rstrip("/")
    leads = {
        f"viewer.html?series={series}&description=x": f"/viewer/{series}",
        f"viewer.html?instance={instance.orthanc_id}&frame=3": f"/viewer/{instance.orthanc_id}?frame=3",
        f"mirador.html?iiif-content=../iiif/series/{series}/manifest.json": f"/mirador/{series}",
        f"mirador.html?series={series}": f"/mirador/{series}",
        f"openseadragon.html?image=../iiif/tiles/{series}/info.json": f"/openseadragon/{series}",
        f"mirador.html?iiif-content=../iiif/frames-pyramids/{one}/7/manifest.json": f"/mirador/{one}?frame=7",
        f"openseadragon.html?image=../iiif/frames-pyramids/{one}/7/info.json": f"/openseadragon/{one}?frame=7",
        f"openseadragon.html?image=../iiif/frames/{one}/0/info.json": f"/openseadragon/{one}?frame=0",
    }
    for asked, target in leads.items():
        answer = client.get(f"/wsi/app/{asked}")
        assert (answer.status_code, answer.headers["location"]) == (303, base + target)
        assert client.get(answer.headers["location"]).status_code == 200
    for wrong in (
        "viewer.html",
        "viewer.html?series=../secret",
        "viewer.html?series=https://elsewhere.example",
        "mirador.html?iiif-content=https://elsewhere.example/manifest.json",
        "openseadragon.html?image=/iiif/tiles/%0d%0aSet-Cookie:x/info.json",
        f"openseadragon.html?image=/iiif/frames/{one}/%0d%0a/info.json",
        f"mirador.html?iiif-content=/iiif/frames-pyramids/{one}/manifest.json",
    ):
        assert client.get(f"/wsi/app/{wrong}").status_code == 400
    for page, kind, shown in (
        ("mirador", "manifests", f"frames-pyramids/{one}/7/manifest.json"),
        ("openseadragon", "info", f"frames/{one}/7/info.json"),
    ):
        text = html.unescape(client.get(f"/{page}/{one}?frame=7").text)
        (address,) = re.findall(rf'data-{kind}="[\[\"]*([^\"\]]+)', text)
        assert address == f"{base}/iiif/{shown}"
        assert client.get(address).status_code == 200
        for frame in ("30", "x", "-1"):
            assert client.get(f"/{page}/{one}?frame={frame}").status_code == 404


def test_mirador_has_a_policy_of_its_own(client, sample, cytomine):
    """It lets in style elements without text, and nothing more: the hash is that of nothing."""
    ordinary = client.get("/").headers["content-security-policy"]
    answer = client.get(f"/mirador/{sample.series_uid}?with={cytomine.series_uid}")
    nothing = base64.b64encode(hashlib.sha256(b"").digest()).decode()
    own = re.sub(r"style-src [^;]+", f"style-src 'self' 'sha256-{nothing}'", ordinary)
    assert answer.headers["content-security-policy"] == own
    assert nothing not in ordinary
    too_many = "&".join(f"with={sample.series_uid}" for _ in range(9))
    assert client.get(f"/mirador/{sample.series_uid}?{too_many}").status_code == 400
    for page in ("viewer", "mirador", "openseadragon"):
        assert client.get(f"/{page}/1.2.3").status_code == 404
        assert client.get(f"/viewer/{sample.series_uid}?with=1.2.3").status_code == 404


def test_dates_are_told_unless_that_is_set(tmp_path, slides, other):
    """Not found by them either, which would tell as much; the order by date stays."""
    store = LocalStore(tmp_path / "store")
    dataset = pydicom.dcmread(slides / "dicom_wsi" / "highdicom" / "sm_image.dcm")
    dataset.StudyDate, dataset.AcquisitionDateTime = "20240314", "20240314101500"
    dataset.save_as(tmp_path / "slide.dcm")
    dataset = pydicom.dcmread(slides / "dicom_other" / "CT_small.dcm")
    dataset.StudyDate = "20240315"
    dataset.save_as(tmp_path / "ct.dcm")
    series = [store.add([tmp_path / name]) for name in ("slide.dcm", "ct.dcm")]
    (instance,) = store.instances(series[1])
    viewers = [f"/viewer/{one}" for one in (*(record.series_uid for record in series), instance.sop_instance_uid)]
    for hidden in (False, True):
        with client_of(store, ServerSettings(hide_dates=hidden)) as client:
            for path in ("/", "/?sort=study_date", f"/?beside={series[0].series_uid}", *viewers):
                assert ("2024-03-1" in client.get(path).raise_for_status().text) != hidden, path
            newest = re.findall(r"/viewer/([\d.]+)", client.get("/?sort=study_date").text)
            assert newest == [series[1].series_uid, series[0].series_uid]
            found = client.get("/?from=2024-03-15").raise_for_status().text
            assert (f"/viewer/{series[0].series_uid}" in found) == hidden
            assert ('type="date"' in found) != hidden
    store.close()


def test_who_has_signed_in_sees_the_patients(tmp_path, slides):
    """And finds by them; the others do not."""
    store = LocalStore(tmp_path / "store")
    dataset = pydicom.dcmread(slides / "dicom_wsi" / "highdicom" / "sm_image.dcm")
    dataset.PatientName, dataset.PatientID = "Doe^Jane", "ID-4711"
    dataset.save_as(tmp_path / "one.dcm")
    series = store.add([tmp_path / "one.dcm"]).series_uid
    settings = ServerSettings(access_file=tmp_path / "access.sqlite", allow_anonymous=True)
    accounts = Accounts(tmp_path / "access.sqlite")
    token = accounts.create_token("reader", Scope.READ, None)
    with client_of(store, settings) as client:
        for headers, seen in (({}, False), ({"Authorization": f"Bearer {token}"}, True)):
            archive, viewer = (client.get(path, headers=headers).text for path in ("/", f"/viewer/{series}"))
            assert ("Doe, Jane" in archive, "ID-4711" in viewer) == (seen, seen)
            found = client.get("/?patient=doe&sort=patient", headers=headers)
            assert found.status_code == (200 if seen else 400)
            assert ("/viewer/" in client.get("/?patient=roe", headers=headers).text) != seen
    store.close()
