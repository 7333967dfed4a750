"""Which frame shows which tile: by arithmetic (TILED_FULL) or by positions told for each frame (PS3.3 C.7.6.17.3)."""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from wsi_dicom.dicom.elements import ElementWalker
from wsi_dicom.dicom.frame_items import (
    COLUMN_POSITION,
    OPTICAL_PATH_IDENTIFIER,
    ROW_POSITION,
    Z_OFFSET,
    frame_values,
)
from wsi_dicom.errors import CorruptInput, OutOfBounds, UnsupportedFormat
from wsi_dicom.geometry import Level, Plane


class Tiling(Protocol):
    """Finds frames, counted from 0 over all instances of a level. None when no frame shows the tile."""

    @property
    def level(self) -> Level: ...
    @property
    def focal_planes(self) -> int: ...
    @property
    def optical_paths(self) -> int: ...
    @property
    def focal_spacing_um(self) -> float | None:
        """Distance between focal planes as the frames' positions tell it."""
        ...

    @property
    def complete(self) -> bool:
        """Whether every tile has its frame."""
        ...

    def frame(self, column: int, row: int, plane: Plane) -> int | None:
        """Raises OutOfBounds."""
        ...

    def first_frame(self, path: int) -> int | None:
        """One that shows the optical path; None where there is none."""
        ...


@dataclass(frozen=True)
class FullTiling:
    """Every tile, row by row, then the next focal plane, then the next optical path."""

    level: Level
    focal_planes: int
    optical_paths: int

    @property
    def frames(self) -> int:
        return self.level.tile_count * self.focal_planes * self.optical_paths

    @property
    def focal_spacing_um(self) -> float | None:
        return None

    @property
    def complete(self) -> bool:
        return True

    def frame(self, column: int, row: int, plane: Plane) -> int | None:
        return _number(self, column, row, plane)

    def first_frame(self, path: int) -> int | None:
        return path * self.focal_planes * self.level.tile_count


class SparseTiling:
    """The tiles that there are: 16 bytes for each, sorted, found by bisection."""

    def __init__(
        self, level: Level, numbers: NDArray[np.int64], depths_um: NDArray[np.float64], optical_paths: int
    ) -> None:
        """`numbers` are those that full tiling would give the tile of each frame; `depths_um` those of the planes."""
        self.level = level
        self.focal_planes = max(1, len(depths_um))
        self.focal_spacing_um = float(np.median(np.diff(depths_um))) if len(depths_um) > 1 else None
        self.optical_paths = optical_paths
        self.complete = len(numbers) == level.tile_count * self.focal_planes * optical_paths
        order = np.argsort(numbers, kind="stable")
        self._numbers = array("q", numbers[order].tobytes())
        self._frames = array("q", order.astype(np.int64).tobytes())

    def frame(self, column: int, row: int, plane: Plane) -> int | None:
        number = _number(self, column, row, plane)
        index = bisect_left(self._numbers, number)
        if index < len(self._numbers) and self._numbers[index] == number:
            return self._frames[index]
        return None

    def first_frame(self, path: int) -> int | None:
        frames = self.focal_planes * self.level.tile_count
        index = bisect_left(self._numbers, path * frames)
        if index < len(self._numbers) and self._numbers[index] < (path + 1) * frames:
            return self._frames[index]
        return None


def require_plane(tiling: Tiling, plane: Plane) -> None:
    """Raises OutOfBounds unless the level has the plane."""
    path, focus = plane
    if not (0 <= path < tiling.optical_paths and 0 <= focus < tiling.focal_planes):
        raise OutOfBounds(
            f"optical path {path}, focal plane {focus} is outside the {tiling.optical_paths} optical paths and "
            f"{tiling.focal_planes} focal planes of this level"
        )


def _number(tiling: Tiling, column: int, row: int, plane: Plane) -> int:
    path, focus = plane
    index = tiling.level.tile_index(column, row)
    if path == 0 and focus == 0:
        return index
    require_plane(tiling, plane)
    return (path * tiling.focal_planes + focus) * tiling.level.tile_count + index


@dataclass(frozen=True, slots=True)
class FramePositions:
    """For each frame of an instance: its first pixel, counted from 1 as stored, its depth in µm, its optical path."""

    columns: NDArray[np.int64]
    rows: NDArray[np.int64]
    depths: NDArray[np.float64]
    paths: NDArray[np.int64]


