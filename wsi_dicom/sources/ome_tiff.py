"""OME-TIFF: brightfield, channels of fluorescence and focal planes, in one file or several.

Pyramids are SubIFDs of each plane (Bio-Formats 6), further images of the OME-XML, or further pages that it does not
mention.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Final

from wsi_dicom.errors import CorruptInput, UnsupportedFormat, WsiError
from wsi_dicom.geometry import Level, Plane
from wsi_dicom.metadata import SlideMetadata
from wsi_dicom.slide import AS_FOUND, BLACK, AssociatedImage, ImageFlavor, Slide, SourceOptions
from wsi_dicom.sources.ome_files import OmeFiles
from wsi_dicom.sources.ome_xml import OmeImage, Position, StoredPlane, is_ome
from wsi_dicom.tiff.layout import TiffLayout, read_layout, resolution_spacing
from wsi_dicom.tiff.level import open_planes
from wsi_dicom.tiff.slide import TiffAssociatedImage, TiffSlide, is_reduction, reductions
from wsi_dicom.tiff.structure import Tag, TiffDirectory, TiffFile, is_tiff

_log = logging.getLogger(__name__)

_TYPES: Final = frozenset({"bit", "uint8", "uint16", "int8", "int16"})
_FLAVORS: Final = {
    "label": ImageFlavor.LABEL,
    "macro": ImageFlavor.OVERVIEW,
    "overview": ImageFlavor.OVERVIEW,
    "thumbnail": ImageFlavor.THUMBNAIL,
}
_COMPANION: Final = re.compile(rb"\s*(\xef\xbb\xbf)?\s*<(\?xml|OME|\w+:OME)\b")

_Images = list[tuple[TiffDirectory, TiffLayout]]


def _flavor(image: OmeImage) -> ImageFlavor | None:
    """What an image shows by its name: "label image", "slide.svs [macro]"."""
    found = re.search(rf"\b({'|'.join(_FLAVORS)})\b", image.name.lower())
    return _FLAVORS[found[1]] if found else None


class _Stack:
    """The planes of the main image, at the first time point, each with its levels."""

    def __init__(self, files: OmeFiles, main: OmeImage) -> None:
        self._files, self._main = files, main
        first = files.directory(self._stored(main, Position(0, 0, 0)))
        colour = first.integer(Tag.SAMPLES_PER_PIXEL, 1) == main.channels == 3  # SamplesPerPixel was forgotten
        self._planes = {
            Plane(channel, focal_plane): self._stored(main, Position(channel, focal_plane, 0))
            for channel in range(1 if colour else main.channels)
            for focal_plane in range(main.focal_planes)
        }
        self.first, self.colour = first, colour or main.samples == 3

    def _stored(self, image: OmeImage, position: Position) -> StoredPlane:
        stored = image.planes.get(position)
        if stored is None:
            raise CorruptInput(
                f"{self._files.name}: its OME-XML does not say where channel {position.channel}, "
                f"focal plane {position.focal_plane} of image {image.name!r} lies"
            )
        return stored

    def is_level(self, image: OmeImage) -> bool:
        """Whether another image is a coarser level of this one."""
        main = self._main
        alike = (image.channels, image.samples, image.focal_planes, image.type) == (
            main.channels, main.samples, main.focal_planes, main.type,
        )  # fmt: skip
        sizes = Level(image.width, image.height, 1, 1), Level(main.width, main.height, 1, 1)
        return alike and _flavor(image) is None and is_reduction(*sizes)

    def levels(self, coarser: Sequence[OmeImage]) -> dict[Plane, _Images]:
        """Of every plane, finest first. Raises UnsupportedFormat, CorruptInput."""
        first = {plane: self._files.directory(stored) for plane, stored in self._planes.items()}
        unmentioned = self._files.unmentioned(self._planes)
        found = {}
        for plane, directory in first.items():
            nested = list(directory.subdirectories())
            if not nested:
                position = Position(plane.optical_path, plane.focal_plane, 0)
                nested = [self._files.directory(self._stored(image, position)) for image in coarser]
                nested += unmentioned[plane]
            smaller = sorted(_readable(nested), key=lambda image: image[1].level.width, reverse=True)
            found[plane] = reductions([(directory, self._layout(directory)), *smaller])
        return _common(found)

    def _layout(self, directory: TiffDirectory) -> TiffLayout:
        layout, main = read_layout(directory), self._main
        if (layout.level.width, layout.level.height) != (main.width, main.height):
            raise directory.corrupt(
                f"{layout.level.width} x {layout.level.height} pixels, where the OME-XML says "
                f"{main.width} x {main.height}"
            )
        return layout


def _readable(directories: Iterable[TiffDirectory]) -> _Images:
    found: _Images = []
    for directory in directories:
        try:
            found.append((directory, read_layout(directory)))
        except UnsupportedFormat as error:
            _log.info("left out: %s", error)
    return found


def _common(planes: Mapping[Plane, _Images]) -> dict[Plane, _Images]:
    """The levels that all planes have."""
    levels = zip(*planes.values(), strict=False)
    alike = takewhile(lambda images: len({layout.level for _, layout in images}) == 1, levels)
    depth = max(1, sum(1 for _ in alike))
    return {plane: images[:depth] for plane, images in planes.items()}


def _refuse_unreadable(image: OmeImage, name: str) -> None:
    if image.type not in _TYPES:
        raise UnsupportedFormat(f"{name}: pixels of type {image.type or 'unknown'}; integers of 8 or 16 bits are read")
    if image.times > 1:
        _log.warning("%s: the first of %d time points is taken", name, image.times)


def _associated(files: OmeFiles, images: Iterable[OmeImage]) -> dict[ImageFlavor, AssociatedImage]:
    found: dict[ImageFlavor, AssociatedImage] = {}
    for image in images:
        flavor, stored = _flavor(image), image.planes.get(Position(0, 0, 0))
        directory = files.opened(stored) if stored is not None else None
        if flavor is None or flavor in found or directory is None:
            _log.warning("%s: image %r is left out", files.name, image.name)
            continue
        try:
            found[flavor] = TiffAssociatedImage(directory, flavor)
        except (UnsupportedFormat, CorruptInput) as error:
            _log.warning("left out: %s", error)
    return found


def _metadata(stack: _Stack, main: OmeImage) -> SlideMetadata:
    if not stack.colour:
        return main.metadata
    return replace(
        main.metadata,
        icc_profile=stack.first.data(Tag.ICC_PROFILE),
        optical_paths=tuple(replace(path, fluorescence=False) for path in main.metadata.optical_paths[:1]),
    )


def _open(path: Path, options: SourceOptions, opened: ExitStack) -> TiffSlide:
    files = OmeFiles(path, opened)
    if not files.document.images:
        raise CorruptInput(f"{path.name}: its OME-XML has no images")
    main = max(files.document.images, key=lambda image: image.width * image.height)
    _refuse_unreadable(main, path.name)
    stack = _Stack(files, main)
    others = [image for image in files.document.images if image is not main]
    coarser = [image for image in others if stack.is_level(image)]
    # where nothing was recorded there is no light; only colours lie on a white ground
    missing = options if stack.colour else replace(options, color=BLACK)
    planes = open_planes(stack.levels(coarser), missing)
    first, *other_files = files.tiff_files
    slide = TiffSlide(
        first,
        planes,
        spacing=main.spacing or resolution_spacing(stack.first),
        metadata=_metadata(stack, main),
        associated=_associated(files, (image for image in others if image not in coarser)),
        focal_spacing_um=main.focal_spacing_um,
        other_files=other_files,
    )
    slide.name, slide.files = path.name, files.paths  # one that lies in several goes by the one that was named
    return slide


class OmeTiffFormat:
    """Found by the OME-XML in the description of the first directory, or as a companion file, which is OME-XML."""

    key = "ome-tiff"
    name = "OME-TIFF"

    def detect(self, path: Path, head: bytes) -> bool:
        if not is_tiff(head):
            return _COMPANION.match(head) is not None and b"OME" in head
        try:
            with TiffFile(path) as file:
                return is_ome(next(file.directories()).text(Tag.IMAGE_DESCRIPTION))
        except WsiError:
            return False  # opening it as plain TIFF says what is wrong

    def open(self, path: Path, options: SourceOptions = AS_FOUND) -> Slide:
        with ExitStack() as opened:
            slide = _open(path, options, opened)
            opened.pop_all()  # the slide closes them
        return slide


FORMAT = OmeTiffFormat()
