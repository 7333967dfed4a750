"""The XML of a Zeiss CZI file: optics, channels and scale, as ZEN writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from xml.etree.ElementTree import Element

from wsi_dicom.geometry import PixelFormat
from wsi_dicom.metadata import OpticalPath, SlideMetadata, parse_moment
from wsi_dicom.sources.xml_tree import parse_xml


class CziMetadata(NamedTuple):
    """Distances between pixels, and between focal planes, in micrometres; None where the file does not tell."""

    metadata: SlideMetadata
    x_um: float | None
    y_um: float | None
    z_um: float | None


def read_metadata(xml: str, name: str, channels: Sequence[int], pixel_format: PixelFormat) -> CziMetadata:
    """`channels` are those of the slide's optical paths. Raises CorruptInput, UnsupportedFormat."""
    root = parse_xml(xml, f"{name}: metadata")
    information = _child(root, "Metadata/Information")
    distances = {one.get("Id"): _number(one, "Value") for one in root.iterfind("Metadata/Scaling/Items/Distance")}
    microscope = _child(information, "Instrument/Microscopes/Microscope")
    model = _text(microscope, "System") or microscope.get("Name")
    software = f"{_text(information, 'Application/Name')} {_text(information, 'Application/Version')}".strip()
    metadata = SlideMetadata(
        manufacturer="Zeiss",
        model=model or None,
        software_versions=(software,) if software else (),
        acquired=_acquired(information),
        objective_power=_objective_power(information),
        optical_paths=_optical_paths(root, channels, pixel_format.samples == 3),
    )
    return CziMetadata(metadata, *(_micrometres(distances.get(axis)) for axis in "XYZ"))


def _child(element: Element, path: str) -> Element:
    found = element.find(path)
    return Element("none") if found is None else found


def _text(element: Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _number(element: Element, path: str) -> float | None:
    try:
        value = float(_text(element, path))
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def _micrometres(metres: float | None) -> float | None:
    return metres * 1e6 if metres else None


def _acquired(information: Element) -> datetime | None:
    """ISO 8601 with seven digits behind the point, one more than Python takes."""
    text = _text(information, "Image/AcquisitionDateAndTime") or _text(information, "Document/CreationDate")
    return parse_moment(re.sub(r"\.\d+", "", text), "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S")


def _objective_power(information: Element) -> float | None:
    """Of the objective that the image refers to, else of the first."""
    objectives = information.findall("Instrument/Objectives/Objective")
    wanted = _child(information, "Image/ObjectiveSettings/ObjectiveRef").get("Id")
    chosen = [one for one in objectives if one.get("Id") == wanted] or objectives
    power = _number(chosen[0], "NominalMagnification") if chosen else None
    return power if power and power <= 200 else None


def _optical_paths(root: Element, channels: Sequence[int], colour: bool) -> tuple[OpticalPath, ...]:
    described = _by_id(root.findall("Metadata/Information/Image/Dimensions/Channels/Channel"))
    shown = _by_id(root.findall("Metadata/DisplaySetting/Channels/Channel"))
    return tuple(
        _optical_path(str(number), _of(described, channel), _of(shown, channel), colour)
        for number, channel in enumerate(channels)
    )


def _by_id(channels: Sequence[Element]) -> Mapping[str, Element]:
    return {channel.get("Id", ""): channel for channel in channels}


def _of(channels: Mapping[str, Element], number: int) -> Element:
    return channels.get(f"Channel:{number}", Element("Channel"))


def _optical_path(identifier: str, channel: Element, shown: Element, colour: bool) -> OpticalPath:
    """Gray is fluorescence, unless the light is said to have gone through the specimen."""
    transmitted = _text(channel, "IlluminationType") == "Transmitted"
    return OpticalPath(
        identifier,
        description=channel.get("Name") or shown.get("Name") or None,
        fluorescence=not (colour or transmitted),
        excitation_nm=_number(channel, "ExcitationWavelength"),
        emission_nm=_number(channel, "EmissionWavelength"),
        color=None if colour else _color(_text(shown, "Color") or _text(channel, "Color")),
    )


def _color(text: str) -> tuple[int, int, int] | None:
    """#AARRGGBB or #RRGGBB."""
    if not re.fullmatch(r"#([0-9A-Fa-f]{2})?[0-9A-Fa-f]{6}", text):
        return None
    red, green, blue = bytes.fromhex(text[-6:])
    return red, green, blue
