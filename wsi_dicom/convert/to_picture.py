"""From a slide to a picture: a level, or a region of one, as PNG, JPEG or WebP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from wsi_dicom.checked import BadTile, CheckedSlide
from wsi_dicom.convert.observer import Observer, usable_cores
from wsi_dicom.errors import InvalidRequest, StoreError, UnsupportedFormat
from wsi_dicom.frames import in_order
from wsi_dicom.geometry import Region
from wsi_dicom.part import PartOptions, part_of, region_on_level
from wsi_dicom.picture_file import JPEG_QUALITY, LONGEST_SIDE, PictureFormat, encode_picture
from wsi_dicom.region import empty_pixels, read_region
from wsi_dicom.slide import Pixels, Slide
from wsi_dicom.stores.staging import staged_file, sync

LARGEST_PICTURE: Final = 1 << 27
"""Pixels of a picture: of 8-bit colour, 400 MB, and as much and more again while it is encoded."""


@dataclass(frozen=True, slots=True)
class PictureOptions:
    """What `dicom2tiff --to` may be told.

    `quality`, 1 to 100, is that of JPEG and WebP. `verify`: scans of JPEG are checked to be whole. `blank_bad_tiles`: a
    tile that cannot be read becomes background, and is told in the result; else it ends the conversion.
    """

    format: PictureFormat
    part: PartOptions = field(default_factory=PartOptions)
    quality: int = JPEG_QUALITY
    verify: bool = False
    blank_bad_tiles: bool = False
    threads: int = field(default_factory=usable_cores)


@dataclass(frozen=True, slots=True)
class PictureWritten:
    """What came of `slide_to_picture`: its size in pixels, and the tiles that became background."""

    width: int
    height: int
    bad_tiles: tuple[BadTile, ...] = ()

    def __str__(self) -> str:
        """A line for people."""
        return f"{self.width} x {self.height} pixels"


def slide_to_picture(
    slide: Slide, output: Path, options: PictureOptions, observer: Observer | None = None
) -> PictureWritten:
    """Writes a part of a slide, as it is on its level, with its scale and ICC profile, and nothing else about it.

    `output` appears, or is replaced, when it is complete. Raises CorruptInput, CodecError, UnsupportedFormat (several
    planes), OutOfBounds, NotFound, InvalidRequest (too large), StoreError.
    """
    region = options.part.region and region_on_level(slide, options.part.region, options.part.level)
    checked = CheckedSlide(slide, verify=options.verify, blank=options.blank_bad_tiles)
    levels = part_of(checked, replace(options.part, region=None))
    region = region or levels.pyramid.base.bounds
    _check_planes(levels)
    _check_size(levels, region, options.format)
    with staged_file(output, slide.files) as staged:
        data = encode_picture(
            _pixels(levels, region, options.threads, observer),
            options.format,
            jpeg_quality=options.quality,
            webp_quality=options.quality,
            window=levels.metadata.window,
            icc_profile=slide.metadata.icc_profile,
            spacing=levels.pyramid.spacing,
        )
        try:
            staged.write_bytes(data)
            sync(staged)
        except OSError as error:
            raise StoreError(f"{output}: cannot be written: {error.strerror}") from error
    return PictureWritten(region.width, region.height, checked.bad_tiles)


def _check_planes(slide: Slide) -> None:
    """Raises UnsupportedFormat."""
    if len(slide.pyramid.planes) > 1:
        raise UnsupportedFormat(
            f"{slide.name}: has {slide.pyramid.focal_planes} focal planes of {slide.pyramid.optical_paths} optical "
            "paths; a picture shows one plane: choose it with --focal-plane and --optical-path"
        )


def _check_size(slide: Slide, region: Region, picture_format: PictureFormat) -> None:
    """Raises InvalidRequest, before a pixel is read."""
    limit = LONGEST_SIDE.get(picture_format)
    if limit is not None and max(region.width, region.height) > limit:
        reason = f"a {picture_format.name} picture holds at most {limit} pixels on a side"
    elif region.width * region.height > LARGEST_PICTURE:
        reason = f"pictures of at most {LARGEST_PICTURE} pixels are written"
    else:
        return
    raise InvalidRequest(
        f"{slide.name}: {region.width} x {region.height} pixels: {reason}; "
        "choose a coarser --level or a smaller --region, or write a TIFF"
    )


def _pixels(slide: Slide, region: Region, threads: int, observer: Observer | None) -> Pixels:
    """The region of level 0, its rows of tiles side by side: each tile is decoded once."""
    grid = slide.pyramid.base
    pixels = empty_pixels(region, slide.pyramid.pixel_format)
    if observer is not None:
        observer.planned(region.width * region.height)

    def read(row: int) -> Region:
        band = Region(0, row * grid.tile_height, grid.width, grid.tile_height).intersection(region)
        into = pixels[band.y - region.y : band.bottom - region.y]
        read_region(slide, 0, band, max_pixels=LARGEST_PICTURE, into=into)
        return band

    rows = range(region.y // grid.tile_height, -(-region.bottom // grid.tile_height))
    with ThreadPoolExecutor(threads, thread_name_prefix="codec") as pool:
        for _, band in in_order(pool, read, rows, 2 * threads):
            if observer is not None:
                observer.advanced(sum(1 for _ in grid.tiles(band)), band.width * band.height)
    return pixels
