"""What to do with each picture of a slide: copy its tiles, encode them anew, or derive it from a finer level.

Planning decides; `frames` carries out. Nothing here reads a tile, so a plan can be printed before any work is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from wsi_dicom.codecs import codec_for
from wsi_dicom.codecs.transfer_syntaxes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    NATIVE,
    transfer_syntax_name,
)
from wsi_dicom.errors import InvalidRequest, UnsupportedFormat
from wsi_dicom.geometry import Level, PixelFormat
from wsi_dicom.slide import AssociatedImage, Encoding, ImageFlavor, Slide

TILE_SIDE = 512
"""Side of new tiles where the source has none that can be kept: Orthanc's default."""

LARGEST_TILE = 4096
"""Tiles wider or higher than this are cut anew: a tile is the unit of memory of readers and of ours."""


class Action(StrEnum):
    """What happens to a picture."""

    COPY = "copy"
    ENCODE = "encode"
    DERIVE = "derive"


class Compression(StrEnum):
    """What tiles that cannot be copied are compressed with."""

    JPEG = "jpeg"
    JPEG2000 = "jpeg2000"
    NONE = "none"

    @property
    def transfer_syntax(self) -> str:
        return {
            Compression.JPEG: JPEG_BASELINE,
            Compression.JPEG2000: JPEG_2000_LOSSLESS,
            Compression.NONE: EXPLICIT_VR_LITTLE_ENDIAN,
        }[self]


@dataclass(frozen=True, slots=True)
class Container:
    """What a kind of output can hold: transfer syntaxes, tile sides as multiples of a number, associated images."""

    name: str
    transfer_syntaxes: frozenset[str]
    tile_multiple: int = 1
    associated: bool = True


