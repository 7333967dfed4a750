"""Whole-slide instances written with pydicom alone, as other people's software writes them and as nobody should."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
TILE = 16


@dataclass
class Picture:
    """What to write; the defaults make one colour level of 3 x 2 tiles."""

    width: int = 3 * TILE - 5
    height: int = 2 * TILE - 3
    tile: int = TILE
    frames: int = 6
    syntax: str = JPEGBaseline8Bit
    photometric: str = "YBR_FULL_422"
    flavor: str = "VOLUME"
    series_uid: str = field(default_factory=generate_uid)
    study_uid: str = field(default_factory=generate_uid)
    attributes: dict[str, Any] = field(default_factory=dict)


def jpeg_frames(count: int, tile: int = TILE, *, seed: int = 0) -> list[bytes]:
    """Different JPEG streams of different, even and odd, lengths."""
    random = np.random.default_rng(seed)
    shape = (tile, tile, 3)
    return [imagecodecs.jpeg8_encode(random.integers(0, 256, shape, np.uint8), level=50 + i % 50) for i in range(count)]


def native_frames(count: int, tile: int = TILE, *, kind: str = "u1", samples: int = 3) -> NDArray[Any]:
    random = np.random.default_rng(count)
    return random.integers(0, np.iinfo(kind).max, (count, tile, tile, samples), kind, endpoint=True)


def header(picture: Picture) -> Dataset:
    colour = picture.photometric != "MONOCHROME2"
    data = Dataset()
    data.SOPClassUID = WHOLE_SLIDE
    data.SOPInstanceUID = generate_uid()
    data.StudyInstanceUID = picture.study_uid
    data.SeriesInstanceUID = picture.series_uid
    data.Modality = "SM"
    data.PatientID = "P1"
    data.ImageType = ["DERIVED", "PRIMARY", picture.flavor, "NONE"]
    data.Rows = data.Columns = picture.tile
    data.TotalPixelMatrixColumns = picture.width
    data.TotalPixelMatrixRows = picture.height
    data.NumberOfFrames = picture.frames
    data.DimensionOrganizationType = "TILED_FULL"
    data.SamplesPerPixel = 3 if colour else 1
    data.PhotometricInterpretation = picture.photometric
    data.PixelRepresentation = 0
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit = 7
    if colour:
        data.PlanarConfiguration = 0
    for keyword, value in picture.attributes.items():
        setattr(data, keyword, value)
    return data


def per_frame_groups(positions: Sequence[tuple[int, int]], **others: Sequence[Any]) -> list[Dataset]:
    """Items for frames whose first pixels are at (column, row), counted from 1.

    `z_um` and `path`, one value a frame, add a depth and the identifier of an optical path.
    """
    items = []
    for index, (column, row) in enumerate(positions):
        item, content, position = Dataset(), Dataset(), Dataset()
        content.DimensionIndexValues = [1, index + 1]
        position.ColumnPositionInTotalImagePixelMatrix = column
        position.RowPositionInTotalImagePixelMatrix = row
        position.XOffsetInSlideCoordinateSystem = position.YOffsetInSlideCoordinateSystem = "1.5"
        position.ZOffsetInSlideCoordinateSystem = str(others.get("z_um", [0.0] * len(positions))[index])
        item.FrameContentSequence = [content]
        item.PlanePositionSlideSequence = [position]
        if "path" in others:
            path = Dataset()
            path.OpticalPathIdentifier = others["path"][index]
            item.OpticalPathIdentificationSequence = [path]
        items.append(item)
    return items


def sparse(picture: Picture, items: Sequence[Dataset]) -> Picture:
    picture.frames = len(items)
    picture.attributes |= {"DimensionOrganizationType": "TILED_SPARSE", "PerFrameFunctionalGroupsSequence": items}
    return picture


def save(path: Path, data: Dataset, syntax: str, pixel_data: bytes | None, tables: Sequence[bytes] = ()) -> Path:
    """`pixel_data` is the value of Pixel Data, `tables` those of an extended offset table and its lengths."""
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    if tables:
        data.ExtendedOffsetTable, data.ExtendedOffsetTableLengths = tables
    if pixel_data is not None:
        data.add_new("PixelData", "OB" if data.BitsAllocated == 8 else "OW", pixel_data)
        data["PixelData"].is_undefined_length = data.file_meta.TransferSyntaxUID.is_encapsulated
    kind = data.file_meta.TransferSyntaxUID
    data.save_as(path, implicit_vr=kind.is_implicit_VR, little_endian=kind.is_little_endian, enforce_file_format=True)
    return path


def save_native(path: Path, picture: Picture, frames: NDArray[Any], syntax: str = ExplicitVRLittleEndian) -> Path:
    picture.photometric = "RGB" if frames.shape[3] == 3 else "MONOCHROME2"
    data = header(picture)
    data.BitsAllocated = data.BitsStored = 8 * frames.itemsize
    data.HighBit = data.BitsStored - 1
    return save(path, data, syntax, frames.tobytes())


def item(data: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(data)) + data


def padded(frame: bytes) -> bytes:
    return frame + b"\0" * (len(frame) % 2)
