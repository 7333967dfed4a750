"""Generic TIFF and BigTIFF: tiled pyramids as pages or SubIFDs, and pictures in strips.

Vendors' files are TIFF too, but mean something else by it: other units, overlapping tiles, stacks of planes. Those that
we know of are refused by name rather than misread.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from wsi_dicom.errors import UnsupportedFormat, UnsupportedStack
from wsi_dicom.geometry import Spacing
from wsi_dicom.metadata import SlideMetadata, parse_moment
from wsi_dicom.slide import AS_FOUND, ImageFlavor, Slide, SourceOptions
from wsi_dicom.sources.ome_xml import is_ome
from wsi_dicom.sources.padding import padded
from wsi_dicom.sources.scanner_text import number
from wsi_dicom.sources.vsi import is_vsi
from wsi_dicom.tiff.description import IMAGE, objective_power, parse_description, picture_flavor
from wsi_dicom.tiff.layout import (
    TiffLayout,
    plausible_spacing,
    read_layout,
    refuse_stack,
    resolution_spacing,
)
from wsi_dicom.tiff.level import open_levels
from wsi_dicom.tiff.orientation import TurnedSlide
from wsi_dicom.tiff.slide import TiffSlide, reductions
from wsi_dicom.tiff.structure import Tag, TiffDirectory, TiffFile, is_tiff
from wsi_dicom.tiff.vendor import associated_images

_log = logging.getLogger(__name__)

_MASK: Final = 4  # NewSubfileType: a transparency mask
_VENDOR_TAGS: Final = {
    Tag.LSM_INFO: "Zeiss LSM",
    Tag.STK_UIC2: "MetaMorph STK",
    Tag.MICRO_MANAGER: "Micro-Manager",
}
_VENDOR_TEXTS: Final = (
    (Tag.MAKE, "Hamamatsu", "ndpi"),
    (Tag.SOFTWARE, "Philips", "philips"),
    (Tag.SOFTWARE, "MedScan", "trestle"),
    (Tag.IMAGE_DESCRIPTION, "DPUfsImport", "philips"),
    (Tag.IMAGE_DESCRIPTION, "leica-microsystems.com/scn", "scn"),
    (Tag.IMAGE_DESCRIPTION, "PerkinElmer-QPI", "qptiff"),
    (Tag.XMP, "<iScan", "ventana"),
)


def _refuse_vendors(directory: TiffDirectory) -> None:
    """Raises UnsupportedFormat for files of which the first directory says that they are no generic TIFF."""
    for tag, vendor in _VENDOR_TAGS.items():
        if tag in directory:
            raise _not_yet(directory, vendor)
    for tag, mark, source in _VENDOR_TEXTS:
        if mark in directory.text(tag):  # also what its own source cannot read must not be misread here
            raise UnsupportedFormat(f"{directory.file.name}: no generic TIFF: the source {source} is for such files")
    description = directory.text(Tag.IMAGE_DESCRIPTION)
    stack = re.search(r"^images=([0-9]{1,15})", description, re.MULTILINE)
    if description.startswith("ImageJ=") and stack and int(stack[1]) > 1:
        raise UnsupportedStack(f"{directory.file.name}: an ImageJ stack of {int(stack[1])} images is not supported yet")
    if is_ome(description):  # which planes there are only its OME-XML tells
        raise UnsupportedFormat(f"{directory.file.name}: an OME-TIFF, which the source ome-tiff reads")
    if is_vsi(directory.file.path):  # what a VSI file has itself is but a thumbnail
        raise UnsupportedFormat(f"{directory.file.name}: an Olympus VSI, which the source vsi reads")


def _not_yet(directory: TiffDirectory, what: str) -> UnsupportedFormat:
    return UnsupportedFormat(f"{directory.file.name}: {what} is not supported yet")


def _shown(directory: TiffDirectory) -> ImageFlavor | None:
    """What a page of a file that we wrote shows that is no level; None for every other."""
    return picture_flavor(parse_description(directory.text(Tag.IMAGE_DESCRIPTION))[1].get(IMAGE, ""))


def _candidates(directories: Sequence[TiffDirectory]) -> list[tuple[TiffDirectory, TiffLayout]]:
    """The images of a file that could be levels, finest first. Raises UnsupportedFormat when the first is not read."""
    first = directories[0]
    found: list[tuple[TiffDirectory, TiffLayout]] = []
    for directory in directories:
        if directory.integer(Tag.NEW_SUBFILE_TYPE, 0) & _MASK:
            continue
        try:
            found.append((directory, read_layout(directory)))
        except UnsupportedFormat as error:
            if directory is first:
                raise
            _log.info("left out: %s", error)
    found.sort(key=lambda candidate: candidate[1].level.width * candidate[1].level.height, reverse=True)
    return found


def _metadata(directory: TiffDirectory) -> SlideMetadata:
    software, description = directory.text(Tag.SOFTWARE), directory.text(Tag.IMAGE_DESCRIPTION)
    told = parse_description(description)[1]
    return SlideMetadata(
        manufacturer=directory.text(Tag.MAKE) or told.get("Manufacturer"),
        model=directory.text(Tag.MODEL) or told.get("Model"),
        software_versions=(software,) if software else (),
        acquired=parse_moment(directory.text(Tag.DATE_TIME), "%Y:%m:%d %H:%M:%S"),
        objective_power=objective_power(told),
        icc_profile=directory.data(Tag.ICC_PROFILE),
        properties=told or ({"ImageDescription": description} if description else {}),
    )


def _spacing(directory: TiffDirectory) -> Spacing | None:
    mpp = number(parse_description(directory.text(Tag.IMAGE_DESCRIPTION))[1].get("MPP"))
    return resolution_spacing(directory) or plausible_spacing(mpp, mpp)


def _open(file: TiffFile, options: SourceOptions) -> Slide:
    chain = iter(file.directories())
    first = next(chain)
    _refuse_vendors(first)
    pages = list(chain)
    pictures = [(flavor, page) for page in pages if (flavor := _shown(page)) is not None]
    shown = [page for _, page in pictures]
    candidates = _candidates([first, *first.subdirectories(), *(page for page in pages if page not in shown)])
    refuse_stack([layout for _, layout in candidates])
    levels = reductions(candidates)
    directory, layout = levels[0]
    slide = TiffSlide(
        file,
        open_levels(levels, options),
        spacing=_spacing(directory),
        metadata=_metadata(directory),
        associated=associated_images(pictures, options),
    )
    upright = slide if layout.orientation == 1 else TurnedSlide(slide, layout.orientation, options.background)
    return upright if layout.tiled else padded(upright, options)


class TiffFormat:
    """Any TIFF that no vendor's format claims before."""

    key = "tiff"
    name = "TIFF"

    def detect(self, path: Path, head: bytes) -> bool:
        return is_tiff(head)

    def open(self, path: Path, options: SourceOptions = AS_FOUND) -> Slide:
        file = TiffFile(path)
        try:
            return _open(file, options)
        except BaseException:
            file.close()
            raise


FORMAT = TiffFormat()
