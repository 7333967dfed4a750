"""What well-known readers do not take, or show wrongly, although the standard allows it. Each warning names them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from pydicom.config import IGNORE
from pydicom.valuerep import DT

from wsi_dicom.codecs import transfer_syntaxes as syntaxes
from wsi_dicom.codecs.transfer_syntaxes import NATIVE, transfer_syntax_name
from wsi_dicom.errors import CorruptInput
from wsi_dicom.validation.encapsulation import encapsulated, odd_lengths
from wsi_dicom.validation.finding import Finding
from wsi_dicom.validation.image import Image, decimals, first_item
from wsi_dicom.validation.series import volumes
from wsi_dicom.validation.tiling import expected_frames, frame_positions

_OPENSLIDE: Final = "OpenSlide"
_WSIDICOM: Final = "wsidicom"
_BIO_FORMATS: Final = "Bio-Formats"
_SLIM: Final = "dicom-microscopy-viewer"
_ORTHANC: Final = "Orthanc plugin"

_COMMON: Final = frozenset(
    {syntaxes.EXPLICIT_VR_LITTLE_ENDIAN, syntaxes.JPEG_BASELINE, syntaxes.JPEG_2000_LOSSLESS, syntaxes.JPEG_2000}
)
_JPEG_LS: Final = frozenset({syntaxes.JPEG_LS_LOSSLESS, syntaxes.JPEG_LS_NEAR_LOSSLESS})
_DECODED_BY_ORTHANC: Final = frozenset(
    {syntaxes.RLE, syntaxes.JPEG_EXTENDED, syntaxes.JPEG_LOSSLESS, syntaxes.JPEG_LOSSLESS_SV1}
)
_NOT_IN_WSIDICOM: Final = frozenset(
    {syntaxes.JPEG_XL_RECOMPRESSION, syntaxes.HTJ2K_LOSSLESS_RPCL, syntaxes.DEFLATED_IMAGE_FRAME}
)
_SYNTAXES: Final = (
    (_OPENSLIDE, _COMMON),
    (_WSIDICOM, syntaxes.KNOWN - _NOT_IN_WSIDICOM),
    (_SLIM, _COMMON | NATIVE | _JPEG_LS),
    (_ORTHANC, _COMMON | NATIVE | _JPEG_LS | _DECODED_BY_ORTHANC),
)
_TOGETHER: Final = timedelta(seconds=150)


def check_transfer_syntax(image: Image) -> Iterator[Finding]:
    """Compressions that a reader lacks. OpenSlide then refuses the whole series."""
    for reader, known in _SYNTAXES:
        if image.transfer_syntax not in known:
            name = transfer_syntax_name(image.transfer_syntax)
            yield image.warning(reader, f"cannot read the transfer syntax {name}")


def check_openslide(image: Image) -> Iterator[Finding]:
    """src/openslide-vendor-dicom.c takes colour of 8 bits in one focal plane."""
    if image.samples == 1:
        yield image.warning(_OPENSLIDE, "refuses gray images (MONOCHROME2)")
    elif image.integer("BitsAllocated") == 16:
        yield image.warning(_OPENSLIDE, "refuses images of 16 bits a sample")
    if image.focal_planes > 1:
        yield image.warning(_OPENSLIDE, f"refuses images of {image.focal_planes} focal planes")
    pixel_data = encapsulated(image)
    if pixel_data is not None and pixel_data.extended_offsets is not None and pixel_data.basic_offsets.length:
        yield image.warning(_OPENSLIDE, "finds wrong frames where a basic and an extended offset table are both filled")
    level = image.level
    if image.flavor in ("LABEL", "OVERVIEW", "THUMBNAIL") and level is not None and level.tile_count > 1:
        yield image.warning(_OPENSLIDE, f"refuses a {image.flavor} in {level.tile_count} tiles")


def check_wsidicom(image: Image) -> Iterator[Finding]:
    """The number of tiles and the lengths of frames are taken at their word."""
    if image.integer("BitsAllocated") == 16 and (image.samples == 3 or image.transfer_syntax == syntaxes.RLE):
        yield image.warning(_WSIDICOM, "refuses 16 bits a sample in colour, and in RLE")
    pixel_data = encapsulated(image)
    if pixel_data is not None and (odd := odd_lengths(pixel_data)):
        yield image.warning(_WSIDICOM, f"refuses odd ExtendedOffsetTableLengths; {odd} are: count the padding too")
    due = expected_frames(image)
    if image.flavor != "VOLUME" or not due or image.text("ConcatenationUID"):
        return
    if image.tiled_full and image.frames != due:
        yield image.warning(_WSIDICOM, f"refuses {image.frames} frames where the tiles are {due}")
    if not image.tiled_full and image.pixel_data is not None and image.pixel_data.per_frame_groups is None:
        yield image.warning(_WSIDICOM, "refuses images that are neither TILED_FULL nor tell the place of each frame")


def check_slim(image: Image) -> Iterator[Finding]:
    """dicom-microscopy-viewer, and Slim with it, throws on these."""
    if not first_item(image.header, "OpticalPathSequence").get("OpticalPathIdentifier"):
        yield image.warning(_SLIM, "needs an OpticalPathIdentifier")
    if not decimals(image.shared("PixelMeasuresSequence"), "PixelSpacing"):
        yield image.warning(_SLIM, "needs a PixelSpacing in the shared functional groups")
    if image.text("ConcatenationUID") and image.tiled_full:
        yield image.warning(_SLIM, "shows wrong tiles in TILED_FULL concatenations; write their parts as TILED_SPARSE")
    if (image.integer("NumberOfFocalPlanes") or 1) > 1:
        yield image.warning(_SLIM, "refuses NumberOfFocalPlanes above 1")


def check_orthanc(image: Image) -> Iterator[Finding]:
    """DicomPyramid*.cpp counts width x height tiles where no positions are told, and wants those on the grid."""
    level = image.level
    if image.flavor not in ("VOLUME", "THUMBNAIL") or level is None:
        return
    if image.integer("BitsAllocated") == 16:
        yield image.warning(_ORTHANC, "reads 8 bits a sample only")
    if image.pixel_data is None:
        return
    if image.pixel_data.per_frame_groups is None:
        if image.frames is not None and image.frames != level.tile_count:
            yield image.warning(
                _ORTHANC,
                f"needs {level.tile_count} frames, one a tile, where no positions are told; {image.frames} are there",
            )
        return
    try:
        positions = frame_positions(image)
    except CorruptInput:
        return  # an error of its own
    if positions is not None:
        off_grid = ((positions.columns - 1) % level.tile_width != 0) | ((positions.rows - 1) % level.tile_height != 0)
        if off_grid.any():
            yield image.warning(_ORTHANC, f"refuses tiles off the grid, as {int(off_grid.sum())} frames are")


def check_openslide_series(images: Sequence[Image]) -> Iterator[Finding]:
    """One picture of each kind, and one of each size."""
    seen: dict[str, Image] = {}
    for image in images:
        if image.flavor in ("LABEL", "OVERVIEW", "THUMBNAIL"):
            other = seen.setdefault(image.flavor, image)
            if other is not image:
                yield image.warning(_OPENSLIDE, f"refuses a second {image.flavor} beside {other.path.name}")
    sizes: dict[tuple[int, int], Image] = {}
    for image in volumes(images):
        if image.level is not None:
            size = image.level.width, image.level.height
            other = sizes.setdefault(size, image)
            if other is not image:
                yield image.warning(
                    _OPENSLIDE, f"refuses two VOLUME images of {size[0]} x {size[1]} pixels, here and {other.path.name}"
                )


def check_bio_formats(images: Sequence[Image]) -> Iterator[Finding]:
    """DicomReader.java puts together what was acquired within 150 seconds, of one series number and specimen."""
    first = images[0]
    moment = _acquired(first)
    for image in images:
        other = _acquired(image)
        if other is None:
            yield image.warning(_BIO_FORMATS, "needs an AcquisitionDateTime, to the second")
        elif moment is not None and (
            (moment.tzinfo is None) != (other.tzinfo is None) or abs(other - moment) > _TOGETHER
        ):
            yield image.warning(
                _BIO_FORMATS, f"puts images together by AcquisitionDateTime; {first.path.name} has another"
            )
        if _specimen(image) != _specimen(first):
            yield image.warning(
                _BIO_FORMATS, f"puts images together by SpecimenIdentifier; {first.path.name} has another"
            )


def check_same_volume(images: Sequence[Image]) -> Iterator[Finding]:
    """Readers compare the imaged volume of the levels."""
    levels = volumes(images)
    for image in levels[1:]:
        for keyword in ("ImagedVolumeWidth", "ImagedVolumeHeight"):
            told, due = decimals(image.header, keyword), decimals(levels[0].header, keyword)
            if told and due and abs(told[0] - due[0]) > 0.01 * abs(due[0]):
                yield image.warning(
                    f"{_ORTHANC}, EZ-WSI", f"{keyword} is {told[0]:g} mm; {levels[0].path.name} has {due[0]:g}"
                )


def check_same_pixels(images: Sequence[Image]) -> Iterator[Finding]:
    """All levels have the same samples and bits."""
    levels = volumes(images)
    for image in levels[1:]:
        for keyword in ("SamplesPerPixel", "BitsAllocated"):
            if image.integer(keyword) != levels[0].integer(keyword):
                yield image.warning(
                    _ORTHANC, f"needs the same {keyword} in all levels; {levels[0].path.name} has another"
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
