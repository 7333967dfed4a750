"""Trestle MedScan: a TIFF whose tiles overlap by what its description lists for each level.

Only slides without overlap are read here; the others are OpenSlide's. The description has `key=value` pairs between
semicolons. The overview is a JPEG file beside the slide, of the same name with the suffix `.Full`.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from wsi_dicom.errors import UnsupportedFormat
from wsi_dicom.metadata import SlideMetadata, parse_moment
from wsi_dicom.slide import AssociatedImage, ImageFlavor, Slide, SourceOptions
from wsi_dicom.sources.jpeg_picture import JpegPicture
from wsi_dicom.sources.scanner_text import key_values, magnification
from wsi_dicom.tiff.layout import plausible_spacing, read_layout, refuse_stack
from wsi_dicom.tiff.level import open_levels
from wsi_dicom.tiff.slide import TiffSlide, reductions
from wsi_dicom.tiff.structure import Tag, TiffDirectory, TiffFile
from wsi_dicom.tiff.vendor import TiffVendor

_log = logging.getLogger(__name__)
_MAX_OVERVIEW_BYTES: Final = 64 << 20


def _claims(directory: TiffDirectory) -> bool:
    return directory.text(Tag.SOFTWARE).startswith("MedScan")


def _refuse_overlaps(directory: TiffDirectory, told: dict[str, str]) -> None:
    """OverlapsXY: pixels by which tiles overlap, in x and y for each level. Raises UnsupportedFormat."""
    overlaps = told.get("OverlapsXY", "").split()
    if any(overlap != "0" for overlap in overlaps):
        raise directory.unsupported(
            f"Trestle tiles that overlap by {' x '.join(overlaps[:2])} pixels are not put together here"
        )


def _metadata(directory: TiffDirectory, told: dict[str, str]) -> SlideMetadata:
    software = directory.text(Tag.SOFTWARE)
    return SlideMetadata(
        manufacturer=directory.text(Tag.MAKE) or "Trestle",
        model=directory.text(Tag.MODEL) or None,
        software_versions=(software,),
        acquired=parse_moment(directory.text(Tag.DATE_TIME), "%Y:%m:%d %H:%M:%S"),
        objective_power=magnification(told.get("Objective Power")),
        icc_profile=directory.data(Tag.ICC_PROFILE),
        properties=told,
    )


def _beside(path: Path) -> Path:
    return path.with_suffix(".Full")


def _overview(path: Path) -> dict[ImageFlavor, AssociatedImage]:
    beside = _beside(path)
    try:
        with beside.open("rb") as file:
            data = file.read(_MAX_OVERVIEW_BYTES)
        return {ImageFlavor.OVERVIEW: JpegPicture(data, beside.name)}
    except FileNotFoundError:
        return {}
    except (OSError, UnsupportedFormat) as error:
        _log.warning("left out: %s: %s", beside.name, error)
        return {}


def _read(file: TiffFile, options: SourceOptions) -> Slide:
    levels = [(page, read_layout(page)) for page in file.directories()]
    first = levels[0][0]
    told = key_values(first.text(Tag.IMAGE_DESCRIPTION), ";")
    _refuse_overlaps(first, told)
    if not all(layout.tiled for _, layout in levels):
        raise first.unsupported("a Trestle slide with a page that is not tiled")
    refuse_stack([layout for _, layout in levels])
    slide = TiffSlide(
        file,
        open_levels(reductions(levels), options),
        # the resolution fields hold micrometres per pixel, not pixels per unit
        spacing=plausible_spacing(first.number(Tag.X_RESOLUTION), first.number(Tag.Y_RESOLUTION)),
        metadata=_metadata(first, told),
        associated=_overview(file.path),
    )
    if slide.associated:
        slide.files += (_beside(file.path),)
    return slide


FORMAT = TiffVendor("trestle", "Trestle TIFF", _claims, _read)
