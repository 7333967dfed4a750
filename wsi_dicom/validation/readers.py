"""What well-known readers do not take, or show wrongly, although the standard allows it. Each warning names them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsi_dicom.codecs import transfer_syntaxes as syntaxes
from wsi_dicom.codecs.transfer_syntaxes import NATIVE, transfer_syntax_name
from wsi_dicom.errors import CorruptInput
from wsi_dicom.validation.encapsulation import encapsulated, odd_lengths
from wsi_dicom.validation.finding import Finding
from wsi_dicom.validation.image import Image, decimals, first_item
from wsi_dicom.validation.tiling import expected_frames, frame_positions

OPENSLIDE: Final = "OpenSlide"
WSIDICOM: Final = "wsidicom"
BIO_FORMATS: Final = "Bio-Formats"
SLIM: Final = "dicom-microscopy-viewer"
ORTHANC: Final = "Orthanc plugin"
HIGHDICOM: Final = "highdicom"
EZ_WSI: Final = "EZ-WSI"
DCMTK: Final = "DCMTK"

PYRAMID: Final = ("VOLUME", "THUMBNAIL")
ASSOCIATED: Final = ("LABEL", "OVERVIEW", "THUMBNAIL")

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
_JPEG_XL: Final = frozenset({syntaxes.JPEG_XL_LOSSLESS, syntaxes.JPEG_XL_RECOMPRESSION, syntaxes.JPEG_XL})
_NOT_IN_DCMTK: Final = (
    _JPEG_XL | {syntaxes.HTJ2K_LOSSLESS, syntaxes.HTJ2K_LOSSLESS_RPCL, syntaxes.HTJ2K} | {syntaxes.DEFLATED_IMAGE_FRAME}
)
"""Of version 3.6.7."""
_SYNTAXES: Final = (
    (OPENSLIDE, _COMMON),
    (WSIDICOM, syntaxes.KNOWN - _NOT_IN_WSIDICOM),
    (HIGHDICOM, syntaxes.KNOWN - _JPEG_XL - {syntaxes.DEFLATED_IMAGE_FRAME}),
    (SLIM, _COMMON | NATIVE | _JPEG_LS),
    (ORTHANC, _COMMON | NATIVE | _JPEG_LS | _DECODED_BY_ORTHANC),
)
_TIFF: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def check_transfer_syntax(image: Image) -> Iterator[Finding]:
    """Compressions that a reader lacks. OpenSlide then refuses the whole series."""
    name = transfer_syntax_name(image.transfer_syntax)
    for reader, known in _SYNTAXES:
        if image.transfer_syntax not in known:
            series = ", and refuses the whole series for it" if reader == OPENSLIDE else ""
            yield image.warning(reader, f"cannot read the transfer syntax {name}{series}")
    if image.transfer_syntax in _NOT_IN_DCMTK:
        yield image.warning(DCMTK, f"does not know the transfer syntax {name}: dcmsend sends no such file")


def check_openslide(image: Image) -> Iterator[Finding]:
    """src/openslide-vendor-dicom.c takes colour of 8 bits in one focal plane."""
    if image.samples == 1:
        yield image.warning(OPENSLIDE, "refuses gray images (MONOCHROME2)")
    elif image.integer("BitsAllocated") == 16:
        yield image.warning(OPENSLIDE, "refuses images of 16 bits a sample")
    if image.focal_planes > 1:
        yield image.warning(OPENSLIDE, f"refuses images of {image.focal_planes} focal planes")
    if image.optical_paths > 1:
        yield image.warning(OPENSLIDE, f"shows the first of {image.optical_paths} optical paths only")
    level = image.level
    if image.flavor in ASSOCIATED and level is not None:
        if level.tile_count > 1:
            yield image.warning(OPENSLIDE, f"refuses a {image.flavor} in {level.tile_count} tiles")
        elif (level.width, level.height) != (level.tile_width, level.tile_height):
            yield image.warning(OPENSLIDE, f"refuses a {image.flavor} whose tile reaches beyond its pixels")
        if image.text("ConcatenationUID"):
            yield image.warning(OPENSLIDE, f"refuses a {image.flavor} in a concatenation")


def check_wsidicom(image: Image) -> Iterator[Finding]:
    """The number of tiles is taken at its word."""
    if image.integer("BitsAllocated") == 16 and (image.samples == 3 or image.transfer_syntax == syntaxes.RLE):
        yield image.warning(WSIDICOM, "refuses 16 bits a sample in colour, and in RLE")
    due = expected_frames(image)
    counted = image.flavor == "VOLUME" and image.tiled_full and not image.text("ConcatenationUID")
    if counted and due and image.frames != due:
        yield image.warning(WSIDICOM, f"refuses {image.frames} frames where the tiles are {due}")


def check_highdicom(image: Image) -> Iterator[Finding]:
    """Frames can always be read one by one; the whole picture can not."""
    picture = "does not put the picture together"
    if image.focal_planes > 1:
        yield image.warning(HIGHDICOM, f"{picture} where there are {image.focal_planes} focal planes")
    if image.optical_paths > 1:
        yield image.warning(HIGHDICOM, f"{picture} where there are {image.optical_paths} optical paths")
    if image.text("ConcatenationUID"):
        yield image.warning(HIGHDICOM, f"{picture} of a concatenation: it reads single parts")


def check_slim(image: Image) -> Iterator[Finding]:
    """dicom-microscopy-viewer, and Slim with it, throws on these."""
    if not first_item(image.header, "OpticalPathSequence").get("OpticalPathIdentifier"):
        yield image.warning(SLIM, "needs an OpticalPathIdentifier")
    if not decimals(image.shared("PixelMeasuresSequence"), "PixelSpacing"):
        yield image.warning(SLIM, "needs a PixelSpacing in the shared functional groups")
    if image.text("ConcatenationUID") and image.tiled_full:
        yield image.warning(SLIM, "shows wrong tiles in TILED_FULL concatenations; write their parts as TILED_SPARSE")
    if (image.integer("NumberOfFocalPlanes") or 1) > 1:
        yield image.warning(SLIM, "refuses NumberOfFocalPlanes above 1")


def check_orthanc(image: Image) -> Iterator[Finding]:
    """DicomPyramid*.cpp takes VOLUME and THUMBNAIL images of 8 bits."""
    if image.flavor in PYRAMID and image.integer("BitsAllocated") == 16:
        yield image.warning(ORTHANC, "reads 8 bits a sample only")


def check_ez_wsi(image: Image) -> Iterator[Finding]:
    """Google's EZ-WSI DICOMweb finds patches by their number in the grid."""
    if image.flavor == "VOLUME" and not image.tiled_full:
        yield image.warning(EZ_WSI, "takes no patches from images that are not TILED_FULL")


