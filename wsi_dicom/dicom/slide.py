"""A series of DICOM whole-slide images as a Slide (PS3.3 A.32.8)."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import accumulate, groupby, repeat
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from pydicom.dataset import Dataset

from wsi_dicom.background import background_samples
from wsi_dicom.codecs import codec_for
from wsi_dicom.codecs.transfer_syntaxes import NATIVE
from wsi_dicom.dicom.carried import carried_attributes
from wsi_dicom.dicom.header import Instance, read_instance, text
from wsi_dicom.dicom.image import ImageAttributes, image_flavor, open_body, read_attributes
from wsi_dicom.dicom.index import FrameReader
from wsi_dicom.dicom.levels import Stack, group_levels, level_tiling
from wsi_dicom.dicom.path_windows import common_window, path_windows
from wsi_dicom.dicom.photometric import stored_encoding
from wsi_dicom.dicom.position_cache import PositionCache
from wsi_dicom.dicom.provenance import read_metadata
from wsi_dicom.dicom.same_place import find_apex
from wsi_dicom.dicom.uids import VL_WHOLE_SLIDE
from wsi_dicom.errors import CodecError, CorruptInput, UnsupportedFormat
from wsi_dicom.geometry import FIRST_PLANE, PixelFormat, Plane, Pyramid, Region
from wsi_dicom.metadata import LossyStep
from wsi_dicom.slide import WHITE, AssociatedImage, EncodedTile, Encoding, ImageFlavor, Pixels, SlideBase

logger = logging.getLogger(__name__)

Color: TypeAlias = tuple[int, int, int]

_LARGEST_ASSOCIATED: Final = 256 << 20
_MOST_ASSOCIATED_TILES: Final = 1 << 16


class _Picture:
    """One total pixel matrix: an instance, all those of a concatenation, or several of either with its planes."""

    def __init__(self, stacks: Sequence[Stack], background: Color | None, cache: PositionCache | None = None) -> None:
        """Raises NotFound, StoreError, CorruptInput, UnsupportedFormat."""
        parts = [part for stack in stacks for part in stack]
        first = parts[0]
        self.name, self.header = str(first.instance.path), first.instance.header
        self.level = first.level
        self.pixel_format = first.pixel_format
        self.lossy = next((part.lossy for part in parts if part.lossy), ())
        bodies = [[open_body(part, cache) for part in stack] for stack in stacks]
        self._readers: tuple[FrameReader, ...] = tuple(body.frames for stack in bodies for body in stack)
        self.stored_bytes = sum(reader.stored_bytes for reader in self._readers)
        self._first_frames = (0, *accumulate(part.frames for part in parts))  # and how many there are
        self.tiling = level_tiling(stacks, [[body.positions for body in stack] for stack in bodies])
        self.windows = path_windows(parts, self._first_frames, self.tiling)
        self.encoding = stored_encoding(first.instance, first.encoding, self._readers[0], first.frames)
        self._samples = first.samples
        # A stream of 12 bits may stand only in an image of 12 bits, which the standard does not allow any more.
        whole = first.samples.bits == first.samples.stored.bits or self.encoding.transfer_syntax in NATIVE
        self.copied_encoding = self.encoding if whole and first.samples.copied else None
        self._absent_pixel = background_samples(background or first.absent_color or WHITE, first.pixel_format)

    @property
    def frames(self) -> int:
        return self._first_frames[-1]

    @property
    def planes(self) -> tuple[int, int]:
        """How many focal planes, and how many optical paths."""
        return self.tiling.focal_planes, self.tiling.optical_paths

    @property
    def lossy_method(self) -> str | None:
        return self.lossy[-1].method if self.lossy else None

    def stored(self, column: int, row: int, plane: Plane) -> EncodedTile | None:
        data = self.read(column, row, plane)
        return None if data is None or self.copied_encoding is None else EncodedTile(data, self.copied_encoding)

    def read(self, column: int, row: int, plane: Plane) -> bytes | None:
        """A frame as stored; None when there is none."""
        frame = self.tiling.frame(column, row, plane)
        if frame is None:
            return None
        if len(self._readers) == 1:
            return self._readers[0].read(frame) or None
        part = bisect_right(self._first_frames, frame) - 1
        return self._readers[part].read(frame - self._first_frames[part]) or None

    def stored_row(self, row: int, plane: Plane) -> Iterator[EncodedTile | None]:
        """The `stored` tiles of a row, left to right; frames whose numbers follow one another are read together."""
        encoding = self.copied_encoding
        if encoding is None:
            yield from repeat(None, self.level.columns)
            return
        frames = (self.tiling.frame(column, row, plane) for column in range(self.level.columns))
        for distance, run in groupby(enumerate(frames), lambda tile: None if tile[1] is None else tile[1] - tile[0]):
            if distance is None:
                yield from (None for _ in run)
                continue
            columns = [column for column, _ in run]
            for data in self._read_run(distance + columns[0], len(columns)):
                yield EncodedTile(data, encoding) if data else None

    def _read_run(self, first: int, count: int) -> Iterator[bytes]:
        while count:
            part = bisect_right(self._first_frames, first) - 1
            here = min(count, self._first_frames[part + 1] - first)
            yield from self._readers[part].read_run(first - self._first_frames[part], here)
            first, count = first + here, count - here

    def pixels(self, column: int, row: int, plane: Plane) -> Pixels:
        level, samples = self.level, self._samples
        data = self.read(column, row, plane)
        if data is None:
            return np.tile(self._absent_pixel, (level.tile_height, level.tile_width, 1))
        return samples.pixels(self._decoded(EncodedTile(data, self.encoding), level.tile_region(column, row)))

    def _decoded(self, tile: EncodedTile, area: Region) -> Pixels:
        """The whole tile. One at the edge may be stored without padding: its last pixels are then repeated."""
        level, stored, codec = self.level, self._samples.stored, codec_for(self.encoding.transfer_syntax)
        try:
            return codec.decode(tile, level.tile_width, level.tile_height, stored)
        except CodecError:
            right, below = level.tile_width - area.width, level.tile_height - area.height
            if not (right or below):
                raise
            with suppress(CodecError):
                pixels = codec.decode(tile, area.width, area.height, stored)
                return np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")
            raise


class _Associated:
    """A label, overview or thumbnail; nearly always one frame."""

    def __init__(self, picture: _Picture) -> None:
        self._picture = picture
        self.width = picture.level.width
        self.height = picture.level.height
        self.pixel_format: PixelFormat = picture.pixel_format
        self.lossy_method = picture.lossy_method
        self.stored_bytes = picture.stored_bytes

    def encoded(self) -> EncodedTile | None:
        level = self._picture.level
        if (level.tile_width, level.tile_height) != (level.width, level.height):
            return None
        return self._picture.stored(0, 0, FIRST_PLANE)

    def pixels(self) -> Pixels:
        level, samples = self._picture.level, self.pixel_format.samples
        size = self.width * self.height * self.pixel_format.bytes_per_pixel
        if size > _LARGEST_ASSOCIATED or level.tile_count > _MOST_ASSOCIATED_TILES:
            raise CorruptInput(
                f"{self._picture.name} has {self.width} x {self.height} pixels in {level.tile_count} tiles; "
                f"{_LARGEST_ASSOCIATED >> 20} MiB and {_MOST_ASSOCIATED_TILES} tiles are the limits for a label, "
                "overview or thumbnail"
            )
        whole = np.empty((self.height, self.width, samples), np.uint8 if self.pixel_format.bits == 8 else np.uint16)
        for column, row in level.tiles():
            area = level.tile_region(column, row)
            try:
                tile = self._picture.pixels(column, row, FIRST_PLANE)
            except CodecError as error:
                raise CodecError(f"{self._picture.name}: tile column {column}, row {row}: {error}") from error
            whole[area.y : area.bottom, area.x : area.right] = tile[: area.height, : area.width]
        return whole


class DicomSlide(SlideBase):
    """A Slide over the instances of one series. Made by `open_series`.

    `instances` are all of them, in the order of the files given. Reading holds no lock: `close` only lets go of the
    files, and each descriptor is closed by the last thread that still reads from it. A pool that drops a slide which
    others may still use need not call `close` at all.
    """

    def __init__(
        self, instances: Sequence[Instance], background: Color | None = None, cache: PositionCache | None = None
    ) -> None:
        """Raises as `open_series`."""
        self.instances = tuple(instances)
        self.files = tuple(instance.path for instance in instances)
        self.series_uid = instances[0].series_uid
        self.study_uid = instances[0].study_uid
        self.name = self.series_uid
        images = _images(instances)
        volume = group_levels([image for image in images if image.flavor is ImageFlavor.VOLUME], self.series_uid)
        base = volume[0][0][0]
        pictures = [_Picture(stacks, background, cache) for stacks in volume]
        thumbnails = [image for image in images if image.flavor is ImageFlavor.THUMBNAIL]
        if (
            pictures[0].planes == (1, 1)
            and (apex := find_apex(thumbnails, base, volume[-1][0][0])) is not None
            and (picture := _opened(apex, background)) is not None
        ):
            pictures.append(picture)
        self._pictures = tuple(pictures)
        tiling = pictures[0].tiling
        self.pyramid = Pyramid(
            tuple(picture.level for picture in self._pictures),
            base.pixel_format,
            base.spacing,
            tiling.focal_planes,
            tiling.optical_paths,
            (base.focal_spacing_um or tiling.focal_spacing_um) if tiling.focal_planes > 1 else None,
        )
        for picture in self._pictures:
            if picture.planes != pictures[0].planes:
                raise UnsupportedFormat(
                    f"{picture.name} has {picture.planes[0]} focal planes and {picture.planes[1]} optical paths where "
                    f"{self._pictures[0].name} has {tiling.focal_planes} and {tiling.optical_paths}; levels with "
                    "different planes are not supported"
                )
        self.sparse = not all(picture.tiling.complete for picture in self._pictures)
        windows = pictures[0].windows
        self.metadata = replace(
            read_metadata([stack[0].instance for stack in volume[0]], instances, tiling.optical_paths),
            window=common_window(windows, base.samples.bits),
            path_windows=windows if len(set(windows)) > 1 else (),
        )
        self.background = background or base.absent_color or WHITE
        self._base, self._background_given = base.instance, background is not None
        self.associated: Mapping[ImageFlavor, AssociatedImage] = {
            flavor: _Associated(picture)
            for flavor in (ImageFlavor.LABEL, ImageFlavor.OVERVIEW, ImageFlavor.THUMBNAIL)
            if (image := _largest([image for image in images if image.flavor is flavor])) is not None
            and (picture := _opened(image, background)) is not None
        }

    def carried_attributes(self) -> Dataset:
        """What a series made from this one should say of the patient, the study, the specimen, the scanner and so on.

        A copy, for the user's own attributes to be put over it.
        """
        carried = carried_attributes(self._base)
        for instance in self.instances:  # the label's text is told by the label's image alone
            if "LabelText" in instance.header and (told := carried_attributes(instance)).get("LabelText"):
                carried.add(told["LabelText"])
        if self._background_given and "RecommendedAbsentPixelCIELabValue" in carried:
            del carried.RecommendedAbsentPixelCIELabValue
        return carried

    def absent(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> bool:
        return self._picture(level).tiling.frame(column, row, plane) is None

    def encoding(self, level: int) -> Encoding | None:
        return self._picture(level).copied_encoding

    def stored_encoding(self, level: int) -> Encoding:
        """As `encoding`, but also of tiles that may not be copied."""
        return self._picture(level).encoding

    def frames(self, level: int) -> int:
        """Of all planes of a level."""
        return self._picture(level).frames

    def losses(self, level: int) -> tuple[LossyStep, ...]:
        """The last step may have no ratio, when the image does not tell it."""
        return self._picture(level).lossy

    def derivation(self, level: int) -> str | None:
        header = self._picture(level).header
        if text(header, "ImageType").split("\\")[0] != "DERIVED":
            return None
        return text(header, "DerivationDescription") or "Derived before"

    def lossy_method(self, level: int) -> str | None:
        return self._picture(level).lossy_method

    def stored_bytes(self, level: int) -> int:
        return self._picture(level).stored_bytes

    def encoded_tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> EncodedTile | None:
        return self._picture(level).stored(column, row, plane)

    def encoded_row(self, level: int, row: int, plane: Plane = FIRST_PLANE) -> Iterator[EncodedTile | None]:
        return self._picture(level).stored_row(row, plane)

    def tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> Pixels:
        try:
            return self._picture(level).pixels(column, row, plane)
        except CodecError as error:
            raise CodecError(
                f"{self.name}: level {level}, tile column {column}, row {row} does not decode: {error}"
            ) from error

    def close(self) -> None:
        self._pictures = ()
        self.associated = {}

    def _picture(self, level: int) -> _Picture:
        pictures = self._pictures
        if not pictures:
            raise ValueError(f"series {self.name} is closed")
        self.pyramid.level(level)
        return pictures[level]


def open_series(
    files: Sequence[Path], background: Color | None = None, cache: PositionCache | None = None
) -> DicomSlide:
    """Opens the whole-slide images among `files`, all of one series.

    `background` (red, green, blue) is the colour of tiles that a sparse level has no frame for; None: the one that the
    images recommend, else white. What `cache` holds of large sparse levels need not be read again.

    Raises NotFound, StoreError (a file cannot be read), CorruptInput (not DICOM, damaged, of several series, or a part
    of a concatenation is missing), UnsupportedFormat (no whole slide, or one of a kind that we do not handle).
    """
    instances = [read_instance(path) for path in files]
    if not instances:
        raise UnsupportedFormat("a series of no files holds no whole slide")
    for instance in instances:
        if instance.series_uid != instances[0].series_uid:
            raise CorruptInput(f"{instance.path} and {instances[0].path} belong to different series")
    return DicomSlide(instances, background, cache)


def _images(instances: Sequence[Instance]) -> list[ImageAttributes]:
    images, known = [], set[str]()
    for instance in instances:
        if instance.sop_class_uid != VL_WHOLE_SLIDE:
            continue
        if (flavor := image_flavor(instance)) is None:
            logger.warning("left out of the slide: %s, neither a level nor a label nor an overview", instance.path)
            continue
        if instance.sop_instance_uid in known:
            logger.warning("left out of the slide: %s, which has the UID of another of its files", instance.path)
            continue
        known.add(instance.sop_instance_uid)
        try:
            images.append(read_attributes(instance, flavor))
        except (CorruptInput, UnsupportedFormat) as error:
            if flavor is ImageFlavor.VOLUME:
                raise
            logger.warning("left out of the slide: %s", error)
    return images


def _opened(image: ImageAttributes, background: Color | None) -> _Picture | None:
    """A label, overview or thumbnail; None for one that is damaged, which does not take the slide with it."""
    try:
        return _Picture([[image]], background)
    except (CorruptInput, UnsupportedFormat) as error:
        logger.warning("left out of the slide: %s", error)
        return None


def _largest(images: Sequence[ImageAttributes]) -> ImageAttributes | None:
    return max(images, key=lambda image: image.level.width * image.level.height, default=None)
