"""What the header of one whole-slide image says about its pixels, checked before anything is allocated for them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset

from wsi_dicom.codecs.transfer_syntaxes import (
    ALWAYS_LOSSY,
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_XL,
    NATIVE,
    lossy_method,
)
from wsi_dicom.dicom.cielab import srgb_from_cielab
from wsi_dicom.dicom.elements import UNDEFINED, ElementWalker
from wsi_dicom.dicom.header import PER_FRAME_FUNCTIONAL_GROUPS, Instance, reading, text
from wsi_dicom.dicom.index import (
    EncapsulatedFrames,
    FrameReader,
    NativeFrames,
    PixelData,
    PlanarFrames,
    RandomAccessFile,
)
from wsi_dicom.dicom.positions import FramePositions, read_positions
from wsi_dicom.errors import CorruptInput, UnsupportedFormat
from wsi_dicom.geometry import Level, PixelFormat, Spacing
from wsi_dicom.metadata import LossyStep
from wsi_dicom.slide import Encoding, ImageFlavor

_EXTENDED_OFFSET_TABLE: Final = 0x7FE00001
_PIXEL_DATA: Final = 0x7FE00010
_LARGEST_TILE: Final = 256 << 20
_LARGEST_LEVEL: Final = (1 << 32) - 1  # Total Pixel Matrix Columns and Rows are UL
_MOST_FRAMES: Final = (1 << 31) - 1  # Number of Frames is IS
_PLANES: Final = 1 << 16
_YCBCR: Final = ("YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


@dataclass(frozen=True, slots=True)
class ImageAttributes:
    """One VL Whole Slide Microscopy image instance (PS3.3 C.8.12.4), a level or a part of one."""

    instance: Instance
    flavor: ImageFlavor
    level: Level
    frames: int
    pixel_format: PixelFormat
    encoding: Encoding
    bits_stored: int
    """Of the bits of each sample, those that are used: values are below 2 to the power of it."""
    planar: bool
    """Whether uncompressed frames are stored colour by colour."""
    lossy: tuple[LossyStep, ...]
    """Every lossy compression that is told of, oldest first."""
    tiled_full: bool
    focal_planes: int
    optical_paths: tuple[str, ...]
    spacing: Spacing | None
    focal_spacing_um: float | None
    absent_color: tuple[int, int, int] | None
    """Red, green, blue that tiles without a frame should be shown in."""
    concatenation_uid: str
    first_frame: int
    """Frames of the same concatenation in the instances before this one."""


@dataclass(frozen=True, slots=True)
class ImageBody:
    """The frames of an image, and where each of them lies in the slide when they tell it themselves."""

    frames: FrameReader
    positions: FramePositions | None


def image_flavor(instance: Instance) -> ImageFlavor | None:
    """Value 3 of Image Type; None for an image that is no part of what we show."""
    with reading(instance.path):
        values = text(instance.header, "ImageType").split("\\")
    flavor = values[2] if len(values) > 2 else ""
    return ImageFlavor(flavor) if flavor in ImageFlavor.__members__ else None


def read_attributes(instance: Instance, flavor: ImageFlavor) -> ImageAttributes:
    """Raises CorruptInput for absurd values, UnsupportedFormat for pixels that we do not handle."""
    with reading(instance.path):
        header = instance.header
        tile_width = _integer(instance, "Columns", high=0xFFFF)
        tile_height = _integer(instance, "Rows", high=0xFFFF)
        pixel_format = _pixel_format(instance)
        if tile_width * tile_height * pixel_format.bytes_per_pixel > _LARGEST_TILE:
            raise CorruptInput(
                f"{instance.path} has tiles of {tile_width} x {tile_height} pixels; the limit is "
                f"{_LARGEST_TILE >> 20} MiB"
            )
        width = _integer(instance, "TotalPixelMatrixColumns", tile_width, high=_LARGEST_LEVEL)
        height = _integer(instance, "TotalPixelMatrixRows", tile_height, high=_LARGEST_LEVEL)
        level = Level(width, height, tile_width, tile_height)
        if level.tile_count > _MOST_FRAMES:
            raise CorruptInput(
                f"{instance.path} has {level.tile_count} tiles; {_MOST_FRAMES} is the most frames there can be"
            )
        encoding = _encoding(instance)
        focal_planes = _integer(instance, "TotalPixelMatrixFocalPlanes", 1, high=_PLANES)
        frames = _integer(instance, "NumberOfFrames", 1, high=_MOST_FRAMES)
        organization = text(header, "DimensionOrganizationType")
        return ImageAttributes(
            instance=instance,
            flavor=flavor,
            level=level,
            frames=frames,
            pixel_format=pixel_format,
            encoding=encoding,
            bits_stored=_integer(instance, "BitsStored", pixel_format.bits, high=pixel_format.bits),
            planar=_is_planar(instance),
            lossy=_lossy_history(header, encoding),
            tiled_full=organization == "TILED_FULL" or (frames == 1 and tile_width >= width and tile_height >= height),
            focal_planes=focal_planes,
            optical_paths=tuple(
                text(path, "OpticalPathIdentifier") for path in header.get("OpticalPathSequence") or ()
            ),
            spacing=_spacing(header, width, height),
            focal_spacing_um=_focal_spacing(header),
            absent_color=_absent_color(header),
            concatenation_uid=text(header, "ConcatenationUID"),
            first_frame=_integer(instance, "ConcatenationFrameOffsetNumber", 0, low=0, high=_MOST_FRAMES),
        )


def open_body(image: ImageAttributes) -> ImageBody:
    """Finds the pixel data behind the header, and reads the frames' positions where they count.

    Raises NotFound, StoreError, CorruptInput.
    """
    instance, positions, extended_offsets = image.instance, None, None
    with reading(instance.path), instance.path.open("rb") as file:
        file.seek(instance.end)
        walker = ElementWalker(file, implicit_vr=instance.implicit_vr)
        for tag, length in walker.elements():
            if tag == _PIXEL_DATA:
                pixel_data = PixelData(file.tell(), None if length == UNDEFINED else length, extended_offsets)
                return ImageBody(_frame_reader(image, pixel_data), positions)
            if tag == _EXTENDED_OFFSET_TABLE:
                extended_offsets = file.tell(), length
            if tag == PER_FRAME_FUNCTIONAL_GROUPS and not image.tiled_full:
                positions = read_positions(walker, length, str(instance.path), image.optical_paths)
                if len(positions.columns) != image.frames:
                    raise CorruptInput(
                        f"{instance.path} tells the positions of {len(positions.columns)} of its {image.frames} frames"
                    )
            else:
                walker.skip(length)
    raise CorruptInput(f"{instance.path} has no pixel data, or is truncated")


def _frame_reader(image: ImageAttributes, pixel_data: PixelData) -> FrameReader:
    file = RandomAccessFile(image.instance.path)
    size = image.level.tile_width * image.level.tile_height * image.pixel_format.bytes_per_pixel
    if image.encoding.transfer_syntax in NATIVE:
        frames = NativeFrames(file, pixel_data, image.frames, size)
        pixels = image.pixel_format
        return PlanarFrames(frames, pixels.samples, pixels.bits // 8) if image.planar else frames
    # No codec makes noise larger than twice its size, headers aside.
    return EncapsulatedFrames(file, pixel_data, image.frames, 2 * size + (1 << 16))


def _integer(instance: Instance, keyword: str, default: int | None = None, *, low: int = 1, high: int) -> int:
    value = instance.header.get(keyword)
    if value is None or value == "":
        if default is None:
            raise CorruptInput(f"{instance.path} has no {keyword}")
        return default
    if not low <= int(value) <= high:
        raise CorruptInput(f"{instance.path} has {keyword} {value}, which is not between {low} and {high}")
    return int(value)


def _pixel_format(instance: Instance) -> PixelFormat:
    samples = _integer(instance, "SamplesPerPixel", high=0xFFFF)
    bits = _integer(instance, "BitsAllocated", high=0xFFFF)
    stored = _integer(instance, "BitsStored", bits, high=0xFFFF)
    highest = _integer(instance, "HighBit", stored - 1, low=0, high=0xFFFF)
    signed = _integer(instance, "PixelRepresentation", 0, low=0, high=1)
    fits = min(bits, 9) <= stored <= bits and highest == stored - 1 and not signed
    if samples not in (1, 3) or bits not in (8, 16) or not fits:
        raise UnsupportedFormat(
            f"{instance.path} has pixels of {samples} {'signed' if signed else 'unsigned'} samples with {stored} of "
            f"{bits} bits, the highest being bit {highest}; 1 or 3 unsigned samples of 8 bits, or of the 9 to 16 low "
            "bits of 16, are supported"
        )
    return PixelFormat(samples, bits)


def _encoding(instance: Instance) -> Encoding:
    photometric = text(instance.header, "PhotometricInterpretation")
    syntax = instance.transfer_syntax
    samples = _integer(instance, "SamplesPerPixel", high=0xFFFF)
    known: tuple[str, ...] = ("MONOCHROME2",) if samples == 1 else ("RGB", *_YCBCR)
    if syntax == JPEG_XL and samples == 3:
        known = ("RGB", "XYB")
    if syntax in NATIVE:
        known, syntax = known[:1], EXPLICIT_VR_LITTLE_ENDIAN
    if photometric not in known:
        raise UnsupportedFormat(
            f"{instance.path} has the photometric interpretation {photometric or '(none)'}; "
            f"{', '.join(known)} can be read here"
        )
    if syntax in ALWAYS_LOSSY and photometric in _YCBCR:  # JPEG all of them
        photometric = "YBR_FULL_422"
    return Encoding(syntax, photometric)


def _is_planar(instance: Instance) -> bool:
    """Planar Configuration (PS3.3 C.7.6.3.1.3) counts for uncompressed colour only."""
    planar = _integer(instance, "PlanarConfiguration", 0, low=0, high=1) == 1
    return planar and instance.transfer_syntax in NATIVE and instance.header.get("SamplesPerPixel") == 3


def _lossy_history(header: Dataset, encoding: Encoding) -> tuple[LossyStep, ...]:
    """What the header tells (PS3.3 C.7.6.1.1.5); else what the transfer syntax must or may have done.

    Without a ratio for every method only the last method is certain to be of any use.
    """
    told, own = text(header, "LossyImageCompression"), lossy_method(encoding.transfer_syntax)
    if told == "01":
        methods = _values(text(header, "LossyImageCompressionMethod")) or [own or "ISO_10918_1"]
        ratios = [_ratio(value) for value in _values(text(header, "LossyImageCompressionRatio"))]
        if len(ratios) == len(methods) and None not in ratios:
            return tuple(map(LossyStep, methods, ratios))
        return (LossyStep(methods[-1]),)
    if own is None or (told == "00" and encoding.transfer_syntax not in ALWAYS_LOSSY):
        return ()
    return (LossyStep(own),)


def _values(stored: str) -> list[str]:
    return [value for value in stored.split("\\") if value]


def _ratio(stored: str) -> float | None:
    ratio = float(stored)
    return ratio if math.isfinite(ratio) and ratio > 0 else None


def _absent_color(header: Dataset) -> tuple[int, int, int] | None:
    value = header.get("RecommendedAbsentPixelCIELabValue")
    if not isinstance(value, Sequence) or len(value) != 3:
        return None
    return srgb_from_cielab([int(part) for part in value])


def _pixel_measures(header: Dataset) -> Iterator[Dataset]:
    for groups in header.get("SharedFunctionalGroupsSequence") or ():
        yield from groups.get("PixelMeasuresSequence") or ()


def _focal_spacing(header: Dataset) -> float | None:
    """Micrometres, from Spacing Between Slices, which is in millimetres."""
    for measures in _pixel_measures(header):
        value = measures.get("SpacingBetweenSlices")
        if value is not None and math.isfinite(float(value)) and float(value) > 0:
            return float(value) * 1000
    return None


def _spacing(header: Dataset, width: int, height: int) -> Spacing | None:
    """From Pixel Spacing, which is (between rows, between columns); else from the size of the imaged volume."""
    for measures in _pixel_measures(header):
        if (values := measures.get("PixelSpacing")) is not None and len(values) == 2:
            return _valid_spacing(float(values[1]), float(values[0]))
    imaged_width, imaged_height = header.get("ImagedVolumeWidth"), header.get("ImagedVolumeHeight")
    if imaged_width is None or imaged_height is None:
        return None
    return _valid_spacing(float(imaged_width) / width, float(imaged_height) / height)


def _valid_spacing(x_mm: float, y_mm: float) -> Spacing | None:
    spacing = Spacing(x_mm, y_mm)
    return spacing if all(math.isfinite(value) and value > 0 for value in spacing) else None
