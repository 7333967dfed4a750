"""Frames against the grid of tiles (PS3.3 C.7.6.17.3, C.8.12.6.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsi_dicom.dicom.header import reading, text_encoding
from wsi_dicom.dicom.positions import FramePositions, read_positions
from wsi_dicom.errors import CorruptInput
from wsi_dicom.validation.finding import Finding
from wsi_dicom.validation.image import Image, items

_POSITION_CLAUSE: Final = "PS3.3 C.8.12.6.1"


def expected_frames(image: Image) -> int | None:
    """Tiles x focal planes x optical paths; None when the image does not tell its size."""
    level = image.level
    return None if level is None else level.tile_count * image.focal_planes * image.optical_paths


def check_frame_count(image: Image) -> Iterator[Finding]:
    """TILED_FULL has a frame for every tile; the parts of a concatenation are counted together elsewhere."""
    due = expected_frames(image)
    if image.tiled_full and due and image.frames is not None and not image.text("ConcatenationUID"):
        yield from frame_count_fault(image, image.frames, due)


def frame_count_fault(image: Image, frames: int, due: int) -> Iterator[Finding]:
    level = image.level
    if level is not None and frames != due:
        yield image.error(
            "PS3.3 C.7.6.17.3",
            f"{frames} frames, where {level.columns} x {level.rows} tiles, {image.focal_planes} focal planes and "
            f"{image.optical_paths} optical paths need {due}",
        )


def frame_positions(image: Image) -> FramePositions | None:
    """Those of the per-frame functional groups, None without any. Raises CorruptInput."""
    groups = None if image.pixel_data is None else image.pixel_data.per_frame_groups
    if groups is None:
        return None
    identifiers = [str(path.get("OpticalPathIdentifier", "")) for path in items(image.header, "OpticalPathSequence")]
    with reading(image.path), image.instance.open_data_set() as file:
        file.seek(groups.offset)
        walker = image.instance.walker(file)
        return read_positions(
            walker, groups.length, "per-frame functional groups", identifiers, text_encoding(image.header)
        )


def check_positions(image: Image) -> Iterator[Finding]:
    """Where tiles follow no order, every frame tells its place, and that lies inside of the picture."""
    if image.tiled_full or image.pixel_data is None:
        return
    try:
        positions = frame_positions(image)
    except CorruptInput as error:
        yield image.error(_POSITION_CLAUSE, str(error))
        return
    if positions is None:
        yield image.error(
            "PS3.3 A.32.8.4",
            "not TILED_FULL, but without PerFrameFunctionalGroupsSequence: nothing tells where tiles lie",
        )
        return
    if len(positions.columns) != image.frames:
        yield image.error(_POSITION_CLAUSE, f"{len(positions.columns)} positions of tiles for {image.frames} frames")
    level = image.level
    if level is None:
        return
    outside = (
        (positions.columns < 1)
        | (positions.columns > level.width)
        | (positions.rows < 1)
        | (positions.rows > level.height)
    )
    if outside.any():
        number = int(outside.argmax()) + 1
        yield image.error(
            _POSITION_CLAUSE,
            f"{int(outside.sum())} frames lie outside of {level.width} x {level.height} pixels, first of them frame "
            f"{number} at column {positions.columns[number - 1]}, row {positions.rows[number - 1]}",
        )
