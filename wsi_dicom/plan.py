"""What to do with each picture of a slide: copy its tiles, encode them anew, or derive it from a finer level.

Planning decides; `frames` carries out. Nothing here reads a tile, so a plan can be printed before any work is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from wsi_dicom.codecs import codec_for
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.codecs.jpeg import SAMPLINGS
from wsi_dicom.codecs.transfer_syntaxes import (
    DEFLATED_IMAGE_FRAME,
    HTJ2K,
    HTJ2K_LOSSLESS,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_LS_LOSSLESS,
    JPEG_XL_LOSSLESS,
    JPEG_XL_RECOMPRESSION,
    KNOWN,
    NATIVE,
    RLE,
    transfer_syntax_name,
)
from wsi_dicom.errors import CodecError, InvalidRequest, UnsupportedFormat
from wsi_dicom.geometry import FIRST_PLANE, TILE_SIDE, Level, PixelFormat, Plane
from wsi_dicom.slide import AssociatedImage, Encoding, ImageFlavor, Slide

SMALLEST_TILE, LARGEST_TILE = 16, 4096
"""Tiles wider or higher than this are cut anew: a tile is the unit of memory of readers and of ours."""


class Action(StrEnum):
    """What happens to a picture. To recompress is to pack a JPEG stream so that it can be had back bit by bit."""

    COPY = "copy"
    RECOMPRESS = "recompress"
    ENCODE = "encode"
    DERIVE = "derive"

    @property
    def keeps_tiles(self) -> bool:
        """Whether the stored streams are what is written, as they are or packed."""
        return self in (Action.COPY, Action.RECOMPRESS)


@dataclass(frozen=True, slots=True)
class Container:
    """What a kind of output can hold.

    `transfer_syntaxes` are those of levels, `colour_only` those of them that gray levels cannot have, `lossless` what
    levels become that must lose nothing and cannot be copied.
    Associated images are copied in `associated_syntaxes`, else encoded as `associated_compression`, or, where that is
    None, as levels are. Tile sides are multiples of `tile_multiple`. `planes`: more than one focal plane or optical
    path. `sparse`: levels without some of their tiles. `sampled_alike`: JPEG tiles of a level are all sampled as its
    encoding says, in one of the ways that are written. `silent_ycbcr`: JPEG 2000 may hold YCbCr that its streams do not
    tell of, and few readers of TIFF undo.
    """

    name: str
    transfer_syntaxes: frozenset[str]
    associated_syntaxes: frozenset[str]
    colour_only: frozenset[str] = frozenset()
    lossless: Compression = Compression.JPEG2000
    associated_compression: Compression | None = None
    tile_multiple: int = 1
    deepest_bits: int = 16
    planes: bool = True
    sparse: bool = True
    sampled_alike: bool = False
    silent_ycbcr: bool = True

    def holds(self, encoding: Encoding, pixel_format: PixelFormat) -> bool:
        """Whether a level of such pixels can be stored so."""
        syntax = encoding.transfer_syntax
        if syntax not in self.transfer_syntaxes or (pixel_format.samples == 1 and syntax in self.colour_only):
            return False
        return self._reads(encoding)

    def holds_picture(self, encoding: Encoding) -> bool:
        """Whether an associated image can be stored so."""
        return encoding.transfer_syntax in self.associated_syntaxes and self._reads(encoding)

    def _reads(self, encoding: Encoding) -> bool:
        """Whether its readers know what the streams do not say themselves."""
        if encoding.transfer_syntax == JPEG_BASELINE:
            known = encoding.sampling in (None, encoding.chroma) and encoding.chroma in SAMPLINGS
            return known or not self.sampled_alike
        silent = encoding.transfer_syntax in (JPEG_2000, JPEG_2000_LOSSLESS) and "YBR_FULL" in encoding.photometric
        return self.silent_ycbcr or not silent


DICOM = Container("DICOM", KNOWN, KNOWN)


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What the user asked for.

    `compression` is that of tiles that cannot be copied, or are not compressed yet; None: lossy sources become JPEG,
    lossless ones stay lossless. `sampling` is that of chroma in new JPEG tiles (see Encoding); None: as in the
    source's, else 4:2:0. `reencode`: copy nothing. `tile_width` and `tile_height` None: the source's. `levels` bounds
    their number. `repaint`: absent tiles are written, in the background's colour. `verify`: decode every tile that is
    copied. `left_out` are pictures that are not to be written. `anonymous`: JPEG streams that are copied lose comments
    and application data, which may name places and people.
    """

    pyramid: bool = False
    smooth: bool = False
    compression: Compression | None = None
    quality: int = 90
    sampling: tuple[int, int] | None = None
    reencode: bool = False
    tile_width: int | None = None
    tile_height: int | None = None
    levels: int | None = None
    repaint: bool = False
    verify: bool = False
    left_out: frozenset[ImageFlavor] = frozenset()
    anonymous: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise InvalidRequest(f"a JPEG quality of {self.quality} is outside 1 to 100")
        for side in (self.tile_width, self.tile_height):
            if side is not None and not SMALLEST_TILE <= side <= LARGEST_TILE:
                raise InvalidRequest(f"tiles of {side} pixels: {SMALLEST_TILE} to {LARGEST_TILE} per side are possible")
        if self.levels is not None and self.levels < 1:
            raise InvalidRequest(f"{self.levels} levels: at least 1 has to be written")

    def copies(self, stored: Encoding) -> bool:
        """Whether tiles that are stored so may stay as they are."""
        packs = stored.transfer_syntax in NATIVE and self.compression not in (None, Compression.NONE)
        return not self.reencode and not packs

    def recompresses(self, stored: Encoding) -> bool:
        """Whether tiles that are stored so are packed without loss."""
        return self.compression is Compression.JPEG_XL_RECOMPRESS and stored.transfer_syntax == JPEG_BASELINE


