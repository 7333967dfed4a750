"""DICOM images of any kind, served, shown, and made up with pydicom."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from tests.foreign_series import save
from tests.served import client_of
from wsi_dicom.stores.local import LocalStore

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
SIDE = 32


@contextmanager
def serving(root: Path, *series: list[Path]) -> Iterator[tuple[httpx.Client, list[str]]]:
    """A client, and the SeriesInstanceUIDs."""
    store = LocalStore(root / "store")
    uids = [store.add(files).series_uid for files in series]
    with client_of(store) as client:
        yield client, uids
    store.close()


def shown(client: httpx.Client, image: str, query: str = "") -> NDArray[np.uint8]:
    answer = client.get(f"/iiif/frames/{image}/full/max/0/default.png{query}")
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def spread(values: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    return 255 * (values.astype(float) - low) / (high - low)


def ends(data: Dataset) -> tuple[float, float]:
    """What pydicom shows as black and as white: the ends of the rescaled range of the stored bits."""
    low = -(1 << data.BitsStored - 1) if data.PixelRepresentation else 0
    high = low + (1 << data.BitsStored) - 1
    slope, intercept = float(data.get("RescaleSlope", 1)), float(data.get("RescaleIntercept", 0))
    return low * slope + intercept, high * slope + intercept


def ct(values: NDArray[Any], **told: Any) -> Dataset:
    """An image of one frame, or with frames along the first axis, in grays of so many bits."""
    data = Dataset()
    data.SOPClassUID = CTImageStorage if values.ndim == 2 else ENHANCED_CT
    data.SOPInstanceUID, data.SeriesInstanceUID, data.StudyInstanceUID = generate_uid(), generate_uid(), generate_uid()
    data.PatientID, data.Modality, data.ImageType = "P1", "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.Rows, data.Columns = values.shape[-2:]
    if values.ndim == 3:
        data.NumberOfFrames = len(values)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8 * values.itemsize
    data.PixelRepresentation = int(values.dtype.kind == "i")
    for keyword, value in told.items():
        setattr(data, keyword, value)
    data.HighBit = data.BitsStored - 1
    return data


def saved(path: Path, values: NDArray[Any], **told: Any) -> Path:
    return save(path, ct(values, **told), ExplicitVRLittleEndian, values.tobytes())


def ramp(kind: str, bits: int) -> NDArray[Any]:
    signed = kind[0] == "i"
    low = -(1 << bits - 1) if signed else 0
    return np.linspace(low, low + (1 << bits) - 1, SIDE * SIDE).round().astype(kind).reshape(SIDE, SIDE)
