"""Philips TIFF, which the IntelliSite scanners (UFS, SG) export: a pyramid whose XML description is modelled on DICOM.

Sizes in the file count the padding of the last tiles, differently at each level: what one level is of another tells
their pixel spacing. What was not scanned has no tiles. Label and macro are JPEG in Base64 within the description, or
pages of their own, or both.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias
from xml.etree.ElementTree import Element

from wsi_dicom.errors import UnsupportedFormat
from wsi_dicom.geometry import Spacing
from wsi_dicom.metadata import SlideMetadata, parse_moment
from wsi_dicom.slide import AssociatedImage, ImageFlavor, Slide, SourceOptions
from wsi_dicom.sources.jpeg_picture import JpegPicture
from wsi_dicom.sources.scanner_text import base64_bytes, base64_text, magnification, number
from wsi_dicom.sources.xml_tree import parse_xml
from wsi_dicom.tiff.layout import TiffLayout, plausible_spacing, read_layout, refuse_stack
from wsi_dicom.tiff.level import open_levels
from wsi_dicom.tiff.slide import TiffSlide
from wsi_dicom.tiff.structure import Tag, TiffDirectory, TiffFile
from wsi_dicom.tiff.vendor import TiffVendor, associated_images

_log = logging.getLogger(__name__)

_Attributes: TypeAlias = Mapping[str, Element]
_PAGES: Final = {"Label": ImageFlavor.LABEL, "Macro": ImageFlavor.OVERVIEW}
_PICTURES: Final = {"LABELIMAGE": ImageFlavor.LABEL, "MACROIMAGE": ImageFlavor.OVERVIEW}
_LONGEST_PROPERTY: Final = 1024  # characters; longer are pictures and tables


def _claims(directory: TiffDirectory) -> bool:
    description = directory.text(Tag.IMAGE_DESCRIPTION)
    return "<DataObject" in description and 'ObjectType="DPUfsImport"' in description


def _attributes(data_object: Element) -> _Attributes:
    """Of which several have one name, the first."""
    return {found.get("Name", ""): found for found in reversed(data_object.findall("Attribute"))}


def _objects(attribute: Element | None) -> list[_Attributes]:
    """The DataObjects that an attribute has as its value."""
    return [] if attribute is None else [_attributes(found) for found in attribute.iterfind("Array/DataObject")]


def _text(attributes: _Attributes, name: str) -> str:
    return (attributes[name].text or "").strip() if name in attributes else ""


def _strings(attributes: _Attributes, name: str) -> list[str]:
    """Of an array: values in quotes with spaces between."""
    return re.findall(r'"([^"]*)"', _text(attributes, name)) or _text(attributes, name).split()


def _spacing(attributes: _Attributes) -> Spacing | None:
    """DICOM_PIXEL_SPACING: between rows first, in mm."""
    rows_and_columns = [number(text) for text in _strings(attributes, "DICOM_PIXEL_SPACING")]
    if len(rows_and_columns) != 2:
        return None
    y_mm, x_mm = rows_and_columns
    return plausible_spacing(x_mm and x_mm * 1000, y_mm and y_mm * 1000)


def _metadata(root: _Attributes, image: _Attributes, directory: TiffDirectory) -> SlideMetadata:
    attributes = {**image, **root}
    told = {name: _text(attributes, name) for name, found in attributes.items() if not len(found)}
    # "tiff-useBigTIFF=1-useRgb=0-levels=10003,10002,10000,10001-...-sourceFilename=..."; the first may be the objective
    derivation = told.get("DICOM_DERIVATION_DESCRIPTION", "").partition("sourceFilename")[0]
    power = re.search(r"levels=(\d+)", derivation)
    return SlideMetadata(
        manufacturer=told.get("DICOM_MANUFACTURER") or "Philips",
        model=told.get("DICOM_MANUFACTURERS_MODEL_NAME") or None,
        serial_number=told.get("DICOM_DEVICE_SERIAL_NUMBER") or None,
        software_versions=tuple(_strings(attributes, "DICOM_SOFTWARE_VERSIONS")),
        acquired=parse_moment(told.get("DICOM_ACQUISITION_DATETIME", ""), "%Y%m%d%H%M%S.%f", "%Y%m%d%H%M%S"),
        objective_power=magnification(power[1]) if power else None,
        icc_profile=directory.data(Tag.ICC_PROFILE),
        barcode=base64_text(told.get("PIM_DP_UFS_BARCODE")),
        properties={name: text for name, text in told.items() if 0 < len(text) <= _LONGEST_PROPERTY},
    )


def _factor(level: int, spacings: Sequence[Spacing | None]) -> int:
    """How many pixels of the finest level one of this level spans: a power of two, which rounding hides in spacing."""
    base, spacing = (spacings[0], spacings[level]) if level < len(spacings) else (None, None)
    if base is None or spacing is None:
        return 1 << level
    return max(1, round((spacing.x_mm / base.x_mm + spacing.y_mm / base.y_mm) / 2))


def _levels(
    pages: Sequence[tuple[TiffDirectory, TiffLayout]], spacings: Sequence[Spacing | None]
) -> list[tuple[TiffDirectory, TiffLayout]]:
    """Each as large as it must be of the finest one, whose own padding nothing tells."""
    base = pages[0][1].level
    levels = []
    for position, (directory, layout) in enumerate(pages):
        factor = _factor(position, spacings)
        width, height = -(-base.width // factor), -(-base.height // factor)
        if layout.level.width < width or layout.level.height < height or (position and factor == 1):
            _log.warning(
                "left out: %s: %s: %d x %d pixels, where a level of 1:%d has %d x %d",
                *(directory.file.name, directory.place, layout.level.width, layout.level.height, factor, width, height),
            )
            continue
        levels.append((directory, layout.cropped(width, height)))
    return levels


def _pictures(images: Sequence[_Attributes], where: str) -> Iterator[tuple[ImageFlavor, AssociatedImage]]:
    for image in images:
        flavor = _PICTURES.get(_text(image, "PIM_DP_IMAGE_TYPE"))
        data = base64_bytes(_text(image, "PIM_DP_IMAGE_DATA"))
        if flavor is None or not data:
            continue
        try:
            yield flavor, JpegPicture(data, f"{where}: {flavor.lower()}")
        except UnsupportedFormat as error:
            _log.warning("left out: %s", error)


def _flavor(directory: TiffDirectory) -> ImageFlavor | None:
    description = directory.text(Tag.IMAGE_DESCRIPTION)
    return next((flavor for name, flavor in _PAGES.items() if description.startswith(name)), None)


def _read(file: TiffFile, options: SourceOptions) -> Slide:
    pages = list(file.directories())
    first = pages[0]
    root = _attributes(parse_xml(first.text(Tag.IMAGE_DESCRIPTION), f"{file.name}: {first.place}"))
    images = _objects(root.get("PIM_DP_SCANNED_IMAGES"))
    slides = [image for image in images if _text(image, "PIM_DP_IMAGE_TYPE") == "WSI"]
    if len(slides) != 1:
        raise first.unsupported(f"a Philips description of {len(slides)} slides where one is expected")
    flavors = [(flavor, page) for page in pages if (flavor := _flavor(page)) is not None]
    named = [page for _, page in flavors]
    tiled = [(page, read_layout(page)) for page in pages if Tag.TILE_WIDTH in page and page not in named]
    if not tiled or tiled[0][0] is not first:
        raise first.unsupported("a Philips slide whose first page is not tiled")
    refuse_stack([layout for _, layout in tiled])
    spacings = [_spacing(level) for level in _objects(slides[0].get("PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE"))]
    return TiffSlide(
        file,
        open_levels(_levels(tiled, spacings), options),
        spacing=_spacing(slides[0]) or (spacings[0] if spacings else None),
        metadata=_metadata(root, slides[0], first),
        associated={**dict(_pictures(images, file.name)), **associated_images(flavors, options)},
    )


FORMAT = TiffVendor("philips", "Philips TIFF", _claims, _read)
