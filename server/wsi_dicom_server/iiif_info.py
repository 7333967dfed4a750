"""What `info.json` tells of an image (IIIF Image API 3.0 and 2.1, section 5)."""

from __future__ import annotations

from typing import Any, Final

from wsi_dicom.geometry import Level, Pyramid, Spacing
from wsi_dicom.picture_file import PictureFormat, Quality
from wsi_dicom_server.iiif_parameters import ImageApi, SizeLimits

IMAGE_CONTEXTS: Final = {version: f"http://iiif.io/api/image/{version}/context.json" for version in ImageApi}
PROFILE_URIS: Final = {version: f"http://iiif.io/api/image/{version}/level2.json" for version in ImageApi}
_PROTOCOL: Final = "http://iiif.io/api/image"
_PHYSICAL_CONTEXT: Final = "http://iiif.io/api/annex/services/physdim/1/context.json"
_PHYSICAL_PROFILE: Final = "http://iiif.io/api/annex/services/physdim"
_TILE_SIDES: Final = range(64, 2049)
_MAX_SHRINK: Final = 64

_OF_LEVEL_2: Final = (PictureFormat.JPG, PictureFormat.PNG)
_MORE_FORMATS: Final = [item for item in PictureFormat if item not in _OF_LEVEL_2]
_FEATURES: Final = ["canonicalLinkHeader", "mirroring", "profileLinkHeader", "rotationArbitrary", "sizeUpscaling"]
_FEATURES_2: Final = [
    "canonicalLinkHeader",
    "mirroring",
    "profileLinkHeader",
    "regionSquare",
    "rotationArbitrary",
    "sizeAboveFull",
    "sizeByDistortedWh",
]


def image_information(
    uri: str,
    pyramid: Pyramid,
    limits: SizeLimits,
    rights: str | None = None,
    version: ImageApi = ImageApi.V3,
    *,
    powers_of_two: bool = False,
) -> dict[str, Any]:
    """`uri` is the base URI of the image; `rights` that of a licence or a statement of rights.

    `powers_of_two`: no other scale factors are offered.
    """
    side = limits.told_side(pyramid.base)
    largest = {"maxWidth": side, "maxHeight": side, "maxArea": limits.max_area}
    told = _information_3(uri, largest, rights) if version is ImageApi.V3 else _information_2(uri, largest, rights)
    told |= {
        "protocol": _PROTOCOL,
        "width": pyramid.base.width,
        "height": pyramid.base.height,
        "sizes": image_sizes(pyramid, limits),
        "tiles": image_tiles(pyramid, powers_of_two=powers_of_two),
    }
    if pyramid.spacing is not None:
        told["service"] = [physical_dimensions(uri, pyramid.spacing)]
    return told


def _information_3(uri: str, largest: dict[str, int], rights: str | None) -> dict[str, Any]:
    return {
        "@context": IMAGE_CONTEXTS[ImageApi.V3],
        "id": uri,
        "type": "ImageService3",
        "profile": "level2",
        **largest,
        "preferredFormats": ["jpg", "webp", "png"],
        "extraFormats": _MORE_FORMATS,
        "extraQualities": [item for item in Quality if item is not Quality.DEFAULT],
        "extraFeatures": _FEATURES,
        **({"rights": rights} if rights else {}),
    }


def _information_2(uri: str, largest: dict[str, int], rights: str | None) -> dict[str, Any]:
    beyond = {"formats": _MORE_FORMATS, "qualities": list(Quality), "supports": _FEATURES_2, **largest}
    return {
        "@context": IMAGE_CONTEXTS[ImageApi.V2],
        "@id": uri,
        "@type": "iiif:Image",
        "profile": [PROFILE_URIS[ImageApi.V2], beyond],
        **({"license": [rights]} if rights else {}),
    }


def image_sizes(pyramid: Pyramid, limits: SizeLimits) -> list[dict[str, int]]:
    """Exact sizes of the whole picture that cost least, ascending: those of the levels."""
    return [
        {"width": level.width, "height": level.height}
        for level in reversed(pyramid.levels)
        if limits.allow(level.width, level.height)
    ]


def image_tiles(pyramid: Pyramid, *, powers_of_two: bool = False) -> list[dict[str, Any]]:
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
        if powers_of_two and factor.bit_count() > 1:
            continue
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