DICOM = Container("DICOM", frozenset({JPEG_BASELINE, JPEG_2000, JPEG_2000_LOSSLESS, EXPLICIT_VR_LITTLE_ENDIAN}))
TIFF = Container("TIFF", DICOM.transfer_syntaxes, tile_multiple=16, associated=False)


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What the user asked for. `compression` None: lossy sources become JPEG, lossless ones stay lossless."""

    pyramid: bool = False
    smooth: bool = False
    compression: Compression | None = None
    quality: int = 90

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise InvalidRequest(f"a JPEG quality of {self.quality} is outside 1 to 100")


@dataclass(frozen=True, slots=True)
class LevelPlan:
    """One level as it will be written, and the source's level that its pixels come from (0 for a derived one).

    A copied level keeps the source's tiles.
    """

    output: Level
    action: Action
    encoding: Encoding
    source_level: int


@dataclass(frozen=True, slots=True)
class AssociatedPlan:
    """A label, overview or thumbnail as it will be written."""

    action: Action
    encoding: Encoding


@dataclass(frozen=True, slots=True)
class ConversionPlan:
    """Everything that will be written, finest level first."""

    levels: tuple[LevelPlan, ...]
    pixel_format: PixelFormat
    quality: int
    smooth: bool
    associated: Mapping[ImageFlavor, AssociatedPlan] = field(default_factory=dict)

    @property
    def tile_count(self) -> int:
        return sum(level.output.tile_count for level in self.levels)

    @property
    def pixel_count(self) -> int:
        return sum(level.output.width * level.output.height for level in self.levels)

    def __str__(self) -> str:
        """A line per picture, for people."""
        lines = [
            f"level {number}: {level.action} {level.output.width} x {level.output.height} in "
            f"{level.output.tile_count} tiles of {level.output.tile_width} x {level.output.tile_height}, "
            f"{transfer_syntax_name(level.encoding.transfer_syntax)}"
            for number, level in enumerate(self.levels)
        ]
        lines += [
            f"{flavor.lower()}: {associated.action}, {transfer_syntax_name(associated.encoding.transfer_syntax)}"
            for flavor, associated in self.associated.items()
        ]
        return "\n".join(lines)


def make_plan(slide: Slide, options: PlanOptions, container: Container) -> ConversionPlan:
    """Plans every picture of `slide` for `container`.

    Raises CodecError when no compression can hold its pixels, UnsupportedFormat when it has more than one plane.
    """
    planes = slide.pyramid.focal_planes * slide.pyramid.optical_paths
    if planes > 1:
        raise UnsupportedFormat(f"{slide.name}: has {planes} focal planes and optical paths; only one is supported yet")
    if options.pyramid:
        base = _plan_level(slide, 0, options, container)
        levels = (base, *_derived_levels(slide, base, options))
    else:
        levels = tuple(_plan_level(slide, number, options, container) for number in range(len(slide.pyramid.levels)))
    return ConversionPlan(
        levels=levels,
        pixel_format=slide.pyramid.pixel_format,
        quality=options.quality,
        smooth=options.smooth,
        associated={
            flavor: _plan_associated(image, options, container)
            for flavor, image in slide.associated.items()
            if container.associated
        },
    )


def largest_total(slide: Slide, level: LevelPlan) -> int:
    """Upper bound of the bytes of all frames of a level, known before the first is written."""
    output = level.output
    raw = output.tile_count * output.tile_width * output.tile_height * slide.pyramid.pixel_format.bytes_per_pixel
    if level.encoding.transfer_syntax in NATIVE:
        return raw
    if level.action is not Action.COPY:
        return raw + raw // 4 + output.tile_count * 4096  # noise may grow a little, and streams have headers
    # a tile that turns out to be missing is encoded, and may then be larger than the stored ones
    return slide.stored_bytes(level.source_level) + raw // 20


def _plan_level(slide: Slide, number: int, options: PlanOptions, container: Container) -> LevelPlan:
    source = slide.pyramid.level(number)
    stored = slide.encoding(number)
    tiles_fit = (
        source.tile_width % container.tile_multiple == 0
        and source.tile_height % container.tile_multiple == 0
        and max(source.tile_width, source.tile_height) <= LARGEST_TILE
    )
    if stored is not None and stored.transfer_syntax in container.transfer_syntaxes and tiles_fit:
        return LevelPlan(source, Action.COPY, stored, number)
    striped = source.columns == 1 and max(source.tile_width, source.tile_height) > TILE_SIDE
    output = source if tiles_fit and not striped else source.retiled(TILE_SIDE, TILE_SIDE)
    encoding = _new_encoding(slide.pyramid.pixel_format, slide.lossy_method(number) is None, options)
    return LevelPlan(output, Action.ENCODE, encoding, number)


def _derived_levels(slide: Slide, base: LevelPlan, options: PlanOptions) -> tuple[LevelPlan, ...]:
    encoding = _new_encoding(slide.pyramid.pixel_format, slide.lossy_method(0) is None, options)
    levels = []
    level = base.output
    while level.tile_count > 1:
        level = level.halved()
        levels.append(LevelPlan(level, Action.DERIVE, encoding, source_level=0))
    return tuple(levels)


def _plan_associated(image: AssociatedImage, options: PlanOptions, container: Container) -> AssociatedPlan:
    stored = image.encoded()
    if stored is not None and stored.encoding.transfer_syntax in container.transfer_syntaxes:
        return AssociatedPlan(Action.COPY, stored.encoding)
    return AssociatedPlan(Action.ENCODE, _new_encoding(image.pixel_format, image.lossy_method is None, options))


def _new_encoding(pixel_format: PixelFormat, lossless: bool, options: PlanOptions) -> Encoding:
    """Lossless pixels are never made lossy without being asked; 16 bits do not fit JPEG baseline."""
    compression = options.compression
    if compression is None:
        compression = Compression.JPEG2000 if lossless or pixel_format.bits > 8 else Compression.JPEG
    syntax = compression.transfer_syntax
    return codec_for(syntax).encoding(pixel_format, lossless=syntax == JPEG_2000_LOSSLESS)