@dataclass(frozen=True, slots=True)
class LevelPlan:
    """One level as it will be written, and the source's level that its pixels come from (0 for a derived one).

    A copied level keeps the source's tiles. `sparse`: tiles that the source lacks are left out.
    """

    output: Level
    action: Action
    encoding: Encoding
    source_level: int
    sparse: bool = False


@dataclass(frozen=True, slots=True)
class AssociatedPlan:
    """A label, overview or thumbnail as it will be written."""

    action: Action
    encoding: Encoding


@dataclass(frozen=True, slots=True)
class ConversionPlan:
    """Everything that will be written, finest level first; each level has all `planes`, one after the other."""

    levels: tuple[LevelPlan, ...]
    pixel_format: PixelFormat
    quality: int
    smooth: bool
    associated: Mapping[ImageFlavor, AssociatedPlan] = field(default_factory=dict)
    planes: tuple[Plane, ...] = (FIRST_PLANE,)
    verify: bool = False
    sampled_alike: bool = False
    anonymous: bool = False

    @property
    def tile_count(self) -> int:
        return len(self.planes) * sum(level.output.tile_count for level in self.levels)

    @property
    def pixel_count(self) -> int:
        return len(self.planes) * sum(level.output.width * level.output.height for level in self.levels)

    def __str__(self) -> str:
        """A line per picture, for people."""
        lines = [
            f"level {number}: {level.action} {level.output.width} x {level.output.height} in "
            f"{level.output.tile_count} tiles of {level.output.tile_width} x {level.output.tile_height}, "
            f"{transfer_syntax_name(level.encoding.transfer_syntax)}"
            f"{', without those that are absent' if level.sparse else ''}"
            for number, level in enumerate(self.levels)
        ]
        if len(self.planes) > 1:
            focal, paths = (len({plane[axis] for plane in self.planes}) for axis in (1, 0))
            lines.append(f"each of them in {focal} focal plane(s) of {paths} optical path(s)")
        lines += [
            f"{flavor.lower()}: {associated.action}, {transfer_syntax_name(associated.encoding.transfer_syntax)}"
            for flavor, associated in self.associated.items()
        ]
        return "\n".join(lines)


