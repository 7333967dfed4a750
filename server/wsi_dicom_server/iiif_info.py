"""What `info.json` tells of a slide (IIIF Image API 3.0, section 5)."""

from __future__ import annotations

from typing import Any, Final

from wsi_dicom.geometry import Level, Pyramid, Spacing
from wsi_dicom.render import PictureFormat, Quality
from wsi_dicom_server.iiif_parameters import SizeLimits

IMAGE_CONTEXT: Final = "http://iiif.io/api/image/3/context.json"
PROFILE_URI: Final = "http://iiif.io/api/image/3/level2.json"
_PHYSICAL_CONTEXT: Final = "http://iiif.io/api/annex/services/physdim/1/context.json"
_PHYSICAL_PROFILE: Final = "http://iiif.io/api/annex/services/physdim"
_TILE_SIDES: Final = range(64, 2049)
_MAX_SHRINK: Final = 64


def image_information(uri: str, pyramid: Pyramid, limits: SizeLimits) -> dict[str, Any]:
    """`uri` is the base URI of the image."""
    information: dict[str, Any] = {
        "@context": IMAGE_CONTEXT,
        "id": uri,
        "type": "ImageService3",
        "protocol": "http://iiif.io/api/image",
        "profile": "level2",
        "width": pyramid.base.width,
        "height": pyramid.base.height,
        "maxWidth": limits.max_side,
        "maxHeight": limits.max_side,
        "maxArea": limits.max_area,
        "sizes": image_sizes(pyramid, limits),
        "tiles": image_tiles(pyramid),
        "preferredFormats": ["jpg", "webp", "png"],
        "extraFormats": [f for f in PictureFormat if f not in (PictureFormat.JPG, PictureFormat.PNG)],
        "extraQualities": [q for q in Quality if q is not Quality.DEFAULT],
        "extraFeatures": ["canonicalLinkHeader", "mirroring", "profileLinkHeader", "sizeUpscaling"],
    }
    if pyramid.spacing is not None:
        information["service"] = [physical_dimensions(uri, pyramid.spacing)]
    return information


def image_sizes(pyramid: Pyramid, limits: SizeLimits) -> list[dict[str, int]]:
    """Exact sizes of the whole picture that cost least, ascending: those of the levels."""
    return [
        {"width": level.width, "height": level.height}
        for level in reversed(pyramid.levels)
        if limits.allow(level.width, level.height)
    ]


def image_tiles(pyramid: Pyramid) -> list[dict[str, Any]]:
    """Tile sizes with their scale factors: those of the levels, rounded, and the powers of two between and beyond them.

    Viewers step by powers of two whatever they are told, so those without a level are made by scaling.
    """
    stored: dict[int, tuple[int, int]] = {}
    for index, level in enumerate(pyramid.levels):
        stored.setdefault(round(pyramid.downsample(index)), _offered_tile(level))
    coarsest = max(stored)
    tile_sizes, factor = dict(stored), 1
    while factor < coarsest or (
        factor < coarsest * _MAX_SHRINK and not _fits(pyramid.base, factor, tile_sizes[factor])
    ):
        factor *= 2
        tile_sizes.setdefault(factor, stored[max(finer for finer in stored if finer <= factor)])
    offered: dict[tuple[int, int], list[int]] = {}
    for factor in sorted(tile_sizes):
        offered.setdefault(tile_sizes[factor], []).append(factor)
    return [{"width": w, "height": h, "scaleFactors": factors} for (w, h), factors in offered.items()]


def physical_dimensions(uri: str, spacing: Spacing) -> dict[str, Any]:
    """The IIIF service that tells how large a pixel is: along x, as it knows one number only."""
    return {
        "@context": _PHYSICAL_CONTEXT,
        "@id": f"{uri}#physical-dimensions",
        "@type": "PhysicalDimensions",
        "profile": _PHYSICAL_PROFILE,
        "physicalScale": spacing.x_mm,
        "physicalUnits": "mm",
    }


def _offered_tile(level: Level) -> tuple[int, int]:
    """The stored tile size, unless it is one that no viewer should work with."""
    if level.tile_width in _TILE_SIDES and level.tile_height in _TILE_SIDES:
        return level.tile_width, level.tile_height
    return 512, 512


def _fits(base: Level, factor: int, tile: tuple[int, int]) -> bool:
    """Whether the whole picture at this scale is one tile."""
    return base.width <= factor * tile[0] and base.height <= factor * tile[1]
