"""Images laid out at random by highdicom and pydicom: the picture that their frames were cut from comes back.

Frames in the order of TILED_FULL, or some of them in any order with positions of their own; focal planes and optical
paths; parts of a concatenation; every kind of offset table.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from highdicom import PixelMeasuresSequence, PlanePositionSequence
from highdicom.spatial import compute_tile_positions_per_frame, get_tile_array, iter_tiled_full_frame_data
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLosslessSV1, generate_uid

from tests.foreign_series import Picture, header, item, padded, save
from wsi_dicom.dicom.slide import open_series
from wsi_dicom.geometry import Plane
from wsi_dicom.region import read_region

LOWEST_UM, APART_UM = -1.5, 0.75
ORIGIN, ORIENTATION, SPACING_MM = (20.0, 40.0, LOWEST_UM), (0.0, -1.0, 0.0, -1.0, 0.0, 0.0), 0.0005
NAMES = ("RED", "G")


@dataclass(frozen=True)
class Layout:
    """One level, `pixels` of shape (optical paths, focal planes, height, width, samples), and how it is stored."""

    pixels: NDArray[Any]
    tile: tuple[int, int]
    organization: str | None
    planes_told: bool
    syntax: str
    table: str
    fragments: int
    path_shared: bool
    """All frames are of the second optical path, which the shared groups tell."""
    seed: int

    @property
    def paths(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def planes(self) -> int:
        return int(self.pixels.shape[1])


@dataclass(frozen=True)
class Frame:
    """Where one stands: column and row of its first pixel, counted from 1."""

    path: int
    plane: int
    column: int
    row: int

    def cut(self, layout: Layout) -> NDArray[Any]:
        matrix = layout.pixels[self.path, self.plane]
        return np.ascontiguousarray(get_tile_array(matrix, self.row, self.column, layout.tile[1], layout.tile[0]))


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    kind, samples = draw(st.sampled_from([("u1", 3), ("u1", 1), ("u2", 1)]))
    shape = (
        draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 30)), draw(st.integers(1, 30)), samples
    )  # fmt: skip
    seed = draw(st.integers(0, 1 << 16))
    pixels = np.random.default_rng(seed).integers(0, np.iinfo(kind).max, shape, kind, endpoint=True)
    syntax = draw(st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLosslessSV1, JPEGLosslessSV1]))
    organization = draw(st.sampled_from(["TILED_FULL", "TILED_SPARSE", None]))
    path_shared = organization != "TILED_FULL" and shape[0] == 2 and draw(st.booleans())
    return Layout(
        pixels,
        (draw(st.integers(5, 16)), draw(st.integers(5, 16))),
        organization,
        draw(st.booleans()),
        syntax,
        draw(st.sampled_from(["basic", "extended", "none", "zeros", "beside"])),
        draw(st.integers(1, 3)),
        path_shared,
        seed,
    )


def named(path: str) -> Dataset:
    item = Dataset()
    item.OpticalPathIdentifier = path
    return item


def described(layout: Layout) -> Dataset:
    height, width, samples = layout.pixels.shape[2:]
    data = header(Picture(width, height, photometric="RGB" if samples == 3 else "MONOCHROME2"))
    data.Columns, data.Rows = layout.tile
    data.BitsAllocated = data.BitsStored = 8 * layout.pixels.itemsize
    data.HighBit = data.BitsStored - 1
    place = Dataset()
    place.XOffsetInSlideCoordinateSystem, place.YOffsetInSlideCoordinateSystem = ORIGIN[:2]
    place.ZOffsetInSlideCoordinateSystem = LOWEST_UM
    shared = Dataset()
    shared.PixelMeasuresSequence = PixelMeasuresSequence([SPACING_MM] * 2, 0.001, APART_UM / 1000)
    if layout.path_shared:
        shared.OpticalPathIdentificationSequence = [named(NAMES[1])]
    data.TotalPixelMatrixOriginSequence, data.SharedFunctionalGroupsSequence = [place], [shared]
    data.OpticalPathSequence = [named(name) for name in NAMES[: layout.paths]]
    data.NumberOfOpticalPaths = layout.paths
    data.ImageOrientationSlide = list(ORIENTATION)
    if layout.organization is None:
        del data.DimensionOrganizationType
    else:
        data.DimensionOrganizationType = layout.organization
    if layout.planes_told or layout.organization == "TILED_FULL":
        data.TotalPixelMatrixFocalPlanes = layout.planes
    return data


def frames_of(layout: Layout, data: Dataset) -> list[Frame]:
    """All in highdicom's order; without TILED_FULL some of them in any order."""
    if layout.organization == "TILED_FULL":
        told = iter_tiled_full_frame_data(data)
        return [Frame((channel or 1) - 1, plane - 1, column, row) for channel, plane, column, row, *_ in told]
    _, _, height, width, _ = layout.pixels.shape
    positions = compute_tile_positions_per_frame(
        layout.tile[1], layout.tile[0], height, width, ORIGIN, ORIENTATION, [SPACING_MM] * 2
    )
    every = [
        Frame(path, plane, column, row)
        for path in ([1] if layout.path_shared else range(layout.paths))
        for plane in range(layout.planes)
        for (column, row), _ in positions
    ]
    random = np.random.default_rng(layout.seed)
    shuffled = [every[number] for number in random.permutation(len(every))]
    kept = shuffled[: random.integers(1, len(every), endpoint=True)]
    if layout.planes_told:
        return kept
    # Else nothing but frames over each other tells focal planes from one that follows the tissue.
    stack = [frame for frame in every if (frame.path, frame.column, frame.row) == (every[0].path, 1, 1)]
    return kept + [frame for frame in stack if frame not in kept]


