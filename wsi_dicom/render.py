"""From a region of a slide to a picture: which level to read, cropping, scaling, turning, quality and file format.

Knows nothing of HTTP: the IIIF routes, the associated images and whoever wants a picture of a slide come here.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsi_dicom.codecs import codec_for
from wsi_dicom.codecs.jpeg_markers import SOI, parse_header, tables_prefix, with_density, with_icc_profile
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.display import eight_bits
from wsi_dicom.errors import InvalidRequest
from wsi_dicom.geometry import FIRST_PLANE, PixelFormat, Plane, Pyramid, Region, Spacing
from wsi_dicom.metadata import Window
from wsi_dicom.region import MAX_PIXELS, read_region
from wsi_dicom.slide import EncodedTile, Pixels, Slide

JPEG_QUALITY: Final = 90
WEBP_QUALITY: Final = 85
_BAND_PIXELS: Final = 1 << 23
_SUM_PIXELS: Final = 1 << 15
_WHITE_FROM: Final = 128


class Quality(StrEnum):
    """What becomes of the colours (IIIF Image API 3.0, 4.4)."""

    DEFAULT = "default"
    COLOR = "color"
    GRAY = "gray"
    BITONAL = "bitonal"


class PictureFormat(StrEnum):
    """File formats, by their usual suffix."""

    JPG = "jpg"
    PNG = "png"
    WEBP = "webp"
    TIF = "tif"
    GIF = "gif"

    @property
    def media_type(self) -> str:
        return f"image/{'jpeg' if self is PictureFormat.JPG else 'tiff' if self is PictureFormat.TIF else self.value}"


# How Pillow is asked to write each of them: the levels are the quickest that still compress well.
_PILLOW: Final[dict[PictureFormat, dict[str, Any]]] = {
    PictureFormat.PNG: {"format": "PNG", "compress_level": 3},
    PictureFormat.WEBP: {"format": "WEBP", "method": 1},
    PictureFormat.TIF: {"format": "TIFF", "compression": "tiff_adobe_deflate"},
    PictureFormat.GIF: {"format": "GIF"},
}

# Of libjpeg (JPEG_MAX_DIMENSION), of WebP's 14 bits and of GIF's 16.
LONGEST_SIDE: Final = {PictureFormat.JPG: 65_500, PictureFormat.WEBP: 16_383, PictureFormat.GIF: 65_535}


_COLOUR_SPACES: Final = {1: b"GRAY", 3: b"RGB "}
"""What bytes 16 to 19 of an ICC profile say (ICC.1 7.2.8), by the samples of a pixel."""


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """A picture of a part of a slide.

    `region` is in pixels of level 0 and lies inside the picture; it becomes `width` x `height` pixels, then is mirrored
    left to right if asked, then turned clockwise by `rotation` degrees (0, 90, 180 or 270).
    """

    region: Region
    width: int
    height: int
    mirror: bool = False
    rotation: int = 0
    quality: Quality = Quality.DEFAULT
    format: PictureFormat = PictureFormat.JPG
    plane: Plane = FIRST_PLANE


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
    for index, level in enumerate(pyramid.levels):
        if (level.tile_width, level.tile_height) != (request.width, request.height):
            continue
        across, down = pyramid.base.width / level.width, pyramid.base.height / level.height
        region = request.region
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


def render(
    slide: Slide, request: ImageRequest, *, jpeg_quality: int = JPEG_QUALITY, max_pixels: int = MAX_PIXELS
) -> bytes:
    """The picture as a file. A stored JPEG tile that is exactly what is asked for comes out as it is stored.

    `max_pixels` bounds the pixels of the result, and those read for it are at most 16 times as many. Raises
    InvalidRequest (over the limits, or an empty region), CorruptInput, CodecError.
    """
    if request.format is PictureFormat.JPG and (address := stored_tile(slide.pyramid, request)):
        tile = slide.encoded_tile(*address, request.plane)
        if tile is not None and tile.encoding.transfer_syntax == JPEG_BASELINE:
            return jpeg_file(tile)
    pixels = turned(scaled_region(slide, request, max_pixels=max_pixels), request.mirror, request.rotation)
    window = slide.metadata.window
    return encode_picture(pixels, request.format, request.quality, jpeg_quality=jpeg_quality, window=window)


def jpeg_file(tile: EncodedTile) -> bytes:
    """A stored JPEG stream as a file that every program shows in its true colours: nearly always the stream itself.

    DICOM may tell that samples are RGB where the stream does not; programs would take them for YCbCr, so Adobe's marker
    says it. Raises CodecError.
    """
    if tile.encoding.photometric == "RGB" and parse_header(tile.data).colour is None:
        return tables_prefix(None, mark_rgb=True) + tile.data[len(SOI) :]
    return tile.data


def scaled_region(slide: Slide, request: ImageRequest, *, max_pixels: int = MAX_PIXELS) -> Pixels:
    """What `request` shows, before turning: shape (height, width, samples). Raises as `render` does."""
    if request.region.empty or min(request.width, request.height) < 1:
        raise InvalidRequest("a picture needs a region and a size of at least one pixel")
    if request.width * request.height > max_pixels:
        raise InvalidRequest(
            f"a picture of {request.width} x {request.height} pixels is over the limit of {max_pixels} pixels; "
            "ask for a smaller one"
        )
    region = request.region
    index = slide.pyramid.best_level(min(region.width / request.width, region.height / request.height))
    source = slide.pyramid.on_level(region, index)
    if source.width * source.height > 16 * max_pixels:
        raise InvalidRequest(
            f"{slide.name}: showing {source.width} x {source.height} pixels of level {index} needs a coarser level "
            "than this slide has; convert it with --pyramid, or ask for a smaller region"
        )
    pixels = _reduced(slide, index, source, request)
    return _scaled(pixels, request.width, request.height)


def turned(pixels: Pixels, mirror: bool, rotation: int) -> Pixels:
    """Mirrored left to right if asked, then turned clockwise by `rotation` degrees. Raises InvalidRequest."""
    if rotation not in (0, 90, 180, 270):
        raise InvalidRequest(f"rotation by {rotation} degrees: only 0, 90, 180 and 270 are possible")
    if mirror:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(np.rot90(pixels, -rotation // 90))


def encode_picture(
    pixels: Pixels,
    picture_format: PictureFormat,
    quality: Quality = Quality.DEFAULT,
    *,
    jpeg_quality: int = JPEG_QUALITY,
    webp_quality: int = WEBP_QUALITY,
    window: Window | None = None,
    icc_profile: bytes | None = None,
    spacing: Spacing | None = None,
) -> bytes:
    """(height, width, samples), gray or colour, 8 or 16 bits, as a file of 8 bits per sample.

    Of 16 bits those within the slide's `window` are shown. The file tells `spacing`, that of these pixels, and
    `icc_profile` when it is for such pixels, gray or colour; GIF tells neither.

    Raises InvalidRequest when a side is longer than the format can hold, CodecError.
    """
    from PIL import Image

    height, width = pixels.shape[:2]
    if max(width, height) > (limit := LONGEST_SIDE.get(picture_format, max(width, height))):
        raise InvalidRequest(
            f"a {picture_format.name} picture holds at most {limit} pixels on a side, not {width} x {height}; "
            "ask for a smaller one, or for PNG or TIF"
        )
    pixels = _in_quality(eight_bits(pixels, window), quality)
    samples = 3 if picture_format is PictureFormat.WEBP else pixels.shape[2]  # there, gray is a colour too
    if icc_profile and icc_profile[16:20] != _COLOUR_SPACES[samples]:
        icc_profile = None
    if picture_format is PictureFormat.JPG:
        return _jpeg(pixels, jpeg_quality, icc_profile, spacing)
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    if quality is Quality.BITONAL and picture_format is not PictureFormat.WEBP:
        picture = picture.convert("1", dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    options = {**_PILLOW[picture_format], **_scale(picture_format, spacing), "icc_profile": icc_profile}
    if picture_format is PictureFormat.WEBP:
        options["quality"] = webp_quality
    try:
        picture.save(buffer, **options)
    except ValueError as error:  # libwebp, when its first partition is over 512 KiB: above 12 million pixels
        raise InvalidRequest(
            f"a {picture_format.name} picture of {width} x {height} pixels cannot hold so much detail ({error}); "
            "ask for a smaller one, for lower quality or for another format"
        ) from error
    return buffer.getvalue()


def _jpeg(pixels: Pixels, quality: int, icc_profile: bytes | None, spacing: Spacing | None) -> bytes:
    """JFIF cannot tell a spacing below 0.00015 mm, nor one above 10 mm."""
    codec = codec_for(JPEG_BASELINE)
    data = codec.encode(pixels, codec.encoding(PixelFormat(pixels.shape[2]), lossless=False), quality)
    if spacing is not None and all(10 / 0xFFFF <= side <= 10 for side in spacing):
        data = with_density(data, round(10 / spacing.x_mm), round(10 / spacing.y_mm))
    return with_icc_profile(data, icc_profile) if icc_profile else data


def _scale(picture_format: PictureFormat, spacing: Spacing | None) -> dict[str, Any]:
    """How Pillow is told it: pixels per inch, or Exif where the format has nothing else."""
    from PIL import ExifTags, Image

    if spacing is None or not all(1e-6 <= side <= 1e3 for side in spacing):  # nor could all formats tell others
        return {}
    if picture_format is not PictureFormat.WEBP:
        return {"dpi": (25.4 / spacing.x_mm, 25.4 / spacing.y_mm)}
    exif = Image.Exif()
    exif[ExifTags.Base.XResolution], exif[ExifTags.Base.YResolution] = 10 / spacing.x_mm, 10 / spacing.y_mm
    exif[ExifTags.Base.ResolutionUnit] = 3  # centimetres
    return {"exif": exif.tobytes()}


def _reduced(slide: Slide, index: int, source: Region, request: ImageRequest) -> Pixels:
    """The source pixels as area averages on each axis that shrinks, exactly as if scaled in one piece.

    A source larger than a band and the result is read in bands, so that memory holds the result and a band.
    """
    if source.width * source.height <= max(_BAND_PIXELS, request.width * request.height):
        return read_region(slide, index, source, request.plane, max_pixels=source.width * source.height)
    width, height = min(request.width, source.width), min(request.height, source.height)
    return _averaged_rows(_narrow_bands(slide, index, source, request.plane, width), source.height, height)


def _narrow_bands(slide: Slide, index: int, source: Region, plane: Plane, width: int) -> Iterator[Pixels]:
    """The source from top to bottom, scaled to `width`; by rows of tiles where they fit, which decodes none twice."""
    tile_height, most = slide.pyramid.level(index).tile_height, max(1, _BAND_PIXELS // source.width)
    y = source.y
    while y < source.bottom:
        bottom = min((y // tile_height + 1) * tile_height, y + most, source.bottom)
        band = Region(source.x, y, source.width, bottom - y)
        narrow = _scaled(
            read_region(slide, index, band, plane, max_pixels=band.width * band.height), width, band.height
        )
        step = max(1, _SUM_PIXELS // width)
        yield from (narrow[top : top + step] for top in range(0, band.height, step))
        y = bottom


def _averaged_rows(bands: Iterator[Pixels], source_height: int, height: int) -> Pixels:
    """Means over the rows that each of `height` rows covers, in parts too, of bands with `source_height` rows together.

    A mean is the difference between the sums of all rows above its lower and above its upper edge.
    """
    edges = np.arange(1, height + 1) * source_height / height
    first = next(bands)
    means = np.empty((height, *first.shape[1:]), first.dtype)
    above = upper = np.zeros((1, *first.shape[1:]))
    y = row = 0
    for band in chain((first,), bands):
        sums = np.cumsum(band, axis=0, dtype=np.float64)
        sums += above
        end = int(np.searchsorted(edges, y + len(band), side="right"))
        if end > row:
            last = np.ceil(edges[row:end]).astype(np.intp) - 1 - y
            beyond = (last + 1 + y - edges[row:end])[:, np.newaxis, np.newaxis]
            lower = sums[last] - beyond * band[last]
            means[row:end] = np.rint(np.diff(lower, axis=0, prepend=upper) * (height / source_height))
            upper = lower[-1:]
        above, y, row = sums[-1:], y + len(band), end
    return means


def _scaled(pixels: Pixels, width: int, height: int) -> Pixels:
    """By area averages when both axes shrink, which keeps detail honest, else by Lanczos."""
    import cv2

    if pixels.shape[:2] == (height, width):
        return pixels
    shrinks = width <= pixels.shape[1] and height <= pixels.shape[0]
    return _with_samples(
        cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4)
    )


def _with_samples(pixels: NDArray[Any]) -> Pixels:
    """OpenCV drops the last axis of gray pictures."""
    return pixels if pixels.ndim == 3 else pixels[:, :, np.newaxis]


def _in_quality(pixels: Pixels, quality: Quality) -> Pixels:
    import cv2

    if quality in (Quality.GRAY, Quality.BITONAL) and pixels.shape[2] == 3:
        pixels = _with_samples(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    if quality is Quality.BITONAL:
        pixels = np.where(pixels >= _WHITE_FROM, np.uint8(255), np.uint8(0))
    return pixels