def make_plan(slide: Slide, options: PlanOptions, container: Container) -> ConversionPlan:
    """Plans every picture of `slide` for `container`.

    Raises CodecError when the compression cannot hold its pixels, UnsupportedFormat when the container holds one plane
    and the slide has more.
    """
    planes, bits = slide.pyramid.planes, slide.pyramid.pixel_format.bits
    if len(planes) > 1 and not container.planes:
        raise UnsupportedFormat(
            f"{slide.name}: has {slide.pyramid.focal_planes} focal planes of {slide.pyramid.optical_paths} optical "
            f"paths; {container.name} holds one plane: choose it with --focal-plane and --optical-path, or --flavor ome"
        )
    if options.compression is not None and options.compression.transfer_syntax not in container.transfer_syntaxes:
        raise CodecError(
            f"{slide.name}: {container.name} does not hold {options.compression}; choose another compression"
        )
    if bits > container.deepest_bits:
        raise UnsupportedFormat(
            f"{slide.name}: has {bits} bits a sample; {container.name} holds {container.deepest_bits}: choose --flavor "
            "tiff or ome"
        )
    if options.pyramid:
        base = _plan_level(slide, 0, options, container)
        levels = (base, *_derived_levels(slide, base, options, container))[: options.levels]
    else:
        numbers = range(len(slide.pyramid.levels))[: options.levels]
        levels = tuple(_plan_level(slide, number, options, container) for number in numbers)
    return ConversionPlan(
        levels=levels,
        pixel_format=slide.pyramid.pixel_format,
        quality=options.quality,
        smooth=options.smooth,
        associated={
            flavor: _plan_associated(f"{slide.name}: {flavor.lower()}", image, options, container)
            for flavor, image in slide.associated.items()
            if flavor not in options.left_out
        },
        planes=planes,
        verify=options.verify,
        sampled_alike=container.sampled_alike,
        anonymous=options.anonymous,
    )


_ENCODED_HEAD: Final = 4096
"""Upper bound of what a new stream has beside its pixels."""


def largest_total(slide: Slide, level: LevelPlan) -> int:
    """Upper bound of the bytes of all frames of a level, known before the first is written."""
    raw = raw_bytes(slide, level)
    if level.encoding.transfer_syntax in NATIVE:
        return raw
    if not level.action.keeps_tiles:
        # noise may grow a little, and streams have headers
        return raw + raw // 4 + len(slide.pyramid.planes) * level.output.tile_count * _ENCODED_HEAD
    if not slide.files:  # what a server will send is not known before
        return raw + raw // 4
    # a tile that turns out to be missing is encoded, and may then be larger than the stored ones
    blank = _ENCODED_HEAD * len(slide.pyramid.planes) * level.output.tile_count if slide.sparse else 0
    return slide.stored_bytes(level.source_level) + raw // 20 + (0 if level.sparse else blank)


def raw_bytes(slide: Slide, level: LevelPlan) -> int:
    """Bytes of all tiles of all planes of a level without compression."""
    output, pyramid = level.output, slide.pyramid
    pixels = output.tile_count * output.tile_width * output.tile_height
    return len(pyramid.planes) * pixels * pyramid.pixel_format.bytes_per_pixel


_BITS_PER_PIXEL: Final = {
    JPEG_BASELINE: 1.7,
    JPEG_XL_RECOMPRESSION: 1.5,
    JPEG_2000: 2.2,
    HTJ2K: 2.4,
    JPEG_2000_LOSSLESS: 10.3,
    HTJ2K_LOSSLESS: 11.0,
    JPEG_XL_LOSSLESS: 11.1,
    JPEG_LS_LOSSLESS: 14.7,
    DEFLATED_IMAGE_FRAME: 17.0,
    RLE: 24.0,
}
"""What stained tissue takes in 8-bit colour, measured; white takes next to nothing."""


def expected_bytes(slide: Slide, level: LevelPlan) -> int:
    """About how many bytes the frames of a level will have: of kept tiles what they have now, else by experience."""
    raw = raw_bytes(slide, level)
    if level.action.keeps_tiles:
        return min(slide.stored_bytes(level.source_level), raw)
    return round(raw * min(1.0, _BITS_PER_PIXEL.get(level.encoding.transfer_syntax, 24.0) / 24))


