"""QPTIFF of Akoya (once PerkinElmer) Vectra, Polaris, PhenoImager and PhenoCycler-Fusion.

Every directory describes itself in XML: `ImageType` is FullResolution, ReducedResolution, Thumbnail, Overview or Label.
Brightfield has one directory of RGB a level; fluorescence, and unmixed spectra, one gray directory a channel and level,
in the same order at every level.

Source: "PerkinElmer image format" (P. Miller, 2015), as others describe it.
"""

from __future__ import annotations

import codecs
import logging
import re
from collections.abc import Sequence
from typing import Final
from xml.etree.ElementTree import Element

from wsi_dicom.geometry import Plane, Region
from wsi_dicom.metadata import OpticalPath, SlideMetadata, parse_moment
from wsi_dicom.slide import ImageFlavor, Slide, SourceOptions
from wsi_dicom.sources.scanner_text import colour, magnification, number
from wsi_dicom.sources.xml_tree import parse_xml
from wsi_dicom.tiff.layout import TiffLayout, read_layout, resolution_spacing
from wsi_dicom.tiff.level import open_planes
from wsi_dicom.tiff.slide import TiffSlide, is_reduction
from wsi_dicom.tiff.structure import Tag, TiffDirectory, TiffFile
from wsi_dicom.tiff.vendor import TiffVendor, associated_images

_log = logging.getLogger(__name__)

_FLAVORS: Final = {
    "Thumbnail": ImageFlavor.THUMBNAIL,
    "Overview": ImageFlavor.OVERVIEW,
    "Label": ImageFlavor.LABEL,
}
_PROFILE: Final = "ScanProfile"  # a large document of its own


def _description(directory: TiffDirectory) -> str:
    """UTF-8 whatever its XML declaration says (UTF-16); but some programs do write UTF-16."""
    data = directory.data(Tag.IMAGE_DESCRIPTION) or b""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace").rstrip("\0")
    return directory.text(Tag.IMAGE_DESCRIPTION)


def _claims(directory: TiffDirectory) -> bool:
    return "<PerkinElmer-QPI-ImageDescription" in _description(directory)


def _image_type(directory: TiffDirectory) -> str:
    found = re.search(r"<ImageType>\s*(\w+)\s*</ImageType>", _description(directory))
    return found[1] if found else ""


def _text(described: Element, name: str) -> str | None:
    return (described.findtext(name) or "").strip() or None


def _wavelength_nm(described: Element, name: str) -> float | None:
    """The middle of the active band of a filter."""
    for band in described.iterfind(f"{name}/Bands/*"):
        low, high = number(band.findtext("Cuton")), number(band.findtext("Cutoff"))
        if low and high and band.findtext("Active", "true").lower() == "true":
            return (low + high) / 2
    return None


def _optical_path(position: int, described: Element) -> OpticalPath:
    """Name is the filter's or, in older files, the stain's; Biomarker the stain's."""
    return OpticalPath(
        identifier=str(position),
        description=_text(described, "Biomarker") or _text(described, "Name"),
        fluorescence=True,
        excitation_nm=_wavelength_nm(described, "ExcitationFilter"),
        emission_nm=_wavelength_nm(described, "EmissionFilter"),
        color=colour((_text(described, "Color") or "").split(",")),
    )


def _metadata(described: Element, directory: TiffDirectory, paths: Sequence[Element]) -> SlideMetadata:
    software = _text(described, "AcquisitionSoftware") or ""
    name, _, version = software.rpartition(" ")
    simple = (element for element in described if not len(element) and element.tag != _PROFILE)
    told = {element.tag: (element.text or "").strip() for element in simple}
    return SlideMetadata(
        manufacturer=directory.text(Tag.MAKE) or "Akoya",
        model=directory.text(Tag.MODEL) or (name if version[:1].isdigit() else software) or None,
        software_versions=(software,) if software else (),
        acquired=parse_moment(directory.text(Tag.DATE_TIME), "%Y:%m:%d %H:%M:%S"),
        objective_power=magnification(_text(described, "Objective")),
        icc_profile=directory.data(Tag.ICC_PROFILE),
        barcode=_text(described, "Barcode"),
        slide_identifier=_text(described, "SlideID"),
        optical_paths=tuple(_optical_path(position, path) for position, path in enumerate(paths)),
        properties={key: value for key, value in told.items() if value},
    )


def _planes(
    full: Sequence[TiffDirectory], reduced: Sequence[TiffDirectory]
) -> dict[Plane, list[tuple[TiffDirectory, TiffLayout]]]:
    """The levels of every channel. Reduced sizes that do not have all channels are left out."""
    planes = {Plane(channel): [(page, read_layout(page))] for channel, page in enumerate(full)}
    base = planes[Plane()][0][1]
    by_size: dict[Region, list[tuple[TiffDirectory, TiffLayout]]] = {}
    for page in reduced:
        layout = read_layout(page)
        by_size.setdefault(layout.level.bounds, []).append((page, layout))
    for _, images in sorted(by_size.items(), key=lambda size: -size[0].width):
        first = images[0][1]
        if len(images) == len(full) and first.tiled == base.tiled and is_reduction(first.level, base.level):
            for levels, image in zip(planes.values(), images, strict=True):
                levels.append(image)
        else:
            _log.warning(
                "left out: %s: %d pages of %d x %d pixels, which are no level of %d channels of %d x %d",
                *(full[0].file.name, len(images), first.level.width, first.level.height, len(full)),
                *(base.level.width, base.level.height),
            )
    return planes


def _read(file: TiffFile, options: SourceOptions) -> Slide:
    pages = [(page, _image_type(page)) for page in file.directories()]
    first = pages[0][0]
    full = [page for page, kind in pages if kind == "FullResolution"]
    if not full or full[0] is not first:
        raise first.unsupported("a QPTIFF whose first page is not of full resolution")
    planes = _planes(full, [page for page, kind in pages if kind == "ReducedResolution"])
    brightfield = planes[Plane()][0][1].pixel_format.samples == 3
    described = [parse_xml(_description(page), f"{file.name}: {page.place}: ImageDescription") for page in full]
    return TiffSlide(
        file,
        open_planes(planes, options),
        spacing=resolution_spacing(first),
        metadata=_metadata(described[0], first, () if brightfield else described),
        associated=associated_images(((_FLAVORS[kind], page) for page, kind in pages if kind in _FLAVORS), options),
    )


FORMAT = TiffVendor("qptiff", "Akoya QPTIFF", _claims, _read)
