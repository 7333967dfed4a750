from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import generate_frames

from tests.served import add_cytomine, add_sample, client_of
from wsi_dicom.stores.local import LocalStore


@dataclass
class Served:
    client: httpx.Client
    uid: str
    orthanc_id: str
    frames: list[bytes]
    """Of the one VOLUME instance, as pydicom reads them."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, slides: Path) -> Iterator[Served]:
    store = LocalStore(tmp_path_factory.mktemp("store"))
    record = add_cytomine(store, slides)
    (volume,) = (d for path in record.folder.glob("*.dcm") if (d := pydicom.dcmread(path)).ImageType[2] == "VOLUME")
    frames = list(generate_frames(volume.PixelData, number_of_frames=int(volume.NumberOfFrames)))
    with client_of(store) as client:
        yield Served(client, record.series_uid, record.orthanc_id, frames)
    store.close()


@pytest.mark.parametrize("prefix", ["", "/wsi", "//wsi/"])
@pytest.mark.parametrize(("x", "y"), [(0, 0), (4, 7), (9, 12)])
def test_tiles_are_the_stored_bytes(served, prefix, x, y):
    for series in (served.uid, served.orthanc_id):
        answer = served.client.get(f"{prefix}/tiles/{series}/0/{x}/{y}")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/jpeg"
        stored = served.frames[y * 10 + x]
        assert stored in (answer.content, answer.content + b"\0")  # the byte that pads odd frames is no part of it


def test_headers_for_browsers_and_caches(served):
    path = f"/tiles/{served.uid}/0/3/3"
    answer = served.client.get(path, headers={"Origin": "https://elsewhere.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["vary"] == "Accept"
    etag = answer.headers["etag"]
    assert etag.startswith('"')

    head = served.client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(answer.content))

    for held in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        unchanged = served.client.get(path, headers={"If-None-Match": held})
        assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", etag)
    assert served.client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    outside = served.client.get(f"/tiles/{served.uid}/0/99/0", headers={"If-None-Match": "*"})
    assert outside.status_code == 404

    etags = {served.client.head(f"/tiles/{served.uid}/0/{x}/0").headers["etag"] for x in range(10)}
    etags.add(served.client.head(f"/tiles/{served.uid}/0/0/0", headers={"Accept": "image/png"}).headers["etag"])
    assert len(etags) == 11


def test_preflight(served):
    answer = served.client.options(f"/tiles/{served.uid}/0/0/0", headers={"Access-Control-Request-Method": "GET"})
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "GET" in answer.headers["access-control-allow-methods"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "image/jpeg"),
        ("*/*", "image/jpeg"),
        ("image/*", "image/jpeg"),
        ("image/png;q=0.9", "image/png"),
        ("image/jpeg;q=nan", "image/jpeg"),
        ("image/jpeg;q=-inf,image/png;q=0.9", "image/jpeg"),
        ("image/png;q=7,image/jpeg", "image/jpeg"),  # no weight is more than 1
        ("text/html,application/xhtml+xml,*/*;q=0.8", "image/jpeg"),
        ("image/jpeg;q=0.2, image/png", "image/png"),
        ("image/*;q=0.5, image/jpeg;q=0", "image/png"),
        ("image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", "image/png"),
        ("image/jp2", None),
        ("text/html", None),
        ("image/jpeg;q=0, image/png;q=0", None),
    ],
)
def test_accept_is_negotiated(served, accept, expected):
    answer = served.client.get(f"/tiles/{served.uid}/0/4/5", headers={"Accept": accept})
    if expected is None:
        assert answer.status_code == 406
    else:
        assert (answer.status_code, answer.headers["content-type"]) == (200, expected)
        assert Image.open(io.BytesIO(answer.content)).get_format_mimetype() == expected


def test_png_has_the_pixels_of_the_stored_tile(served):
    answer = served.client.get(f"/tiles/{served.uid}/0/4/5", headers={"Accept": "image/png"})
    expected = np.asarray(Image.open(io.BytesIO(served.frames[54])).convert("RGB")).astype(int)
    got = np.asarray(Image.open(io.BytesIO(answer.content))).astype(int)
    assert abs(got - expected).max() <= 2


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/tiles/{uid}/0/10/0", 404),
        ("/tiles/{uid}/0/0/13", 404),
        ("/tiles/{uid}/1/0/0", 404),
        ("/tiles/{uid}/-1/0/0", 404),
        ("/tiles/{uid}/0/x/0", 404),
        ("/tiles/{uid}/0/²/0", 404),
        ("/tiles/{uid}/0/" + "9" * 5000 + "/0", 404),
        ("/tiles/1.2.3.4.5/0/0/0", 404),
        ("/tiles/1.2.826/0/0/0", 404),  # the beginning of the identifier is not an address
        ("/tiles/" + "1." * 400 + "1/0/0/0", 404),
        ("/pyramids/..%2f..%2fetc", 404),
        ("/pyramids/%2e%2e", 404),
        ("/nothing/here", 404),
        ("/pyramids/00000000-00000000-00000000-00000000-00000000", 404),
    ],
)
def test_errors_have_the_form_of_orthanc(served, path, status):
    answer = served.client.get(path.format(uid=served.uid))
    assert answer.status_code == status
    body = answer.json()
    assert set(body) == {"HttpError", "HttpStatus", "Message", "Method", "OrthancError", "OrthancStatus", "Uri"}
    assert (body["HttpStatus"], body["HttpError"], body["Method"]) == (status, "Not Found", "GET")
    assert body["OrthancStatus"] == 17
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "immutable" not in answer.headers["cache-control"]


def test_other_methods_are_refused(served):
    answer = served.client.post(f"/tiles/{served.uid}/0/0/0")
    assert answer.status_code == 405
    assert answer.json()["HttpStatus"] == 405


@pytest.mark.parametrize("prefix", ["", "/wsi"])
def test_pyramid_in_the_form_of_orthanc(served, prefix):
    answer = served.client.get(f"{prefix}/pyramids/{served.orthanc_id}")
    content = answer.json()
    assert content.pop("ImagedVolumeWidth") == pytest.approx(2220 * 0.000499)
    assert content.pop("ImagedVolumeHeight") == pytest.approx(2967 * 0.000499)
    assert content == {
        "BackgroundColor": "#ffffff",
        "ID": served.orthanc_id,
        "Resolutions": [1.0],
        "Sizes": [[2220, 2967]],
        "TileHeight": 240,
        "TileWidth": 240,
        "TilesCount": [[10, 13]],
        "TilesSizes": [[240, 240]],
        "TotalHeight": 2967,
        "TotalWidth": 2220,
    }
    etag = answer.headers["etag"]
    again = served.client.get(f"{prefix}/pyramids/{served.orthanc_id}", headers={"If-None-Match": etag})
    assert again.status_code == 304


def test_other_encodings_become_png(tmp_path: Path, slides: Path):
    """JPEG 2000: a browser gets PNG, and who asks for it gets the codestream."""
    store = LocalStore(tmp_path / "store")
    source = slides / "dicom_wsi" / "gcp_single" / "bone_jpeg2000.dcm"
    record = store.add([source])
    dataset = pydicom.dcmread(source)
    frame = next(iter(generate_frames(dataset.PixelData, number_of_frames=int(dataset.NumberOfFrames))))
    with client_of(store) as client:
        png = client.get(f"/tiles/{record.series_uid}/0/0/0")
        jp2 = client.get(f"/tiles/{record.series_uid}/0/0/0", headers={"Accept": "image/jp2"})
    assert png.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png.content))), dataset.pixel_array[0])
    assert jp2.headers["content-type"] == "image/jp2"
    assert jp2.content.rstrip(b"\0") == frame.rstrip(b"\0")
    store.close()


def test_a_tile_that_a_sparse_level_lacks_is_transparent(tmp_path: Path, slides: Path):
    """The last frame of a TILED_FULL image taken out, the others given their positions."""
    dataset = pydicom.dcmread(slides / "dicom_wsi" / "gcp_single" / "bone_jpeg.dcm")
    columns = -(-dataset.TotalPixelMatrixColumns // dataset.Columns)
    count = int(dataset.NumberOfFrames) - 1
    frames = list(generate_frames(dataset.PixelData, number_of_frames=count + 1))[:count]
    dataset.PixelData = pydicom.encaps.encapsulate(frames)
    dataset.NumberOfFrames = count
    dataset.DimensionOrganizationType = "TILED_SPARSE"
    groups = []
    for frame in range(count):
        position = pydicom.Dataset()
        position.ColumnPositionInTotalImagePixelMatrix = frame % columns * dataset.Columns + 1
        position.RowPositionInTotalImagePixelMatrix = frame // columns * dataset.Rows + 1
        group = pydicom.Dataset()
        group.PlanePositionSlideSequence = [position]
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = groups
    path = tmp_path / "sparse.dcm"
    dataset.save_as(path)
    store = LocalStore(tmp_path / "store")
    record = store.add([path])
    missing = f"/tiles/{record.series_uid}/0/{count % columns}/{count // columns}"
    with client_of(store) as client:
        stored = client.get(f"/tiles/{record.series_uid}/0/0/0")
        png, jpeg = client.get(missing), client.get(missing, headers={"Accept": "image/jpeg"})
    store.close()
    assert stored.headers["content-type"] == "image/jpeg"
    assert (png.status_code, png.headers["content-type"]) == (200, "image/png")
    assert (np.asarray(Image.open(io.BytesIO(png.content)).convert("RGBA"))[..., 3] == 0).all()
    assert (np.asarray(Image.open(io.BytesIO(jpeg.content))) == 255).all()


def test_a_series_deleted_or_damaged_elsewhere(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """What is wrong with files is told to the log; the client is not told where they lie."""
    store = LocalStore(tmp_path / "store")
    record = add_sample(store)
    for path in record.folder.glob("*.dcm"):
        path.unlink()
    with client_of(store) as client:
        answer = client.get(f"/pyramids/{record.series_uid}")
        store.delete(record.series_uid)
        gone = client.get(f"/pyramids/{record.series_uid}")
    store.close()
    assert answer.status_code == 500
    assert str(tmp_path) not in answer.text
    assert str(tmp_path) in caplog.text
    assert gone.status_code == 404
