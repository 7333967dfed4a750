"""Frames that tell their own position: dimensions and per-frame functional groups (PS3.3 C.7.6.17, A.32.8.4).

A sparse or split level has hundreds of thousands of frames. Their groups are laid out as one table of records of equal
length, in the bytes that the file will hold, and never are data sets.
"""

from __future__ import annotations

import struct
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.charset import convert_encodings
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from wsi_dicom.dicom.description import FramePositions, ImageDescription, ImagedVolume
from wsi_dicom.dicom.place import focal_spacing_um, image_spacing
from wsi_dicom.dicom.uids import SeriesIdentity
from wsi_dicom.dicom.values import decimal

_ITEM: Final = 0xFFFEE000
_FRAME_CONTENT: Final = 0x00209111
_DIMENSION_INDEX_VALUES: Final = 0x00209157
_OPTICAL_PATH_IDENTIFICATION: Final = 0x00480207
_OPTICAL_PATH_IDENTIFIER: Final = 0x00480106
_PLANE_POSITION_SLIDE: Final = 0x0048021A
_X_OFFSET: Final = 0x0040072A
_Y_OFFSET: Final = 0x0040073A
_Z_OFFSET: Final = 0x0040074A
_COLUMN_POSITION: Final = 0x0048021E
_ROW_POSITION: Final = 0x0048021F

_DECIMAL_WIDTH: Final = 16


def add_dimensions(dataset: Dataset, identity: SeriesIdentity, image: ImageDescription) -> None:
    """Multi-frame Dimension (C.7.6.17): TILED_FULL needs no index, TILED_SPARSE has the tile's, then the plane's."""
    organization = Dataset()
    organization.DimensionOrganizationUID = identity.dimension_organization_uid
    dataset.DimensionOrganizationSequence = Sequence([organization])
    dataset.DimensionOrganizationType = "TILED_FULL" if image.positions is None else "TILED_SPARSE"
    if image.positions is not None:
        dataset.DimensionIndexSequence = Sequence(
            [_dimension(identity, pointer, group, label) for pointer, group, label in _dimensions(image)]
        )


def add_frame_groups(dataset: Dataset, image: ImageDescription, volume: ImagedVolume) -> None:
    """Frame Content, Optical Path Identification and Plane Position (Slide) of each frame of a TILED_SPARSE image.

    Origin, orientation and optical paths are those that `dataset` has by now: users may change them. The element
    stays raw until somebody asks for it.
    """
    if image.positions is None:
        return
    value = _records(image.positions, dataset, image, volume).tobytes()
    tag = Tag("PerFrameFunctionalGroupsSequence")
    dataset[tag] = RawDataElement(tag, "SQ", len(value), value, 0, False, True)
    # else pydicom would take the element apart when it writes the data set
    dataset.set_original_encoding(False, True, convert_encodings(dataset.get("SpecificCharacterSet")))


def _dimensions(image: ImageDescription) -> list[tuple[int, int, str]]:
    """(attribute, functional group, label) of each dimension."""
    found = [
        (_COLUMN_POSITION, _PLANE_POSITION_SLIDE, "Column Position"),
        (_ROW_POSITION, _PLANE_POSITION_SLIDE, "Row Position"),
    ]
    if image.focal_planes > 1:
        found.append((_Z_OFFSET, _PLANE_POSITION_SLIDE, "Focal Plane"))
    if len(image.optical_paths) > 1:
        found.append((_OPTICAL_PATH_IDENTIFIER, _OPTICAL_PATH_IDENTIFICATION, "Optical Path"))
    return found


def _dimension(identity: SeriesIdentity, pointer: int, group: int, label: str) -> Dataset:
    item = Dataset()
    item.DimensionOrganizationUID = identity.dimension_organization_uid
    item.DimensionIndexPointer = pointer
    item.FunctionalGroupPointer = group
    item.DimensionDescriptionLabel = label
    return item


def _records(
    positions: FramePositions, dataset: Dataset, image: ImageDescription, volume: ImagedVolume
) -> NDArray[Any]:
    """One record for each frame: an item of the sequence."""
    level = image.level
    axes = [positions.columns, positions.rows]
    axes += [positions.focal_planes] if image.focal_planes > 1 else []
    axes += [positions.optical_paths] if len(image.optical_paths) > 1 else []
    names = _path_names(dataset)
    width = len(names[0]) if names else 0
    layout = _layout(len(axes), width)
    blank = b"".join(part.header or bytes(np.dtype(part.type).itemsize) for part in layout)
    records = np.frombuffer(bytearray(blank) * len(positions), [(part.name, part.type) for part in layout])
    for number, axis in enumerate(axes):
        records["indices"][:, number] = axis + 1
    if names:
        records["path"] = np.array(names)[positions.optical_paths]
    records["column"] = positions.columns * level.tile_width + 1
    records["row"] = positions.rows * level.tile_height + 1
    for name, offsets in zip(("x", "y", "z"), _offsets(dataset, image, volume, positions), strict=True):
        records[name] = _decimals(offsets)
    return records


