"""Motic EasyScan, exported as TIFF: descriptions in Aperio's form, headed by "Motic" and a version.

The second line of a page's description names what it shows: `label`, `macro`, or the thumbnail's `53046x51735 ->
847x826`. What names none of these and is tiled is a level.
"""

from __future__ import annotations

from wsi_dicom.geometry import Spacing
from wsi_dicom.metadata import SlideMetadata
from wsi_dicom.slide import ImageFlavor, Slide, SourceOptions
from wsi_dicom.sources.scanner_text import number
from wsi_dicom.tiff.description import objective_power, parse_description
from wsi_dicom.tiff.layout import plausible_spacing, read_layout, refuse_stack, resolution_spacing
from wsi_dicom.tiff.level import open_levels
from wsi_dicom.tiff.slide import TiffSlide, reductions
from wsi_dicom.tiff.structure import Tag, TiffDirectory, TiffFile
from wsi_dicom.tiff.vendor import TiffVendor, associated_images


def _claims(directory: TiffDirectory) -> bool:
    return directory.text(Tag.IMAGE_DESCRIPTION).startswith("Motic ")


def _flavor(directory: TiffDirectory) -> ImageFlavor | None:
    """None for levels."""
    lines = directory.text(Tag.IMAGE_DESCRIPTION).splitlines()
    second = lines[1] if len(lines) > 1 else ""
    if second.startswith("label"):
        return ImageFlavor.LABEL
    if second.startswith("macro"):
        return ImageFlavor.OVERVIEW
    return ImageFlavor.THUMBNAIL if "->" in second and Tag.TILE_WIDTH not in directory else None


def _spacing(directory: TiffDirectory, told: dict[str, str]) -> Spacing | None:
    um = number(told.get("MPP"))
    return plausible_spacing(um, um) or resolution_spacing(directory)


def _metadata(directory: TiffDirectory, header: str, told: dict[str, str]) -> SlideMetadata:
    version = header.splitlines()[0].removeprefix("Motic").strip()
    return SlideMetadata(
        manufacturer="Motic",
        model=told.get("ScannerType") or None,
        software_versions=(version,) if version else (),
        objective_power=objective_power(told),
        icc_profile=directory.data(Tag.ICC_PROFILE),
        barcode=told.get("Barcode") or None,
        properties=told,
    )


def _read(file: TiffFile, options: SourceOptions) -> Slide:
    pages = [(page, _flavor(page)) for page in file.directories()]
    first = pages[0][0]
    levels = [(page, read_layout(page)) for page, flavor in pages if flavor is None and Tag.TILE_WIDTH in page]
    if not levels or levels[0][0] is not first:
        raise first.unsupported("a Motic slide whose first page is not tiled")
    refuse_stack([layout for _, layout in levels])
    header, told = parse_description(first.text(Tag.IMAGE_DESCRIPTION))
    return TiffSlide(
        file,
        open_levels(reductions(levels), options),
        spacing=_spacing(first, told),
        metadata=_metadata(first, header, told),
        associated=associated_images(((flavor, page) for page, flavor in pages if flavor is not None), options),
    )


FORMAT = TiffVendor("motic", "Motic TIFF", _claims, _read)
