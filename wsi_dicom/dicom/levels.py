"""Which instances of a series make up its levels, and how their frames tile them (PS3.3 C.8.12.14, C.7.6.16.2.2.4)."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from wsi_dicom.dicom.header import reading, text
from wsi_dicom.dicom.image import ImageAttributes
from wsi_dicom.dicom.positions import FocalPlanes, FramePositions, FullTiling, Tiling, require_plane, sparse_tiling
from wsi_dicom.dicom.same_place import check_levels
from wsi_dicom.errors import CorruptInput, UnsupportedFormat
from wsi_dicom.geometry import Level, Plane

logger = logging.getLogger(__name__)

Stack: TypeAlias = list[ImageAttributes]
"""An instance, or all those of a concatenation in the order of their frames."""


def group_levels(images: Sequence[ImageAttributes], series_uid: str) -> list[list[Stack]]:
    """The VOLUME images, finest level first. A level has several stacks if planes are in instances of their own.

    Raises UnsupportedFormat, CorruptInput.
    """
    if not images:
        raise UnsupportedFormat(f"series {series_uid} holds no whole-slide image of flavor VOLUME")
    by_size: defaultdict[tuple[int, int], defaultdict[str, Stack]] = defaultdict(lambda: defaultdict(list))
    for image in _unfused(images):
        if image.pixel_format != images[0].pixel_format:
            raise UnsupportedFormat(f"{image.instance.path} has another pixel format than the rest of its series")
        uid = image.concatenation_uid or image.instance.sop_instance_uid
        by_size[image.level.width, image.level.height][uid].append(image)
    levels: list[list[Stack]] = [list(by_size[size].values()) for size in sorted(by_size, reverse=True)]
    for stacks in levels:
        for stack in stacks:
            stack.sort(key=lambda part: part.first_frame)
            _check_concatenation(stack)
        stacks.sort(key=lambda stack: _instance_number(stack[0]))
        for stack in stacks[1:]:
            if (stack[0].level, stack[0].encoding) != (stacks[0][0].level, stacks[0][0].encoding):
                raise UnsupportedFormat(
                    f"{stack[0].instance.path} and {stacks[0][0].instance.path} show {stack[0].level.width} x "
                    f"{stack[0].level.height} pixels in different tiles or encodings, which is not supported"
                )
    check_levels([stack[0] for stacks in levels for stack in stacks], series_uid)
    return levels


def _unfused(images: Sequence[ImageAttributes]) -> Iterator[ImageAttributes]:
    """All but those whose depth of field was extended where focal planes of the same size are there as well."""
    planes = {(image.level.width, image.level.height) for image in images if not _extended_depth(image)}
    for image in images:
        if _extended_depth(image) and (image.level.width, image.level.height) in planes:
            logger.warning(
                "left out of the slide: %s, fused from focal planes that the series holds as well", image.instance.path
            )
        else:
            yield image


def _extended_depth(image: ImageAttributes) -> bool:
    with reading(image.instance.path):
        return text(image.instance.header, "ExtendedDepthOfField") == "YES"


def _instance_number(image: ImageAttributes) -> int:
    number = text(image.instance.header, "InstanceNumber").strip()
    return int(number) if number.isascii() and number.isdigit() else 0


def _check_concatenation(parts: Stack) -> None:
    """The parts must follow each other without a gap. Raises CorruptInput that names what is missing."""
    first, due = parts[0], 0
    for part in parts:
        if (part.level, part.encoding, part.samples, part.tiled_full) != (
            first.level,
            first.encoding,
            first.samples,
            first.tiled_full,
        ):
            raise CorruptInput(f"{part.instance.path} does not fit the other parts of its concatenation")
        if part.concatenation_uid and part.first_frame > due:
            missing = _missing_parts(parts)
            raise CorruptInput(
                f"{part.instance.path}: its concatenation lacks frames {due + 1} to {part.first_frame}{missing}"
            )
        if part.first_frame < due and part is not first:
            raise CorruptInput(f"{part.instance.path} begins inside the part before it of its concatenation")
        due += part.frames
    if first.concatenation_uid and (missing := _missing_parts(parts)):
        raise CorruptInput(f"{parts[-1].instance.path}: its concatenation lacks frames from {due + 1} on{missing}")


def _missing_parts(parts: Stack) -> str:
    """ ", which are in part 2 of 3", from the numbers that the parts have; "" when they tell nothing."""
    with reading(parts[0].instance.path):
        numbers = {int(part.instance.header.get("InConcatenationNumber") or 0) for part in parts}
        total = max(int(part.instance.header.get("InConcatenationTotalNumber") or 0) for part in parts)
    highest = max(total, *numbers)
    # No more are named than there may sensibly be: the total is but a number in a header.
    missing = [str(number) for number in range(1, min(highest, len(parts) + 20) + 1) if number not in numbers]
    if not missing:
        return ""
    of = f" of {total}" if total else ""
    return f", which are in part{'s' * (len(missing) > 1)} {', '.join(missing)}{of} of {parts[0].concatenation_uid}"


def level_tiling(stacks: Sequence[Stack], positions: Sequence[Sequence[FramePositions | None]]) -> Tiling:
    """The tiling of a level. Frames are counted over all instances of all stacks.

    Raises UnsupportedFormat, CorruptInput.
    """
    tilings = [_stack_tiling(stack, told) for stack, told in zip(stacks, positions, strict=True)]
    return tilings[0] if len(stacks) == 1 else _combined(stacks, tilings, positions)


def _stack_tiling(parts: Stack, positions: Sequence[FramePositions | None]) -> Tiling:
    first = parts[0]
    name = str(first.instance.path)
    optical_paths = max(1, len(first.optical_paths))
    told = [part for part in positions if part is not None]
    if told:
        if len(told) < len(parts):
            raise CorruptInput(f"{name}: some instances of its concatenation tell no tile positions")
        focal_planes = FocalPlanes(first.focal_planes, _origin_um(first), first.focal_spacing_um)
        return sparse_tiling(first.level, told, optical_paths, name, focal_planes)
    if not (first.tiled_full or first.level.tile_count == 1):
        logger.warning(
            "%s: nothing tells where its frames lie, they are taken for TILED_FULL", first.instance.sop_instance_uid
        )
    full = FullTiling(first.level, first.focal_planes, optical_paths)
    frames = sum(part.frames for part in parts)
    if frames == first.level.tile_count * first.focal_planes:
        # Optical paths may be described that this picture does not show.
        return replace(full, optical_paths=1)
    if frames == replace(full, optical_paths=_counted_paths(first)).frames:
        return replace(full, optical_paths=_counted_paths(first))
    if frames != full.frames:
        raise CorruptInput(
            f"{name} has {frames} frames where {first.level.columns} x {first.level.rows} tiles, {first.focal_planes} "
            f"focal planes and {optical_paths} optical paths need {full.frames}"
        )
    return full


def _counted_paths(image: ImageAttributes) -> int:
    """Number of Optical Paths, which counts for images that do not describe all of theirs (PS3.3 C.8.12.4)."""
    with reading(image.instance.path):
        return max(1, int(image.instance.header.get("NumberOfOpticalPaths") or 1))


@dataclass(frozen=True)
class CombinedTiling:
    """Planes out of several stacks."""

    level: Level
    focal_planes: int
    optical_paths: int
    focal_spacing_um: float | None
    complete: bool
    stacks: Mapping[Plane, tuple[Tiling, Plane, int]]
    """Of each plane: how its stack is tiled, which of the stack's planes it is, the stack's first frame."""

    def frame(self, column: int, row: int, plane: Plane) -> int | None:
        found = self.stacks.get(plane)
        if found is None:
            require_plane(self, plane)
            return None
        tiling, inner, first_frame = found
        frame = tiling.frame(column, row, inner)
        return None if frame is None else first_frame + frame

    def first_frame(self, path: int) -> int | None:
        stacks = (found for plane, found in self.stacks.items() if plane.optical_path == path)
        frames = ((before, tiling.first_frame(inner.optical_path)) for tiling, inner, before in stacks)
        return next((before + frame for before, frame in frames if frame is not None), None)


def _combined(
    stacks: Sequence[Stack], tilings: Sequence[Tiling], positions: Sequence[Sequence[FramePositions | None]]
) -> CombinedTiling:
    """Optical paths in the order in which they are described; of each, focal planes by their depth."""
    by_path: dict[str, dict[float, tuple[Tiling, Plane, int]]] = {}
    first_frame = 0
    for stack, tiling, told in zip(stacks, tilings, positions, strict=True):
        lowest = _depth_um(stack[0], told)
        distance = tiling.focal_spacing_um or stack[0].focal_spacing_um or 1.0
        for index, identifier in _paths_shown(stack[0], tiling, told):
            depths = by_path.setdefault(identifier, {})
            for focal in range(tiling.focal_planes):
                depth = round(lowest + focal * distance, 4)
                if depth in depths:
                    raise UnsupportedFormat(
                        f"{stack[0].instance.path} and another image of its series both show {tiling.level.width} x "
                        f"{tiling.level.height} pixels, and are not parts of one concatenation, nor focal planes or "
                        "optical paths of one slide; give a folder without those that should not be shown"
                    )
                depths[depth] = tiling, Plane(index, focal), first_frame
        first_frame += sum(part.frames for part in stack)
    described = [identifier for stack in stacks for identifier in stack[0].optical_paths]
    by_path = {identifier: by_path[identifier] for identifier in (*described, *by_path) if identifier in by_path}
    planes = {
        Plane(path, focal): depths[depth]
        for path, depths in enumerate(by_path.values())
        for focal, depth in enumerate(sorted(depths))
    }
    focal_planes = max(map(len, by_path.values()))
    deepest = max(map(sorted, by_path.values()), key=len)
    return CombinedTiling(
        tilings[0].level,
        focal_planes,
        len(by_path),
        float(np.median(np.diff(deepest))) if focal_planes > 1 else None,
        len(planes) == focal_planes * len(by_path) and all(tiling.complete for tiling in tilings),
        planes,
    )


def _depth_um(image: ImageAttributes, positions: Sequence[FramePositions | None]) -> float:
    """Of an image's lowest focal plane: where it lies above the glass."""
    told = [part.depths for part in positions if part is not None]
    if told:
        return float(np.concatenate(told).min())
    return _origin_um(image)


def _origin_um(image: ImageAttributes) -> float:
    with reading(image.instance.path):
        for origin in image.instance.header.get("TotalPixelMatrixOriginSequence") or ():
            return float(origin.get("ZOffsetInSlideCoordinateSystem") or 0)
    return 0.0


def _paths_shown(
    image: ImageAttributes, tiling: Tiling, positions: Sequence[FramePositions | None]
) -> Iterator[tuple[int, str]]:
    """(number among those that the image describes, identifier) of each optical path that it has frames of."""
    told = [part.paths for part in positions if part is not None]
    described = image.optical_paths or ("",)
    if told:
        yield from ((int(index), described[index]) for index in np.unique(np.concatenate(told)))
    elif tiling.optical_paths > 1:
        unnamed = (f"unnamed {number}" for number in range(len(described), tiling.optical_paths))
        yield from enumerate((*described, *unnamed))
    else:
        yield 0, image.shared_path or described[0]
