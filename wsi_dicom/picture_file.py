"""Pixels as a file of a picture: JPEG, PNG, WebP and others."""

from __future__ import annotations

import io
import struct
import time
import zlib
from enum import StrEnum
from typing import Any, Final

import numpy as np

from wsi_dicom.codecs import codec_for
from wsi_dicom.codecs.jpeg2000 import decibels
from wsi_dicom.codecs.jpeg_markers import with_density, with_icc_profile
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.color_profile import COLOUR_SPACES
from wsi_dicom.display import eight_bits
from wsi_dicom.errors import CodecError, InvalidRequest
from wsi_dicom.geometry import PixelFormat, Spacing
from wsi_dicom.metadata import Window
from wsi_dicom.resample import with_samples
from wsi_dicom.slide import Pixels

JPEG_QUALITY: Final = 90
WEBP_QUALITY: Final = 85
_AVIF_QUALITY: Final = 80
_JXL_QUALITY: Final = 85
_JP2_QUALITY: Final = 85
_JXL_EFFORT: Final = 3
"""Twice the speed of the next that is smaller."""
_PNG_LEVEL: Final = 2
"""With the filter "up" alone it takes half the time that choosing a filter for each row does; files are as large."""
_PNG_HEAD: Final = 8 + 25
"""Bytes of the signature and the chunk IHDR, behind which iCCP and pHYs may stand (PNG 5.6)."""
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
    JP2 = "jp2"
    AVIF = "avif"
    JXL = "jxl"
    PDF = "pdf"

    @property
    def media_type(self) -> str:
        return _MEDIA_TYPES.get(self) or f"image/{self.value}"


_MEDIA_TYPES: Final = {
    PictureFormat.JPG: "image/jpeg",
    PictureFormat.TIF: "image/tiff",
    PictureFormat.PDF: "application/pdf",
}

# How Pillow is asked to write each of them: the levels are the quickest that still compress well. A PDF has a date, and
# what is made twice has to be the same.
_PILLOW: Final[dict[PictureFormat, dict[str, Any]]] = {
    PictureFormat.PNG: {"format": "PNG"},
    PictureFormat.WEBP: {"format": "WEBP", "method": 1},
    PictureFormat.TIF: {"format": "TIFF", "compression": "tiff_adobe_deflate"},
    PictureFormat.GIF: {"format": "GIF"},
    PictureFormat.JP2: {
        "format": "JPEG2000",
        "quality_mode": "dB",
        "quality_layers": [decibels(_JP2_QUALITY)],
        "irreversible": True,
    },
    PictureFormat.AVIF: {"format": "AVIF", "quality": _AVIF_QUALITY, "speed": 8, "max_threads": 1},
    PictureFormat.PDF: {"format": "PDF", "creationDate": time.gmtime(0), "modDate": time.gmtime(0)},
}

# Of libjpeg (JPEG_MAX_DIMENSION), of libpng (PNG_USER_WIDTH_MAX), of WebP's 14 bits, of GIF's 16, and of libavif.
LONGEST_SIDE: Final = {
    PictureFormat.JPG: 65_500,
    PictureFormat.PNG: 1_000_000,
    PictureFormat.WEBP: 16_383,
    PictureFormat.GIF: 65_535,
    PictureFormat.AVIF: 32_768,
}

