"""What is known about a slide beside its pixels, and how sources of that knowledge merge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime


@dataclass(frozen=True, slots=True)
class OpticalPath:
    """One way in which light reached the sensor: brightfield, or a channel of fluorescence.

    `description` is the channel's name ("DAPI"). Wavelengths are in nanometres. `color` (red, green, blue, 0..255) is
    what a gray channel should be shown in.
    """

    identifier: str
    description: str | None = None
    fluorescence: bool = False
    excitation_nm: float | None = None
    emission_nm: float | None = None
    color: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class LossyStep:
    """One lossy compression that the pixels went through (PS3.3 C.7.6.1.1.5).

    `method` is the defined term, ISO_10918_1 for instance. `ratio` None, in the last step only: it is measured when the
    pixels are written.
    """

    method: str
    ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """The values, as the pixels of a slide have them, that a display spreads over its grays (PS3.3 C.11.2.1.3).

    Half of `width` below `center` is black, half above it is white. `sigmoid`: no hard ends, the middle steeper. With a
    negative width it is the other way round: large values are dark.
    """

    center: float
    width: float
    sigmoid: bool = False

    @classmethod
    def whole(cls, bits: int) -> Window:
        """Of all that samples of so many bits can be."""
        largest = (1 << bits) - 1
        return cls(largest / 2, largest)


@dataclass(frozen=True, slots=True)
class SlideMetadata:
    """Scanner, optics and identifiers of a slide. None, or empty, means that the source does not tell.

    `objective_power` is the nominal magnification (20.0 for 20x). `icc_profile` is the profile of the level pixels as
    found. `optical_paths` are those of the pyramid in their order, empty when the source describes none. `window` is
    how samples of 16 bits are meant to be shown, `path_windows` how those of each optical path, empty
    where all are alike. `imaged_depth_um` is how deep the scanned volume is. `identifiers`
    holds DICOM keywords of identifiers that a DICOM source carries. `properties` holds everything else that the source
    says, by the source's own names (Aperio's `ScanScope ID`, for instance); it may name a patient.
    """

    manufacturer: str | None = None
    model: str | None = None
    serial_number: str | None = None
    software_versions: tuple[str, ...] = ()
    acquired: datetime | None = None
    objective_power: float | None = None
    icc_profile: bytes | None = field(default=None, repr=False)
    barcode: str | None = None
    slide_identifier: str | None = None
    optical_paths: tuple[OpticalPath, ...] = ()
    window: Window | None = None
    path_windows: tuple[Window | None, ...] = ()
    imaged_depth_um: float | None = None
    identifiers: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict, repr=False)

    def window_of(self, optical_path: int) -> Window | None:
        """How the samples of an optical path, counted from 0, are meant to be shown."""
        return self.path_windows[optical_path] if self.path_windows else self.window

    def of_paths(self, numbers: Sequence[int]) -> SlideMetadata:
        """That of a part of the slide, which has these of its optical paths, counted from 0."""
        described = self.optical_paths  # some series describe only the first of their paths
        paths = tuple(described[number] for number in numbers if number < len(described))
        windows = tuple(self.path_windows[number] for number in numbers) if self.path_windows else ()
        if len(set(windows)) == 1:
            return replace(self, optical_paths=paths, window=windows[0], path_windows=())
        return replace(self, optical_paths=paths, path_windows=windows)


def parse_moment(text: str, *patterns: str) -> datetime | None:
    """By the first pattern (of strptime) that fits; None when none does, or for a year in which nobody scanned slides.

    Scanners without a clock write year 1, or other years that DICOM cannot hold.
    """
    for pattern in patterns:
        try:
            moment = datetime.strptime(text, pattern)
        except ValueError:
            continue
        return moment if 1900 <= moment.year < 2100 else None
    return None
