"""Huron TissueScope: a TIFF laid out as Aperio's, with a description of its own.

Page 0 is the finest level, page 1 the thumbnail (in strips), then come the coarser levels (tiled), then label and macro
(in strips, told by NewSubfileType). The description of page 0 is a line of `key = value` each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wsi_dicom.geometry import Spacing
from wsi_dicom.metadata import SlideMetadata, parse_moment
from wsi_dicom.slide import ImageFlavor, Slide, SourceOptions
from wsi_dicom.sources.scanner_text import key_values, number
from wsi_dicom.tiff.layout import plausible_spacing, read_layout, refuse_stack, resolution_spacing
from wsi_dicom.tiff.level import open_levels
from wsi_dicom.tiff.slide import TiffSlide, reductions
from wsi_dicom.tiff.structure import Tag, TiffDirectory, TiffFile
from wsi_dicom.tiff.vendor import TiffVendor, associated_images

_FLAVORS = {1: ImageFlavor.LABEL, 9: ImageFlavor.OVERVIEW}


def _claims(directory: TiffDirectory) -> bool:
    """By its maker, which older software of theirs leaves out, or by the keys that only they write."""
    description = directory.text(Tag.IMAGE_DESCRIPTION)
    keys = "Image Dimensions =" in description and "Resolution =" in description
    return Tag.TILE_WIDTH in directory and (keys or directory.text(Tag.MAKE).startswith("Huron"))


def _spacing(directory: TiffDirectory, told: dict[str, str]) -> Spacing | None:
    """By the resolution fields, else by "Resolution = 0.40 um"."""
    um = number(told.get("Resolution", "").partition("um")[0].strip())
    return resolution_spacing(directory) or plausible_spacing(um, um)


def _metadata(directory: TiffDirectory, told: dict[str, str]) -> SlideMetadata:
    software = directory.text(Tag.SOFTWARE)
    return SlideMetadata(
        manufacturer=directory.text(Tag.MAKE) or "Huron",
        model=directory.text(Tag.MODEL) or None,
        serial_number=told.get("DeviceID") or None,
        software_versions=(software,) if software else (),
        acquired=parse_moment(told.get("Scan Started", ""), "%Y:%m:%d %H:%M:%S"),
        icc_profile=directory.data(Tag.ICC_PROFILE),
        barcode=told.get("Barcode") or None,
        properties=told,
    )


def _flavors(pages: Sequence[TiffDirectory]) -> Iterator[tuple[ImageFlavor, TiffDirectory]]:
    for position, page in enumerate(pages):
        if Tag.TILE_WIDTH in page:
            continue
        flavor = _FLAVORS.get(page.integer(Tag.NEW_SUBFILE_TYPE, 0))
        if position == 1:  # reduced, as the label is, or of no type
            yield ImageFlavor.THUMBNAIL, page
        elif flavor is not None:
            yield flavor, page


def _read(file: TiffFile, options: SourceOptions) -> Slide:
    pages = list(file.directories())
    first = pages[0]
    if Tag.TILE_WIDTH not in first:
        raise first.unsupported("a Huron slide whose first page is not tiled")
    levels = [(page, read_layout(page)) for page in pages if Tag.TILE_WIDTH in page]
    refuse_stack([layout for _, layout in levels])
    told = key_values(first.text(Tag.IMAGE_DESCRIPTION), "\n")
    return TiffSlide(
        file,
        open_levels(reductions(levels), options),
        spacing=_spacing(first, told),
        metadata=_metadata(first, told),
        associated=associated_images(_flavors(pages), options),
    )


FORMAT = TiffVendor("huron", "Huron TIFF", _claims, _read)
