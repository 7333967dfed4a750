"""OME-XML (schemas 2003 to 2016-06): what the images of an OME-TIFF are, and where each of their planes lies."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element

from wsi_dicom.errors import CorruptInput, UnsupportedFormat
from wsi_dicom.geometry import Spacing
from wsi_dicom.metadata import OpticalPath, SlideMetadata, parse_moment
from wsi_dicom.sources.xml_tree import parse_xml
from wsi_dicom.tiff.layout import plausible_spacing

_MAX_PLANES: Final = 1 << 16
"""Of all images: each needs a directory of its own in some file."""
_TOLD_AGAIN: Final = 4
"""How often a plane may be told of: writers that count samples for channels tell of a colour plane once for each."""

_MICROMETRES: Final = {
    "m": 1e6, "cm": 1e4, "mm": 1e3, "\N{MICRO SIGN}m": 1.0, "\N{GREEK SMALL LETTER MU}m": 1.0, "um": 1.0, "nm": 1e-3,
    "pm": 1e-6, "\N{ANGSTROM SIGN}": 1e-4, "\N{LATIN CAPITAL LETTER A WITH RING ABOVE}": 1e-4, "in": 25400.0,
}  # fmt: skip
_TRANSMITTED: Final = {
    "Brightfield", "Phase", "DIC", "HoffmanModulation", "ObliqueIllumination", "PolarizedLight", "Darkfield",
}  # fmt: skip
_DATES: Final = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z")


class Position(NamedTuple):
    """Which plane of an image: channel (those of several samples count once), focal plane, time point."""

    channel: int
    focal_plane: int
    time: int


class StoredPlane(NamedTuple):
    """Where a plane lies: directory number `ifd` of the file that has the UUID, and had the name; None is this file."""

    ifd: int
    file_name: str | None
    uuid: str | None


@dataclass(frozen=True, slots=True)
class OmeImage:
    """One image: `channels` optical paths of `samples` samples (1 gray, 3 colours), `focal_planes` and `times` of each.

    `planes` has those that are stored. Sizes in pixels; `type` is the schema's PixelType ("uint8").
    """

    name: str
    width: int
    height: int
    channels: int
    samples: int
    focal_planes: int
    times: int
    type: str
    spacing: Spacing | None
    focal_spacing_um: float | None
    metadata: SlideMetadata
    planes: Mapping[Position, StoredPlane] = field(repr=False)

    @property
    def area(self) -> int:
        return self.width * self.height

    @property
    def signed(self) -> bool:
        return self.type.startswith("int")


@dataclass(frozen=True, slots=True)
class OmeDocument:
    """All images. `metadata_file` names the file that has them instead, in documents that are BinaryOnly."""

    uuid: str | None
    images: tuple[OmeImage, ...]
    metadata_file: str | None


def is_ome(description: str) -> bool:
    """Whether the description of an image is OME-XML. Its namespace is left out by some writers."""
    return "<OME" in description[:4096] and description.rstrip().endswith("OME>")


def parse_ome(text: str, where: str) -> OmeDocument:
    """`where` names the document in messages. Raises CorruptInput, UnsupportedFormat."""
    root = parse_xml(text, where)
    if root.tag != "OME":
        raise CorruptInput(f"{where}: the root of OME-XML is OME, not {root.tag[:40]}")
    planes = sum(_declared_planes(pixels, where) for pixels in root.iterfind("Image/Pixels"))
    if planes > _MAX_PLANES:
        raise UnsupportedFormat(f"{where}: OME-XML of {planes} planes; the limit is {_MAX_PLANES}")
    binary_only = root.find("BinaryOnly")
    instruments = {found.get("ID", ""): found for found in root.iterfind("Instrument")}
    return OmeDocument(
        uuid=root.get("UUID") or (binary_only.get("UUID") if binary_only is not None else None),
        images=tuple(_image(element, root, instruments, where) for element in root.iterfind("Image")),
        metadata_file=None if binary_only is None else binary_only.get("MetadataFile"),
    )


def _declared_planes(pixels: Element, where: str) -> int:
    return math.prod(_whole(pixels, f"Size{axis}", where, least=1) for axis in "ZCT")


def _image(element: Element, root: Element, instruments: Mapping[str, Element], where: str) -> OmeImage:
    pixels = element.find("Pixels")
    where = f"{where}, image {element.get('Name') or element.get('ID') or ''!r}"
    if pixels is None:
        raise CorruptInput(f"{where} has no Pixels")
    width, height, depth, size_c, times = (_whole(pixels, f"Size{axis}", where, least=1) for axis in "XYZCT")
    described = pixels.findall("Channel") or element.findall("LogicalChannel")
    samples = _samples(described, size_c, where)
    channels = size_c // samples
    focal_spacing_um = _length_um(pixels, "Z")
    return OmeImage(
        name=element.get("Name", ""),
        width=width,
        height=height,
        channels=channels,
        samples=samples,
        focal_planes=depth,
        times=times,
        type=(pixels.get("Type") or pixels.get("PixelType") or "").lower(),
        spacing=plausible_spacing(_length_um(pixels, "X"), _length_um(pixels, "Y")),
        focal_spacing_um=focal_spacing_um if depth > 1 and focal_spacing_um and focal_spacing_um > 0 else None,
        metadata=_metadata(element, root, instruments, _optical_paths(described, channels, samples)),
        planes=_planes(pixels, {"C": channels, "Z": depth, "T": times}, samples, where),
    )


def _whole(element: Element, name: str, where: str, default: int | None = None, least: int = 0) -> int:
    text = element.get(name)
    if text is None and default is not None:
        return default
    if text is None or not re.fullmatch(r"[0-9]{1,10}", text.strip()) or int(text) < least:
        raise CorruptInput(f"{where}: {name} of {element.tag} is {text!r}, not a whole number of {least} or more")
    return int(text)


def _number(element: Element | None, name: str) -> float | None:
    try:
        return float(element.get(name, "")) if element is not None else None
    except ValueError:
        return None


def _length_um(pixels: Element, axis: str) -> float | None:
    """PhysicalSize of an axis in micrometres; None also for the units that are no lengths, "pixel" for one."""
    size = _number(pixels, f"PhysicalSize{axis}")
    factor = _MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "um"))
    return size * factor if size and factor else None


def _samples(described: list[Element], size_c: int, where: str) -> int:
    counts = {_whole(channel, "SamplesPerPixel", where, default=1, least=1) for channel in described} or {1}
    samples = counts.pop()
    if counts or size_c % samples:
        raise CorruptInput(f"{where}: channels of differing SamplesPerPixel, or too many for SizeC {size_c}")
    return samples


def _optical_paths(described: list[Element], channels: int, samples: int) -> tuple[OpticalPath, ...]:
    return tuple(
        _optical_path(number, channel, samples)
        for number, channel in enumerate((described + [Element("Channel")] * channels)[:channels])
    )


def _optical_path(number: int, channel: Element, samples: int) -> OpticalPath:
    """Gray pixels are fluorescence, unless the channel says that light went through the specimen."""
    transmitted = channel.get("IlluminationType") == "Transmitted" or channel.get("ContrastMethod") in _TRANSMITTED
    return OpticalPath(
        identifier=str(number),
        description=channel.get("Name") or channel.get("Fluor") or None,
        fluorescence=samples == 1 and not transmitted,
        excitation_nm=_wavelength_nm(channel, "ExcitationWavelength"),
        emission_nm=_wavelength_nm(channel, "EmissionWavelength"),
        color=_color(channel.get("Color")) if samples == 1 else None,
    )


def _wavelength_nm(channel: Element, name: str) -> float | None:
    value, factor = _number(channel, name), _MICROMETRES.get(channel.get(f"{name}Unit", "nm"))
    nanometres = value * factor * 1000 if value and factor else 0.0
    return round(nanometres, 3) if 100 <= nanometres <= 10_000 else None


def _color(text: str | None) -> tuple[int, int, int] | None:
    """Color is a signed 32-bit number: red, green, blue and alpha from its highest byte to its lowest."""
    if text is None or not re.fullmatch(r"\s*-?[0-9]{1,10}\s*", text):
        return None
    rgba = int(text) & 0xFFFFFFFF
    return rgba >> 24, rgba >> 16 & 0xFF, rgba >> 8 & 0xFF


def _metadata(
    element: Element, root: Element, instruments: Mapping[str, Element], optical_paths: tuple[OpticalPath, ...]
) -> SlideMetadata:
    reference = element.find("InstrumentRef")
    instrument = instruments.get(reference.get("ID", "")) if reference is not None else None
    if instrument is None:  # old writers leave the reference out
        instrument = next(iter(instruments.values()), Element("Instrument"))
    microscope = instrument.find("Microscope")
    maker = microscope if microscope is not None else Element("Microscope")
    creator, description = root.get("Creator"), element.findtext("Description")
    told = {"Image Name": element.get("Name"), "Description": description, "Creator": creator}
    return SlideMetadata(
        manufacturer=maker.get("Manufacturer") or None,
        model=maker.get("Model") or None,
        serial_number=maker.get("SerialNumber") or None,
        software_versions=(creator,) if creator else (),
        acquired=_acquired(element),
        objective_power=_objective_power(element, instruments, instrument),
        optical_paths=optical_paths,
        properties={name: value for name, value in told.items() if value},
    )


def _acquired(element: Element) -> datetime | None:
    dates = (element.findtext(name) for name in ("AcquisitionDate", "AcquiredDate", "CreationDate"))
    return parse_moment(next((date.strip() for date in dates if date), ""), *_DATES)


def _objective_power(element: Element, instruments: Mapping[str, Element], own: Element) -> float | None:
    """Of the objective that the image refers to; else of the only one that its instrument has."""
    objectives = {found.get("ID", ""): found for one in instruments.values() for found in one.iterfind("Objective")}
    settings = element.find("ObjectiveSettings")
    reference = settings if settings is not None else element.find("ObjectiveRef")
    known = own.findall("Objective")
    objective = objectives.get(reference.get("ID", "")) if reference is not None else None
    if objective is None and len(known) == 1:
        objective = known[0]
    power = _number(objective, "NominalMagnification")
    return power if power and 0 < power <= 200 else None


def _planes(pixels: Element, sizes: Mapping[str, int], samples: int, where: str) -> dict[Position, StoredPlane]:
    """Planes by TiffData: each has a run of directories, beginning at a plane, in the order of DimensionOrder."""
    order = pixels.get("DimensionOrder", "XYZCT")[2:]
    if sorted(order) != ["C", "T", "Z"]:
        raise CorruptInput(f"{where}: DimensionOrder {pixels.get('DimensionOrder')!r}")
    total, told = sizes["C"] * sizes["Z"] * sizes["T"], 0
    found: dict[Position, StoredPlane] = {}
    for run in pixels.findall("TiffData") or [Element("TiffData")]:
        first = _first_plane(run, sizes, samples, order, where)
        ifd, count = _whole(run, "IFD", where, default=0), _plane_count(run, total, where)
        uuid = run.find("UUID")
        name, identifier = (uuid.get("FileName"), (uuid.text or "").strip()) if uuid is not None else (None, None)
        for number in range(first, min(first + count, total)):
            found[_position(number, order, sizes)] = StoredPlane(ifd + number - first, name, identifier or None)
        told += count
        if told > _TOLD_AGAIN * total:  # else runs that repeat each other cost time each
            raise CorruptInput(f"{where}: TiffData tell of {told} planes or more where there are {total}")
    return found


def _plane_count(run: Element, total: int, where: str) -> int:
    """PlaneCount, which older schemas call NumPlanes; where neither is said, 1 if IFD is, else all."""
    name = "PlaneCount" if "PlaneCount" in run.keys() else "NumPlanes"  # noqa: SIM118  # an Element is no mapping
    return min(total, _whole(run, name, where, default=1 if run.get("IFD") else total))


def _first_plane(run: Element, sizes: Mapping[str, int], samples: int, order: str, where: str) -> int:
    """The number of the first plane of a run, counted with the first axis of `order` as the fastest."""
    first = {axis: _whole(run, f"First{axis}", where, default=0) for axis in order}
    if samples > 1 and first["C"] >= sizes["C"]:
        first["C"] //= samples  # some count samples, not channels
    if any(first[axis] >= sizes[axis] for axis in order):
        raise CorruptInput(f"{where}: TiffData begins at {first}, outside {dict(sizes)}")
    fast, middle, slow = tuple(order)
    return first[fast] + sizes[fast] * (first[middle] + sizes[middle] * first[slow])


def _position(number: int, order: str, sizes: Mapping[str, int]) -> Position:
    at = {}
    for axis in order:
        number, at[axis] = divmod(number, sizes[axis])
    return Position(at["C"], at["Z"], at["T"])
