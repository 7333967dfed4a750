"""What the writer is told about one image and about the slide's volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_dicom.errors import InvalidRequest
from wsi_dicom.geometry import Level, PixelFormat, Plane, Spacing
from wsi_dicom.metadata import LossyStep, OpticalPath
from wsi_dicom.slide import Encoding, ImageFlavor


@dataclass(frozen=True, slots=True, eq=False)
class FramePositions:
    """Which tile, of which plane, each frame shows: int64 arrays of shape (frames,), counted from 0."""

    columns: NDArray[np.int64]
    rows: NDArray[np.int64]
    focal_planes: NDArray[np.int64]
    optical_paths: NDArray[np.int64]

    @classmethod
    def of_places(cls, level: Level, planes: Sequence[Plane], places: ArrayLike) -> Self:
        """From the numbers that the frames have in the order of TILED_FULL: all tiles of each of `planes` in turn."""
        plane, tile = np.divmod(np.asarray(places).astype(np.int64), level.tile_count)
        rows, columns = np.divmod(tile, level.columns)
        optical_paths, focal_planes = np.array(planes, np.int64)[plane].T
        return cls(columns, rows, focal_planes, optical_paths)

    def __len__(self) -> int:
        return len(self.columns)


@dataclass(frozen=True, slots=True)
class ImagedVolume:
    """Size of the scanned part of the slide (PS3.3 C.8.12.4.1.2): the same for all levels."""

    width_mm: float
    height_mm: float
    depth_um: float = 1.0


@dataclass(frozen=True, slots=True)
class Concatenation:
    """Which part of a split image this is (PS3.3 C.7.6.16.2.2.4).

    `number` counts parts from 1, `first_frame` counts the frames of the whole image from 0. `source_uid` is the SOP
    instance UID that the image would have in one piece.
    """

    uid: str
    number: int
    total: int
    first_frame: int
    source_uid: str


@dataclass(frozen=True, slots=True)
class ImageDescription:
    """One image to write.

    `resampled`: the pixels come from a finer level. `reencoded`: we compressed them, and lost something. `lossy` is the
    whole history of lossy compression, oldest first. `source_uid` is the SOP instance of the same series that a
    resampled image comes from. `spacing` None: the picture spans the imaged volume; for LABEL and OVERVIEW a nominal
    value is written, and a comment that says so.

    `optical_paths`, empty: one, brightfield. `focal_spacing_um` None: the planes share the volume's depth evenly.
    `positions` None: all frames in the order of TILED_FULL; else TILED_SPARSE, with those of this instance's frames.
    `absent_color` (red, green, blue) is what tiles without a frame should be shown in.
    """

    flavor: ImageFlavor
    instance_number: int
    sop_instance_uid: str
    level: Level
    spacing: Spacing | None
    pixel_format: PixelFormat
    encoding: Encoding
    resampled: bool = False
    reencoded: bool = False
    lossy: tuple[LossyStep, ...] = ()
    source_uid: str | None = None
    image_comments: str | None = None
    derivation_description: str | None = None
    focal_planes: int = 1
    focal_spacing_um: float | None = None
    optical_paths: tuple[OpticalPath, ...] = ()
    positions: FramePositions | None = None
    concatenation: Concatenation | None = None
    absent_color: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        """Raises InvalidRequest for a size that the attributes of DICOM cannot hold."""
        level = self.level
        if any(step.ratio is None for step in self.lossy[:-1]):
            raise ValueError("only the last lossy step may leave its ratio to the writer")
        if self.flavor is not ImageFlavor.VOLUME and self.frame_count != 1:
            raise ValueError(f"a {self.flavor} image has one frame, not {self.frame_count}")
        if max(level.tile_width, level.tile_height) > 0xFFFF:
            raise InvalidRequest(
                f"a {self.flavor} frame of {level.tile_width} x {level.tile_height} pixels is larger than the 65535 "
                "that DICOM allows per side; use smaller tiles, or reduce the picture"
            )
        if max(level.width, level.height) > 0xFFFFFFFF or self.frame_count > 0x7FFFFFFF:
            raise InvalidRequest(
                f"a level of {level.width} x {level.height} pixels in {self.frame_count} tiles is larger than DICOM "
                "allows (2^32-1 pixels per side, 2^31-1 frames); use larger tiles"
            )
        if self.positions is not None and max(level.width, level.height) > 0x7FFFFFFF:
            raise InvalidRequest(
                f"a sparse or split level of {level.width} x {level.height} pixels is larger than the 2^31-1 per side "
                "that DICOM allows where frames tell their position; write it whole"
            )

    @property
    def frame_count(self) -> int:
        """Frames of this instance."""
        if self.positions is not None:
            return len(self.positions)
        return self.level.tile_count * self.focal_planes * max(1, len(self.optical_paths))

    @property
    def image_type(self) -> list[str]:
        """The four values of Image Type (PS3.3 C.8.12.4.1.1)."""
        original = not (self.resampled or self.reencoded or self.derivation_description)
        return [
            "ORIGINAL" if original else "DERIVED",
            "PRIMARY",
            self.flavor.value,
            "RESAMPLED" if self.resampled else "NONE",
        ]

    @property
    def shows_label(self) -> bool:
        return self.flavor.shows_label
