"""What the header of one whole-slide image says about its pixels, checked before anything is allocated for them."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pydicom.dataset import Dataset

from wsi_dicom.codecs.transfer_syntaxes import (
    ALWAYS_LOSSY,
    ENDED_BY_MARKER,
    IMPLICIT_VR_LITTLE_ENDIAN,
    STREAM_BEGINNINGS,
    UNENCAPSULATED,
    lossy_method,
)
from wsi_dicom.dicom.cielab import srgb_from_cielab
from wsi_dicom.dicom.elements import UNDEFINED, ElementWalker
from wsi_dicom.dicom.header import PER_FRAME_FUNCTIONAL_GROUPS, Instance, integer, reading, text, text_encoding
from wsi_dicom.dicom.index import EncapsulatedFrames, FrameReader, NativeFrames, PixelData, RandomAccessFile
from wsi_dicom.dicom.native_layout import ArrangedFrames, read_layout
from wsi_dicom.dicom.photometric import told_encoding
from wsi_dicom.dicom.position_cache import PositionCache
from wsi_dicom.dicom.positions import FramePositions, read_positions
from wsi_dicom.dicom.samples import StoredSamples, read_samples
from wsi_dicom.dicom.uids import VL_WHOLE_SLIDE
from wsi_dicom.dicom.window import read_window
from wsi_dicom.errors import CorruptInput
from wsi_dicom.geometry import Level, PixelFormat, Spacing
from wsi_dicom.metadata import LossyStep, Window
from wsi_dicom.slide import Encoding, ImageFlavor

logger = logging.getLogger(__name__)

_EXTENDED_OFFSET_TABLE: Final = 0x7FE00001
_PIXEL_DATA: Final = 0x7FE00010
_LARGEST_TILE: Final = 256 << 20
_LARGEST_LEVEL: Final = (1 << 32) - 1  # Total Pixel Matrix Columns and Rows are UL
_MOST_FRAMES: Final = (1 << 31) - 1  # Number of Frames is IS
_PLANES: Final = 1 << 16
_VALID_UID: Final = re.compile(r"(?=.{1,64}$)(0|[1-9]\d*)(\.(0|[1-9]\d*))*")  # PS3.5 9.1


@dataclass(frozen=True, slots=True)
class ImageAttributes:
    """One VL Whole Slide Microscopy image instance (PS3.3 C.8.12.4), a level or a part of one."""

    instance: Instance
    flavor: ImageFlavor
    level: Level
    frames: int
    samples: StoredSamples
    encoding: Encoding
    """As told: the colour of the streams may be another."""
    lossy: tuple[LossyStep, ...]
    """Every lossy compression that is told of, oldest first."""
    tiled_full: bool
    focal_planes: int
    optical_paths: tuple[str, ...]
    shared_path: str
    """The optical path that all frames have in common, if it is told."""
    spacing: Spacing | None
    focal_spacing_um: float | None
    window: Window | None
    """How its grays should be shown, in the numbers that our pixels have."""
    absent_color: tuple[int, int, int] | None
    """Red, green, blue that tiles without a frame should be shown in."""
    concatenation_uid: str
    first_frame: int
    """Frames of the same concatenation in the instances before this one."""

    @property
    def pixel_format(self) -> PixelFormat:
        return self.samples.pixel_format


@dataclass(frozen=True, slots=True)
class ImageBody:
    """The frames of an image, and where each of them lies in the slide when they tell it themselves."""

    frames: FrameReader
    positions: FramePositions | None


def image_flavor(instance: Instance) -> ImageFlavor | None:
    """Value 3 of Image Type; None for an image that is no part of what we show.

    Where there are fewer values, what is tiled, or told to show no label, is taken for a VOLUME.
    """
    with reading(instance.path):
        values = text(instance.header, "ImageType").split("\\")
        if len(values) > 2:
            return ImageFlavor(values[2]) if values[2] in ImageFlavor.__members__ else None
        tiled = integer(instance, "NumberOfFrames", 1, high=_MOST_FRAMES) > 1
        return ImageFlavor.VOLUME if tiled or text(instance.header, "SpecimenLabelInImage") == "NO" else None


def shows_label(instance: Instance) -> bool:
    """Whether it may show a slide's label: all of a whole slide that is not told to be a level or a thumbnail.

    LABEL and OVERVIEW do, and so did LOCALIZER, as an OVERVIEW was called before.
    """
    if instance.sop_class_uid != VL_WHOLE_SLIDE:
        return False
    return image_flavor(instance) not in (ImageFlavor.VOLUME, ImageFlavor.THUMBNAIL)


def read_attributes(instance: Instance, flavor: ImageFlavor) -> ImageAttributes:
    """Raises CorruptInput for absurd values, UnsupportedFormat for pixels that we do not handle."""
    with reading(instance.path):
        _log_repairs(instance, flavor)
        return _attributes(instance, flavor)


def frame_attributes(instance: Instance) -> ImageAttributes:
    """Of an image of any kind, whose frames are no tiles of anything: each is a level of its own. Raises likewise."""
    with reading(instance.path):
        image = _attributes(instance, ImageFlavor.VOLUME)
        width, height = image.level.tile_width, image.level.tile_height
        return replace(image, level=Level(width, height, width, height), tiled_full=True)


def _attributes(instance: Instance, flavor: ImageFlavor) -> ImageAttributes:
    header = instance.header
    encoding = told_encoding(instance)
    samples = read_samples(instance, encoding)
    level = _level(instance, max(samples.stored.bytes_per_pixel, samples.pixel_format.bytes_per_pixel))
    focal_planes = integer(instance, "TotalPixelMatrixFocalPlanes", 1, high=_PLANES)
    frames = integer(instance, "NumberOfFrames", 1, high=_MOST_FRAMES)
    organization = text(header, "DimensionOrganizationType")
    return ImageAttributes(
        instance=instance,
        flavor=flavor,
        level=level,
        frames=frames,
        samples=samples,
        encoding=encoding,
        lossy=_lossy_history(header, encoding),
        tiled_full=organization == "TILED_FULL"
        or (flavor is not ImageFlavor.VOLUME and frames == level.tile_count == 1),
        focal_planes=focal_planes,
        optical_paths=tuple(text(path, "OpticalPathIdentifier") for path in header.get("OpticalPathSequence") or ()),
        shared_path=_shared_path(header),
        spacing=_spacing(header, level.width, level.height),
        focal_spacing_um=_focal_spacing(header),
        window=read_window(instance, samples),
        absent_color=_absent_color(header),
        concatenation_uid=text(header, "ConcatenationUID"),
        first_frame=integer(instance, "ConcatenationFrameOffsetNumber", 0, low=0, high=_MOST_FRAMES),
    )


def open_body(image: ImageAttributes, cache: PositionCache | None = None) -> ImageBody:
    """Finds the pixel data behind the header, and reads the frames' positions where they count.

    Raises NotFound, StoreError, CorruptInput, UnsupportedFormat.
    """
    instance, positions, extended_offsets = image.instance, None, None
    with reading(instance.path), instance.open_data_set() as file:
        walker = instance.walker(file)
        for tag, length in walker.elements():
            if tag == _PIXEL_DATA:
                size = None if length == UNDEFINED else length
                pixel_data = PixelData(file.tell(), size, extended_offsets, walker.vr)
                return ImageBody(_frame_reader(image, RandomAccessFile(file), pixel_data), positions)
            if tag == _EXTENDED_OFFSET_TABLE:
                extended_offsets = file.tell(), length
            if tag == PER_FRAME_FUNCTIONAL_GROUPS and not image.tiled_full:
                positions = _positions(image, walker, length, cache)
            else:
                walker.skip(length)
    raise CorruptInput(f"{instance.path} has no pixel data, or is truncated")


def _positions(
    image: ImageAttributes, walker: ElementWalker, length: int, cache: PositionCache | None
) -> FramePositions | None:
    """From the sequence that `walker` stands at, which it is behind then; or from the cache.

    None for a frame that shows all there is, and fails to tell where.
    """
    path, start = image.instance.path, walker.file.tell()
    if cache is not None and (known := cache.read(path, image.frames)) is not None:
        positions, end = known
        walker.file.seek(end)
        return positions
    try:
        encoding = text_encoding(image.instance.header)
        positions = read_positions(walker, length, str(path), image.optical_paths, encoding, image.shared_path)
    except CorruptInput:
        if not image.frames == image.level.tile_count == 1:
            raise
        walker.file.seek(start)
        walker.skip(length)
        return None
    if len(positions.columns) != image.frames:
        raise CorruptInput(f"{path} tells the positions of {len(positions.columns)} of its {image.frames} frames")
    if cache is not None:
        cache.write(path, positions, walker.file.tell())
    return positions


def _log_repairs(instance: Instance, flavor: ImageFlavor) -> None:
    """What breaks the standard, and is read all the same."""
    found = []
    if (count := len(_values(text(instance.header, "ImageType")))) != 4:
        found.append(f"Image Type has {count} values instead of 4, the image is taken for a {flavor}")
    if (modality := text(instance.header, "Modality")) != "SM":
        found.append(f"Modality is {modality or 'missing'} and should be SM")
    found += [
        f"{keyword} is no valid UID and kept as text"
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        if not _VALID_UID.fullmatch(text(instance.header, keyword))
    ]
    if instance.implicit_vr != (instance.transfer_syntax == IMPLICIT_VR_LITTLE_ENDIAN):
        kind = "implicit" if instance.implicit_vr else "explicit"
        found.append(f"its data set has {kind} VR, whatever its transfer syntax {instance.transfer_syntax} says")
    if found:
        logger.warning("%s: %s", instance.sop_instance_uid, "; ".join(found))


def _level(instance: Instance, bytes_per_pixel: int) -> Level:
    tile_width = integer(instance, "Columns", high=0xFFFF)
    tile_height = integer(instance, "Rows", high=0xFFFF)
    width = integer(instance, "TotalPixelMatrixColumns", tile_width, high=_LARGEST_LEVEL)
    height = integer(instance, "TotalPixelMatrixRows", tile_height, high=_LARGEST_LEVEL)
    level = Level(width, height, tile_width, tile_height)
    if tile_width * tile_height * bytes_per_pixel > _LARGEST_TILE:
        raise CorruptInput(
            f"{instance.path} has tiles of {tile_width} x {tile_height} pixels; the limit is {_LARGEST_TILE >> 20} MiB"
        )
    if level.tile_count > _MOST_FRAMES:
        raise CorruptInput(
            f"{instance.path} has {level.tile_count} tiles; {_MOST_FRAMES} is the most frames there can be"
        )
    return level


def _frame_reader(image: ImageAttributes, file: RandomAccessFile, pixel_data: PixelData) -> FrameReader:
    level, stored = image.level, image.samples.stored
    if image.instance.transfer_syntax in UNENCAPSULATED:
        layout = read_layout(image.instance, level, stored, image.encoding.photometric, image.frames, pixel_data)
        frames = NativeFrames(file, pixel_data, image.frames, layout.frame_size)
        return frames if layout.plain else ArrangedFrames(frames, layout)
    # No codec makes noise larger than twice its size, headers aside.
    size = level.tile_width * level.tile_height * stored.bytes_per_pixel
    syntax = image.encoding.transfer_syntax
    return EncapsulatedFrames(
        file,
        pixel_data,
        image.frames,
        2 * size + (1 << 16),
        beginnings=STREAM_BEGINNINGS.get(syntax, ()),
        ended_by_marker=syntax in ENDED_BY_MARKER,
    )


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


def _shared_path(header: Dataset) -> str:
    for groups in header.get("SharedFunctionalGroupsSequence") or ():
        for path in groups.get("OpticalPathIdentificationSequence") or ():
            return text(path, "OpticalPathIdentifier")
    return ""


def _focal_spacing(header: Dataset) -> float | None:
    """Micrometres, from Spacing Between Slices, which is in millimetres."""
    for measures in _pixel_measures(header):
        value = measures.get("SpacingBetweenSlices")
        if value is not None and math.isfinite(float(value)) and float(value) > 0:
            return float(value) * 1000
    return None


def _spacing(header: Dataset, width: int, height: int) -> Spacing | None:
    """From Pixel Spacing, which is (between rows, between columns); else from the size of the imaged volume."""
    for measures in (*_pixel_measures(header), header):  # outside of any group in old files
        if spacing := told_spacing(measures):
            return spacing
    imaged_width, imaged_height = header.get("ImagedVolumeWidth"), header.get("ImagedVolumeHeight")
    if imaged_width is None or imaged_height is None:
        return None
    return _valid_spacing(float(imaged_width) / width, float(imaged_height) / height)


def told_spacing(measures: Dataset) -> Spacing | None:
    """Of an item of Pixel Measures, or an image that has none."""
    values = measures.get("PixelSpacing")
    if not isinstance(values, Sequence) or len(values) != 2 or None in values:
        return None
    return _valid_spacing(float(values[1]), float(values[0]))


def _valid_spacing(x_mm: float, y_mm: float) -> Spacing | None:
    spacing = Spacing(x_mm, y_mm)
    return spacing if all(math.isfinite(value) and value > 0 for value in spacing) else None
