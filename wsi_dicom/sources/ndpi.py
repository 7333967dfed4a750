"""Hamamatsu NDPI: a file like TIFF, every page of which is one JPEG stream.

Pages say by their magnification what they are: above 0 levels, -1 the macro picture of the whole slide, -2 a map of
where tissue is. Focal planes are pages of one size with different offsets along the axis. One file has one optical
path: a fluorescence scan is a file per filter set.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

from wsi_dicom.decoded_cache import DecodedCache
from wsi_dicom.errors import CorruptInput, UnsupportedFormat
from wsi_dicom.geometry import Level, PixelFormat
from wsi_dicom.metadata import OpticalPath, SlideMetadata, parse_moment
from wsi_dicom.slide import AssociatedImage, ImageFlavor, SourceOptions
from wsi_dicom.sources.ndpi_level import NdpiLevel
from wsi_dicom.sources.ndpi_slide import LabelOfMacro, Macro, NdpiSlide
from wsi_dicom.sources.ndpi_structure import NdpiFile
from wsi_dicom.sources.scanner_text import magnification, number
from wsi_dicom.tiff.layout import resolution_spacing
from wsi_dicom.tiff.level import strip_cache
from wsi_dicom.tiff.slide import is_reduction
from wsi_dicom.tiff.structure import Tag, TiffDirectory, TiffFile
from wsi_dicom.tiff.vendor import TiffVendor

_log = logging.getLogger(__name__)

_MACRO: Final = -1.0
_SHADING: Final = "NDP Shading Data"
_LABEL_SHARE: Final = 0.3
"""Of the width of the macro picture, where the scanner does not tell: what opentile cuts off."""

_Stacks: TypeAlias = dict[tuple[Level, PixelFormat], dict[float, NdpiLevel]]


def parse_properties(text: str) -> dict[str, str]:
    """The `key=value` lines of field 65449. Lines that begin with `;` belong to the section named by one without `=`.

    Keys in a section are called `section.key`.
    """
    found: dict[str, str] = {}
    section = ""
    for line in text.splitlines():
        key, equals, value = line.strip().removeprefix(";").partition("=")
        if not line.strip().startswith(";"):
            section = ""
        elif not equals:
            section = key.strip() + "."
        if equals:
            found[section + key.strip()] = value.strip()
    return found


def _fluorescence(directory: TiffDirectory, properties: Mapping[str, str]) -> tuple[OpticalPath, ...]:
    """The filter set, when the file names one and the wavelength that it lets through; else nothing."""
    name, emission = directory.text(Tag.NDPI_FILTER_SET).strip(), directory.number(Tag.NDPI_WAVELENGTH)
    if not name or not emission or emission <= 0:
        return ()
    excitation = number(properties.get(f"{_SHADING}.ExcitationWaveLength"))
    return (OpticalPath(name, name, fluorescence=True, excitation_nm=excitation, emission_nm=emission),)


def _metadata(directory: TiffDirectory) -> SlideMetadata:
    properties = parse_properties(directory.text(Tag.NDPI_PROPERTIES))
    software = directory.text(Tag.SOFTWARE)
    reference = directory.text(Tag.NDPI_REFERENCE).strip() or None
    offsets = {
        "XOffsetFromSlideCentre": directory.number(Tag.NDPI_X_OFFSET),
        "YOffsetFromSlideCentre": directory.number(Tag.NDPI_Y_OFFSET),
    }
    return SlideMetadata(
        manufacturer=directory.text(Tag.MAKE) or "Hamamatsu",
        model=directory.text(Tag.MODEL) or None,
        serial_number=directory.text(Tag.NDPI_SERIAL_NUMBER) or properties.get("NDP.S/N"),
        software_versions=(software,) if software else (),
        acquired=parse_moment(directory.text(Tag.DATE_TIME), "%Y:%m:%d %H:%M:%S"),
        objective_power=magnification(f"{directory.number(Tag.NDPI_MAGNIFICATION) or 0:g}"),
        icc_profile=directory.data(Tag.ICC_PROFILE),
        barcode=directory.text(Tag.NDPI_BARCODE).strip() or None,
        slide_identifier=reference,
        optical_paths=_fluorescence(directory, properties),
        properties=properties
        | ({"Reference": reference} if reference else {})
        | {name: f"{value:.0f}" for name, value in offsets.items() if value is not None},
    )


def _tagged_pixels(directory: TiffDirectory) -> int:
    return directory.integer(Tag.IMAGE_WIDTH, 0) * directory.integer(Tag.IMAGE_LENGTH, 0)


def _stacks(pages: Sequence[TiffDirectory], strips: DecodedCache) -> _Stacks:
    """The pages of each size, by their offset along the axis in nm; the finest first.

    Raises UnsupportedFormat when the finest page is not read, CorruptInput.
    """
    stacks: _Stacks = {}
    for directory in sorted(pages, key=_tagged_pixels, reverse=True):
        try:
            level = NdpiLevel(directory, f"magnification {directory.number(Tag.NDPI_MAGNIFICATION):g}", strips)
        except UnsupportedFormat as error:
            if not stacks:
                raise
            _log.warning("left out: %s", error)
            continue
        stack = stacks.setdefault((level.level, level.pixel_format), {})
        if stack.setdefault(directory.number(Tag.NDPI_Z_OFFSET) or 0.0, level) is not level:
            _log.warning("%s: %s: left out: a second page of its size and focus", directory.file.name, directory.place)
    return stacks


def _levels(stacks: _Stacks) -> tuple[list[float], list[list[NdpiLevel]]]:
    """The focal planes of the finest level in nm, lowest first, and for each level, finest first, its pages in them.

    Pages of other planes, and levels that do not have all, are left out.
    """
    (base, pixel_format), finest = next(iter(stacks.items()))
    planes = sorted(finest)
    levels = [[finest[focus] for focus in planes]]
    for (level, found), stack in stacks.items():
        if stack is finest:
            continue
        one = next(iter(stack.values()))
        if found == pixel_format and is_reduction(level, base) and set(planes) <= set(stack):
            levels.append([stack[focus] for focus in planes])
        else:
            _log.warning(
                "%s: left out: %d x %d pixels in %d of %d focal planes, which is no level of %d x %d",
                one.directory.file.name, level.width, level.height, len(set(planes) & set(stack)), len(planes),
                base.width, base.height,
            )  # fmt: skip
    return planes, levels


def _focal_spacing_um(name: str, planes: Sequence[float]) -> float | None:
    """The mean distance of planes at offsets in nm; None for one plane."""
    if len(planes) == 1:
        return None
    gaps = [upper - lower for lower, upper in pairwise(planes)]
    if max(gaps) > 1.01 * min(gaps):
        _log.warning("%s: focal planes are %g to %g nm apart; the mean is kept", name, min(gaps), max(gaps))
    return sum(gaps) / len(gaps) / 1000


def _label_width(macro: Macro, properties: Mapping[str, str]) -> int:
    """How much of the macro picture, from the left, is label.

    Scanners that tell give the rectangles (left, top, right, bottom) of slide and label in the camera's picture, of
    which the macro picture is that of the slide, turned by 180 degrees.
    """
    slide, label = (
        [number(side) for side in properties.get(f"roi.{part}.macro", "").split(",")] for part in ("slide", "barcode")
    )
    if len(slide) == len(label) == 4:
        right, left, begin = slide[2], slide[0], label[0]
        if right and begin and left is not None and round(right - left) == macro.width and left < begin < right:
            return max(1, round(right - begin))
    return max(1, round(_LABEL_SHARE * macro.width))


def _associated(pages: Sequence[TiffDirectory], properties: Mapping[str, str]) -> dict[ImageFlavor, AssociatedImage]:
    """The macro picture, and the label that is cut out of it."""
    for directory in pages:
        if directory.number(Tag.NDPI_MAGNIFICATION) == _MACRO:
            try:
                macro = Macro(NdpiLevel(directory, "macro", strip_cache(), whole=True))
            except (UnsupportedFormat, CorruptInput) as error:
                _log.warning("left out: %s", error)
                continue
            label = LabelOfMacro(macro, _label_width(macro, properties))
            return {ImageFlavor.OVERVIEW: macro, ImageFlavor.LABEL: label}
    return {}


def _claims(directory: TiffDirectory) -> bool:
    return Tag.NDPI_VERSION in directory


def _read(file: TiffFile, options: SourceOptions) -> NdpiSlide:  # noqa: ARG001 - no tile of NDPI is missing
    pages = list(file.directories())
    levels_of = [page for page in pages if (page.number(Tag.NDPI_MAGNIFICATION) or 0) > 0]
    if not levels_of:
        raise UnsupportedFormat(f"{file.name}: none of {len(pages)} pages has a magnification, so none is a level")
    planes, levels = _levels(_stacks(levels_of, strip_cache()))
    base = levels[0][0].directory
    metadata = _metadata(base)
    return NdpiSlide(
        file,
        levels,
        spacing=resolution_spacing(base),
        focal_spacing_um=_focal_spacing_um(file.name, planes),
        metadata=metadata,
        associated=_associated(pages, metadata.properties),
    )


FORMAT = TiffVendor("ndpi", "Hamamatsu NDPI", _claims, _read, NdpiFile)