def _path_names(dataset: Dataset) -> list[bytes]:
    """Identifiers of the optical paths as the data set's character set encodes them, padded to one even length."""
    encoding = convert_encodings(dataset.get("SpecificCharacterSet"))[0]
    names = [str(path.OpticalPathIdentifier).encode(encoding) for path in dataset.get("OpticalPathSequence") or ()]
    longest = max(map(len, names), default=0)
    return [name.ljust(longest + (longest & 1)) for name in names]


def _offsets(
    dataset: Dataset, image: ImageDescription, volume: ImagedVolume, positions: FramePositions
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of each frame's first pixel: along the slide's axes in mm, mm, and, for the height, in micrometres."""
    spacing = image_spacing(image, volume)
    origin = dataset.TotalPixelMatrixOriginSequence[0]
    tile_mm = image.level.tile_width * spacing.x_mm, image.level.tile_height * spacing.y_mm
    to_right = np.array(dataset.ImageOrientationSlide[:3], dtype=float) * tile_mm[0]
    down = np.array(dataset.ImageOrientationSlide[3:], dtype=float) * tile_mm[1]
    moved = np.outer(positions.columns, to_right) + np.outer(positions.rows, down)
    height = float(origin.get("ZOffsetInSlideCoordinateSystem") or 0) + moved[:, 2] * 1000
    return (
        float(origin.XOffsetInSlideCoordinateSystem) + moved[:, 0],
        float(origin.YOffsetInSlideCoordinateSystem) + moved[:, 1],
        height + positions.focal_planes * focal_spacing_um(image, volume),
    )


def _decimals(values: NDArray[np.float64]) -> NDArray[np.bytes_]:
    """Decimal strings of equal length. Few values are different: all tiles of a row, or a column, share one."""
    different, which = np.unique(values.round(9) + 0.0, return_inverse=True)
    return np.array([decimal(value).ljust(_DECIMAL_WIDTH).encode() for value in different])[which]


class _Part(NamedTuple):
    """A stretch of a record: a value that differs from frame to frame, or, with `header`, bytes that do not."""

    name: str
    type: str
    header: bytes = b""


def _layout(dimensions: int, path_width: int) -> list[_Part]:
    """One item of the sequence, explicit VR little endian (PS3.5 7.1.2, 7.5)."""
    groups = _sequence(_FRAME_CONTENT, _value("indices", _DIMENSION_INDEX_VALUES, "UL", f"({dimensions},)<u4"))
    if path_width:
        identifier = _value("path", _OPTICAL_PATH_IDENTIFIER, "SH", f"S{path_width}")
        groups += _sequence(_OPTICAL_PATH_IDENTIFICATION, identifier)
    groups += _sequence(
        _PLANE_POSITION_SLIDE,
        [
            *_value("x", _X_OFFSET, "DS", f"S{_DECIMAL_WIDTH}"),
            *_value("y", _Y_OFFSET, "DS", f"S{_DECIMAL_WIDTH}"),
            *_value("z", _Z_OFFSET, "DS", f"S{_DECIMAL_WIDTH}"),
            *_value("column", _COLUMN_POSITION, "SL", "<i4"),
            *_value("row", _ROW_POSITION, "SL", "<i4"),
        ],
    )
    return _item(groups)


def _value(name: str, tag: int, vr: str, type_: str) -> list[_Part]:
    size = np.dtype(type_).itemsize
    header = struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), size)
    return [_Part(f"header of {name}", "V8", header), _Part(name, type_)]


def _sequence(tag: int, content: list[_Part]) -> list[_Part]:
    item = _item(content)
    header = struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, _size(item))
    return [_Part(f"header of {tag:08X}", "V12", header), *item]


def _item(content: list[_Part]) -> list[_Part]:
    header = struct.pack("<HHI", _ITEM >> 16, _ITEM & 0xFFFF, _size(content))
    return [_Part(f"item of {content[0].name}", "V8", header), *content]


def _size(parts: list[_Part]) -> int:
    return sum(np.dtype(part.type).itemsize for part in parts)