def read_positions(
    walker: ElementWalker,
    length: int,
    name: str,
    path_identifiers: Sequence[str],
    encoding: str = "utf-8",
    shared_path: str = "",
) -> FramePositions:
    """Reads the per-frame functional groups that `walker` stands at. Raises CorruptInput.

    `encoding` is that of the data set's texts, by Python's name. A frame that names no optical path has the shared one,
    else the first. Where none is described, all frames may name one all the same.
    """
    columns, rows, paths, depths = array("q"), array("q"), array("q"), array("d")
    signed_long = struct.Struct(walker.byte_order + "i")
    path_index = {
        identifier.encode(encoding, "replace").strip(): index for index, identifier in enumerate(path_identifiers)
    }
    unnamed = path_identifiers.index(shared_path) if shared_path in path_identifiers else 0
    for number, found in enumerate(frame_values(walker, length), start=1):
        try:
            columns.append(signed_long.unpack(found[COLUMN_POSITION])[0])
            rows.append(signed_long.unpack(found[ROW_POSITION])[0])
            depths.append(float(found.get(Z_OFFSET, b"").strip(b" \0") or 0))
            if (stored := found.get(OPTICAL_PATH_IDENTIFIER)) is None:
                paths.append(unnamed)
                continue
            identifier = stored.strip(b" \0")
            path_index = path_index or {identifier: 0}
            paths.append(path_index[identifier])
        except (KeyError, ValueError, struct.error) as error:
            raise CorruptInput(
                f"{name}: frame {number} tells no valid tile position or optical path ({error})"
            ) from error
    return FramePositions(np.array(columns), np.array(rows), np.array(depths), np.array(paths))


_DEPTH_DIGITS: Final = 4
"""Depths are told in micrometres: what differs by less is the same plane."""


@dataclass(frozen=True, slots=True)
class FocalPlanes:
    """What an image declares of its focal planes: how many, where the first lies, and the distance between them."""

    count: int = 1
    first_um: float = 0.0
    spacing_um: float | None = None

    def depths(self, found: NDArray[np.float64]) -> NDArray[np.float64]:
        """Those of all planes, from the depths that frames tell: a plane of which no tile was scanned is one too."""
        distinct: NDArray[np.float64] = np.unique(found)
        if len(distinct) >= self.count or not self.spacing_um:
            return distinct
        declared: NDArray[np.float64] = (
            self.first_um + self.spacing_um * np.arange(self.count, dtype=np.float64)
        ).round(_DEPTH_DIGITS)
        nearest = declared[np.searchsorted((declared[1:] + declared[:-1]) / 2, distinct)]
        return declared if (np.abs(nearest - distinct) <= self.spacing_um / 10).all() else distinct


_ONE_PLANE: Final = FocalPlanes()


def sparse_tiling(
    level: Level,
    parts: Sequence[FramePositions],
    optical_paths: int,
    name: str,
    focal_planes: FocalPlanes = _ONE_PLANE,
) -> SparseTiling:
    """Raises UnsupportedFormat for tiles off the grid, or two frames of one tile; CorruptInput outside the level."""
    x = np.concatenate([part.columns for part in parts]) - 1
    y = np.concatenate([part.rows for part in parts]) - 1
    paths = np.concatenate([part.paths for part in parts])
    if not len(x):
        return SparseTiling(level, x.astype(np.int64), np.empty(0), optical_paths)
    if x.min() < 0 or y.min() < 0 or x.max() >= level.width or y.max() >= level.height:
        raise CorruptInput(f"{name} has a frame outside its {level.width} x {level.height} pixels")
    if (x % level.tile_width).any() or (y % level.tile_height).any():
        raise UnsupportedFormat(f"{name} has frames that do not lie on a grid of tiles, which is not supported")
    tiles = (y // level.tile_height) * level.columns + x // level.tile_width
    numbers = paths * level.tile_count + tiles
    if focal_planes.count == 1 and _all_differ(numbers):
        # One frame a tile: different depths are then how the scanner followed the tissue, not planes over each other.
        return SparseTiling(level, numbers, np.empty(0), optical_paths)
    found = np.concatenate([part.depths for part in parts]).round(_DEPTH_DIGITS)
    depths = focal_planes.depths(found)
    focus = np.searchsorted((depths[1:] + depths[:-1]) / 2, found)  # the nearest
    numbers = (paths * len(depths) + focus) * level.tile_count + tiles
    if not _all_differ(numbers):
        raise UnsupportedFormat(f"{name} has several frames for one tile, focal plane and optical path")
    return SparseTiling(level, numbers, depths, optical_paths)


def _all_differ(numbers: NDArray[np.int64]) -> bool:
    return bool((np.diff(np.sort(numbers)) != 0).all())  # np.unique takes ten times as long
