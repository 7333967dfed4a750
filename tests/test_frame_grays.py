"""Modality and VOI of gray images of any kind, shown by a real server as pydicom computes them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut, apply_windowing
from pydicom.uid import ExplicitVRLittleEndian

from tests.foreign_series import save
from tests.frame_images import SIDE, ct, ends, ramp, saved, serving, shown, spread
from wsi_dicom.dicom.frame_slide import ImageFrames


def table(entries: list[int], first: int, bits: int) -> list[Dataset]:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    item.ModalityLUTType = "US"
    return [item]


STEPS = [(number * number) % 4096 for number in range(300)]


def windowed(center: str, width: str, **told: Any) -> dict[str, Any]:
    return {"WindowCenter": center, "WindowWidth": width, **told}


def rescaled(slope: str, intercept: str) -> dict[str, Any]:
    return {"RescaleSlope": slope, "RescaleIntercept": intercept}


SHOWN: dict[str, tuple[str, int, dict[str, Any]]] = {
    "signed, rescaled": ("i2", 16, windowed("40", "900", **rescaled("0.5", "-24"))),
    "falling rescale": ("u2", 12, windowed("-3000", "4000", **rescaled("-2", "100"))),
    "tiny slope": ("i2", 16, windowed("3", "20", **rescaled("0.001", "0"))),
    "sigmoid": ("u2", 12, windowed("2000", "900", VOILUTFunction="SIGMOID")),
    "the first of the windows": ("u2", 12, windowed("2000\\9", "900\\7")),
    "8 bits with a window": ("u1", 8, windowed("100", "50")),
    "a table": ("u2", 12, {"VOILUTSequence": table(STEPS, 700, 12)}),
    "a table before a window": ("u2", 12, windowed("5", "9", VOILUTSequence=table(STEPS, 9, 12))),
    "a table for negative numbers": ("i2", 12, {"VOILUTSequence": table(STEPS, -200, 12)}),
    "a table of the modality": ("u2", 12, windowed("900", "800", ModalityLUTSequence=table(STEPS, 50, 16))),
}
PHOTOMETRIC = ("MONOCHROME2", "MONOCHROME1")


@pytest.fixture(scope="module")
def grays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, dict[tuple[str, str], Dataset]]]:
    """Each of SHOWN in both photometric interpretations, as pydicom reads them."""
    folder = tmp_path_factory.mktemp("grays")
    files = {
        (name, photometric): saved(
            folder / f"{name} {photometric}.dcm",
            ramp(kind, bits),
            BitsStored=bits,
            PhotometricInterpretation=photometric,
            **told,
        )
        for name, (kind, bits, told) in SHOWN.items()
        for photometric in PHOTOMETRIC
    }
    with serving(folder, *([file] for file in files.values())) as (client, _):
        yield client, {which: pydicom.dcmread(file) for which, file in files.items()}


@pytest.mark.parametrize("photometric", PHOTOMETRIC)
@pytest.mark.parametrize("name", SHOWN)
def test_modality_and_voi(
    grays: tuple[httpx.Client, dict[tuple[str, str], Dataset]], name: str, photometric: str
) -> None:
    client, data = grays[0], grays[1][name, photometric]
    values = apply_voi_lut(apply_modality_lut(data.pixel_array, data), data)
    tables = {"VOILUTSequence": (0.0, 4095.0), "ModalityLUTSequence": (0.0, 65535.0)}
    expected = spread(values, *next((tables[key] for key in tables if key in data), ends(data)))
    found = shown(client, f"{data.SOPInstanceUID}/0").astype(float)
    assert np.abs(found - (expected if photometric == "MONOCHROME2" else 255 - expected)).max() <= 0.51
    assert np.ptp(found) > 200


def test_padding_does_not_count(tmp_path: Path) -> None:
    values = ramp("i2", 10)
    values[:4] = -2000
    path = saved(tmp_path / "image.dcm", values, PixelPaddingValue=-2000, RescaleSlope="1", RescaleIntercept="-1024")
    with serving(tmp_path, [path]) as (client, (uid,)):
        inside = values[4:].astype(float)
        expected = np.clip(spread(values, inside.min(), inside.max()), 0, 255)
        assert np.abs(shown(client, f"{uid}/0") - expected).max() <= 0.51


def test_frames_with_windows_and_rescales_of_their_own(tmp_path: Path) -> None:
    values = np.stack([ramp("u2", 12)] * 3)
    items = []
    for slope, center in ((1, 500), (2, 3000), (-1, -700)):
        item, voi, transformation, measures = Dataset(), Dataset(), Dataset(), Dataset()
        measures.PixelSpacing = [0.7, 0.6]  # between rows, between columns
        item.PixelMeasuresSequence = [measures]
        voi.WindowCenter, voi.WindowWidth = center, 900
        transformation.RescaleSlope, transformation.RescaleIntercept, transformation.RescaleType = slope, 3, "HU"
        item.FrameVOILUTSequence, item.PixelValueTransformationSequence = [voi], [transformation]
        items.append(item)
    path = saved(tmp_path / "image.dcm", values, BitsStored=12, PerFrameFunctionalGroupsSequence=items)
    with serving(tmp_path, [path]) as (client, (uid,)):
        assert client.get(f"/frames-pyramids/{uid}/2").json()["ImagedVolumeWidth"] == pytest.approx(SIDE * 0.6)
        for frame, item in enumerate(items):
            single = ct(values[0], BitsStored=12)
            for part in (*item.FrameVOILUTSequence[0], *item.PixelValueTransformationSequence[0]):
                single.add(part)
            shades = apply_windowing(apply_modality_lut(values[0], single), single)
            expected = spread(shades, *ends(single))
            assert np.abs(shown(client, f"{uid}/{frame}") - expected).max() <= 0.51


def test_memory_is_bounded(tmp_path: Path) -> None:
    """Of a frame of 32 MiB: as stored, as decoded, and its grays; the index of a pixel alone would take 128 MiB."""
    values = np.arange(1 << 24, dtype="u2").reshape(4096, 4096)
    frames = ImageFrames(saved(tmp_path / "image.dcm", values))
    tracemalloc.start()
    try:
        grays = frames.pixels(0, None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.abs(grays[:, :, 0] - spread(values, 0, 65535)).max() <= 0.51
    assert peak < 3 * values.nbytes


@pytest.mark.parametrize(
    "broken",
    [
        {"VOILUTSequence": table([], 9, 12)},
        {"VOILUTSequence": table(STEPS, 0, 40)},
        {"Rows": 60_000, "Columns": 60_000},
        {"Rows": 4000},
    ],
    ids=["no table", "40 bits", "too large", "truncated"],
)
def test_damaged_images(tmp_path: Path, broken: dict[str, Any]) -> None:
    values = ramp("u2", 12)
    data = ct(values, BitsStored=12, **broken)
    path = save(tmp_path / "image.dcm", data, ExplicitVRLittleEndian, values.tobytes())
    with serving(tmp_path, [path]) as (client, (uid,)):
        answer = client.get(f"/iiif/frames/{uid}/0/full/max/0/default.png")
    assert answer.status_code == 500
    assert str(tmp_path) not in answer.text
