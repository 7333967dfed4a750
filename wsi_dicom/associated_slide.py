"""A label, overview or thumbnail as a Slide of one level, so that whatever shows slides shows it too."""

from __future__ import annotations

from collections.abc import Hashable

from wsi_dicom.background import background_samples, fill
from wsi_dicom.decoded_cache import DecodedCache
from wsi_dicom.geometry import FIRST_PLANE, TILE_SIDE, Level, Plane, Pyramid, Region, Spacing
from wsi_dicom.metadata import SlideMetadata
from wsi_dicom.region import empty_pixels
from wsi_dicom.slide import EncodedTile, Encoding, ImageFlavor, Pixels, Slide, SlideView


class AssociatedSlide(SlideView):
    """Satisfies Slide, over one associated image of a slide, which stays its owner: closing this closes nothing.

    A picture up to twice as large as a tile is one, and is given away as stored. Of others tiles are cut from the
    decoded pixels, which `decoded` keeps under `key`. Only of a thumbnail the scale is known: that of the slide.
    """

    def __init__(self, slide: Slide, flavor: ImageFlavor, decoded: DecodedCache, key: Hashable) -> None:
        """Raises KeyError when the slide has no such image."""
        image = slide.associated[flavor]
        self._image, self._decoded, self._key = image, decoded, key
        self._whole = max(image.width, image.height) <= 2 * TILE_SIDE
        tile = (image.width, image.height) if self._whole else (TILE_SIDE, TILE_SIDE)
        level = Level(image.width, image.height, *tile)
        self.name, self.files, self.background = f"{slide.name}: {flavor.lower()}", slide.files, slide.background
        self.pyramid = Pyramid((level,), image.pixel_format, _spacing(slide, level, flavor))
        self.metadata = SlideMetadata(icc_profile=slide.metadata.icc_profile, window=slide.metadata.window)

    def encoding(self, level: int) -> Encoding | None:
        self.pyramid.level(level)
        encoded = self._encoded()
        return encoded.encoding if encoded is not None else None

    def lossy_method(self, level: int) -> str | None:
        return self._image.lossy_method

    def stored_bytes(self, level: int) -> int:
        return self._image.stored_bytes

    def encoded_tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> EncodedTile | None:
        self._grid(level, plane).tile_index(column, row)
        return self._encoded()

    def tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> Pixels:
        grid = self._grid(level, plane)
        grid.tile_index(column, row)
        if self._whole:
            return self._image.pixels()
        inside, whole = grid.tile_region(column, row), self._decoded.get(self._key, self._image.pixels)
        pixels = empty_pixels(Region(0, 0, grid.tile_width, grid.tile_height), self.pyramid.pixel_format)
        fill(pixels, background_samples(self.background, self.pyramid.pixel_format))
        pixels[: inside.height, : inside.width] = whole[inside.y : inside.bottom, inside.x : inside.right]
        return pixels

    def _encoded(self) -> EncodedTile | None:
        return self._image.encoded() if self._whole else None


def _spacing(slide: Slide, level: Level, flavor: ImageFlavor) -> Spacing | None:
    if flavor is not ImageFlavor.THUMBNAIL or slide.pyramid.spacing is None:
        return None
    return slide.pyramid.spacing.scaled(*slide.pyramid.base.scale(level))
