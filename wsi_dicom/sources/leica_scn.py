"""Leica SCN400: a BigTIFF whose XML says which directory has which picture of the slide.

A `collection` is the slide, in nanometres. Each `image` in it covers a `view` of the slide; the one that covers all is
the overview. Each `dimension` of an image is a directory: resolution `r`, channel `c` (fluorescence), focal plane `z`.
A slide of several scanned areas is left to OpenSlide, which puts them on one canvas.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element

from wsi_dicom.errors import CorruptInput
from wsi_dicom.geometry import Plane, Spacing
from wsi_dicom.metadata import OpticalPath, SlideMetadata, parse_moment
from wsi_dicom.slide import ImageFlavor, Slide, SourceOptions
from wsi_dicom.sources.scanner_text import base64_text, colour, magnification, whole
from wsi_dicom.sources.xml_tree import parse_xml
from wsi_dicom.tiff.layout import TiffLayout, plausible_spacing, read_layout
from wsi_dicom.tiff.level import open_planes
from wsi_dicom.tiff.slide import TiffSlide, reductions
from wsi_dicom.tiff.structure import Tag, TiffDirectory, TiffFile
from wsi_dicom.tiff.vendor import TiffVendor, associated_images

_log = logging.getLogger(__name__)

_DATES: Final = ("%Y-%m-%dT%H:%M:%S.%f%z", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S")


class _View(NamedTuple):
    """A rectangle of the slide, in nanometres."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class _Image:
    """`directories` by resolution, finest first, and by plane; channels and focal planes are counted without gaps."""

    element: Element
    view: _View
    directories: Sequence[Mapping[Plane, int]]
    focal_spacing_um: float | None

    @property
    def fluorescence(self) -> bool:
        return self.text("scanSettings/illuminationSettings/illuminationSource") == "fluorescence"

    def text(self, place: str) -> str:
        return (self.element.findtext(place) or "").strip()


def _claims(directory: TiffDirectory) -> bool:
    return "leica-microsystems.com/scn/" in directory.text(Tag.IMAGE_DESCRIPTION)


def _image(element: Element, pages: int, where: str) -> _Image:
    """Raises CorruptInput, also for directories that the file lacks."""
    shown = element.find("view")
    view = Element("view") if shown is None else shown
    found: dict[int, dict[tuple[int, int], int]] = {}
    for dimension in element.iterfind("pixels/dimension"):
        r, c, z = (whole(dimension, name, where, default=0) for name in "rcz")
        ifd = whole(dimension, "ifd", where)
        if not 0 <= ifd < pages:
            raise CorruptInput(f"{where}: a picture in directory {ifd}, but the file has {pages}")
        found.setdefault(r, {})[c, z] = ifd
    finest = found[min(found)] if found else {}
    channels, depths = sorted({c for c, _ in finest}), sorted({z for _, z in finest})
    if any((c, z) not in finest for c in channels for z in depths):
        raise CorruptInput(f"{where}: a channel lacks focal planes that another has")
    spacing_nm = whole(view, "spacingZ", where, default=0)
    return _Image(
        element,
        _View(*(whole(view, name, where) for name in ("offsetX", "offsetY", "sizeX", "sizeY"))),
        [
            {Plane(channels.index(c), depths.index(z)): ifd for (c, z), ifd in planes.items() if (c, z) in finest}
            for _, planes in sorted(found.items())
        ],
        spacing_nm / 1000 if spacing_nm > 0 and len(depths) > 1 else None,
    )


def _scanned(mains: Sequence[_Image], first: TiffDirectory) -> _Image:
    """The one that is the slide. Raises UnsupportedFormat when there is none, or they show different places."""
    if not mains:
        raise first.unsupported("a Leica slide of which no area was scanned")
    if len({image.view for image in mains}) > 1:
        raise first.unsupported(f"a Leica slide of {len(mains)} scanned areas, which are not put together here")
    for image in mains[1:]:
        _log.warning("left out: %s: another scan, %r", first.file.name, image.element.get("name"))
    return mains[0]


