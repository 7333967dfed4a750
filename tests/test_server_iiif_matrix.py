"""Every tile of every level of every kind of series, as a viewer asks for them, against the picture it came from."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom.encaps import generate_frames
from skimage.data import immunohistochemistry
from skimage.metrics import peak_signal_noise_ratio as psnr

from tests.foreign_series import Picture, native_frames, per_frame_groups, save_native, sparse
from tests.served import client_of, opened
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.convert import DicomizeOptions, dicomize
from wsi_dicom.plan import PlanOptions
from wsi_dicom.stores.local import LocalStore

TISSUE = immunohistochemistry()[:397, :501].copy()
"""Odd sizes: the last tiles of every level are cut."""

LOSSLESS = (
    Compression.NONE,
    Compression.JPEG2000,
    Compression.HTJ2K,
    Compression.JPEG_LS,
    Compression.JPEG_XL,
    Compression.RLE,
    Compression.DEFLATED,
)
LOSSY = (Compression.JPEG, Compression.JPEG2000_LOSSY, Compression.HTJ2K_LOSSY)


@pytest.fixture(scope="module")
def client(store: LocalStore) -> Iterator[httpx.Client]:
    with client_of(store) as client:
        yield client


def mosaic(client: httpx.Client, image: str, factor: int, tile: int, suffix: str) -> np.ndarray:
    """What a viewer puts together at a scale factor: sizes of edge tiles are rounded up."""
    height, width = TISSUE.shape[:2]
    whole = np.zeros((-(-height // factor), -(-width // factor), 3), np.uint8)
    side = tile * factor
    for y in range(0, height, side):
        for x in range(0, width, side):
            w, h = min(side, width - x), min(side, height - y)
            asked = f"{x},{y},{w},{h}/{-(-w // factor)},{-(-h // factor)}"
            got = opened(client.get(f"{image}/{asked}/0/default.{suffix}"))
            assert got.size == (-(-w // factor), -(-h // factor))
            top, left = y // factor, x // factor
            whole[top : top + got.height, left : left + got.width] = np.asarray(got.convert("RGB"))
    return whole


def reduced(factor: int) -> np.ndarray:
    """Means of blocks; the last ones are filled by repeating the edge."""
    height, width = TISSUE.shape[:2]
    filled = np.pad(TISSUE, ((0, -height % factor), (0, -width % factor), (0, 0)), mode="edge")
    blocks = filled.reshape(filled.shape[0] // factor, factor, filled.shape[1] // factor, factor, 3)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)


@pytest.mark.parametrize("compression", [*LOSSLESS, *LOSSY])
def test_all_tiles_of_all_levels(client, store, tmp_path, compression):
    Image.fromarray(TISSUE).save(tmp_path / "tissue.png")
    plan = PlanOptions(pyramid=True, compression=compression, tile_width=128, tile_height=128)
    made = dicomize(tmp_path / "tissue.png", store, DicomizeOptions(plan=plan))
    image = f"/iiif/tiles/{made.series.series_uid}"
    info = client.get(f"{image}/info.json").json()
    (tiles,) = info["tiles"]
    assert (tiles["width"], tiles["height"], tiles["scaleFactors"]) == (128, 128, [1, 2, 4])
    assert info["sizes"][-1] == {"width": 501, "height": 397}
    for factor in tiles["scaleFactors"]:
        got = mosaic(client, image, factor, 128, "png")
        if factor == 1 and compression in LOSSLESS:
            np.testing.assert_array_equal(got, TISSUE)
        else:
            assert psnr(reduced(factor), got) > (38 if compression in LOSSLESS else 30)
    assert psnr(TISSUE, mosaic(client, image, 1, 128, "jpg")) > 33
    if compression is Compression.JPEG:
        stored = client.get(f"/tiles/{made.series.series_uid}/1/0/0").content
        assert client.get(f"{image}/0,0,256,256/128,/0/default.jpg").content == stored


def test_a_damaged_frame_costs_nothing_but_itself(client, store, tmp_path, caplog):
    Image.fromarray(TISSUE).save(tmp_path / "tissue.png")
    plan = PlanOptions(compression=Compression.JPEG2000, tile_width=128, tile_height=128)
    record = dicomize(tmp_path / "tissue.png", store, DicomizeOptions(plan=plan)).series
    (path,) = record.folder.glob("*.dcm")
    data = pydicom.dcmread(path)
    frame = next(iter(islice(generate_frames(data.PixelData, number_of_frames=int(data.NumberOfFrames)), 5, None)))
    whole = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(whole.replace(frame, frame[:40] + bytes(len(frame) - 40)))
    image = f"/iiif/tiles/{record.series_uid}"
    broken = client.get(f"{image}/128,128,128,128/64,/0/default.png")
    assert broken.status_code == 500
    assert str(tmp_path) not in broken.text
    assert "Traceback" not in broken.text
    assert record.series_uid in caplog.text
    beside = opened(client.get(f"{image}/256,128,128,128/max/0/default.png"))
    np.testing.assert_array_equal(np.asarray(beside), TISSUE[128:256, 256:384])


def test_gray_of_sixteen_bits_is_shown_through_its_window(client, store, slides):
    source = slides / "ome_tiff" / "2048x2048_ome6_tiled.ome.tif"
    record = dicomize(source, store, DicomizeOptions()).series
    levels = (pydicom.dcmread(path, stop_before_pixels=True) for path in record.folder.glob("*.dcm"))
    base = max(levels, key=lambda level: int(level.TotalPixelMatrixColumns))
    assert base.BitsStored == 16
    window = base.SharedFunctionalGroupsSequence[0].get("FrameVOILUTSequence", [base])[0]
    pixels = tifffile.imread(source, level=0)[0, 500:700, 300:600].astype(float)
    if "WindowCenter" in window:
        center, width = float(window.WindowCenter), float(window.WindowWidth)
        expected = np.clip((pixels - (center - 0.5)) / (width - 1) + 0.5, 0, 1) * 255
    else:
        expected = pixels / 65535 * 255
    got = np.asarray(opened(client.get(f"/iiif/tiles/{record.series_uid}/300,500,300,200/max/0/default.png")))
    np.testing.assert_allclose(got, expected, atol=1.5)
    tile = opened(client.get(f"/iiif/tiles/{record.series_uid}/0,0,1024,1024/512,/0/default.jpg"))
    assert (tile.mode, tile.size) == ("L", (512, 512))


def test_tiles_that_a_sparse_level_lacks_are_white(client, store, tmp_path: Path):
    """The one in the middle of the upper row is not there."""
    frames = native_frames(5, 64)
    places = [(1, 1), (129, 1), (1, 65), (65, 65), (129, 65)]
    level = sparse(Picture(3 * 64 - 5, 2 * 64 - 3, 64), per_frame_groups(places))
    record = store.add([save_native(tmp_path / "sparse.dcm", level, frames)])
    image = f"/iiif/tiles/{record.series_uid}"
    whole = np.asarray(opened(client.get(f"{image}/full/max/0/default.png")))
    assert (whole[:64, 64:128] == 255).all()
    for frame, (x, y) in zip(frames, places, strict=True):
        part = whole[y - 1 : y + 63, x - 1 : x + 63]
        np.testing.assert_array_equal(part, frame[: part.shape[0], : part.shape[1]])
    missing = opened(client.get(f"{image}/64,0,64,64/64,64/0/default.jpg"))
    assert (np.asarray(missing) == 255).all()


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", 'application/ld+json;profile="http://iiif.io/api/image/3/context.json"'),
        ("*/*", 'application/ld+json;profile="http://iiif.io/api/image/3/context.json"'),
        ("application/json;q=0.9, application/ld+json;q=0.1", "application/json"),
        ("application/json, */*;q=0.1", "application/json"),
        (
            "text/html,application/xhtml+xml,*/*;q=0.8",
            'application/ld+json;profile="http://iiif.io/api/image/3/context.json"',
        ),
        ("application/ld+json;q=0, application/*;q=0.2", "application/json"),
        ("image/png", None),
        ("application/json;q=0", None),
    ],
)
def test_information_is_negotiated(client, store, tmp_path: Path, accept, expected):
    picture = Picture()
    record = store.add([save_native(tmp_path / "small.dcm", picture, native_frames(6))])
    answer = client.get(f"/iiif/tiles/{record.series_uid}/info.json", headers={"Accept": accept})
    if expected is None:
        assert answer.status_code == 406
    else:
        assert (answer.status_code, answer.headers["content-type"]) == (200, expected)
        assert answer.headers["vary"] == "Accept"
