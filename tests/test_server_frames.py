"""Frames of DICOM images of any kind through a real server, as pydicom reads the same files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_windowing
from pydicom.pixels.utils import pixel_array
from pydicom.uid import MPEG4HP41, ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

from tests.foreign_series import jpeg_frames, save
from tests.frame_images import SIDE, ct, ends, saved, serving, shown, spread
from tests.profiles import WIDE, in_srgb
from tests.served import add_cytomine, client_of
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.settings import ServerSettings

BASIC_TEXT = "1.2.840.10008.5.1.4.1.1.88.11"


def other(slides: Path, name: str) -> Path:
    return slides / "dicom_other" / name


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, slides: Path) -> Iterator[httpx.Client]:
    files = sorted((slides / "dicom_other").glob("*.dcm"))
    with serving(tmp_path_factory.mktemp("frames"), *([file] for file in files)) as (client, _):
        yield client


def uid_of(path: Path) -> str:
    return str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)


@pytest.mark.parametrize("name", ["CT_small.dcm", "JPEG2000.dcm", "emri_small.dcm"])
def test_grays_without_a_window_are_spread(archive: httpx.Client, slides: Path, name: str) -> None:
    path = other(slides, name)
    data = pydicom.dcmread(path)
    for frame in range(int(data.get("NumberOfFrames") or 1)):
        values = apply_modality_lut(pixel_array(path, index=frame), data)
        expected = spread(values, values.min(), values.max())
        assert np.abs(shown(archive, f"{data.SOPInstanceUID}/{frame}") - expected).max() <= 0.5001


def test_the_window_of_the_image(archive: httpx.Client, slides: Path) -> None:
    data = pydicom.dcmread(other(slides, "MR_small.dcm"))
    values = apply_windowing(apply_modality_lut(data.pixel_array, data), data)
    expected = spread(values, -(1 << 15), (1 << 15) - 1)
    assert np.abs(shown(archive, f"{data.SOPInstanceUID}/0") - expected).max() <= 0.51


@pytest.mark.parametrize(
    ("query", "function"), [("", "LINEAR"), (",linear-exact", "LINEAR_EXACT"), (",sigmoid", "SIGMOID")]
)
def test_a_window_of_one_s_own(archive: httpx.Client, slides: Path, query: str, function: str) -> None:
    data = pydicom.dcmread(other(slides, "CT_small.dcm"))
    data.WindowCenter, data.WindowWidth, data.VOILUTFunction = -100, 700.5, function
    values = apply_windowing(apply_modality_lut(data.pixel_array, data), data)
    expected = spread(values, *ends(data))
    assert np.abs(shown(archive, f"{data.SOPInstanceUID}/0", f"?window=-100,700.5{query}") - expected).max() <= 0.51


def test_palettes(archive: httpx.Client, slides: Path) -> None:
    data = pydicom.dcmread(other(slides, "examples_palette.dcm"))
    expected = apply_color_lut(data.pixel_array, data) >> 8
    assert np.array_equal(shown(archive, f"{data.SOPInstanceUID}/0"), expected)


def test_colours_of_many_frames(archive: httpx.Client, slides: Path) -> None:
    path = other(slides, "SC_rgb_rle_2frame.dcm")
    for frame in range(2):
        assert np.array_equal(shown(archive, f"{uid_of(path)}/{frame}"), pixel_array(path, index=frame))


def test_jpeg_frames_go_out_as_stored(archive: httpx.Client, slides: Path) -> None:
    path = other(slides, "examples_ybr_color.dcm")
    data = pydicom.dcmread(path)
    stored = list(generate_frames(data.PixelData, number_of_frames=30))
    for frame in (0, 29):
        picture = archive.get(f"/iiif/frames/{data.SOPInstanceUID}/{frame}/full/max/0/default.jpg").content
        tile = f"/frames-tiles/{data.SOPInstanceUID}/{frame}/0/0/0"
        accepted = archive.get(tile, headers={"Accept": "image/jpeg"})
        assert picture == accepted.content
        assert stored[frame] in (picture, picture + b"\0")
        by_default = archive.get(tile)
        assert by_default.headers["content-type"] == "image/png"
        decoded = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"), int)
        assert np.abs(np.asarray(Image.open(io.BytesIO(by_default.content))) - decoded).max() <= 3


def test_pyramids_are_those_of_orthanc(archive: httpx.Client, slides: Path) -> None:
    data = pydicom.dcmread(other(slides, "CT_small.dcm"))
    parts = (data.PatientID, data.StudyInstanceUID, data.SeriesInstanceUID, data.SOPInstanceUID)
    digest = sha1("|".join(parts).encode()).hexdigest()  # noqa: S324 - Orthanc's choice
    identifier = "-".join(digest[start : start + 8] for start in range(0, 40, 8))
    for prefix in ("", "/wsi"):
        content = archive.get(f"{prefix}/frames-pyramids/{identifier}/0").json()
        assert (content["ID"], content["FrameNumber"]) == (identifier, 0)
        assert (content["TotalWidth"], content["TotalHeight"]) == (128, 128)
        assert content["ImagedVolumeWidth"] == pytest.approx(128 * 0.661468)
        tile = archive.get(f"{prefix}/frames-tiles/{identifier}/0/0/0/0")
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(tile.content))), shown(archive, f"{identifier}/0"))
        for place in ("0/1/0", "0/0/1", "5/0/0"):
            outside = archive.get(f"{prefix}/frames-tiles/{identifier}/0/{place}")
            assert outside.status_code == 200
            assert np.asarray(Image.open(io.BytesIO(outside.content))).min() == 255
    unchanged = archive.get(f"/frames-tiles/{identifier}/0/0/0/0", headers={"If-None-Match": tile.headers["etag"]})
    assert unchanged.status_code == 304


@pytest.mark.parametrize("kind", ["frames", "frames-pyramids", "2/frames"])
def test_frames_are_image_services(archive: httpx.Client, slides: Path, kind: str) -> None:
    image = f"{uid_of(other(slides, 'CT_small.dcm'))}/0"
    information = archive.get(f"/iiif/{kind}/{image}/info.json").json()
    assert information.get("id", information.get("@id")).endswith(f"/iiif/{kind}/{image}")
    assert information["width"] == 128
    assert archive.get(f"/iiif/{kind}/{image}").headers["location"].endswith(f"{image}/info.json")
    picture = archive.get(f"/iiif/{kind}/{image}/0,0,64,32/32,/90/gray.webp?window=40,400")
    assert Image.open(io.BytesIO(picture.content)).size == (16, 32)
    assert '?window=40,400>;rel="canonical"' in picture.headers["link"]


@pytest.mark.parametrize("window", ["", "40", "40,0", "40,-1", "nan,1", "1e9,2", "40,400,cubic", "40,400,", "4" * 50])
def test_bad_windows(archive: httpx.Client, slides: Path, window: str) -> None:
    image = f"/iiif/frames/{uid_of(other(slides, 'CT_small.dcm'))}/0/full/max/0/default.png"
    answer = archive.get(image, params={"window": window})
    assert answer.status_code == 400
    assert "window" in answer.json()["Message"]


def test_what_is_not_there(archive: httpx.Client, slides: Path) -> None:
    uid = uid_of(other(slides, "SC_rgb_rle_2frame.dcm"))
    assert archive.get(f"/iiif/frames/{uid}/0/info.json", params={"window": "1,2"}).status_code == 400  # colours
    for image in (
        f"{uid}/2",
        f"{uid}/-1",
        f"{uid}/x",
        f"{uid}/99999999999",
        "1.2.3/0",
        "..%2f..%2fetc/0",
        f"{uid[:-2]}/0",
    ):
        answer = archive.get(f"/iiif/frames/{image}/info.json")
        assert answer.status_code == 404
        assert "/store" not in answer.text


def test_a_series_is_counted_through_its_instances(tmp_path: Path) -> None:
    """By Instance Number, whatever the files are called; what is no image does not count."""
    series = generate_uid()
    files = []
    for name, number, frames in (("c", 10, 2), ("a", 9, 1), ("b", 2, 3)):
        values = np.arange(frames, dtype="u1")[:, None, None] + np.full((frames, 8, 8), 10 * number, "u1")
        files.append(saved(tmp_path / f"{name}.dcm", values, InstanceNumber=number, SeriesInstanceUID=series))
    report = ct(np.zeros((1, 1), "u1"), InstanceNumber=1, SeriesInstanceUID=series, SOPClassUID=BASIC_TEXT)
    for keyword in ("Rows", "Columns", "BitsAllocated"):
        del report[keyword]
    report.BitsAllocated = 8
    files.append(save(tmp_path / "report.dcm", report, ExplicitVRLittleEndian, None))
    with serving(tmp_path, files) as (client, _):
        grays = [shown(client, f"{series}/{frame}")[0, 0] for frame in range(6)]
        assert grays == [20, 21, 22, 90, 100, 101]
        assert client.get(f"/iiif/frames/{series}/6/info.json").status_code == 404
        assert client.get(f"/iiif/frames/{report.SOPInstanceUID}/0/info.json").status_code == 404


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, str, NDArray[np.float64]]]:
    """A radiograph of 2300 x 1301 pixels, and its grays in floating point."""
    folder = tmp_path_factory.mktemp("large")
    rows, columns = np.mgrid[0:1301, 0:2300]
    values = (2000 + 1500 * np.sin(rows / 31) * np.cos(columns / 47)).astype("u2")
    path = saved(folder / "image.dcm", values, BitsStored=12, WindowCenter="2000", WindowWidth="3000")
    data = pydicom.dcmread(path)
    with serving(folder, [path]) as (client, (uid,)):
        yield client, uid, spread(apply_windowing(values, data), 0, 4095)


def halved(grays: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of 2 x 2, the last row and column repeated where there is but one."""
    height, width = grays.shape
    even = np.pad(grays, ((0, height % 2), (0, width % 2)), mode="edge")
    means: NDArray[np.float64] = even.reshape(-(-height // 2), 2, -(-width // 2), 2).mean(axis=(1, 3))
    return means


def test_levels_are_made_on_the_fly(large: tuple[httpx.Client, str, NDArray[np.float64]]) -> None:
    client, uid, grays = large
    content = client.get(f"/frames-pyramids/{uid}/0").json()
    assert content["Sizes"] == [[2300, 1301], [1150, 651], [575, 326], [288, 163]]
    assert content["TilesSizes"] == [[512, 512]] * 4
    expected = grays
    for level, (width, height) in enumerate(content["Sizes"]):
        if level:
            expected = halved(expected)
        assert expected.shape == (height, width)
        for x, y in ((0, 0), ((width - 1) // 512, (height - 1) // 512)):
            tile = np.asarray(Image.open(io.BytesIO(client.get(f"/frames-tiles/{uid}/0/{level}/{x}/{y}").content)), int)
            assert tile.shape == (512, 512)
            inside = expected[y * 512 : (y + 1) * 512, x * 512 : (x + 1) * 512]
            assert np.abs(tile[: inside.shape[0], : inside.shape[1]] - inside).max() <= 0.51 * (level + 1)
            assert (tile[inside.shape[0] :] == 255).all()


def test_regions_of_large_frames(large: tuple[httpx.Client, str, NDArray[np.float64]]) -> None:
    client, uid, grays = large
    exact = client.get(f"/iiif/frames/{uid}/0/700,300,900,700/max/0/default.png")
    found = np.asarray(Image.open(io.BytesIO(exact.content)))
    assert np.abs(found - grays[300:1000, 700:1600]).max() <= 0.51
    assert client.get(f"/iiif/frames/{uid}/0/info.json").json()["tiles"][0]["scaleFactors"] == [1, 2, 4, 8]


def test_colours_are_those_of_the_profile(tmp_path: Path) -> None:
    values = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3), "u1")
    told = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0, "ICCProfile": WIDE}
    data = ct(values[:, :, 0], **told)
    path = save(tmp_path / "image.dcm", data, ExplicitVRLittleEndian, values.tobytes())
    with serving(tmp_path, [path]) as (client, (uid,)):
        assert np.abs(shown(client, f"{uid}/0").astype(int) - in_srgb(values)).max() <= 1


def test_labels_are_hidden(tmp_path: Path, slides: Path) -> None:
    """Also one by one, and counted through their series."""
    store = LocalStore(tmp_path / "store")
    record = add_cytomine(store, slides)
    flavors = {str(d.SOPInstanceUID): d.ImageType[2] for d in map(pydicom.dcmread, record.folder.glob("*.dcm"))}
    for hidden in (False, True):
        with client_of(store, ServerSettings(hide_labels=hidden)) as client:
            statuses = {
                flavor: client.get(f"/iiif/frames/{uid}/0/info.json").status_code for uid, flavor in flavors.items()
            }
        kept = 404 if hidden else 200
        assert statuses == {"VOLUME": 200, "THUMBNAIL": 200, "LABEL": kept, "OVERVIEW": kept}
    store.close()


def test_a_series_of_a_hidden_label_shows_nothing(tmp_path: Path, slides: Path) -> None:
    files = [
        f for f in (slides / "dicom_wsi" / "cytomine_cmu1").glob("*.dcm") if pydicom.dcmread(f).ImageType[2] == "LABEL"
    ]
    store = LocalStore(tmp_path / "store")
    uid = store.add(files).series_uid
    pages = ["associated/{}/thumbnail", "frames-pyramids/{}/0", "frames-tiles/{}/0/0/0/0", "iiif/frames/{}/0/info.json"]
    pages += [
        "iiif/series/{}/manifest.json",
        "iiif/frames-pyramids/{}/0/manifest.json",
        "viewer/{}",
        "openseadragon/{}",
    ]
    for hidden in (False, True):
        with client_of(store, ServerSettings(hide_labels=hidden)) as client:
            statuses = {page: client.get("/" + page.format(uid)).status_code for page in pages}
        assert statuses == dict.fromkeys(pages, 404 if hidden else 200)
    store.close()


def test_frames_are_counted_without_hidden_labels(tmp_path: Path, slides: Path) -> None:
    """In the order of their numbers, the others closing up."""
    store = LocalStore(tmp_path / "store")
    record = add_cytomine(store, slides)
    found = [pydicom.dcmread(path, stop_before_pixels=True) for path in record.folder.glob("*.dcm")]
    in_order = sorted(found, key=lambda data: (int(data.InstanceNumber), str(data.SOPInstanceUID)))
    shown_ones = [data for data in in_order if data.ImageType[2] not in ("LABEL", "OVERVIEW")]
    assert len(shown_ones) < len(in_order)
    sizes = [(d.Columns, d.Rows) for d in shown_ones for _ in range(int(d.NumberOfFrames))]
    with client_of(store, ServerSettings(hide_labels=True)) as client:
        for number in (0, len(sizes) - 1):
            info = client.get(f"/iiif/frames/{record.series_uid}/{number}/info.json").json()
            assert (info["width"], info["height"]) == sizes[number]
        assert client.get(f"/iiif/frames/{record.series_uid}/{len(sizes)}/info.json").status_code == 404
    store.close()


def test_a_frame_that_does_not_decode(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The others do; the log says which it was, the answer does not say where the store is."""
    frames = jpeg_frames(3, SIDE)
    frames[1] = frames[1][:40] + bytes(60)
    data = ct(np.zeros((3, SIDE, SIDE), "u1"), SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL_422")
    data.PlanarConfiguration = 0
    path = save(tmp_path / "image.dcm", data, JPEGBaseline8Bit, encapsulate(frames))
    with serving(tmp_path, [path]) as (client, (uid,)):
        statuses = [client.get(f"/frames-tiles/{uid}/{frame}/0/0/0") for frame in range(3)]
    assert [answer.status_code for answer in statuses] == [200, 500, 200]
    assert str(tmp_path) not in statuses[1].text
    assert str(data.SOPInstanceUID) in caplog.text


def test_a_series_deleted_or_replaced_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its frames go, and come back with other entity tags; files that are missing are the server's fault."""
    monkeypatch.setattr("wsi_dicom_server.pool._CHECK_AFTER_S", 0.0)
    store = LocalStore(tmp_path / "store")
    path = saved(tmp_path / "image.dcm", np.full((2, 8, 8), 50, "u1"))
    record = store.add([path])
    image = f"/iiif/frames/{record.series_uid}/1/full/max/0/default.png"
    with client_of(store, ServerSettings(open_slides=1)) as client:
        first = client.get(image).raise_for_status()
        store.delete(record.series_uid)
        assert client.get(image).status_code == 404
        data = pydicom.dcmread(path)
        data.PixelData = bytes([90]) * len(data.PixelData)
        data.save_as(path)
        again = store.add([path])
        second = client.get(image, headers={"If-None-Match": first.headers["etag"]})
        assert np.unique(np.asarray(Image.open(io.BytesIO(second.content)))) == [90]
        for file in again.folder.iterdir():
            file.unlink()
        assert client.get(f"/iiif/frames/{record.series_uid}/0/full/max/0/default.png").status_code == 503
    store.close()


@pytest.mark.parametrize("kind", ["32 bits", "video"])
def test_pixels_that_are_not_read(tmp_path: Path, kind: str) -> None:
    if kind == "32 bits":
        path = saved(tmp_path / "image.dcm", np.zeros((4, 4), "u4"))
    else:
        data = ct(np.zeros((2, 4, 4), "u1"))
        path = save(tmp_path / "image.dcm", data, MPEG4HP41, encapsulate([b"\0\0\1\xb3" + bytes(60)]))
    with serving(tmp_path, [path]) as (client, (uid,)):
        answer = client.get(f"/iiif/frames/{uid}/0/info.json")
    assert answer.status_code == 404
    assert str(tmp_path) not in answer.text