def _plan_level(slide: Slide, number: int, options: PlanOptions, container: Container) -> LevelPlan:
    source = slide.pyramid.level(number)
    sparse = slide.sparse and container.sparse and not options.repaint
    output = _output_level(source, options, container)
    stored = slide.encoding(number)
    if stored is not None and output == source and options.copies(stored):
        if options.recompresses(stored):
            return LevelPlan(source, Action.RECOMPRESS, recompressed(stored), number, sparse)
        if container.holds(stored, slide.pyramid.pixel_format):
            return LevelPlan(source, Action.COPY, stored, number, sparse)
    # a strip is no tile, unless it may be copied
    if stored is None and _is_strip(source):
        output = source.retiled(options.tile_width or TILE_SIDE, options.tile_height or TILE_SIDE)
    encoding = _new_encoding(
        slide.name, slide.pyramid.pixel_format, slide.lossy_method(number) is None, options, container, stored
    )
    return LevelPlan(output, Action.ENCODE, encoding, number, sparse)


def _is_strip(level: Level) -> bool:
    """Whether the tiles of a level are as wide as it is, and too wide, or too flat, to be good ones."""
    wide = max(level.tile_width, level.tile_height) > TILE_SIDE
    return level.columns == 1 and (wide or (level.rows > 1 and level.tile_height < SMALLEST_TILE))


def recompressed(jpeg: Encoding) -> Encoding:
    """How a JPEG stream is stored in JPEG XL that gives it back bit by bit."""
    return replace(jpeg, transfer_syntax=JPEG_XL_RECOMPRESSION)


def _output_level(source: Level, options: PlanOptions, container: Container) -> Level:
    """The tiles that are asked for, else the source's when the container can hold them, else new ones."""
    fit = (
        source.tile_width % container.tile_multiple == 0
        and source.tile_height % container.tile_multiple == 0
        and max(source.tile_width, source.tile_height) <= LARGEST_TILE
    )
    width, height = (source.tile_width, source.tile_height) if fit else (TILE_SIDE, TILE_SIDE)
    return source.retiled(options.tile_width or width, options.tile_height or height)


def _derived_levels(slide: Slide, base: LevelPlan, options: PlanOptions, container: Container) -> tuple[LevelPlan, ...]:
    lossless, pixel_format = slide.lossy_method(0) is None, slide.pyramid.pixel_format
    encoding = _new_encoding(slide.name, pixel_format, lossless, options, container, slide.encoding(0))
    levels = []
    level = base.output
    while level.tile_count > 1:
        level = level.halved()
        levels.append(LevelPlan(level, Action.DERIVE, encoding, source_level=0, sparse=base.sparse))
    return tuple(levels)


def _plan_associated(name: str, image: AssociatedImage, options: PlanOptions, container: Container) -> AssociatedPlan:
    stored, compression = image.encoded(), container.associated_compression or options.compression
    if stored is not None and options.copies(stored.encoding):
        if options.recompresses(stored.encoding):
            return AssociatedPlan(Action.RECOMPRESS, recompressed(stored.encoding))
        if container.holds_picture(stored.encoding):
            return AssociatedPlan(Action.COPY, stored.encoding)
    lossless = image.lossy_method is None
    encoding = _new_encoding(name, image.pixel_format, lossless, replace(options, compression=compression), container)
    return AssociatedPlan(Action.ENCODE, encoding)


def _new_encoding(
    name: str,
    pixel_format: PixelFormat,
    lossless: bool,
    options: PlanOptions,
    container: Container,
    stored: Encoding | None = None,
) -> Encoding:
    """Lossless pixels are never made lossy without being asked; 16 bits do not fit JPEG baseline."""
    compression = options.compression
    if compression is None:
        compression = container.lossless if lossless or pixel_format.bits > 8 else Compression.JPEG
    elif compression is Compression.JPEG_XL_RECOMPRESS and lossless:
        compression = Compression.JPEG_XL
    try:
        encoding = codec_for(compression.transfer_syntax).encoding(pixel_format, lossless=compression.lossless)
    except CodecError as error:
        raise CodecError(f"{name}: {error}; choose another compression") from error
    if not container.holds(encoding, pixel_format):
        what = f"gray in {compression}" if pixel_format.samples == 1 else compression
        raise CodecError(f"{name}: {container.name} does not hold {what}; choose another compression")
    if options.sampling is not None:
        return replace(encoding, sampling=options.sampling)
    known = stored is not None and stored.sampling in SAMPLINGS
    return replace(encoding, sampling=stored.sampling) if stored is not None and known else encoding