def check_preamble(image: Image) -> Iterator[Finding]:
    """A file may be DICOM and TIFF at once (PS3.10 7.1); OpenSlide asks for TIFF as well."""
    pixel_data = image.pixel_data
    if pixel_data is None or image.instance.deflated_from is not None:
        return
    if pixel_data.file.read(4, 0) in _TIFF:
        yield image.warning(OPENSLIDE, "may take the file for a TIFF, which its preamble says it is too")


def check_offset_tables(image: Image) -> Iterator[Finding]:
    """The lengths of frames, and either table, are taken at their word."""
    pixel_data = encapsulated(image)
    if pixel_data is None:
        return
    if pixel_data.extended_offsets is not None and pixel_data.basic_offsets.length:
        for reader, how in ((OPENSLIDE, ""), (HIGHDICOM, " lazily")):
            yield image.warning(
                reader, f"reads no frame{how} where a basic and an extended offset table are both filled"
            )
    if odd := odd_lengths(pixel_data):
        yield image.warning(WSIDICOM, f"refuses odd ExtendedOffsetTableLengths; {odd} are: count the padding too")


def check_positions(image: Image) -> Iterator[Finding]:
    """Orthanc counts width x height tiles where no positions are told; all want those that are told on the grid."""
    level = image.level
    if image.flavor not in PYRAMID or level is None or image.pixel_data is None:
        return
    if image.pixel_data.per_frame_groups is None:
        if not image.tiled_full and image.flavor == "VOLUME":
            yield image.warning(WSIDICOM, "refuses images that are neither TILED_FULL nor tell the place of each frame")
        if image.frames is not None and image.frames != level.tile_count:
            yield image.warning(
                ORTHANC,
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
            yield image.warning(ORTHANC, f"refuses tiles off the grid, as {int(off_grid.sum())} frames are")
            for reader in (WSIDICOM, SLIM):
                yield image.warning(reader, f"moves tiles onto the grid that lie off it, as {int(off_grid.sum())} do")