def groups(layout: Layout, frames: Sequence[Frame]) -> list[Dataset]:
    items = []
    for frame in frames:
        group = Dataset()
        depth = LOWEST_UM + frame.plane * APART_UM
        position = PlanePositionSequence("SLIDE", (ORIGIN[0], ORIGIN[1], depth), (frame.column, frame.row))
        group.PlanePositionSlideSequence = position
        if layout.paths > 1 and not layout.path_shared:
            group.OpticalPathIdentificationSequence = [named(NAMES[frame.path])]
        items.append(group)
    return items


def lossless_jpeg(tile: NDArray[Any]) -> bytes:
    options: dict[str, Any] = {"lossless": True, "predictor": 1, "bitspersample": 8 * tile.itemsize}
    if tile.shape[2] == 3:
        return bytes(imagecodecs.jpeg8_encode(tile, colorspace="RGB", outcolorspace="RGB", **options))
    return bytes(imagecodecs.jpeg8_encode(tile[..., 0], **options))


def pixel_data(layout: Layout, frames: Sequence[Frame]) -> tuple[bytes, Sequence[bytes]]:
    """The value of Pixel Data, and those of the extended offset table."""
    cut = [frame.cut(layout) for frame in frames]
    if layout.syntax != JPEGLosslessSV1:
        return b"".join(tile.tobytes() for tile in cut), ()
    streams = [lossless_jpeg(tile) for tile in cut]
    if layout.table == "extended":
        value, *tables = encapsulate_extended(streams)
        return value, tables
    value = encapsulate(streams, fragments_per_frame=layout.fragments, has_bot=layout.table == "basic")
    if layout.table in ("basic", "none"):
        return value, ()
    first = list(accumulate((8 + len(padded(stream)) for stream in streams[:-1]), initial=0))
    offsets = [0] * len(streams) if layout.table == "zeros" else [offset + 2 for offset in first]
    return item(struct.pack(f"<{len(offsets)}I", *offsets)) + value[8:], ()


def written(folder: Path, layout: Layout, data: Dataset, frames: Sequence[Frame]) -> list[Path]:
    """One instance, or up to three parts of a concatenation."""
    random = np.random.default_rng(layout.seed + 1)
    cuts = sorted({int(cut) for cut in random.integers(0, len(frames), random.integers(0, 3))} - {0})
    files, uid = [], generate_uid()
    for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(frames)], strict=True), start=1):
        part = frames[start:end]
        data.SOPInstanceUID, data.NumberOfFrames = generate_uid(), len(part)
        if cuts:
            data.ConcatenationUID, data.InConcatenationNumber = uid, number
            data.ConcatenationFrameOffsetNumber, data.InConcatenationTotalNumber = start, len(cuts) + 1
        if layout.organization != "TILED_FULL":
            data.PerFrameFunctionalGroupsSequence = groups(layout, part)
        value, tables = pixel_data(layout, part)
        files.append(save(folder / f"{number}.dcm", data, layout.syntax, value, tables))
        for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
            if keyword in data:
                delattr(data, keyword)
    return files


@settings(max_examples=60, deadline=None)
@given(layouts())
def test_the_picture_comes_back(layout: Layout) -> None:
    data = described(layout)
    frames = frames_of(layout, data)
    due = np.full_like(layout.pixels, np.iinfo(layout.pixels.dtype).max)  # where nothing was scanned
    across, down = layout.tile
    for frame in frames:
        there = (
            frame.path,
            frame.plane,
            slice(frame.row - 1, frame.row - 1 + down),
            slice(frame.column - 1, frame.column - 1 + across),
        )
        due[there] = layout.pixels[there]
    with tempfile.TemporaryDirectory() as folder, open_series(written(Path(folder), layout, data, frames)) as slide:
        pyramid = slide.pyramid
        assert (pyramid.optical_paths, pyramid.focal_planes) == layout.pixels.shape[:2]
        assert pyramid.planes == tuple(
            Plane(path, plane) for path in range(layout.paths) for plane in range(layout.planes)
        )
        for plane in pyramid.planes:
            shown = read_region(slide, 0, pyramid.base.bounds, plane)
            assert np.array_equal(shown, due[plane.optical_path, plane.focal_plane])
        stored = {(frame.path, frame.plane, frame.column // across, frame.row // down) for frame in frames}
        absent = {
            (*plane, column, row)
            for plane in pyramid.planes
            for column, row in pyramid.base.tiles()
            if slide.absent(0, column, row, plane)
        }
        assert len(stored) + len(absent) == pyramid.base.tile_count * len(pyramid.planes)
        assert not stored & absent
