"""Generic TIFF and BigTIFF: tiled pyramids as pages or SubIFDs, and pictures in strips.

Vendors' files are TIFF too, but mean something else by it: other units, overlapping tiles, stacks of planes. Those that
we know of are refused by name rather than misread.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Final

from wsi_dicom.errors import UnsupportedFormat
from wsi_dicom.metadata import SlideMetadata, parse_moment
from wsi_dicom.slide import AS_FOUND, Slide, SourceOptions
from wsi_dicom.sources.tiff_layout import TiffLayout, read_layout, refuse_stack, resolution_spacing
from wsi_dicom.sources.tiff_level import open_levels
from wsi_dicom.sources.tiff_slide import TiffSlide, reductions
from wsi_dicom.sources.tiff_structure import Tag, TiffDirectory, TiffFile, is_tiff

_log = logging.getLogger(__name__)

_MASK: Final = 4  # NewSubfileType: a transparency mask
_VENDOR_TAGS: Final = {
    Tag.NDPI_VERSION: "Hamamatsu NDPI",
    Tag.LSM_INFO: "Zeiss LSM",
    Tag.STK_UIC2: "MetaMorph STK",
    Tag.MICRO_MANAGER: "Micro-Manager",
}
_VENDOR_TEXTS: Final = (
    (Tag.MAKE, "Hamamatsu", "Hamamatsu NDPI"),
    (Tag.SOFTWARE, "Philips", "Philips TIFF"),
    (Tag.SOFTWARE, "MedScan", "Trestle"),
    (Tag.IMAGE_DESCRIPTION, "DPUfsImport", "Philips TIFF"),
    (Tag.IMAGE_DESCRIPTION, "leica-microsystems.com/scn", "Leica SCN"),
    (Tag.IMAGE_DESCRIPTION, "PerkinElmer-QPI", "Akoya QPTIFF"),
    (Tag.XMP, "<iScan", "Ventana BIF"),
)


def _refuse_vendors(directory: TiffDirectory) -> None:
    """Raises UnsupportedFormat for files of which the first directory says that they are no generic TIFF."""
    for tag, vendor in _VENDOR_TAGS.items():
        if tag in directory:
            raise _not_yet(directory, vendor)
    for tag, mark, vendor in _VENDOR_TEXTS:
        if mark in directory.text(tag):
            raise _not_yet(directory, vendor)
    description = directory.text(Tag.IMAGE_DESCRIPTION)
    stack = re.search(r"^images=(\d+)", description, re.MULTILINE) if description.startswith("ImageJ=") else None
    if stack and int(stack[1]) > 1:
        raise _not_yet(directory, f"an ImageJ stack of {stack[1]} images")


def _not_yet(directory: TiffDirectory, what: str) -> UnsupportedFormat:
    return UnsupportedFormat(f"{directory.file.name}: {what} is not supported yet")


def _ome_stack(directory: TiffDirectory) -> UnsupportedFormat:
    return _not_yet(directory, "OME-TIFF with channels or focal planes")


def _is_ome(directory: TiffDirectory) -> bool:
    return "www.openmicroscopy.org/Schemas/OME" in directory.text(Tag.IMAGE_DESCRIPTION)


def _candidates(file: TiffFile) -> list[tuple[TiffDirectory, TiffLayout]]:
    """The images of a file that could be levels, finest first. Raises UnsupportedFormat when the finest is not read."""
    chain = iter(file.directories())
    first = next(chain)
    _refuse_vendors(first)
    directories = [first, *first.subdirectories(), *chain]
    found: list[tuple[TiffDirectory, TiffLayout]] = []
    for directory in directories:
        if directory.integer(Tag.NEW_SUBFILE_TYPE, 0) & _MASK:
            continue
        try:
            found.append((directory, read_layout(directory)))
        except UnsupportedFormat as error:
            if directory is first:
                raise (_ome_stack(first) if _is_ome(first) else error) from None
            _log.info("left out: %s", error)
    found.sort(key=lambda candidate: candidate[1].level.width * candidate[1].level.height, reverse=True)
    return found


def _refuse_stacks(candidates: list[tuple[TiffDirectory, TiffLayout]]) -> None:
    directory, base = candidates[0]
    colour = base.pixel_format.samples == 3 and base.pixel_format.bits == 8
    if _is_ome(directory) and not colour:
        raise _ome_stack(directory)
    refuse_stack([layout for _, layout in candidates])


def _metadata(directory: TiffDirectory) -> SlideMetadata:
    software, description = directory.text(Tag.SOFTWARE), directory.text(Tag.IMAGE_DESCRIPTION)
    return SlideMetadata(
        manufacturer=directory.text(Tag.MAKE) or None,
        model=directory.text(Tag.MODEL) or None,
        software_versions=(software,) if software else (),
        acquired=parse_moment(directory.text(Tag.DATE_TIME), "%Y:%m:%d %H:%M:%S"),
        icc_profile=directory.data(Tag.ICC_PROFILE),
        properties={"ImageDescription": description} if description else {},
    )


def _open(file: TiffFile) -> TiffSlide:
    candidates = _candidates(file)
    _refuse_stacks(candidates)
    levels = reductions(candidates)
    directory = levels[0][0]
    return TiffSlide(
        file,
        open_levels(levels),
        spacing=resolution_spacing(directory),
        metadata=_metadata(directory),
        associated={},
    )


class TiffFormat:
    """Any TIFF that no vendor's format claims before."""

    key = "tiff"
    name = "TIFF"

    def detect(self, path: Path, head: bytes) -> bool:
        return is_tiff(head)

    def open(self, path: Path, options: SourceOptions = AS_FOUND) -> Slide:
        file = TiffFile(path)
        try:
            return _open(file)
        except BaseException:
            file.close()
            raise


FORMAT = TiffFormat()
