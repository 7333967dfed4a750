"""How large a pixel of the slide is: as the source tells, as the user tells, or assumed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wsi_dicom.dicom.assumptions import ASSUMED_WIDTH_MM, WIDTH_ASSUMED
from wsi_dicom.errors import InvalidRequest
from wsi_dicom.geometry import Spacing
from wsi_dicom.slide import Slide

_NOTABLE: Final = 0.02
"""Difference between the user's spacing and the source's, above which there is a warning."""


@dataclass(frozen=True, slots=True)
class ScaleOptions:
    """What the user says of the scale: `spacing` of the finest level, or the size of the whole picture in mm.

    What the user says goes over what the source says. `required`: never assume anything.
    """

    spacing: Spacing | None = None
    imaged_width_mm: float | None = None
    imaged_height_mm: float | None = None
    required: bool = False

    def __post_init__(self) -> None:
        told = [self.imaged_width_mm, self.imaged_height_mm, *(self.spacing or ())]
        if any(value is not None and not 0 < value < 1e6 for value in told):
            raise InvalidRequest("spacing and imaged width and height are numbers of millimetres above 0")
        if self.spacing is not None and (self.imaged_width_mm or self.imaged_height_mm):
            raise InvalidRequest("the spacing follows from the imaged width and height: give one or the other")


@dataclass(frozen=True, slots=True)
class Scale:
    """The spacing of the finest level. `comment`, for Image Comments, says what was assumed; `warning` too."""

    spacing: Spacing
    comment: str | None = None
    warning: str | None = None


def choose_scale(slide: Slide, options: ScaleOptions) -> Scale:
    """Raises InvalidRequest when the scale is required and nobody tells it."""
    base, found = slide.pyramid.base, slide.pyramid.spacing
    told = options.spacing
    width, height = options.imaged_width_mm, options.imaged_height_mm
    if width is not None or height is not None:
        x_mm = width / base.width if width is not None else None
        y_mm = height / base.height if height is not None else None
        told = Spacing(x_mm or y_mm or 0.0, y_mm or x_mm or 0.0)
    if told is not None:
        return Scale(told, warning=_disagreement(slide.name, told, found))
    if found is not None:
        return Scale(found)
    if options.required:
        raise InvalidRequest(f"{slide.name}: tells no pixel spacing; give it with --spacing X[,Y] or --imaged-width")
    side = ASSUMED_WIDTH_MM / base.width
    return Scale(
        Spacing(side, side),
        comment=WIDTH_ASSUMED,
        warning=f"{slide.name}: tells no pixel spacing; an imaged width of {ASSUMED_WIDTH_MM:g} mm is assumed "
        "(give the real one with --spacing or --imaged-width)",
    )


def _disagreement(name: str, told: Spacing, found: Spacing | None) -> str | None:
    if found is None or all(abs(t - f) <= _NOTABLE * f for t, f in zip(told, found, strict=True)):
        return None
    return (
        f"{name}: the spacing given, {told.x_mm:.6g} x {told.y_mm:.6g} mm, is written; "
        f"the source tells {found.x_mm:.6g} x {found.y_mm:.6g} mm"
    )
