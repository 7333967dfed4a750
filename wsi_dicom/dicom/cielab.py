"""Colours as DICOM gives them, in CIELab of the profile connection space (PS3.3 C.10.7.1.1), and as screens show them.

Sixteen bits a value: L* from 0 to 100, a* and b* from -128 to 127. White is that of illuminant D50.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_WHITE: Final = (0.96422, 1.0, 0.82521)
_TO_XYZ: Final = (
    (0.4360747, 0.3850649, 0.1430804),
    (0.2225045, 0.7168786, 0.0606169),
    (0.0139322, 0.0971045, 0.7141733),
)
"""Linear sRGB to XYZ of D50, adapted from D65 after Bradford."""
_FROM_XYZ: Final = (
    (3.1338561, -1.6168667, -0.4906146),
    (-0.9787684, 1.9161415, 0.0334540),
    (0.0719453, -0.2289914, 1.4052427),
)
"""XYZ of D50 to linear sRGB, adapted to D65 after Bradford."""


def srgb_from_cielab(stored: Sequence[int]) -> tuple[int, int, int]:
    """Red, green, blue, 0..255, of three stored values, 0..65535; colours that a screen cannot show are clipped."""
    lightness, a, b = stored[0] / 65535 * 100, stored[1] / 257 - 128, stored[2] / 257 - 128
    middle = (lightness + 16) / 116
    xyz = [
        white * _linear(part) for white, part in zip(_WHITE, (middle + a / 500, middle, middle - b / 200), strict=True)
    ]
    red, green, blue = (_screen(sum(map(float.__mul__, row, xyz))) for row in _FROM_XYZ)
    return red, green, blue


def cielab_from_srgb(color: tuple[int, int, int]) -> list[int]:
    """Three values as stored, 0..65535, of red, green, blue, 0..255."""
    light = [_light(sample / 255) for sample in color]
    x, y, z = (_share(sum(map(float.__mul__, row, light)) / white) for row, white in zip(_TO_XYZ, _WHITE, strict=True))
    lightness, a, b = 116 * y - 16, 500 * (x - y), 200 * (y - z)
    stored = lightness / 100 * 65535, (a + 128) * 257, (b + 128) * 257
    return [min(0xFFFF, max(0, round(value))) for value in stored]


def _share(ratio: float) -> float:
    """CIELab's cube root, which near black is a straight line."""
    return float(ratio ** (1 / 3)) if ratio > (6 / 29) ** 3 else ratio / (3 * (6 / 29) ** 2) + 4 / 29


def _light(sample: float) -> float:
    """A sample of sRGB, 0..1, as linear light."""
    return float(sample / 12.92 if sample <= 0.04045 else ((sample + 0.055) / 1.055) ** 2.4)


def _linear(part: float) -> float:
    """The inverse of CIELab's cube root, which near black is a straight line."""
    return part**3 if part > 6 / 29 else 3 * (6 / 29) ** 2 * (part - 4 / 29)


def _screen(light: float) -> int:
    """Linear light as a sample of sRGB (IEC 61966-2-1)."""
    light = min(max(light, 0.0), 1.0)
    return round(255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055))
