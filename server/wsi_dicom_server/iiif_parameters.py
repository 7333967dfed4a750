"""`{region}/{size}/{rotation}/{quality}.{format}` of the IIIF Image API 3.0 (section 4), read and written."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from wsi_dicom.errors import InvalidRequest, OutOfBounds
from wsi_dicom.geometry import Level, Region
from wsi_dicom.render import ImageRequest, PictureFormat, Quality

MAX_SIDE: Final = 16383
"""Pixels along one side of the largest picture: what WebP can hold."""

_FORMATS: Final = {item.value: item for item in PictureFormat}
_QUALITIES: Final = {item.value: item for item in Quality}
_PIXELS = re.compile(r"(\d{1,10}),(\d{1,10}),(\d{1,10}),(\d{1,10})", re.ASCII)
_NUMBER = r"(\d{1,10}(?:\.\d{1,20})?|\.\d{1,20})"
_PERCENT = re.compile(f"pct:{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}", re.ASCII)
_SIZE = re.compile(r"(!?)(\d{0,10}),(\d{0,10})", re.ASCII)
_SIZE_PERCENT = re.compile(f"pct:{_NUMBER}", re.ASCII)
_ROTATION = re.compile(f"(!?){_NUMBER}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """The largest picture that is made. `info.json` tells them."""

    max_area: int
    max_side: int = MAX_SIDE

    def allow(self, width: int, height: int) -> bool:
        return width * height <= self.max_area and max(width, height) <= self.max_side

    def scale(self, width: int, height: int) -> float:
        """The largest factor by which such a region may be scaled."""
        return min(math.sqrt(self.max_area / (width * height)), self.max_side / max(width, height))


def parse_image_request(  # the five parts of the path, as section 4 names them
    base: Level, limits: SizeLimits, *, region: str, size: str, rotation: str, quality: str, suffix: str
) -> ImageRequest:
    """Raises InvalidRequest (syntax, or makes no sense) and OutOfBounds (over the limits)."""
    area = _region(base, region)
    width, height = _size(area, size, limits)
    mirror, degrees = _rotation(rotation)
    if suffix not in _FORMATS:
        raise InvalidRequest(f"format {suffix[:20]!r}: expected one of {', '.join(_FORMATS)}")
    if quality not in _QUALITIES:
        raise InvalidRequest(f"quality {quality[:20]!r}: expected one of {', '.join(_QUALITIES)}")
    return ImageRequest(area, width, height, mirror, degrees, _QUALITIES[quality], _FORMATS[suffix])


def canonical_path(base: Level, limits: SizeLimits, request: ImageRequest) -> str:
    """The one spelling of a request (section 4.7)."""
    area = request.region
    region = "full" if area == base.bounds else f"{area.x},{area.y},{area.width},{area.height}"
    upscaled = "^" if request.width > area.width or request.height > area.height else ""
    if (request.width, request.height) == _size(area, f"{upscaled}max", limits):
        size = f"{upscaled}max"
    else:
        size = f"{upscaled}{request.width},{request.height}"
    rotation = f"{'!' if request.mirror else ''}{request.rotation}"
    return f"{region}/{size}/{rotation}/{request.quality}.{request.format}"


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
    else:
        raise InvalidRequest(f"region {text[:60]!r}: expected full, square, x,y,w,h or pct:x,y,w,h")
    area = Region(x, y, width, height).intersection(base.bounds)
    if area.empty:
        raise InvalidRequest(
            f"region {text[:60]!r} has no pixel of the {base.width} x {base.height} pixels of this slide"
        )
    return area


def _size(area: Region, text: str, limits: SizeLimits) -> tuple[int, int]:
    """Section 4.2: width and height of the result, before rotation."""
    may_grow, wanted = text.startswith("^"), text.removeprefix("^")
    largest = limits.scale(area.width, area.height)
    if not may_grow:
        largest = min(largest, 1.0)
    if wanted == "max":
        return _floored(area, largest)
    if match := _SIZE_PERCENT.fullmatch(wanted):
        width, height = _rounded(area, float(match[1]) / 100) if float(match[1]) else (0, 0)
    elif (match := _SIZE.fullmatch(wanted)) and (match[2] or match[3]):
        confined, width, height = match[1], int(match[2] or 0), int(match[3] or 0)
        if 0 in (match[2] and width, match[3] and height) or (confined and not (width and height)):
            raise _bad_size(text)
        if confined:
            return _floored(area, min(width / area.width, height / area.height, largest), (width, height))
        width = width or max(1, round(height * area.width / area.height))
        height = height or max(1, round(width * area.height / area.width))
    else:
        raise _bad_size(text)
    if not (width and height):
        raise _bad_size(text)
    if not may_grow and (width > area.width or height > area.height):
        raise InvalidRequest(
            f"size {text[:40]!r} is larger than the region of {area.width} x {area.height} pixels; "
            "put ^ before it to enlarge"
        )
    if not limits.allow(width, height):
        raise OutOfBounds(
            f"a picture of {width} x {height} pixels is over the limits of {limits.max_area} pixels and "
            f"{limits.max_side} along a side"
        )
    return width, height


def _bad_size(text: str) -> InvalidRequest:
    return InvalidRequest(f"size {text[:40]!r}: expected max, w, or ,h or w,h or !w,h or pct:n, with ^ to enlarge")


def _rounded(area: Region, scale: float) -> tuple[int, int]:
    """A size that rounds to 0 is 1."""
    return max(1, round(area.width * scale)), max(1, round(area.height * scale))


def _floored(area: Region, scale: float, box: tuple[int, int] = (MAX_SIDE, MAX_SIDE)) -> tuple[int, int]:
    """Never a pixel more than a limit allows; a hair is added because 300 / 1024 * 1024 need not be 300."""
    width, height = max(1, int(area.width * scale + 1e-6)), max(1, int(area.height * scale + 1e-6))
    return min(width, box[0]), min(height, box[1])


def _rotation(text: str) -> tuple[bool, int]:
    """Section 4.3: whether to mirror first, and degrees clockwise."""
    match = _ROTATION.fullmatch(text)
    if match is None or float(match[2]) not in (0, 90, 180, 270, 360):
        raise InvalidRequest(f"rotation {text[:20]!r}: expected 0, 90, 180 or 270, with ! before it to mirror")
    return bool(match[1]), int(float(match[2])) % 360
