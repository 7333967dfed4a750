"""An NDPI file as a Slide, once its pages have been told apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from wsi_dicom.errors import OutOfBounds
from wsi_dicom.geometry import FIRST_PLANE, Plane, Pyramid, Spacing
from wsi_dicom.metadata import SlideMetadata
from wsi_dicom.slide import AssociatedImage, EncodedTile, Encoding, ImageFlavor, Pixels, SlideBase
from wsi_dicom.sources.ndpi_level import NdpiLevel
from wsi_dicom.tiff.layout import on_glass
from wsi_dicom.tiff.structure import TiffFile


class Macro:
    """The picture of the whole slide, label included. Satisfies AssociatedImage."""

    def __init__(self, page: NdpiLevel) -> None:
        self._page = page
        self.width, self.height, self.pixel_format = page.level.width, page.level.height, page.pixel_format
        self.lossy_method, self.stored_bytes = page.lossy_method, page.stored_bytes()

    def encoded(self) -> EncodedTile | None:
        return self._page.encoded_tile(0, 0)

    def pixels(self) -> Pixels:
        return self._page.tile(0, 0)


class LabelOfMacro:
    """The left part of the macro picture. Satisfies AssociatedImage."""

    def __init__(self, macro: Macro, width: int) -> None:
        self._macro = macro
        self.width, self.height, self.pixel_format = width, macro.height, macro.pixel_format
        self.lossy_method, self.stored_bytes = macro.lossy_method, macro.stored_bytes

    def encoded(self) -> EncodedTile | None:
        return None

    def pixels(self) -> Pixels:
        return self._macro.pixels()[:, : self.width]


class NdpiSlide(SlideBase):
    """Satisfies Slide."""

    def __init__(
        self,
        file: TiffFile,
        levels: Sequence[Sequence[NdpiLevel]],
        *,
        spacing: Spacing | None,
        focal_spacing_um: float | None,
        metadata: SlideMetadata,
        associated: Mapping[ImageFlavor, AssociatedImage],
    ) -> None:
        """`levels`, finest first, have a page for every focal plane each, of one size and pixel format."""
        self.name, self._file, self._levels = file.name, file, levels
        self.files: tuple[Path, ...] = (file.path,)
        first = levels[0][0]
        self.pyramid = Pyramid(
            tuple(pages[0].level for pages in levels),
            first.pixel_format,
            on_glass(spacing, levels[0][0].level),
            focal_planes=len(levels[0]),
            focal_spacing_um=focal_spacing_um,
        )
        self.metadata, self.associated = metadata, associated
        self.sparse = False

    def absent(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> bool:
        self._page(level, plane).level.tile_index(column, row)
        return False

    def encoding(self, level: int) -> Encoding | None:
        encoding = self._page(level).encoding
        return encoding if all(page.encoding == encoding for page in self._levels[level]) else None

    def lossy_method(self, level: int) -> str | None:
        return self._page(level).lossy_method

    def stored_bytes(self, level: int) -> int:
        self._page(level)
        return sum(page.stored_bytes() for page in self._levels[level])

    def encoded_tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> EncodedTile | None:
        page = self._page(level, plane)
        page.level.tile_index(column, row)
        return page.encoded_tile(column, row) if self.encoding(level) is not None else None

    def encoded_row(self, level: int, row: int, plane: Plane = FIRST_PLANE) -> Iterator[EncodedTile | None]:
        page = self._page(level, plane)
        page.level.tile_index(0, row)
        return page.encoded_row(row) if self.encoding(level) is not None else iter([None] * page.level.columns)

    def tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> Pixels:
        return self._page(level, plane).tile(column, row)

    def _page(self, level: int, plane: Plane = FIRST_PLANE) -> NdpiLevel:
        if not 0 <= level < len(self._levels):
            raise OutOfBounds(f"{self.name}: level {level} is outside the {len(self._levels)} levels of this slide")
        pages = self._levels[level]
        if plane.optical_path != 0 or not 0 <= plane.focal_plane < len(pages):
            raise self._lacks(plane)
        return pages[plane.focal_plane]

    def close(self) -> None:
        self._file.close()
