"""`{region}/{size}/{rotation}/{quality}.{format}` of the IIIF Image API (section 4), read and written.

Versions 3.0 and 2.1 differ in how sizes are spelled. What is said of sections is true of both.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from wsi_dicom.errors import InvalidRequest, OutOfBounds
from wsi_dicom.geometry import FIRST_PLANE, Level, Plane, Region
from wsi_dicom.picture_file import PictureFormat, Quality
from wsi_dicom.render import ImageRequest

MAX_SIDE: Final = 16383
"""Pixels along one side of the largest picture: what WebP can hold."""

_DECIMALS: Final = 6
"""Of degrees: more show in no picture."""

_FORMATS: Final = {item.value: item for item in PictureFormat}
_QUALITIES: Final = {item.value: item for item in Quality} | {"color": Quality.DEFAULT}  # the default is in colour
_PIXELS = re.compile(r"(\d{1,10}),(\d{1,10}),(\d{1,10}),(\d{1,10})", re.ASCII)
_NUMBER = r"(\d{1,10}(?:\.\d{1,20})?|\.\d{1,20})"
_PERCENT = re.compile(f"pct:{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}", re.ASCII)
_SIZE = re.compile(r"(!?)(\d{0,10}),(\d{0,10})", re.ASCII)
_SIZE_PERCENT = re.compile(f"pct:{_NUMBER}", re.ASCII)
_ROTATION = re.compile(f"(!?){_NUMBER}", re.ASCII)


class ImageApi(IntEnum):
    """Versions of the IIIF Image API: 2.1 and 3.0."""

    V2 = 2
    V3 = 3


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """The largest picture that is made."""

    max_area: int
    max_side: int = MAX_SIDE

    def allow(self, width: int, height: int) -> bool:
        return width * height <= self.max_area and max(width, height) <= self.max_side

    def require(self, width: int, height: int) -> None:
        """Raises OutOfBounds."""
        if not self.allow(width, height):
            raise OutOfBounds(
                f"a picture of {width} x {height} pixels is over the limits of {self.max_area} pixels and "
                f"{self.max_side} along a side; ask for a smaller one"
            )

    def scale(self, width: int, height: int) -> float:
        """The largest factor by which such a region may be scaled."""
        return min(math.sqrt(self.max_area / (width * height)), self.max_side / max(width, height))

    def told_side(self, base: Level) -> int:
        """What `info.json` calls the largest side (section 5.3), and `^max` keeps to: that of the whole image.

        Larger ones are there for who names them: nobody who asks for the most there is wants a label of 16 million
        pixels.
        """
        return min(self.max_side, max(base.width, base.height))


def parse_image_request(  # the five parts of the path, as section 4 names them
    base: Level,
    limits: SizeLimits,
    *,
    region: str,
    size: str,
    rotation: str,
    quality: str,
    suffix: str,
    plane: Plane = FIRST_PLANE,
    version: ImageApi = ImageApi.V3,
) -> ImageRequest:
    """Raises InvalidRequest (syntax, or makes no sense) and OutOfBounds (over the limits)."""
    area = _region(base, region)
    width, height = _size(base, area, size, limits, version)
    mirror, degrees = _rotation(rotation)
    if suffix not in _FORMATS:
        raise InvalidRequest(f"format {suffix[:20]!r}: expected one of {', '.join(_FORMATS)}")
    if quality not in _QUALITIES:
        raise InvalidRequest(f"quality {quality[:20]!r}: expected one of {', '.join(_QUALITIES)}")
    wanted = ImageRequest(area, width, height, mirror, degrees, _QUALITIES[quality], _FORMATS[suffix], plane)
    limits.require(*wanted.turned_size)
    return wanted


def canonical_path(base: Level, limits: SizeLimits, request: ImageRequest, version: ImageApi = ImageApi.V3) -> str:
    """The one spelling of a request (section 4.7)."""
    area = request.region
    region = "full" if area == base.bounds else f"{area.x},{area.y},{area.width},{area.height}"
    size = _canonical_size(base, request, limits) if version is ImageApi.V3 else _canonical_size_2(request)
    degrees = f"{request.rotation:.{_DECIMALS}f}".rstrip("0").rstrip(".")
    return f"{region}/{size}/{'!' if request.mirror else ''}{degrees}/{request.quality}.{request.format}"


def _canonical_size(base: Level, request: ImageRequest, limits: SizeLimits) -> str:
    area, width, height = request.region, request.width, request.height
    if width > area.width or height > area.height:
        largest = (width, height) == _size(base, area, "^max", limits, ImageApi.V3)
        return "^max" if largest else f"^{width},{height}"
    whole = (width, height) == (area.width, area.height)  # what is not is no `max` but under the limits
    if whole or (
        not limits.allow(area.width, area.height) and (width, height) == _floored(area, _reduction(area, limits))
    ):
        return "max"
    return f"{width},{height}"


def _canonical_size_2(request: ImageRequest) -> str:
    area = request.region
    if (request.width, request.height) == (area.width, area.height):
        return "full"
    kept = request.height == _side(request.width, area.height, area.width)
    return f"{request.width}," if kept else f"{request.width},{request.height}"


def _region(base: Level, text: str) -> Region:
    """Section 4.1. What reaches over the edge is cut off."""
    if text == "full":
        return base.bounds
    if text == "square":
        side = min(base.width, base.height)
        return Region((base.width - side) // 2, (base.height - side) // 2, side, side)
    if match := _PIXELS.fullmatch(text):
        x, y, width, height = (int(number) for number in match.groups())
    elif match := _PERCENT.fullmatch(text):
        left, top, across, down = (float(number) / 100 for number in match.groups())
        x, y = round(left * base.width), round(top * base.height)
        width, height = round(across * base.width), round(down * base.height)
        if across and down:  # a share that rounds to nothing still is a pixel
            width, height = max(width, 1), max(height, 1)
        if left < 1 and top < 1:  # what begins inside does so after rounding, too
            x, y = min(x, base.width - 1), min(y, base.height - 1)
    else:
        raise InvalidRequest(f"region {text[:60]!r}: expected full, square, x,y,w,h or pct:x,y,w,h")
    area = Region(x, y, width, height)
    if area.right > base.width or area.bottom > base.height:
        area = area.intersection(base.bounds)
    if area.empty:
        raise InvalidRequest(
            f"region {text[:60]!r} has no pixel of the {base.width} x {base.height} pixels of this slide"
        )
    return area


def _size(base: Level, area: Region, text: str, limits: SizeLimits, version: ImageApi) -> tuple[int, int]:
    """Section 4.2: width and height of the result, before rotation."""
    marked = version is ImageApi.V3 and text.startswith("^")
    wanted = text[1:] if marked else text
    if wanted == "max":
        if not marked:
            return _floored(area, _reduction(area, limits))
        told = limits.told_side(base) / max(area.width, area.height)
        return _floored(area, min(limits.scale(area.width, area.height), told))
    if wanted == "full" and version is ImageApi.V2:
        width, height = area.width, area.height
    elif match := _SIZE_PERCENT.fullmatch(wanted):
        if not float(match[1]):
            raise _bad_size(text, version)
        width, height = _rounded(area, float(match[1]) / 100)
    elif (match := _SIZE.fullmatch(wanted)) and (match[2] or match[3]):
        width, height = int(match[2] or 0), int(match[3] or 0)
        if 0 in (match[2] and width, match[3] and height) or (match[1] and not (width and height)):
            raise _bad_size(text, version)
        if match[1]:
            return _confined(area, width, height, text, limits, version)
        width = width or _side(height, area.width, area.height)
        height = height or _side(width, area.height, area.width)
    else:
        raise _bad_size(text, version)
    if version is ImageApi.V3 and not marked and (width > area.width or height > area.height):
        raise _unmarked(area, text)
    return width, height


def _confined(
    area: Region, width: int, height: int, text: str, limits: SizeLimits, version: ImageApi
) -> tuple[int, int]:
    """`!w,h`. Of 3.0's without ^ those that nothing but enlarging could fill are refused, as by other servers."""
    scale = min(width / area.width, height / area.height)
    if text.startswith("^"):
        largest = limits.scale(area.width, area.height)
    else:
        largest = _reduction(area, limits)
        if scale > 1 and version is ImageApi.V3:
            raise _unmarked(area, text)
    return _floored(area, min(scale, largest), (width, height))


