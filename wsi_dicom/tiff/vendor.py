"""What the formats of vendors who write TIFF have in common: found by the first directory, read by one function."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from wsi_dicom.errors import CorruptInput, UnsupportedFormat, WsiError
from wsi_dicom.slide import AS_FOUND, AssociatedImage, ImageFlavor, Slide, SourceOptions
from wsi_dicom.tiff.slide import TiffAssociatedImage
from wsi_dicom.tiff.structure import Tag, TiffDirectory, TiffFile, is_tiff

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class TiffVendor:
    """Satisfies SlideFormat.

    `claims` says whether the first directory is that of such a file, and may raise WsiError. `read` makes the slide,
    which closes the file. `file` is the kind of TIFF that such files are.
    """

    key: str
    name: str
    claims: Callable[[TiffDirectory], bool]
    read: Callable[[TiffFile, SourceOptions], Slide]
    file: type[TiffFile] = TiffFile

    def detect(self, path: Path, head: bytes) -> bool:
        if not is_tiff(head):
            return False
        try:
            with self.file(path) as file:
                return self.claims(next(file.directories()))
        except WsiError:
            return False  # opening it as plain TIFF says what is wrong

    def open(self, path: Path, options: SourceOptions = AS_FOUND) -> Slide:
        file = self.file(path)
        try:
            return self.read(file, options)
        except BaseException:
            file.close()
            raise


def associated_images(
    pages: Iterable[tuple[ImageFlavor | None, TiffDirectory]], options: SourceOptions
) -> dict[ImageFlavor, AssociatedImage]:
    """The first page of each flavor that can be read; a slide is not worth less without its label.

    The flavor None is that of a page of which its format does not tell what it shows.
    """
    found: dict[ImageFlavor, AssociatedImage] = {}
    for flavor, directory in pages:
        if flavor is None:
            _log.warning(
                "left out: %s: %s: %d x %d pixels, neither a level nor a picture that is known",
                *(directory.file.name, directory.place),
                *(directory.integer(Tag.IMAGE_WIDTH, 0), directory.integer(Tag.IMAGE_LENGTH, 0)),
            )
            continue
        if flavor in found:
            continue
        try:
            found[flavor] = TiffAssociatedImage(directory, flavor, options)
        except (UnsupportedFormat, CorruptInput) as error:
            _log.warning("left out: %s", error)
    return found
