"""What well-known readers make of images that the standard allows to be in one series. Each warning names them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from pydicom.config import IGNORE
from pydicom.valuerep import DT

from wsi_dicom.codecs.transfer_syntaxes import transfer_syntax_name
from wsi_dicom.validation.finding import Finding
from wsi_dicom.validation.image import Image, decimals, first_item
from wsi_dicom.validation.readers import ASSOCIATED, BIO_FORMATS, EZ_WSI, OPENSLIDE, ORTHANC, SLIM, WSIDICOM
from wsi_dicom.validation.series import volumes

_TOGETHER: Final = timedelta(seconds=150)
_OFFSET: Final = "OffsetInSlideCoordinateSystem"
_SAME_ORIGIN_MM: Final = 0.02
_POWER_OF_TWO: Final = 0.01
"""How far the logarithm of a level's scale may be from a whole number."""


def check_openslide(images: Sequence[Image]) -> Iterator[Finding]:
    """One picture of each kind, and one of each size."""
    seen: dict[str, Image] = {}
    for image in images:
        if image.flavor in ASSOCIATED:
            other = seen.setdefault(image.flavor, image)
            if other is not image:
                yield image.warning(OPENSLIDE, f"refuses a second {image.flavor} beside {other.path.name}")
    sizes: dict[tuple[int, int], Image] = {}
    for image in volumes(images):
        if image.level is not None:
            size = image.level.width, image.level.height
            other = sizes.setdefault(size, image)
            if other is not image:
                yield image.warning(
                    OPENSLIDE, f"refuses two VOLUME images of {size[0]} x {size[1]} pixels, here and {other.path.name}"
                )


def check_wsidicom(images: Sequence[Image]) -> Iterator[Finding]:
    """Levels have the finest one's tiles, origin, orientation and depth of field, and a power of two of its spacing."""
    levels = volumes(images)
    for image in levels[1:]:
        base, name = levels[0], levels[0].path.name
        if image.level is None or base.level is None:
            continue
        tile, due = (image.level.tile_width, image.level.tile_height), (base.level.tile_width, base.level.tile_height)
        if tile != due:
            yield image.warning(
                WSIDICOM,
                f"leaves this level out: its tiles are {tile[0]} x {tile[1]}, those of {name} {due[0]} x {due[1]}",
            )
        for what, differs in (
            ("origin", _origins_differ(image, base)),
            ("orientation", image.text("ImageOrientationSlide") != base.text("ImageOrientationSlide")),
            ("depth of field", image.text("ExtendedDepthOfField") != base.text("ExtendedDepthOfField")),
        ):
            if differs:
                yield image.warning(WSIDICOM, f"makes a pyramid of its own of this level: {name} has another {what}")
        if image.spacing and base.spacing:
            power = math.log2(image.spacing.x_mm / base.spacing.x_mm)
            if abs(power - round(power)) > _POWER_OF_TWO:
                yield image.warning(
                    WSIDICOM,
                    f"refuses the series: this level is {2**power:g} times smaller than {name}, which is no power of 2",
                )


def _origins_differ(image: Image, base: Image) -> bool:
    origins = [
        [
            value
            for axis in "XY"
            for value in decimals(first_item(one.header, "TotalPixelMatrixOriginSequence"), f"{axis}{_OFFSET}")
        ]
        for one in (image, base)
    ]
    return all(len(origin) == 2 for origin in origins) and math.dist(*origins) > _SAME_ORIGIN_MM


def check_slim(images: Sequence[Image]) -> Iterator[Finding]:
    """Of one optical path there is one image of each size, or parts of a concatenation."""
    seen: dict[tuple[str, int, int], Image] = {}
    for image in images:
        if image.flavor != "VOLUME" or image.level is None or image.text("SOPInstanceUIDOfConcatenationSource"):
            continue
        path = str(first_item(image.header, "OpticalPathSequence").get("OpticalPathIdentifier", ""))
        other = seen.setdefault((path, image.level.width, image.level.height), image)
        if other is not image:
            yield image.warning(
                SLIM,
                f"refuses two images of {image.level.width} x {image.level.height} pixels and one optical path, here "
                f"and {other.path.name}",
            )


def check_ez_wsi(images: Sequence[Image]) -> Iterator[Finding]:
    """All instances of a level have the same transfer syntax."""
    first: dict[str, Image] = {}
    for image in images:
        if uid := image.text("ConcatenationUID"):
            other = first.setdefault(uid, image)
            if other.transfer_syntax != image.transfer_syntax:
                yield image.warning(
                    EZ_WSI,
                    f"wants one transfer syntax in a concatenation; this part is "
                    f"{transfer_syntax_name(image.transfer_syntax)}, {other.path.name} "
                    f"{transfer_syntax_name(other.transfer_syntax)}",
                )


def check_bio_formats(images: Sequence[Image]) -> Iterator[Finding]:
    """DicomReader.java puts together what was acquired within 150 seconds, of one series number and specimen."""
    first = images[0]
    moment = _acquired(first)
    for image in images:
        other = _acquired(image)
        if other is None:
            yield image.warning(BIO_FORMATS, "needs an AcquisitionDateTime, to the second")
        elif moment is not None and (
            (moment.tzinfo is None) != (other.tzinfo is None) or abs(other - moment) > _TOGETHER
        ):
            yield image.warning(
                BIO_FORMATS, f"puts images together by AcquisitionDateTime; {first.path.name} has another"
            )
        if _specimen(image) != _specimen(first):
            yield image.warning(
                BIO_FORMATS, f"puts images together by SpecimenIdentifier; {first.path.name} has another"
            )


def check_same_volume(images: Sequence[Image]) -> Iterator[Finding]:
    """Readers compare the imaged volume of the levels."""
    levels = volumes(images)
    for image in levels[1:]:
        for keyword in ("ImagedVolumeWidth", "ImagedVolumeHeight"):
            told, due = decimals(image.header, keyword), decimals(levels[0].header, keyword)
            if told and due and abs(told[0] - due[0]) > 0.01 * abs(due[0]):
                fault = f"{keyword} is {told[0]:g} mm; {levels[0].path.name} has {due[0]:g}"
                for reader in (ORTHANC, EZ_WSI):
                    yield image.warning(reader, f"compares the levels, and {fault}")


def check_same_pixels(images: Sequence[Image]) -> Iterator[Finding]:
    """All levels have the same samples and bits."""
    levels = volumes(images)
    for image in levels[1:]:
        for keyword in ("SamplesPerPixel", "BitsAllocated"):
            if image.integer(keyword) != levels[0].integer(keyword):
                yield image.warning(
                    ORTHANC, f"needs the same {keyword} in all levels; {levels[0].path.name} has another"
                )


def _specimen(image: Image) -> str:
    return str(first_item(image.header, "SpecimenDescriptionSequence").get("SpecimenIdentifier", ""))


def _acquired(image: Image) -> datetime | None:
    """None where the seconds are not told."""
    value = image.text("AcquisitionDateTime")
    if len(value) < len("YYYYMMDDhhmmss"):
        return None
    try:
        return DT(value, validation_mode=IGNORE)
    except ValueError:
        return None
