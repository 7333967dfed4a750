"""Aperio SVS (Leica Biosystems): a TIFF whose first page is the slide.

Page 0 is the finest level, page 1 the thumbnail (in strips), then come the coarser levels (tiled), then label and
macro. Descriptions are a line of text per program that wrote the file, then `|key = value` pairs.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from wsi_dicom.errors import UnsupportedFormat, WsiError
from wsi_dicom.geometry import Spacing
from wsi_dicom.metadata import SlideMetadata, parse_moment
from wsi_dicom.slide import AS_FOUND, AssociatedImage, ImageFlavor, Slide, SourceOptions
from wsi_dicom.sources.tiff_layout import plausible_spacing, read_layout, refuse_stack, resolution_spacing
from wsi_dicom.sources.tiff_level import open_levels
from wsi_dicom.sources.tiff_slide import TiffAssociatedImage, TiffSlide, reductions
from wsi_dicom.sources.tiff_structure import Tag, TiffDirectory, TiffFile, is_tiff

_log = logging.getLogger(__name__)

_LABEL, _MACRO = 1, 9  # NewSubfileType, where a description names neither
_DATE_FORMATS: Final = ("%m/%d/%y %H:%M:%S", "%m/%d/%Y %H:%M:%S")


def parse_description(description: str) -> tuple[str, dict[str, str]]:
    """The text before the first `|`, and the `key = value` pairs after it, of which the last of a name counts."""
    header, *pairs = description.split("|")
    properties = {}
    for pair in pairs:
        key, found, value = pair.partition("=")
        if found:
            properties[key.strip()] = value.strip()
    return header.strip(), properties


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _acquired(properties: dict[str, str]) -> datetime | None:
    """Date is MM/DD/YY or MM/DD/YYYY; only newer scanners (GT 450) have a time zone, as GMT-05:00 or GMT-0500."""
    moment = f"{properties.get('Date', '')} {properties.get('Time', '')}"
    zone = re.fullmatch(r"GMT([+-]\d\d):?(\d\d)", properties.get("Time Zone", ""))
    if zone:
        return parse_moment(f"{moment} {zone[1]}{zone[2]}", *(f"{pattern} %z" for pattern in _DATE_FORMATS))
    return parse_moment(moment, *_DATE_FORMATS)  # the scanner's local time


def _metadata(directory: TiffDirectory) -> SlideMetadata:
    header, properties = parse_description(directory.text(Tag.IMAGE_DESCRIPTION))
    power = _number(properties.get("AppMag"))
    versions = re.findall(r"Aperio Image Library v[\w.]+|Aperio Leica Biosystems GT450 v[\w.]+", header)
    return SlideMetadata(
        manufacturer="Leica Biosystems" if "Leica" in header else "Aperio",
        model=properties.get("ScannerType"),
        serial_number=properties.get("ScanScope ID"),
        software_versions=tuple(dict.fromkeys(versions)),
        acquired=_acquired(properties),
        objective_power=power if power and 0 < power <= 200 else None,
        icc_profile=directory.data(Tag.ICC_PROFILE),
        barcode=properties.get("Barcode"),
        properties=properties,
    )


def _spacing(directory: TiffDirectory) -> Spacing | None:
    mpp = _number(parse_description(directory.text(Tag.IMAGE_DESCRIPTION))[1].get("MPP"))
    return plausible_spacing(mpp, mpp) or resolution_spacing(directory)


def _flavor(position: int, directory: TiffDirectory) -> ImageFlavor | None:
    """What a page that is no level shows; None for what we do not know."""
    lines = directory.text(Tag.IMAGE_DESCRIPTION).splitlines()
    second = lines[1] if len(lines) > 1 else ""
    kind = directory.integer(Tag.NEW_SUBFILE_TYPE, 0)
    if second.startswith("label") or (kind == _LABEL and position > 1):
        return ImageFlavor.LABEL
    if second.startswith("macro") or kind == _MACRO:
        return ImageFlavor.OVERVIEW
    return ImageFlavor.THUMBNAIL if position == 1 else None


def _associated(pages: Iterable[tuple[int, TiffDirectory]]) -> dict[ImageFlavor, AssociatedImage]:
    found: dict[ImageFlavor, AssociatedImage] = {}
    for position, directory in pages:
        flavor = _flavor(position, directory)
        if flavor is None or flavor in found:
            continue
        try:
            found[flavor] = TiffAssociatedImage(directory, flavor)
        except UnsupportedFormat as error:
            _log.warning("left out: %s", error)
    return found


def _open(file: TiffFile) -> TiffSlide:
    pages = list(enumerate(file.directories()))
    first = pages[0][1]
    tiled = [directory for _, directory in pages if Tag.TILE_WIDTH in directory]
    if first not in tiled:
        raise first.unsupported("an Aperio slide whose first page is not tiled")
    candidates = [(directory, read_layout(directory)) for directory in tiled]
    refuse_stack([layout for _, layout in candidates])
    return TiffSlide(
        file,
        open_levels(reductions(candidates)),
        spacing=_spacing(first),
        metadata=_metadata(first),
        associated=_associated((n, directory) for n, directory in pages if directory not in tiled),
    )


class SvsFormat:
    """Found by the description of the first directory, which Aperio writes at the end of the file."""

    key = "svs"
    name = "Aperio SVS"

    def detect(self, path: Path, head: bytes) -> bool:
        if not is_tiff(head):
            return False
        try:
            with TiffFile(path) as file:
                return next(file.directories()).text(Tag.IMAGE_DESCRIPTION).startswith("Aperio")
        except WsiError:
            return False  # opening it as plain TIFF says what is wrong

    def open(self, path: Path, options: SourceOptions = AS_FOUND) -> Slide:
        file = TiffFile(path)
        try:
            return _open(file)
        except BaseException:
            file.close()
            raise


FORMAT = SvsFormat()
