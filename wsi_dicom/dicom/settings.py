"""What a user may say of a series beside its attributes: where the scan lies, its light, its texts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wsi_dicom.dicom.character_sets import CharacterSet
from wsi_dicom.dicom.icc import check_profile
from wsi_dicom.errors import InvalidRequest


class OpticalPathChoice(StrEnum):
    """What is written of the light when neither the slide nor the user's attributes tell it."""

    BRIGHTFIELD = "brightfield"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class SeriesSettings:
    """The same for all images of a series.

    `offset_x_mm`, `offset_y_mm`: where the upper left pixel lies on the slide (PS3.3 C.8.12.14); None: as the source
    tells, else 20 and 40. `imaged_depth_mm`
    None: that of the focal planes, else 1 micrometre. `objective_power` and `icc_profile` go over the slide's own.
    Raises InvalidRequest for values that make no sense.
    """

    offset_x_mm: float | None = None
    offset_y_mm: float | None = None
    imaged_depth_mm: float | None = None
    objective_power: float | None = None
    optical_path: OpticalPathChoice = OpticalPathChoice.BRIGHTFIELD
    icc_profile: bytes | None = None
    character_set: CharacterSet = CharacterSet.UTF8

    def __post_init__(self) -> None:
        offsets = (self.offset_x_mm or 0.0, self.offset_y_mm or 0.0)
        if not all(abs(offset) < 1e6 for offset in offsets):  # nan too
            raise InvalidRequest("offsets are numbers of millimetres between -1e6 and 1e6")
        for name, value in (("imaged depth", self.imaged_depth_mm), ("objective power", self.objective_power)):
            if value is not None and not 0 < value < 1e6:
                raise InvalidRequest(f"the {name} is a number above 0")
        if self.icc_profile is not None:
            check_profile(self.icc_profile, "the ICC profile")

    @property
    def moves_origin(self) -> bool:
        """Whether the user says where the upper left pixel lies."""
        return self.offset_x_mm is not None or self.offset_y_mm is not None


DEFAULT_SETTINGS = SeriesSettings()
