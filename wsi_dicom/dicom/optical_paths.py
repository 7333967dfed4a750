"""Optical Path module (PS3.3 C.8.12.5): the light of each of an image's optical paths."""

from __future__ import annotations

import math
import struct
from typing import Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from wsi_dicom.dicom.description import ImageDescription
from wsi_dicom.dicom.icc import input_device_profile
from wsi_dicom.dicom.settings import OpticalPathChoice, SeriesSettings
from wsi_dicom.dicom.values import clean_text, code, decimal
from wsi_dicom.metadata import OpticalPath, SlideMetadata

_DEFAULT: Final = OpticalPath("0")
_LONGEST_WAVE_NM: Final = 0xFFFF
_DISCRETE, _LINEAR = 0, 1  # opcodes of the segments of a lookup table


def add_optical_paths(
    dataset: Dataset, image: ImageDescription, metadata: SlideMetadata, settings: SeriesSettings
) -> None:
    """One item for each path; with OpticalPathChoice.NONE nothing is said of light that nobody told of."""
    paths = image.optical_paths or (_DEFAULT,)
    power = metadata.objective_power if settings.objective_power is None else settings.objective_power
    items = []
    for path, identifier in zip(paths, _identifiers(paths), strict=True):
        item = Dataset()
        item.OpticalPathIdentifier = identifier
        if description := clean_text(path.description or "", 1024):
            item.OpticalPathDescription = description
        if path is not _DEFAULT or settings.optical_path is OpticalPathChoice.BRIGHTFIELD:
            _add_light(item, path)
        if power is not None and math.isfinite(power) and not image.shows_label:
            item.ObjectiveLensPower = decimal(power)
        _add_color(item, image, path, settings.icc_profile or metadata.icc_profile)
        items.append(item)
    dataset.OpticalPathSequence = Sequence(items)
    dataset.NumberOfOpticalPaths = len(items)


def drop_untold_light(dataset: Dataset) -> None:
    """Leaves the module out when neither the slide nor the user told of any light, and none was to be assumed.

    Such an image is not conformant; it is what the user asked for.
    """
    if not any("IlluminationTypeCodeSequence" in path for path in dataset.OpticalPathSequence):
        del dataset.OpticalPathSequence
        del dataset.NumberOfOpticalPaths


def _identifiers(paths: tuple[OpticalPath, ...]) -> list[str]:
    """Unique, of at most 16 characters: the sources' own where they are that, else numbers from 0."""
    names = [clean_text(path.identifier, 17) for path in paths]
    fit = len(set(names)) == len(names) and all(0 < len(name) <= 16 for name in names)
    return names if fit else [str(number) for number in range(len(paths))]


def _add_light(item: Dataset, path: OpticalPath) -> None:
    """The illuminator's wavelength is that of excitation; that of emission is what the filter before the sensor lets
    through."""
    if path.fluorescence:
        item.IlluminationTypeCodeSequence = code("111743", "DCM", "Epifluorescence illumination")
    else:
        item.IlluminationTypeCodeSequence = code("111744", "DCM", "Brightfield illumination")
    if (excitation := _wavelength(path.excitation_nm)) is not None:
        item.IlluminationWaveLength = excitation
    else:
        item.IlluminationColorCodeSequence = code("414298005", "SCT", "Full Spectrum")
    if (emission := _wavelength(path.emission_nm)) is not None:
        item.ImagePathFilterPassThroughWavelength = round(emission)


def _wavelength(value: float | None) -> float | None:
    return value if value is not None and 1 <= value <= _LONGEST_WAVE_NM else None


def _add_color(item: Dataset, image: ImageDescription, path: OpticalPath, profile: bytes | None) -> None:
    """An ICC profile for colour pixels, and for gray ones that are to be shown in a colour; other gray has none."""
    if image.pixel_format.samples == 1:
        if path.color is None or path.color == (255, 255, 255):
            return
        item.PaletteColorLookupTableSequence = Sequence([_palette(path.color, image.pixel_format.bits)])
        profile = None
    item.ICCProfile, color_space = input_device_profile(profile)
    if color_space is not None:
        item.ColorSpace = color_space


def _palette(color: tuple[int, int, int], bits: int) -> Dataset:
    """From black to the colour, linear: one discrete and one linear segment a colour (C.7.9.2), not 2^bits entries."""
    last = (1 << bits) - 1
    palette = Dataset()
    for name, full in zip(("Red", "Green", "Blue"), color, strict=True):
        # 65536 entries are told as 0
        setattr(palette, f"{name}PaletteColorLookupTableDescriptor", [(last + 1) & 0xFFFF, 0, 16])
        segments = struct.pack("<6H", _DISCRETE, 1, 0, _LINEAR, last, full * 257)
        setattr(palette, f"Segmented{name}PaletteColorLookupTableData", segments)
    return palette
