"""What OpenSlide's properties tell of a slide: scanner, spacing, gaps, and how its pixels are compressed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from wsi_dicom.geometry import Region, Spacing
from wsi_dicom.metadata import SlideMetadata, parse_moment
from wsi_dicom.sources.scanner_text import magnification, number
from wsi_dicom.tiff.layout import plausible_spacing

_MANUFACTURERS: Final = {
    "aperio": "Aperio",
    "hamamatsu": "Hamamatsu",
    "huron": "Huron",
    "leica": "Leica",
    "mirax": "3DHISTECH",
    "philips": "Philips",
    "sakura": "Sakura",
    "trestle": "Trestle",
    "ventana": "Ventana",
    "zeiss": "Zeiss",
}
_MODEL: Final = (
    "dicom.ManufacturerModelName",
    "aperio.ScannerType",
    "hamamatsu.Product",
    "leica.device-model",
    "philips.DICOM_MANUFACTURERS_MODEL_NAME",
    "tiff.Model",
)
_SERIAL_NUMBER: Final = (
    "dicom.DeviceSerialNumber",
    "aperio.ScanScope ID",
    "hamamatsu.NDP.S/N",
    "philips.DICOM_DEVICE_SERIAL_NUMBER",
    "ventana.UnitNumber",
)
_SOFTWARE: Final = ("dicom.SoftwareVersions", "leica.device-version", "ventana.BuildVersion", "tiff.Software")
_BARCODE: Final = ("openslide.barcode", "leica.barcode")
_ACQUIRED: Final = (
    ("dicom.AcquisitionDateTime", "%Y%m%d%H%M%S"),
    ("leica.creation-date", "%Y-%m-%dT%H:%M:%S.%fZ"),
    ("tiff.DateTime", "%Y:%m:%d %H:%M:%S"),
)

_LEAVE_GAPS: Final = frozenset({"mirax", "sakura", "zeiss"})
"""Vendors whose scanners store only where they found tissue."""


def _first(properties: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((value for name in names if (value := properties.get(name, "").strip())), None)


def _acquired(properties: Mapping[str, str]) -> datetime | None:
    moments = (parse_moment(properties.get(name, ""), pattern) for name, pattern in _ACQUIRED)
    return next((moment for moment in moments if moment), None)


def vendor(properties: Mapping[str, str]) -> str:
    """As OpenSlide calls it: "mirax", "hamamatsu"."""
    return properties.get("openslide.vendor", "")


def read_metadata(properties: Mapping[str, str], icc_profile: bytes | None) -> SlideMetadata:
    """`properties` are OpenSlide's."""
    software = _first(properties, _SOFTWARE)
    return SlideMetadata(
        manufacturer=_first(properties, ("dicom.Manufacturer",)) or _MANUFACTURERS.get(vendor(properties)),
        model=_first(properties, _MODEL),
        serial_number=_first(properties, _SERIAL_NUMBER),
        software_versions=(software,) if software else (),
        acquired=_acquired(properties),
        objective_power=magnification(properties.get("openslide.objective-power")),
        icc_profile=icc_profile,
        barcode=_first(properties, _BARCODE),
        properties=properties,
    )


def spacing(properties: Mapping[str, str]) -> Spacing | None:
    """That of level 0; None when it is not told, or cannot be that of a slide."""
    return plausible_spacing(number(properties.get("openslide.mpp-x")), number(properties.get("openslide.mpp-y")))


def scanned_bounds(properties: Mapping[str, str], width: int, height: int) -> Region:
    """Where level 0, `width` x `height` pixels, has anything: all of it, when OpenSlide does not tell."""
    told = [number(properties.get(f"openslide.bounds-{side}")) for side in ("x", "y", "width", "height")]
    slide = Region(0, 0, width, height)
    if None in told:
        return slide
    x, y, wide, high = (int(value or 0) for value in told)
    return Region(x, y, wide, high).intersection(slide)


def leaves_gaps(properties: Mapping[str, str], bounds: Region, slide: Region) -> bool:
    """Whether parts of the slide were never scanned."""
    tiled = properties.get("dicom.DimensionOrganizationType")
    return bounds != slide or vendor(properties) in _LEAVE_GAPS or tiled == "TILED_SPARSE"


def lossy_method(properties: Mapping[str, str], level: int) -> str | None:
    """DICOM's term for what the stored pixels of a level went through, as far as the properties tell.

    MIRAX and DICOM tell. Hamamatsu VMU (its files alone have a PixelOrder) is not compressed. Of Zeiss CZI OpenSlide
    refuses whatever is neither uncompressed nor in Zstandard. All others are taken for JPEG, which they are but for a
    few: to call lossy pixels lossless would be false, the opposite only costs quality.
    """
    if vendor(properties) == "mirax":
        section = properties.get(f"mirax.HIERARCHICAL.HIER_0_VAL_{level}_SECTION", "")
        return "ISO_10918_1" if properties.get(f"mirax.{section}.IMAGE_FORMAT", "JPEG") == "JPEG" else None
    if vendor(properties) == "dicom":
        if properties.get("dicom.LossyImageCompression") == "00":
            return None
        methods = ("dicom.LossyImageCompressionMethod[0]", "dicom.LossyImageCompressionMethod")
        return _first(properties, methods) or "ISO_10918_1"
    if vendor(properties) == "zeiss" or "hamamatsu.PixelOrder" in properties:
        return None
    return "ISO_15444_1" if "J2K" in properties.get("tiff.ImageDescription", "") else "ISO_10918_1"


def associated_lossy_method(properties: Mapping[str, str]) -> str | None:
    """The same of label, macro and thumbnail: JPEG, but in a lossless DICOM series."""
    return lossy_method(properties, 0) if vendor(properties) == "dicom" else "ISO_10918_1"
