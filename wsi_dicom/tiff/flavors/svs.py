"""Aperio SVS, as OpenSlide and others read it: baseline, thumbnail, coarser levels, label, macro.

Order, descriptions and NewSubfileType are those of Aperio's own files: its levels do not call themselves reduced, and
label (1) and macro (9) have numbers of their own. Readers take the second page for the thumbnail, so there is always
one, made from the levels where the series has none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from wsi_dicom.codecs import codec_for
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.codecs.transfer_syntaxes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    TIFF_DEFLATE,
    TIFF_LZW,
)
from wsi_dicom.frames import FrameSink
from wsi_dicom.geometry import Level
from wsi_dicom.plan import Container
from wsi_dicom.render import ImageRequest, scaled_region
from wsi_dicom.slide import Encoding, ImageFlavor
from wsi_dicom.tiff.description import described
from wsi_dicom.tiff.flavors.pages import SOFTWARE, TiffFlavor, TiffSubject, add_picture, level_page, picture_page
from wsi_dicom.tiff.layout import Compression as TiffCompression
from wsi_dicom.tiff.page import LEVEL, MACRO, REDUCED, Page
from wsi_dicom.tiff.writer import TiffWriter

_HEADER: Final = f"Aperio Image Library compatible, by {SOFTWARE}"
_JPEG_2000: Final = frozenset({JPEG_2000, JPEG_2000_LOSSLESS})
_THUMBNAIL_SIDE: Final = 1024
_SUBFILE_TYPES: Final = {ImageFlavor.LABEL: REDUCED, ImageFlavor.OVERVIEW: MACRO, ImageFlavor.THUMBNAIL: LEVEL}


def _properties(subject: TiffSubject) -> dict[str, str]:
    """By Aperio's names, then the UIDs of the series."""
    metadata, spacing, acquired = subject.slide.metadata, subject.slide.pyramid.spacing, subject.acquired
    told = {
        "AppMag": f"{metadata.objective_power:g}" if metadata.objective_power else None,
        "MPP": f"{spacing.x_mm * 1000:.6g}" if spacing else None,
        "Date": f"{acquired:%m/%d/%Y}" if acquired else None,
        "Time": f"{acquired:%H:%M:%S}" if acquired else None,
        "Time Zone": f"GMT{acquired:%z}" if acquired and acquired.tzinfo else None,
        "ScannerType": metadata.model,
        "ScanScope ID": None if subject.anonymous else metadata.serial_number,
        **subject.identifiers,
    }
    return {name: value for name, value in told.items() if value}


def _header(subject: TiffSubject, number: int) -> str:
    level, base = subject.plan.levels[number].output, subject.plan.levels[0].output
    size, tiles = f"{base.width}x{base.height}", f"({level.tile_width}x{level.tile_height})"
    smaller = f" -> {level.width}x{level.height}" if number else ""
    return f"{_HEADER}\r\n{size} [0,0 {size}] {tiles}{smaller} {_codec(subject.plan.levels[number].encoding)}"


def _codec(encoding: Encoding) -> str:
    packed = {EXPLICIT_VR_LITTLE_ENDIAN: "RAW", TIFF_LZW: "LZW", TIFF_DEFLATE: "ZIP"}
    if encoding.transfer_syntax in packed:
        return packed[encoding.transfer_syntax]
    stream = "JPEG" if encoding.transfer_syntax == JPEG_BASELINE else "J2K"
    return f"{stream}/{'YCC' if encoding.photometric.startswith('YBR_FULL') else 'RGB'}"


def _level_page(subject: TiffSubject, number: int) -> Page:
    page = level_page(subject, number, described(_header(subject, number), _properties(subject)))
    if page.encoding.transfer_syntax not in _JPEG_2000:
        return replace(page, subfile_type=LEVEL)
    mixed = page.encoding.photometric.startswith("YBR_FULL")  # the stream does not name the transform
    number_of_aperio = TiffCompression.APERIO_JP2K_YCBCR if mixed else TiffCompression.APERIO_JP2K_RGB
    return replace(page, subfile_type=LEVEL, compression=number_of_aperio)


def _add_picture(writer: TiffWriter, subject: TiffSubject, flavor: ImageFlavor) -> None:
    image = subject.slide.associated[flavor]
    kind = "label" if flavor is ImageFlavor.LABEL else "macro"
    page = picture_page(subject, flavor, f"{_HEADER}\r\n{kind} {image.width}x{image.height}")
    add_picture(writer, subject, flavor, replace(page, subfile_type=_SUBFILE_TYPES[flavor]))


def _add_thumbnail(writer: TiffWriter, subject: TiffSubject) -> None:
    size = f"{subject.plan.levels[0].output.width}x{subject.plan.levels[0].output.height}"
    if ImageFlavor.THUMBNAIL in subject.plan.associated:
        image = subject.slide.associated[ImageFlavor.THUMBNAIL]
        text = described(f"{_HEADER}\r\n{size} -> {image.width}x{image.height} - ", _properties(subject))
        add_picture(writer, subject, ImageFlavor.THUMBNAIL, picture_page(subject, ImageFlavor.THUMBNAIL, text))
        return
    base, codec = subject.slide.pyramid.base, codec_for(JPEG_BASELINE)
    scale = min(1.0, _THUMBNAIL_SIDE / max(base.width, base.height))
    width, height = max(1, round(base.width * scale)), max(1, round(base.height * scale))
    request = ImageRequest(base.bounds, width, height)
    pixels = scaled_region(subject.slide, request, max_pixels=base.width * base.height)  # read in bands
    page = Page(
        Level(width, height, width, height),
        codec.encoding(subject.plan.pixel_format, lossless=False),
        subject.plan.pixel_format,
        description=described(f"{_HEADER}\r\n{size} -> {width}x{height} - ", _properties(subject)),
        icc_profile=subject.slide.metadata.icc_profile,
        as_strip=True,
    )
    (sink,) = writer.add_page(page)
    sink.write(codec.encode(pixels, page.encoding, subject.plan.quality))


def _add_pages(writer: TiffWriter, subject: TiffSubject) -> list[FrameSink]:
    sinks: list[FrameSink] = [*writer.add_page(_level_page(subject, 0))]
    _add_thumbnail(writer, subject)
    for number in range(1, len(subject.plan.levels)):
        sinks += writer.add_page(_level_page(subject, number))
    for flavor in (ImageFlavor.LABEL, ImageFlavor.OVERVIEW):
        if flavor in subject.plan.associated:
            _add_picture(writer, subject, flavor)
    return sinks


FLAVOR = TiffFlavor(
    Container(
        "Aperio SVS",
        frozenset({JPEG_BASELINE, *_JPEG_2000, TIFF_DEFLATE, TIFF_LZW, EXPLICIT_VR_LITTLE_ENDIAN}),
        frozenset({JPEG_BASELINE}),
        colour_only=_JPEG_2000,  # OpenSlide reads three components of it only
        lossless=Compression.DEFLATE,
        associated_compression=Compression.LZW,
        tile_multiple=16,
        sampled_alike=True,
        deepest_bits=8,
        planes=False,
        sparse=False,
    ),
    _add_pages,
)