CARRY_PROFILES: Final = frozenset(
    {PictureFormat.JPG, PictureFormat.PNG, PictureFormat.WEBP, PictureFormat.TIF, PictureFormat.AVIF}
)
"""Formats in which an ICC profile is written."""
_OPAQUE: Final = frozenset({PictureFormat.JPG, PictureFormat.PDF})
_ONE_BIT: Final = frozenset({PictureFormat.PNG, PictureFormat.TIF, PictureFormat.GIF, PictureFormat.PDF})
_NO_GRAY: Final = frozenset({PictureFormat.WEBP, PictureFormat.AVIF})
"""Formats in which gray is a colour too."""


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

    Of 16 bits those within the slide's `window` are shown. Gray or colour of 8 bits may have alpha as the last of their
    samples; what cannot be transparent is put on white. The file tells `spacing`, that of these pixels, and
    `icc_profile` when it is for such pixels, gray or colour, as far as the format can.

    Raises InvalidRequest when a side is longer than the format can hold, CodecError.
    """
    height, width = pixels.shape[:2]
    if max(width, height) > (limit := LONGEST_SIDE.get(picture_format, max(width, height))):
        raise InvalidRequest(
            f"a {picture_format.name} picture holds at most {limit} pixels on a side, not {width} x {height}; "
            "ask for a smaller one, or for PNG or TIF"
        )
    pixels = _in_quality(eight_bits(pixels, window), quality, opaque=picture_format in _OPAQUE)
    if icc_profile and icc_profile[16:20] != COLOUR_SPACES[_colours(pixels, picture_format)]:
        icc_profile = None
    if picture_format is PictureFormat.JPG:
        return _jpeg(pixels, jpeg_quality, icc_profile, spacing)
    if picture_format is PictureFormat.PNG:
        return _png(pixels, icc_profile, spacing, one_bit=quality is Quality.BITONAL)
    if picture_format is PictureFormat.JXL:
        return _jxl(pixels)
    options = {**_PILLOW[picture_format], **_scale(picture_format, spacing)}
    if picture_format in CARRY_PROFILES:
        options["icc_profile"] = icc_profile
    if picture_format is PictureFormat.WEBP:
        options["quality"] = webp_quality
    if picture_format is PictureFormat.JP2 and pixels.shape[2] >= 3:
        options["mct"] = 1
    return _by_pillow(pixels, picture_format, options, one_bit=quality is Quality.BITONAL)


def _colours(pixels: Pixels, picture_format: PictureFormat) -> int:
    """Samples of a pixel of the file, without alpha."""
    return 3 if picture_format in _NO_GRAY or pixels.shape[2] >= 3 else 1


def _by_pillow(pixels: Pixels, picture_format: PictureFormat, options: dict[str, Any], *, one_bit: bool) -> bytes:
    from PIL import Image

    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    if picture.mode == "LA" and picture_format is PictureFormat.GIF:
        picture = picture.convert("RGBA")  # of which Pillow makes a palette with a transparent colour
    if one_bit and picture_format in _ONE_BIT:
        picture = picture.convert("1", dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    try:
        picture.save(buffer, **options)
    except ValueError as error:  # libwebp, when its first partition is over 512 KiB: above 12 million pixels
        raise InvalidRequest(
            f"a {picture_format.name} picture of {picture.width} x {picture.height} pixels cannot hold so much detail "
            f"({error}); ask for a smaller one, for lower quality or for another format"
        ) from error
    except OSError as error:
        raise CodecError(f"a {picture_format.name} picture cannot be encoded: {error}") from error
    return buffer.getvalue()


def _jpeg(pixels: Pixels, quality: int, icc_profile: bytes | None, spacing: Spacing | None) -> bytes:
    """JFIF cannot tell a spacing below 0.00015 mm, nor one above 10 mm."""
    codec = codec_for(JPEG_BASELINE)
    data = codec.encode(pixels, codec.encoding(PixelFormat(pixels.shape[2]), lossless=False), quality)
    if spacing is not None and all(10 / 0xFFFF <= side <= 10 for side in spacing):
        data = with_density(data, round(10 / spacing.x_mm), round(10 / spacing.y_mm))
    return with_icc_profile(data, icc_profile) if icc_profile else data


def _png(pixels: Pixels, icc_profile: bytes | None, spacing: Spacing | None, *, one_bit: bool) -> bytes:
    """By libpng, which is twice as fast as Pillow, but for what has one bit. Neither is told more than the pixels."""
    if one_bit:
        data = _by_pillow(pixels, PictureFormat.PNG, _PILLOW[PictureFormat.PNG], one_bit=True)
    else:
        data = _by_libpng(pixels)
    more = b""
    if icc_profile:
        more += _png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc_profile))
    if spacing is not None and _tellable(spacing):
        more += _png_chunk(b"pHYs", struct.pack(">IIB", round(1e3 / spacing.x_mm), round(1e3 / spacing.y_mm), 1))
    return data[:_PNG_HEAD] + more + data[_PNG_HEAD:]


def _by_libpng(pixels: Pixels) -> bytes:
    from imagecodecs import PNG, PngError, png_encode

    samples = np.ascontiguousarray(pixels if pixels.shape[2] > 1 else pixels[:, :, 0])
    try:
        return bytes(png_encode(samples, level=_PNG_LEVEL, filter=PNG.FILTER.UP))
    except (PngError, ValueError) as error:
        raise CodecError(f"PNG encoding failed: {error}") from error


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    """PNG 5.3."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _jxl(pixels: Pixels) -> bytes:
    from imagecodecs import JpegxlError, jpegxl_encode

    gray = pixels.shape[2] < 3
    try:
        return bytes(
            jpegxl_encode(
                pixels[:, :, 0] if pixels.shape[2] == 1 else pixels,
                level=_JXL_QUALITY,
                effort=_JXL_EFFORT,
                photometric="gray" if gray else "rgb",
                usecontainer=False,
                numthreads=1,
            )
        )
    except (JpegxlError, ValueError) as error:
        raise CodecError(f"JPEG XL encoding failed: {error}") from error


