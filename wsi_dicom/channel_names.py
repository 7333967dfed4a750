"""What the optical paths of a slide are called: channels of fluorescence as a rule."""

from __future__ import annotations

import colorsys
from bisect import bisect
from collections import Counter
from collections.abc import Sequence
from typing import Final

from wsi_dicom.metadata import OpticalPath

_HUES: Final = ("Red", "Orange", "Yellow", "Green", "Cyan", "Blue", "Violet", "Magenta", "Red")
_HUES_END: Final = (15, 45, 70, 160, 200, 260, 290, 345)
"""In degrees of the circle of hues."""
_LEAST_SATURATION: Final = 0.25


def channel_names(described: Sequence[OpticalPath], count: int) -> list[str]:
    """Of `count` optical paths, in their order, of which the first are `described`.

    Their descriptions, else identifiers that are more than numbers, else wavelengths ("525 nm", or "488/525 nm" of
    excitation and emission), else colours; "Channel 2" where nothing tells one from the others.
    """
    paths = [described[number] if number < len(described) else OpticalPath("") for number in range(count)]
    names = [path.description or _word(path.identifier) or _light(path) for path in paths]
    uses = Counter(names)
    return [
        f"Channel {number}" if not name or (uses[name] > 1 and name == _light(path)) else name
        for number, (name, path) in enumerate(zip(names, paths, strict=True), start=1)
    ]


def _word(identifier: str) -> str:
    return identifier if any(map(str.isalpha, identifier)) else ""


def _light(path: OpticalPath) -> str:
    wavelengths = [f"{value:g}" for value in (path.excitation_nm, path.emission_nm) if value]
    return f"{'/'.join(wavelengths)} nm" if wavelengths else _color_name(path.color)


def _color_name(color: tuple[int, int, int] | None) -> str:
    """ "" for none, and for grays."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(level / 255 for level in color or (0, 0, 0)))
    return _HUES[bisect(_HUES_END, 360 * hue)] if value and saturation >= _LEAST_SATURATION else ""
