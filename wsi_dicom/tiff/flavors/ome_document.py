"""The OME-XML of a slide (schema 2016-06): sizes, channels, objective, where each plane lies, and whence it comes."""

from __future__ import annotations

import re
from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring

from wsi_dicom.geometry import Level, PixelFormat, Plane, Spacing
from wsi_dicom.metadata import OpticalPath
from wsi_dicom.slide import ImageFlavor
from wsi_dicom.tiff.description import picture_name
from wsi_dicom.tiff.flavors.pages import SOFTWARE, TiffSubject

_SCHEMA: Final = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
_INSTANCE: Final = "http://www.w3.org/2001/XMLSchema-instance"
_ORIGIN: Final = "dicom.nema.org/identifiers"
"""Namespace of the annotation with the UIDs of the series."""
_WARNING: Final = "<!-- OME-XML: readers need it to know what the pages of this file are. Edit a copy, if at all. -->"
"""The specification of OME-TIFF wants one: programs that edit descriptions show it."""
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even by their numbers (section 2.2)."""


def ome_document(subject: TiffSubject) -> str:
    """The whole document in ASCII: in the order of the pages come the planes, then the associated images."""
    root = Element("OME")
    root.set("xmlns", _SCHEMA)
    root.set("xmlns:xsi", _INSTANCE)
    root.set("xsi:schemaLocation", f"{_SCHEMA} {_SCHEMA}/ome.xsd")
    root.set("Creator", SOFTWARE)
    _add_instrument(root, subject)
    _add_slide(root, subject)
    for number, flavor in enumerate(subject.plan.associated):
        image = subject.slide.associated[flavor]
        size = Level(image.width, image.height, image.width, image.height)
        element = SubElement(root, "Image", ID=f"Image:{number + 1}", Name=f"{picture_name(flavor)} image")
        spacing = subject.spacing(size) if flavor is ImageFlavor.THUMBNAIL else None
        pixels = _add_pixels(element, number + 1, size, image.pixel_format, spacing)
        _add_channel(pixels, number + 1, 0, image.pixel_format, None)
        _add_place(pixels, len(subject.plan.planes) + number, Plane())
    if subject.identifiers:
        annotations = SubElement(root, "StructuredAnnotations")
        annotation = SubElement(annotations, "MapAnnotation", ID="Annotation:0", Namespace=_ORIGIN)
        value = SubElement(annotation, "Value")
        for name, uid in subject.identifiers.items():
            SubElement(value, "M", K=name).text = uid
    text = _NO_XML.sub(" ", tostring(root, encoding="unicode")).encode("ascii", "xmlcharrefreplace").decode("ascii")
    return f'<?xml version="1.0" encoding="UTF-8"?>{_WARNING}{text}'


def _add_instrument(root: Element, subject: TiffSubject) -> None:
    metadata = subject.slide.metadata
    instrument = SubElement(root, "Instrument", ID="Instrument:0")
    told = {
        "Manufacturer": metadata.manufacturer,
        "Model": metadata.model,
        "SerialNumber": None if subject.anonymous else metadata.serial_number,
    }
    if any(told.values()):
        SubElement(instrument, "Microscope", {name: value for name, value in told.items() if value})
    if metadata.objective_power:
        SubElement(instrument, "Objective", ID="Objective:0", NominalMagnification=f"{metadata.objective_power:g}")


def _add_slide(root: Element, subject: TiffSubject) -> None:
    slide, plan = subject.slide, subject.plan
    pyramid, paths = slide.pyramid, slide.metadata.optical_paths
    image = SubElement(root, "Image", ID="Image:0", Name="slide")
    if subject.acquired is not None:
        SubElement(image, "AcquisitionDate").text = subject.acquired.isoformat()
    SubElement(image, "InstrumentRef", ID="Instrument:0")
    if slide.metadata.objective_power:
        SubElement(image, "ObjectiveSettings", ID="Objective:0")
    pixels = _add_pixels(
        image, 0, plan.levels[0].output, plan.pixel_format, pyramid.spacing, pyramid.optical_paths, pyramid.focal_planes
    )
    if pyramid.focal_spacing_um:
        pixels.set("PhysicalSizeZ", f"{pyramid.focal_spacing_um:.9g}")
        pixels.set("PhysicalSizeZUnit", "\N{MICRO SIGN}m")
    for number in range(pyramid.optical_paths):
        path = paths[number] if number < len(paths) else None
        _add_channel(pixels, 0, number, plan.pixel_format, path)
    for number, plane in enumerate(plan.planes):
        _add_place(pixels, number, plane)
    if subject.identifiers:
        SubElement(image, "AnnotationRef", ID="Annotation:0")


def _add_pixels(
    image: Element,
    number: int,
    size: Level,
    pixel_format: PixelFormat,
    spacing: Spacing | None,
    channels: int = 1,
    focal_planes: int = 1,
) -> Element:
    pixels = SubElement(
        image,
        "Pixels",
        ID=f"Pixels:{number}",
        DimensionOrder="XYZCT",
        Type=f"uint{pixel_format.bits}",
        BigEndian="false",
        Interleaved=str(pixel_format.samples > 1).lower(),  # Viv takes what is interleaved for colour
        SizeX=str(size.width),
        SizeY=str(size.height),
        SizeZ=str(focal_planes),
        SizeC=str(channels * pixel_format.samples),
        SizeT="1",
    )
    if spacing is not None:
        for axis, side in zip("XY", spacing, strict=True):
            pixels.set(f"PhysicalSize{axis}", f"{side * 1000:.9g}")
            pixels.set(f"PhysicalSize{axis}Unit", "\N{MICRO SIGN}m")
    return pixels


def _add_channel(pixels: Element, image: int, number: int, pixel_format: PixelFormat, path: OpticalPath | None) -> None:
    channel = SubElement(pixels, "Channel", ID=f"Channel:{image}:{number}", SamplesPerPixel=str(pixel_format.samples))
    if path is None:
        return
    if name := path.description or ("" if path.identifier.isdecimal() else path.identifier):  # a number is no name
        channel.set("Name", name)
    channel.set("IlluminationType", "Epifluorescence" if path.fluorescence else "Transmitted")
    channel.set("ContrastMethod", "Fluorescence" if path.fluorescence else "Brightfield")
    for name, wavelength in (("ExcitationWavelength", path.excitation_nm), ("EmissionWavelength", path.emission_nm)):
        if wavelength:
            channel.set(name, f"{wavelength:g}")
            channel.set(f"{name}Unit", "nm")
    if path.color is not None:
        channel.set("Color", str(int.from_bytes((*path.color, 255), "big", signed=True)))


def _add_place(pixels: Element, directory: int, plane: Plane) -> None:
    SubElement(
        pixels,
        "TiffData",
        IFD=str(directory),
        FirstC=str(plane.optical_path),
        FirstZ=str(plane.focal_plane),
        FirstT="0",
        PlaneCount="1",
    )