def _scale(picture_format: PictureFormat, spacing: Spacing | None) -> dict[str, Any]:
    """How Pillow is told it: pixels per inch, or Exif where the format has nothing else."""
    from PIL import ExifTags, Image

    if spacing is None or not _tellable(spacing):
        return {}
    if picture_format is PictureFormat.TIF:
        return {"dpi": (25.4 / spacing.x_mm, 25.4 / spacing.y_mm)}
    if picture_format not in (PictureFormat.WEBP, PictureFormat.AVIF):
        return {}
    exif = Image.Exif()
    exif[ExifTags.Base.XResolution], exif[ExifTags.Base.YResolution] = 10 / spacing.x_mm, 10 / spacing.y_mm
    exif[ExifTags.Base.ResolutionUnit] = 3  # centimetres
    return {"exif": exif.tobytes()}


def _tellable(spacing: Spacing) -> bool:
    """Others could not be written in all formats."""
    return all(1e-6 <= side <= 1e3 for side in spacing)


def _in_quality(pixels: Pixels, quality: Quality, *, opaque: bool) -> Pixels:
    """In gray if asked; on white where alpha has no place."""
    import cv2

    if quality in (Quality.DEFAULT, Quality.COLOR) and not (opaque and pixels.shape[2] in (2, 4)):
        return pixels
    colours, alpha = (pixels[:, :, :-1], pixels[:, :, -1:]) if pixels.shape[2] in (2, 4) else (pixels, None)
    if quality in (Quality.GRAY, Quality.BITONAL) and colours.shape[2] == 3:
        colours = with_samples(cv2.cvtColor(np.ascontiguousarray(colours), cv2.COLOR_RGB2GRAY))
    if alpha is not None and (opaque or quality is Quality.BITONAL):
        colours, alpha = _on_white(colours, alpha), None
    if quality is Quality.BITONAL:
        colours = np.where(colours >= _WHITE_FROM, np.uint8(255), np.uint8(0))
    return colours if alpha is None else np.concatenate((colours, alpha), axis=2)


def _on_white(colours: Pixels, alpha: Pixels) -> Pixels:
    """Rounded down, which takes away nothing where alpha is full."""
    weight = alpha.astype(np.uint16)
    shown: Pixels = ((colours * weight + 255 * (255 - weight)) // 255).astype(np.uint8)
    return shown
