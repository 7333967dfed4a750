"""From a region of a slide to a picture: which level to read, cropping, scaling, turning, colours and file format.

Knows nothing of HTTP: the IIIF routes, the associated images and whoever wants a picture of a slide come here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from wsi_dicom.codecs.jpeg_markers import SOI, parse_header, tables_prefix, with_icc_segments
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.color_profile import ColorProfile, color_profile
from wsi_dicom.display import eight_bits
from wsi_dicom.errors import CodecError, InvalidRequest
from wsi_dicom.geometry import FIRST_PLANE, Plane, Pyramid, Region
from wsi_dicom.picture_file import CARRY_PROFILES, JPEG_QUALITY, PictureFormat, Quality, encode_picture
from wsi_dicom.region import MAX_PIXELS
from wsi_dicom.resample import resampled, turned, turned_size
from wsi_dicom.slide import EncodedTile, Pixels, Slide


class Colors(StrEnum):
    """What becomes of a slide's ICC profile. Of one that is sRGB, which every program assumes, nothing.

    SRGB: decoded pixels are converted to sRGB, stored JPEG streams carry the profile. EMBED: both carry it, as far as
    the format can, else it is as SRGB. RAW: neither, pixels are as the scanner gave them.
    """

    SRGB = "srgb"
    EMBED = "embed"
    RAW = "raw"


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """A picture of a part of a slide.

    `region` is in pixels of level 0 and lies inside the picture; it becomes `width` x `height` pixels, then is mirrored
    left to right if asked, then turned clockwise by `rotation` degrees. Turned by other than multiples of 90 it needs a
    larger rectangle, whose corners are transparent, or white where the format or the quality knows no transparency.
    """

    region: Region
    width: int
    height: int
    mirror: bool = False
    rotation: float = 0
    quality: Quality = Quality.DEFAULT
    format: PictureFormat = PictureFormat.JPG
    plane: Plane = FIRST_PLANE

    @property
    def turned_size(self) -> tuple[int, int]:
        """Pixels across and down of the picture, its corners included."""
        return turned_size(self.width, self.height, self.rotation)


class TileAddress(NamedTuple):
    """Where a tile lies: its level, 0 being the finest, and its column and row."""

    level: int
    column: int
    row: int


def stored_tile(pyramid: Pyramid, request: ImageRequest) -> TileAddress | None:
    """The one tile that shows exactly what is asked for, at its own size and upright; None when there is none.

    Clients know the scale of a level as a whole number, while 32914 rows halved twice are 8228 and not 8228.5: a tile
    counts as meant when it begins less than one of its own pixels from where the client thinks. Tiles that reach beyond
    the picture are never meant, because clients ask for the part inside.
    """
    if request.rotation or request.mirror or request.quality not in (Quality.DEFAULT, Quality.COLOR):
        return None
    region = request.region
    for index, level in enumerate(pyramid.levels):
        if (level.tile_width, level.tile_height) != (request.width, request.height):
            continue
        across, down = pyramid.base.width / level.width, pyramid.base.height / level.height
        if abs(region.width / across - level.tile_width) >= 2:  # of another scale, as nearly all are
            continue
        column, row = round(region.x / across / level.tile_width), round(region.y / down / level.tile_height)
        x, y = column * level.tile_width, row * level.tile_height
        whole = x + level.tile_width <= level.width and y + level.tile_height <= level.height
        off = (
            abs(region.x / across - x),
            abs(region.y / down - y),
            abs(region.right / across - x - level.tile_width),
            abs(region.bottom / down - y - level.tile_height),
        )
        if whole and max(off) < 1:
            return TileAddress(index, column, row)
    return None


def stored_picture(slide: Slide, request: ImageRequest, colors: Colors = Colors.SRGB) -> bytes | None:
    """The stored JPEG tile that is exactly what is asked for, as a file; None when there is none. Decodes nothing.

    Raises CorruptInput, CodecError.
    """
    if request.format is not PictureFormat.JPG or (address := stored_tile(slide.pyramid, request)) is None:
        return None
    encoding = slide.encoding(address.level)
    if encoding is None or encoding.transfer_syntax != JPEG_BASELINE:
        return None
    tile = slide.encoded_tile(*address, request.plane)
    if tile is None:
        return None
    return jpeg_file(slide, address, tile, _profile(slide, colors))


def render(
    slide: Slide,
    request: ImageRequest,
    *,
    jpeg_quality: int = JPEG_QUALITY,
    max_pixels: int = MAX_PIXELS,
    colors: Colors = Colors.SRGB,
) -> bytes:
    """The picture as a file, decoded and encoded: what is stored just so is not asked for here, but `stored_picture`.

    `max_pixels` bounds the pixels of the result, and those read for it are at most 16 times as many. Raises
    InvalidRequest (over the limits, or an empty region), CorruptInput, CodecError.
    """
    window = slide.metadata.window_of(request.plane.optical_path)
    pixels = eight_bits(scaled_region(slide, request, max_pixels=max_pixels), window)
    icc_profile = None
    if (profile := _profile(slide, colors)) is not None:
        in_color = request.quality in (Quality.DEFAULT, Quality.COLOR)
        if colors is Colors.EMBED and in_color and request.format in CARRY_PROFILES:
            icc_profile = profile.data
        else:
            pixels = profile.to_srgb(pixels)
    pixels = turned(pixels, request.mirror, request.rotation)
    return encode_picture(pixels, request.format, request.quality, jpeg_quality=jpeg_quality, icc_profile=icc_profile)


def _profile(slide: Slide, colors: Colors) -> ColorProfile | None:
    """What has to be done something about."""
    if colors is Colors.RAW or slide.pyramid.pixel_format.samples != 3:
        return None
    return color_profile(slide.metadata.icc_profile)


def jpeg_file(slide: Slide, address: TileAddress, tile: EncodedTile, profile: ColorProfile | None = None) -> bytes:
    """A stored JPEG stream as a file that every program shows in its true colours: nearly always the stream itself.

    DICOM may tell that samples are RGB where the stream does not; programs would take them for YCbCr, so Adobe's marker
    says it. Given a profile, the file carries it. Raises CodecError, which names the tile of the slide, for what does
    not even begin as such a stream: no more of it is looked at.
    """
    try:
        return _marked(tile, profile)
    except CodecError as error:
        level, column, row = address
        raise CodecError(
            f"{slide.name}: level {level}, tile column {column}, row {row} cannot be shown: {error}"
        ) from error


def _marked(tile: EncodedTile, profile: ColorProfile | None) -> bytes:
    data = tile.data
    if not data.startswith(SOI):
        raise CodecError("no JPEG stream")
    if tile.encoding.photometric == "RGB" and parse_header(data).colour is None:
        data = tables_prefix(None, mark_rgb=True) + data[len(SOI) :]
    return data if profile is None else with_icc_segments(data, profile.segments)


def scaled_region(slide: Slide, request: ImageRequest, *, max_pixels: int = MAX_PIXELS) -> Pixels:
    """What `request` shows, before turning: shape (height, width, samples). Raises as `render` does."""
    if request.region.empty or min(request.width, request.height) < 1:
        raise InvalidRequest("a picture needs a region and a size of at least one pixel")
    across, down = request.turned_size
    if across * down > max_pixels:
        raise InvalidRequest(
            f"a picture of {across} x {down} pixels is over the limit of {max_pixels} pixels; ask for a smaller one"
        )
    region = request.region
    index = slide.pyramid.best_level(min(region.width / request.width, region.height / request.height))
    source = slide.pyramid.on_level(region, index)
    if source.width * source.height > 16 * max_pixels:
        raise InvalidRequest(
            f"{slide.name}: showing {source.width} x {source.height} pixels of level {index} needs a coarser level "
            "than this slide has; convert it with --pyramid, or ask for a smaller region"
        )
    return resampled(slide, index, source, request.plane, request.width, request.height)