def _reduction(area: Region, limits: SizeLimits) -> float:
    """The largest factor that does not enlarge."""
    return min(1.0, limits.scale(area.width, area.height))


def _side(other: int, share: int, of: int) -> int:
    """The side that goes with the other one, in the proportion of two sides of a region."""
    return max(1, round(other * share / of))


def _unmarked(area: Region, text: str) -> InvalidRequest:
    return InvalidRequest(
        f"size {text[:40]!r} is larger than the region of {area.width} x {area.height} pixels; "
        "put ^ before it to enlarge"
    )


def _bad_size(text: str, version: ImageApi) -> InvalidRequest:
    expected = {
        ImageApi.V2: "full, max, w, or ,h or w,h or !w,h or pct:n",
        ImageApi.V3: "max, w, or ,h or w,h or !w,h or pct:n, with ^ to enlarge",
    }
    return InvalidRequest(f"size {text[:40]!r}: expected {expected[version]}")


def _rounded(area: Region, scale: float) -> tuple[int, int]:
    """A size that rounds to 0 is 1."""
    return max(1, round(area.width * scale)), max(1, round(area.height * scale))


def _floored(area: Region, scale: float, box: tuple[int, int] = (MAX_SIDE, MAX_SIDE)) -> tuple[int, int]:
    """Never a pixel more than a limit allows; a hair is added because 300 / 1024 * 1024 need not be 300."""
    width, height = max(1, int(area.width * scale + 1e-6)), max(1, int(area.height * scale + 1e-6))
    return min(width, box[0]), min(height, box[1])


def _rotation(text: str) -> tuple[bool, float]:
    """Section 4.3: whether to mirror first, and degrees clockwise."""
    match = _ROTATION.fullmatch(text)
    if match is None or float(match[2]) > 360:
        raise InvalidRequest(f"rotation {text[:20]!r}: expected 0 to 360 degrees, with ! before it to mirror")
    return bool(match[1]), round(float(match[2]), _DECIMALS) % 360
