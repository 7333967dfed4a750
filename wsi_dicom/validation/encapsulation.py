"""Pixel data as they lie in the file: items, offset tables, lengths (PS3.5 A.4, PS3.3 C.7.6.3.1.8)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsi_dicom.codecs.transfer_syntaxes import UNENCAPSULATED, lossy_method
from wsi_dicom.errors import CorruptInput
from wsi_dicom.validation.finding import Finding
from wsi_dicom.validation.image import Image, decimals
from wsi_dicom.validation.pixel_data import PixelDataElement, frames

_ITEMS: Final = "PS3.5 A.4"
_EXTENDED: Final = "PS3.3 C.7.6.3.1.8"
_IMPLAUSIBLE: Final = 2.0


def check_pixel_data(image: Image) -> Iterator[Finding]:
    """There are pixel data, of the kind and length that the transfer syntax and the frames demand."""
    pixel_data = image.pixel_data
    if pixel_data is None:
        yield image.error("PS3.3 C.7.6.3", "PixelData is missing, or the file breaks off before it")
        return
    native = image.transfer_syntax in UNENCAPSULATED
    if native == pixel_data.encapsulated:
        kind = "items" if native else "no items"
        yield image.error(_ITEMS, f"the pixel data have {kind}, which transfer syntax {image.transfer_syntax} excludes")
    elif native:
        yield from _native_length(image, pixel_data)
    yield from _representation(image, pixel_data)
    if native and pixel_data.extended_offsets is not None:
        yield image.error(_EXTENDED, "there is an extended offset table, but pixels are uncompressed")


def _representation(image: Image, pixel_data: PixelDataElement) -> Iterator[Finding]:
    """OB for items; else OW, and for at most 8 bits OB as well."""
    clause = _ITEMS
    due: tuple[str, ...] = ("OB",)
    if image.transfer_syntax in UNENCAPSULATED:
        clause, due = "PS3.5 A.2", ("OW", "OB") if (image.integer("BitsAllocated") or 8) <= 8 else ("OW",)
    if pixel_data.vr and pixel_data.vr not in due:
        yield image.error(clause, f"PixelData has the VR {pixel_data.vr}; {' or '.join(due)} is due")


def _native_length(image: Image, pixel_data: PixelDataElement) -> Iterator[Finding]:
    sizes = [image.frames, image.samples, *map(image.integer, ("Rows", "Columns", "BitsAllocated"))]
    due = 1
    for size in sizes:
        due *= size or 0
    due //= 8
    if due and pixel_data.pixels.length != due + due % 2:
        yield image.error(
            "PS3.5 8.1.1", f"{pixel_data.pixels.length} bytes of pixel data; {due + due % 2} are due for the frames"
        )
    if sum(pixel_data.pixels) > pixel_data.file.size:
        yield image.error("PS3.5 7.1", "the pixel data reach beyond the end of the file")


def encapsulated(image: Image) -> PixelDataElement | None:
    """The pixel data, when they are in items as they should be."""
    pixel_data = image.pixel_data
    if pixel_data is None or not pixel_data.encapsulated or image.transfer_syntax in UNENCAPSULATED:
        return None
    return pixel_data


def check_items(image: Image) -> Iterator[Finding]:
    """The items are complete and even, each offset leads to one, and there are frames as many as told."""
    pixel_data = encapsulated(image)
    if pixel_data is None:
        return
    found = pixel_data.survey
    if found.stopped:
        yield image.error(_ITEMS, found.stopped)
    if found.odd:
        yield image.error(_ITEMS, f"{found.odd} of {found.count} items have an odd length; they have to be padded")
    if found.astray:
        which = _EXTENDED if pixel_data.extended_offsets else _ITEMS
        yield image.error(
            which, f"{found.astray} offsets do not lead to an item, first of them that of frame {found.first_astray}"
        )
    expected = image.frames or 0
    if expected and found.count != expected and not found.stopped:
        number = sum(1 for _ in frames(pixel_data, expected))
        if number != expected:
            yield image.error(_ITEMS, f"{number} frames in {found.count} items; NumberOfFrames is {expected}")


def check_offset_tables(image: Image) -> Iterator[Finding]:
    """A basic offset table, or an extended one, or none; each with an entry for every frame."""
    pixel_data, expected = encapsulated(image), image.frames
    if pixel_data is None or not expected:
        return
    basic, offsets, lengths = pixel_data.basic_offsets, pixel_data.extended_offsets, pixel_data.extended_lengths
    if basic.length not in (0, 4 * expected):
        yield image.error(_ITEMS, f"the basic offset table has {basic.length} bytes; {4 * expected} or none are due")
    if offsets is not None and basic.length:
        yield image.error(_EXTENDED, "there is an extended offset table, but the basic one is not empty")
    if offsets is not None and pixel_data.survey.count > expected:
        yield image.error(_EXTENDED, "there is an extended offset table, but frames are in several fragments")
    for name, table in (("ExtendedOffsetTable", offsets), ("ExtendedOffsetTableLengths", lengths)):
        if table is not None and table.length != 8 * expected:
            yield image.error(_EXTENDED, f"{name} has {table.length} bytes; {8 * expected} are due")
    if (offsets is None) != (lengths is None):
        there, missing = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")[:: 1 if offsets else -1]
        yield image.error(_EXTENDED, f"{there} is there, but {missing} is missing")


def check_extended_lengths(image: Image) -> Iterator[Finding]:
    """The lengths of the extended offset table are those of the items, their padding counted or not."""
    pixel_data, expected = encapsulated(image), image.frames
    if pixel_data is None or not expected or pixel_data.extended_lengths is None:
        return
    told = pixel_data.entries(pixel_data.extended_lengths, 8)
    wrong, first = 0, ""
    for frame, length in zip(frames(pixel_data, expected), told, strict=False):
        if frame.fragments == 1 and length not in (frame.first.length, frame.first.length - 1):
            wrong += 1
            first = first or f"that of frame {frame.number} is {length} for an item of {frame.first.length} bytes"
    if wrong:
        yield image.error(_EXTENDED, f"{wrong} of the ExtendedOffsetTableLengths are wrong: {first}")


def check_ratio(image: Image) -> Iterator[Finding]:
    """The last compression ratio is about the one that the file has."""
    pixel_data, level, samples, bits = encapsulated(image), image.level, image.samples, image.integer("BitsAllocated")
    ratios = decimals(image.header, "LossyImageCompressionRatio")
    methods = image.text("LossyImageCompressionMethod").split("\\")
    if pixel_data is None or level is None or not (samples and bits and ratios and image.frames):
        return
    if methods[-1] != lossy_method(image.transfer_syntax):
        return
    stored = pixel_data.survey.stored_bytes
    actual = image.frames * level.tile_width * level.tile_height * samples * bits / 8 / max(1, stored)
    if ratios[-1] > 0 and not 1 / _IMPLAUSIBLE <= ratios[-1] / actual <= _IMPLAUSIBLE:
        yield image.warning(
            "PS3.3 C.7.6.1.1.5.2", f"the last LossyImageCompressionRatio is {ratios[-1]:g}; the file has {actual:.3g}"
        )


def odd_lengths(pixel_data: PixelDataElement) -> int:
    """How many lengths of the extended offset table are odd."""
    if pixel_data.extended_lengths is None:
        return 0
    try:
        return sum(length % 2 for length in pixel_data.entries(pixel_data.extended_lengths, 8))
    except CorruptInput:
        return 0  # reported with the tables
