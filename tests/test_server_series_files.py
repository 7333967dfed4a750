"""What manifests link to: attributes as pydicom reads them, files as they are, and TIFF that others read."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import tifffile
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread

from tests.contracts.store_contract import write_series
from tests.described import SECRETS, described
from tests.foreign_series import Picture, native_frames, per_frame_groups, save_native, sparse
from tests.served import SAMPLE, client_of, known_reader
from wsi_dicom.convert import DicomizeOptions, dicomize
from wsi_dicom.stores import SeriesRecord
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.settings import ServerSettings


@pytest.fixture(scope="module")
def slide(store: LocalStore) -> SeriesRecord:
    return dicomize(SAMPLE, store, DicomizeOptions(additions=described())).series


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory, store: LocalStore) -> Iterator[tuple[httpx.Client, dict[str, str]]]:
    settings, headers = known_reader(tmp_path_factory.mktemp("accounts"))
    with client_of(store, settings) as client:
        yield client, headers


def address(record: SeriesRecord, name: str) -> str:
    return f"/iiif/series/{record.series_uid}/{name}"


def attributes(answer: httpx.Response) -> list[Dataset]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/dicom+json"
    return [Dataset.from_json(item) for item in answer.json()]


def test_attributes_of_every_instance(known, slide: SeriesRecord) -> None:
    client, headers = known
    told = {data.SOPInstanceUID: data for data in attributes(client.get(address(slide, "dicom.json"), headers=headers))}
    files = list(slide.folder.iterdir())
    assert len(told) == len(files)
    for file in files:
        expected = dcmread(file, stop_before_pixels=True)
        data = told[expected.SOPInstanceUID]
        for element in expected:
            if element.tag.group < 0x5200 and element.VR not in ("OB", "OW"):
                assert data[element.tag] == element
        assert "PixelData" not in data
    assert all(secret in json.dumps([data.to_json_dict() for data in told.values()]) for secret in SECRETS)


def test_attributes_without_names(known, slide: SeriesRecord) -> None:
    client, _ = known
    answer = client.get(address(slide, "dicom.json"))
    assert not any(secret in answer.text for secret in SECRETS)
    data = max(attributes(answer), key=lambda data: data.TotalPixelMatrixColumns)
    assert (data.SeriesInstanceUID, data.ContainerIdentifier) == (slide.series_uid, "S24-1-A-1")
    specimen = data.SpecimenDescriptionSequence[0]
    assert specimen.SpecimenIdentifier == "S24-1-A"
    step = specimen.SpecimenPreparationSequence[0].SpecimenPreparationStepContentItemSequence[0]
    assert step.ConceptCodeSequence[0].CodeMeaning == "Hematoxylin"
    assert data.StudyDate == slide.study_date
    assert data.TotalPixelMatrixColumns == 8192


def test_attributes_without_dates(store: LocalStore, slide: SeriesRecord) -> None:
    with client_of(store, ServerSettings(hide_dates=True)) as client:
        for data in attributes(client.get(address(slide, "dicom.json"))):
            assert not [element for element in data.iterall() if element.VR in ("DA", "DT") and element.value]


def test_attributes_that_json_cannot_hold(store: LocalStore, tmp_path: Path) -> None:
    files = write_series(tmp_path / "in", ImagedVolumeWidth=float("nan"), PatientComments="Doe, Jane", KVP="120")
    for file in files:
        data = dcmread(file)
        data.add_new("ICCProfile", "OB", bytes(1 << 17))
        data.save_as(file)
    record = store.add(files)
    with client_of(store) as client:
        answer = client.get(address(record, "dicom.json"))
        for data in attributes(answer):
            assert "ImagedVolumeWidth" not in data
            assert "ICCProfile" not in data
            assert data.KVP == 120
    assert "Doe" not in answer.text
    assert len(answer.content) < 20_000


def test_files_are_for_those_who_are_known(known, slide: SeriesRecord) -> None:
    client, headers = known
    refused = client.get(address(slide, "dicom.zip"))
    assert refused.status_code == 403
    answer = client.get(address(slide, "dicom.zip"), headers=headers)
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == f'attachment; filename="{slide.series_uid}.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        held = {name: archive.read(name) for name in archive.namelist()}
    assert held == {f"{slide.series_uid}/{file.name}": file.read_bytes() for file in slide.folder.iterdir()}
    head = client.head(address(slide, "dicom.zip"), headers=headers)
    assert (head.status_code, head.content) == (200, b"")


def test_files_that_go_away_break_the_download_off(known, store: LocalStore, tmp_path: Path, caplog) -> None:
    client, headers = known
    record = store.add(write_series(tmp_path / "in"))
    *_, last = sorted(record.folder.iterdir())
    last.unlink()
    last.mkdir()  # a file that cannot be read: the first one has been sent by then
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(address(record, "dicom.zip"), headers=headers)
    assert "breaks off" in caplog.text
    assert client.get("/iiif/collection.json").status_code == 200


def test_few_downloads_at_once(known, slide: SeriesRecord) -> None:
    """Four clients that have taken the first bytes, and wait: a fifth is told to come again, until one has gone."""
    client, headers = known
    waiting = []
    try:
        for _ in range(4):
            stream = client.build_request("GET", address(slide, "dicom.zip"), headers=headers)
            waiting.append(client.send(stream, stream=True))
        refused = client.get(address(slide, "dicom.zip"), headers=headers)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "60")
    finally:
        for answer in waiting:
            answer.close()


def test_tiff(known, slide: SeriesRecord) -> None:
    client, headers = known
    with tifffile.TiffFile(SAMPLE) as source:
        expected = source.pages[0].asarray()
    for who, labels in ((headers, True), ({}, False)):
        answer = client.get(address(slide, "slide.tif"), headers=who)
        assert answer.headers["content-type"] == "image/tiff"
        with tifffile.TiffFile(io.BytesIO(answer.content)) as tiff:
            assert np.array_equal(tiff.pages[0].asarray(), expected)
            assert any("Image = label" in page.description for page in tiff.pages) == labels
            told = " ".join(str(tag.value) for page in tiff.pages for tag in page.tags.values())
            assert not any(secret in told for secret in SECRETS)
    assert client.head(address(slide, "slide.tif")).status_code == 200


def test_a_large_slide_that_would_be_compressed_anew(store: LocalStore, tmp_path: Path) -> None:
    """The answer tells the command that makes the file; neither pages nor manifests lead there."""
    picture = Picture(width=17_000, height=17_000, photometric="RGB")
    frames = native_frames(2)
    record = store.add(
        [save_native(tmp_path / "large.dcm", sparse(picture, per_frame_groups([(1, 1), (17, 1)])), frames)]
    )
    with client_of(store) as client:
        refused = client.get(address(record, "slide.tif"))
        assert refused.status_code == 404
        assert f"dicom2tiff {record.series_uid} slide.tif" in refused.json()["Message"]
        for page in (f"/viewer/{record.series_uid}", address(record, "manifest.json")):
            assert "slide.tif" not in client.get(page).raise_for_status().text


def test_pages_and_manifests_lead_to_the_tiff(store: LocalStore, slide: SeriesRecord) -> None:
    with client_of(store) as client:
        for page in (f"/viewer/{slide.series_uid}", address(slide, "manifest.json")):
            assert address(slide, "slide.tif") in client.get(page).raise_for_status().text


def test_unknown_series(known) -> None:
    client, headers = known
    for name in ("dicom.json", "dicom.zip", "slide.tif"):
        for series in ("1.2.3", "..%2F..%2Fetc", "%00"):
            assert client.get(f"/iiif/series/{series}/{name}", headers=headers).status_code == 404
