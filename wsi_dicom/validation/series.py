"""What the images of one series have to agree on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from wsi_dicom.validation.finding import Finding
from wsi_dicom.validation.image import Image
from wsi_dicom.validation.tiling import expected_frames, frame_count_fault

_SHARED: Final = (
    ("PS3.3 C.7.1.1", "PatientID PatientName PatientBirthDate PatientSex"),
    ("PS3.3 C.7.2.1", "StudyInstanceUID StudyDate StudyTime StudyID AccessionNumber ReferringPhysicianName"),
    ("PS3.3 C.7.3.1", "Modality SeriesNumber"),
    ("PS3.3 C.7.5.2", "Manufacturer ManufacturerModelName DeviceSerialNumber"),
    ("PS3.3 C.7.6.22", "ContainerIdentifier"),
)
_CONCATENATION: Final = "PS3.3 C.7.6.16.2.2.4"
_SAME_IN_PARTS: Final = (
    "ImageType Rows Columns TotalPixelMatrixColumns TotalPixelMatrixRows SamplesPerPixel BitsAllocated "
    "PhotometricInterpretation DimensionOrganizationType InConcatenationTotalNumber SOPInstanceUIDOfConcatenationSource"
)
"""Of what all parts of a concatenation have in common."""


def volumes(images: Sequence[Image]) -> list[Image]:
    """One image for each VOLUME picture, the first part of a concatenation; largest first."""
    found = [image for image in images if image.flavor == "VOLUME" and image.level is not None]
    first_parts: dict[str, Image] = {}
    for image in found:
        first_parts.setdefault(image.text("ConcatenationUID") or str(image.path), image)
    return sorted(first_parts.values(), key=lambda image: -(image.level.width if image.level else 0))


def check_shared_attributes(images: Sequence[Image]) -> Iterator[Finding]:
    """Attributes of patient, study, series, equipment and container are the same in all images."""
    for clause, keywords in _SHARED:
        for keyword in keywords.split():
            yield from _differing(images, clause, keyword)


def check_frame_of_reference(images: Sequence[Image]) -> Iterator[Finding]:
    """All pictures of the scanned part lie in one frame of reference."""
    scanned = [image for image in images if image.flavor in ("VOLUME", "THUMBNAIL")]
    yield from _differing(
        [image for image in scanned if image.text("FrameOfReferenceUID")], "PS3.3 C.7.4.1", "FrameOfReferenceUID"
    )


def check_pyramid_uid(images: Sequence[Image]) -> Iterator[Finding]:
    """All levels belong to one pyramid. More than one is allowed, but hardly ever meant."""
    levels = volumes(images)
    for image in levels[1:]:
        told, first = image.text("PyramidUID"), levels[0].text("PyramidUID")
        if told != first:
            yield image.warning(
                "PS3.3 C.7.11.1",
                f"PyramidUID is {told or 'missing'}, that of {levels[0].path.name} is {first or 'missing'}: "
                "these are no levels of one pyramid",
            )


def check_instances(images: Sequence[Image]) -> Iterator[Finding]:
    """Every SOP instance is there once."""
    seen: dict[str, Image] = {}
    for image in images:
        other = seen.setdefault(image.instance.sop_instance_uid, image)
        if other is not image:
            yield image.error("PS3.3 C.12.1", f"SOPInstanceUID is the same as that of {other.path.name}")


def check_concatenations(images: Sequence[Image]) -> Iterator[Finding]:
    """The parts of a concatenation follow each other without a gap, and together have all frames."""
    groups: dict[str, list[Image]] = {}
    for image in images:
        if uid := image.text("ConcatenationUID"):
            groups.setdefault(uid, []).append(image)
    for parts in groups.values():
        parts.sort(key=lambda part: part.integer("InConcatenationNumber") or 0)
        for keyword in _SAME_IN_PARTS.split():
            yield from _differing(parts, _CONCATENATION, keyword)
        due = 0
        for number, part in enumerate(parts, start=1):
            offset, told = part.integer("ConcatenationFrameOffsetNumber"), part.integer("InConcatenationNumber")
            if told != number or offset != due:
                yield part.error(
                    _CONCATENATION,
                    f"part {told} of a concatenation, after frame {offset}; part {number}, after frame {due}, is due",
                )
            due = (offset or 0) + (part.frames or 0)
        total = parts[0].integer("InConcatenationTotalNumber")
        if total is not None and total != len(parts):
            yield parts[0].error(_CONCATENATION, f"{len(parts)} of the {total} parts of its concatenation are there")
        if parts[0].tiled_full and (needed := expected_frames(parts[0])):
            yield from frame_count_fault(parts[0], sum(part.frames or 0 for part in parts), needed)


def check_levels(images: Sequence[Image]) -> Iterator[Finding]:
    """The levels of a pyramid get smaller along both sides, and each shows the same part of the slide."""
    pyramids: dict[str, list[Image]] = {}
    for image in volumes(images):
        pyramids.setdefault(image.text("PyramidUID"), []).append(image)
    for levels in pyramids.values():
        for finer, coarser in pairwise(levels):
            yield from _smaller(finer, coarser)
        for coarser in levels[1:]:
            yield from _same_part(levels[0], coarser)


def _smaller(finer: Image, coarser: Image) -> Iterator[Finding]:
    if finer.level is None or coarser.level is None:
        return
    narrower = coarser.level.width < finer.level.width
    lower = coarser.level.height < finer.level.height
    if narrower != lower and min(coarser.level.width, coarser.level.height) > 1:
        yield coarser.error(
            "PS3.3 C.7.11.1",
            f"{_size(coarser)} pixels, {finer.path.name} has {_size(finer)}: a level is smaller along both sides",
        )


def _same_part(base: Image, coarser: Image) -> Iterator[Finding]:
    """One per cent, or a pixel of the coarser level, is what rounded sizes may differ by."""
    if base.level is None or coarser.level is None:
        return
    ratio = base.level.width / coarser.level.width
    height = base.level.height / ratio
    if abs(coarser.level.height - height) > max(0.01 * height, 1 + 1 / ratio):
        yield coarser.error(
            "PS3.3 C.7.11.1", f"{_size(coarser)} pixels have another aspect than the {_size(base)} of {base.path.name}"
        )
    if base.spacing is None or coarser.spacing is None:
        return
    for side, pixels, step, whole in (
        ("width", coarser.level.width, coarser.spacing.x_mm, base.level.width * base.spacing.x_mm),
        ("height", coarser.level.height, coarser.spacing.y_mm, base.level.height * base.spacing.y_mm),
    ):
        if abs(pixels * step - whole) > max(0.01 * whole, step):
            yield coarser.error(
                "PS3.3 C.7.6.16.2.1",
                f"PixelSpacing of {step:g} mm makes a {side} of {pixels * step:g} mm; {base.path.name} has {whole:g}",
            )


def _size(image: Image) -> str:
    return f"{image.level.width} x {image.level.height}" if image.level else "no size"


def _differing(images: Sequence[Image], clause: str, keyword: str) -> Iterator[Finding]:
    """Names the attribute only: its values may be those of a patient."""
    for image in images[1:]:
        if image.text(keyword) != images[0].text(keyword):
            yield image.error(clause, f"{keyword} differs from that of {images[0].path.name}")