def _planes(image: _Image, pages: Sequence[TiffDirectory]) -> dict[Plane, list[tuple[TiffDirectory, TiffLayout]]]:
    return {
        plane: reductions(
            [(pages[ifds[plane]], read_layout(pages[ifds[plane]])) for ifds in image.directories if plane in ifds]
        )
        for plane in image.directories[0]
    }


def _wavelength_nm(text: str | None) -> float | None:
    """The centre of a filter: "BP 405/60", "470/50", "LP 515"."""
    found = re.search(r"\b(\d{3,4})\b", text or "")
    return float(found[1]) if found else None


def _optical_path(number: int, channel: Element) -> OpticalPath:
    rgb = channel.get("rgb", "").lstrip("#")
    return OpticalPath(
        identifier=str(number),
        description=channel.get("name") or None,
        fluorescence=True,
        excitation_nm=_wavelength_nm(channel.findtext("fluorescenceCube/excitationFilter")),
        emission_nm=_wavelength_nm(channel.findtext("fluorescenceCube/suppressionFilter")),
        color=colour((rgb[:2], rgb[2:4], rgb[4:]), base=16),
    )


def _optical_paths(image: _Image) -> tuple[OpticalPath, ...]:
    if not image.fluorescence:
        return ()
    count = 1 + max(plane.optical_path for plane in image.directories[0])
    channels = image.element.findall("scanSettings/channelSettings/channel")
    found = channels + [Element("channel")] * count
    return tuple(_optical_path(number, channel) for number, channel in enumerate(found[:count]))


def _barcode(collection: Element) -> str | None:
    """An element in Base64; in the first version of the schema (2010/03/10) a plain attribute."""
    return base64_text(collection.findtext("barcode")) or collection.get("barcode", "").strip() or None


def _metadata(collection: Element, image: _Image, directory: TiffDirectory) -> SlideMetadata:
    described = image.element.find("device")
    device = Element("device") if described is None else described
    versions = (version.strip() for version in device.get("version", "").split(";"))
    told = {
        "name": image.element.get("name"),
        "objective": image.text("scanSettings/objectiveSettings/objective"),
        "aperture": image.text("scanSettings/illuminationSettings/numericalAperture"),
        "illumination-source": image.text("scanSettings/illuminationSettings/illuminationSource"),
    }
    return SlideMetadata(
        manufacturer="Leica",
        model=device.get("model", "").split(";")[0].strip() or None,
        software_versions=tuple(dict.fromkeys(version for version in versions if version)),
        acquired=parse_moment(image.text("creationDate"), *_DATES),
        objective_power=magnification(told["objective"]),
        icc_profile=directory.data(Tag.ICC_PROFILE),
        barcode=_barcode(collection),
        optical_paths=_optical_paths(image),
        properties={name: value for name, value in told.items() if value},
    )


def _spacing(image: _Image, layout: TiffLayout) -> Spacing | None:
    level = layout.level
    return plausible_spacing(image.view.width / level.width / 1000, image.view.height / level.height / 1000)


def _read(file: TiffFile, options: SourceOptions) -> Slide:
    pages = list(file.directories())
    first = pages[0]
    where = f"{file.name}: {first.place}: ImageDescription"
    collection = parse_xml(first.text(Tag.IMAGE_DESCRIPTION), where).find("collection")
    if collection is None:
        raise first.corrupt("a Leica description without a collection")
    whole_slide = _View(0, 0, whole(collection, "sizeX", where), whole(collection, "sizeY", where))
    images = [_image(element, len(pages), where) for element in collection.iterfind("image")]
    images = [image for image in images if image.directories]
    image = _scanned([image for image in images if image.view != whole_slide], first)
    overviews = sorted((found for found in images if found.view == whole_slide), key=lambda found: found.fluorescence)
    planes = _planes(image, pages)
    directory, layout = planes[Plane()][0]
    return TiffSlide(
        file,
        open_planes(planes, options),
        spacing=_spacing(image, layout),
        metadata=_metadata(collection, image, directory),
        associated=associated_images(
            ((ImageFlavor.OVERVIEW, pages[found.directories[0][Plane()]]) for found in overviews), options
        ),
        focal_spacing_um=image.focal_spacing_um,
    )


FORMAT = TiffVendor("scn", "Leica SCN", _claims, _read)
