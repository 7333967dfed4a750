"""Aperio SVS (Leica Biosystems): a TIFF whose first page is the slide.

Page 0 is the finest level, page 1 the thumbnail (in strips), then come the coarser levels (tiled), then label and
macro. Descriptions are a line of text per program that wrote the file, then `|key = value` pairs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeAlias

from wsi_dicom.geometry import Plane, Region, Spacing
from wsi_dicom.metadata import OpticalPath, SlideMetadata, parse_moment
from wsi_dicom.slide import ImageFlavor, SourceOptions
from wsi_dicom.sources.scanner_text import number
from wsi_dicom.tiff.description import objective_power, parse_description
from wsi_dicom.tiff.layout import TiffLayout, plausible_spacing, read_layout, refuse_stack, resolution_spacing
from wsi_dicom.tiff.level import open_planes
from wsi_dicom.tiff.slide import TiffSlide, reductions
from wsi_dicom.tiff.structure import Tag, TiffDirectory, TiffFile
from wsi_dicom.tiff.vendor import TiffVendor, associated_images

Image: TypeAlias = tuple[TiffDirectory, TiffLayout]

_LABEL, _MACRO = 1, 9  # NewSubfileType, where a description names neither
_DATE_FORMATS: Final = ("%m/%d/%y %H:%M:%S", "%m/%d/%Y %H:%M:%S")


def _told(directory: TiffDirectory) -> tuple[str, dict[str, str]]:
    return parse_description(directory.text(Tag.IMAGE_DESCRIPTION))


def _acquired(properties: dict[str, str]) -> datetime | None:
    """Date is MM/DD/YY or MM/DD/YYYY; only newer scanners (GT 450) have a time zone: GMT-05:00, GMT-0500, GMT+1."""
    moment = f"{properties.get('Date', '')} {properties.get('Time', '')}"
    zone = re.fullmatch(r"GMT([+-])(\d\d?):?(\d\d)?", properties.get("Time Zone", ""))
    if zone:
        offset = f"{zone[1]}{zone[2]:0>2}{zone[3] or '00'}"
        return parse_moment(f"{moment} {offset}", *(f"{pattern} %z" for pattern in _DATE_FORMATS))
    return parse_moment(moment, *_DATE_FORMATS)  # the scanner's local time


def _is_number(text: str) -> bool:
    return re.fullmatch("[0-9]{1,10}", text) is not None


def _optical_paths(properties: dict[str, str]) -> tuple[OpticalPath, ...]:
    """The one path of a fluorescence slide (a file for each channel); none for brightfield, which tells nothing."""
    emission, excitation = (
        number(properties.get("Emission Wavelength")),
        number(properties.get("Excitation Wavelength")),
    )
    if not emission or emission < 0:
        return ()
    color = properties.get("DisplayColor", "")
    return (
        OpticalPath(
            "1",
            description=properties.get("Dye") or None,
            fluorescence=True,
            excitation_nm=excitation if excitation and excitation > 0 else None,
            emission_nm=emission,
            color=(*(int(color) & 0xFFFFFF).to_bytes(3, "big"),) if _is_number(color) else None,  # red is the highest
        ),
    )


def _metadata(directory: TiffDirectory) -> SlideMetadata:
    header, properties = _told(directory)
    scanner = re.search(r"\bGT450\w*", header)  # their first versions have no ScannerType
    versions = re.findall(r"Aperio Image Library v[\w.]+|Aperio Leica Biosystems GT450\w* v[\w.]+", header)
    return SlideMetadata(
        manufacturer="Leica Biosystems" if "Leica" in header else "Aperio",
        model=properties.get("ScannerType") or (scanner[0] if scanner else None),
        serial_number=properties.get("ScanScope ID") or None,
        software_versions=tuple(dict.fromkeys(versions)),
        acquired=_acquired(properties),
        objective_power=objective_power(properties),
        icc_profile=directory.data(Tag.ICC_PROFILE),
        barcode=properties.get("Barcode") or None,
        optical_paths=_optical_paths(properties),
        properties=properties,
    )


def _spacing(directory: TiffDirectory) -> Spacing | None:
    mpp = number(_told(directory)[1].get("MPP"))
    return plausible_spacing(mpp, mpp) or resolution_spacing(directory)


def _flavor(position: int, directory: TiffDirectory) -> ImageFlavor | None:
    """What a page that is no level shows; None for what we do not know."""
    lines = directory.text(Tag.IMAGE_DESCRIPTION).splitlines()
    second = lines[1].lower() if len(lines) > 1 else ""
    kind = directory.integer(Tag.NEW_SUBFILE_TYPE, 0)
    if second.startswith("label") or (kind == _LABEL and position > 1):
        return ImageFlavor.LABEL
    if second.startswith("macro") or kind == _MACRO:
        return ImageFlavor.OVERVIEW
    return ImageFlavor.THUMBNAIL if position == 1 else None


def _has_tiled_thumbnail(pages: Sequence[TiffDirectory]) -> bool:
    """Whether page 1 is a thumbnail although it is tiled: a level that is larger follows, or it names no tile size."""
    tiled = [page for page in pages[1:] if Tag.TILE_WIDTH in page]
    if not tiled or tiled[0] is not pages[1]:
        return False
    width = tiled[0].integer(Tag.IMAGE_WIDTH)
    if any(width < page.integer(Tag.IMAGE_WIDTH) < pages[0].integer(Tag.IMAGE_WIDTH) for page in tiled[1:]):
        return True
    return _names_tiles(pages[0]) and not _names_tiles(pages[1])


def _names_tiles(page: TiffDirectory) -> bool:
    return re.search(r"\(\d+x\d+\)", _told(page)[0]) is not None


def _planes(candidates: Sequence[Image]) -> dict[Plane, list[Image]]:
    """The levels of every focal plane. In a stack, all levels of the first plane are followed by those of the next.

    Raises UnsupportedFormat for stacks of something else.
    """
    by_size: dict[Region, list[Image]] = {}
    for image in candidates:
        by_size.setdefault(image[1].level.bounds, []).append(image)
    bases = next(iter(by_size.values()))
    depths = [_depth(directory) for directory, _ in bases]
    if len(set(depths)) < len(bases):
        refuse_stack([layout for _, layout in candidates])
    order = sorted(range(len(bases)), key=depths.__getitem__)
    whole = [images for images in by_size.values() if len(images) >= len(bases)]
    return {Plane(0, number): reductions([images[at] for images in whole]) for number, at in enumerate(order)}


def _depth(directory: TiffDirectory) -> float:
    """OffsetZ, in units that Aperio does not tell; the first plane of a stack has TotalDepth instead."""
    return number(_told(directory)[1].get("OffsetZ")) or 0.0


def _open(file: TiffFile, options: SourceOptions) -> TiffSlide:
    pages = list(file.directories())
    first = pages[0]
    if Tag.TILE_WIDTH not in first:
        raise first.unsupported("an Aperio slide whose first page is not tiled")
    levels = [page for page in pages if Tag.TILE_WIDTH in page]
    if _has_tiled_thumbnail(pages):
        levels.remove(pages[1])
    planes = _planes([(directory, read_layout(directory)) for directory in levels])
    others = ((_flavor(at, page), page) for at, page in enumerate(pages) if page not in levels)
    return TiffSlide(
        file,
        open_planes(planes, options, garbage_is_missing=True),
        spacing=_spacing(first),
        metadata=_metadata(first),
        associated=associated_images(others, options),
    )


def _claims(directory: TiffDirectory) -> bool:
    return directory.text(Tag.IMAGE_DESCRIPTION).startswith("Aperio")


FORMAT = TiffVendor("svs", "Aperio SVS", _claims, _open)
