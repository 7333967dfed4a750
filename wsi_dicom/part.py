"""A part of a slide as a slide of its own: from some level on, some of its planes, or a rectangle of one level."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from wsi_dicom.background import background_samples, fill
from wsi_dicom.errors import NotFound, OutOfBounds
from wsi_dicom.geometry import FIRST_PLANE, Level, Plane, Pyramid, Region
from wsi_dicom.metadata import LossyStep
from wsi_dicom.region import empty_pixels, read_region
from wsi_dicom.slide import EncodedTile, Encoding, Pixels, Slide, SlideBase


@dataclass(frozen=True, slots=True)
class PartOptions:
    """Which part of a slide is meant; all of it unless told otherwise.

    `level`: from this level on; with a `region`, which is in pixels of level 0, that level alone. `optical_path` is the
    identifier of one, or its number from 1; `focal_plane` counts from 1.
    """

    level: int = 0
    region: Region | None = None
    optical_path: str | None = None
    focal_plane: int | None = None


def part_of(slide: Slide, options: PartOptions) -> Slide:
    """The part, or `slide` itself when that is all of it; closing it closes the slide.

    Raises OutOfBounds (no such level, focal plane or pixels), NotFound (no such optical path).
    """
    return slide if options == PartOptions() else SlidePart(slide, options)


class SlidePart(SlideBase):
    """Satisfies Slide, over another slide, whose tiles it keeps where they lie wholly within the part.

    A tile at the right or lower edge of a region is made anew: nothing outside of the region is in it. A region that
    does not begin where a tile begins shares no tile with the slide. A part by `region` has no associated images, which
    show more than it. From a coarser level on, the objective is the one that would show as much.
    """

    def __init__(self, slide: Slide, options: PartOptions) -> None:
        """Raises as `part_of`."""
        whole = slide.pyramid
        if not 0 <= options.level < len(whole.levels):
            raise OutOfBounds(f"{slide.name}: has no level {options.level}; it has 0 to {len(whole.levels) - 1}")
        self._slide, self._first = slide, options.level
        self._planes = _paths(slide, options.optical_path), _focal_planes(slide, options.focal_plane)
        self._inside = None if options.region is None else region_on_level(slide, options.region, options.level)
        self._aligned = True
        levels = whole.levels[options.level :]
        if self._inside is not None:
            grid = levels[0]
            self._aligned = self._inside.x % grid.tile_width == 0 and self._inside.y % grid.tile_height == 0
            levels = (Level(self._inside.width, self._inside.height, grid.tile_width, grid.tile_height),)
        self.name, self.files, self.background, self.sparse = slide.name, slide.files, slide.background, slide.sparse
        self.associated = slide.associated if self._inside is None else {}
        self.pyramid = Pyramid(
            levels,
            whole.pixel_format,
            whole.level_spacing(options.level),
            len(self._planes[1]),
            len(self._planes[0]),
            whole.focal_spacing_um if len(self._planes[1]) > 1 else None,
        )
        power = slide.metadata.objective_power
        if power is not None:
            power = round(power / whole.base.scale(whole.level(options.level))[0], 6)
        self.metadata = replace(slide.metadata.of_paths(self._planes[0]), objective_power=power)

    def _plane(self, plane: Plane) -> Plane:
        paths, focal_planes = self._planes
        return Plane(paths[plane.optical_path], focal_planes[plane.focal_plane])

    def _keeps(self, level: int, column: int, row: int) -> bool:
        """Whether a tile is one of the slide's, with nothing in it that is not in the part."""
        if self._inside is None:
            return True
        grid = self.pyramid.level(level)
        if not self._aligned:
            return False
        x, y = (column + 1) * grid.tile_width, (row + 1) * grid.tile_height
        whole = self._slide.pyramid.level(self._first)
        ends_with_slide = self._inside.right == whole.width, self._inside.bottom == whole.height
        return (x <= grid.width or ends_with_slide[0]) and (y <= grid.height or ends_with_slide[1])

    def _address(self, level: int, column: int, row: int) -> tuple[int, int, int]:
        """The slide's own level, column and row of a tile that is kept."""
        if self._inside is None:
            return self._first + level, column, row
        grid = self.pyramid.level(level)
        return self._first, column + self._inside.x // grid.tile_width, row + self._inside.y // grid.tile_height

    def absent(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> bool:
        self._grid(level, plane).tile_index(column, row)
        if self._keeps(level, column, row):
            return self._slide.absent(*self._address(level, column, row), self._plane(plane))
        region = self._region(level, column, row)
        tiles = self._slide.pyramid.level(self._first).tiles(region)
        return all(self._slide.absent(self._first, *tile, self._plane(plane)) for tile in tiles)

    def _region(self, level: int, column: int, row: int) -> Region:
        """A tile in pixels of the slide's level, without what lies outside of the part."""
        assert self._inside is not None  # noqa: S101  # only a region makes tiles that are not the slide's
        tile = self.pyramid.level(level).tile_region(column, row)
        return Region(self._inside.x + tile.x, self._inside.y + tile.y, tile.width, tile.height)

    def encoding(self, level: int) -> Encoding | None:
        self.pyramid.level(level)
        return self._slide.encoding(self._first + level) if self._aligned else None

    def lossy_method(self, level: int) -> str | None:
        return self._slide.lossy_method(self._first + level)

    def losses(self, level: int) -> tuple[LossyStep, ...]:
        return self._slide.losses(self._first + level)

    def derivation(self, level: int) -> str | None:
        return self._slide.derivation(self._first + level)

    def stored_bytes(self, level: int) -> int:
        stored = self._slide.stored_bytes(self._first + level)
        if self._inside is None:
            return stored
        grid = self.pyramid.level(level)
        raw = grid.tile_count * grid.tile_width * grid.tile_height * self.pyramid.pixel_format.bytes_per_pixel
        return min(stored, len(self.pyramid.planes) * (raw + raw // 4 + 4096 * grid.tile_count))

    def encoded_tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> EncodedTile | None:
        self._grid(level, plane).tile_index(column, row)
        if not self._keeps(level, column, row):
            return None
        return self._slide.encoded_tile(*self._address(level, column, row), self._plane(plane))

    def encoded_row(self, level: int, row: int, plane: Plane = FIRST_PLANE) -> Iterator[EncodedTile | None]:
        if self._inside is None:
            return self._slide.encoded_row(self._first + level, row, self._plane(plane))
        return super().encoded_row(level, row, plane)

    def tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> Pixels:
        grid = self._grid(level, plane)
        grid.tile_index(column, row)
        if self._keeps(level, column, row):
            return self._slide.tile(*self._address(level, column, row), self._plane(plane))
        inside = self._region(level, column, row)
        pixels = empty_pixels(Region(0, 0, grid.tile_width, grid.tile_height), self.pyramid.pixel_format)
        fill(pixels, background_samples(self.background, self.pyramid.pixel_format))
        pixels[: inside.height, : inside.width] = read_region(self._slide, self._first, inside, self._plane(plane))
        return pixels

    def close(self) -> None:
        self._slide.close()


def region_on_level(slide: Slide, region: Region, level: int) -> Region:
    """A region of level 0 in pixels of another. Raises OutOfBounds when it is not wholly within the slide."""
    base = slide.pyramid.base
    if region.empty or region.x < 0 or region.y < 0 or region.right > base.width or region.bottom > base.height:
        raise OutOfBounds(
            f"{slide.name}: the region {region.x},{region.y},{region.width},{region.height} does not lie within the "
            f"{base.width} x {base.height} pixels of level 0"
        )
    return slide.pyramid.on_level(region, level)


def _paths(slide: Slide, wanted: str | None) -> tuple[int, ...]:
    """The numbers of the optical paths that are meant, from 0."""
    count, told = slide.pyramid.optical_paths, slide.metadata.optical_paths
    if wanted is None:
        return tuple(range(count))
    identifiers = [path.identifier for path in told] if len(told) == count else []
    if wanted in identifiers:
        return (identifiers.index(wanted),)
    if wanted.isdecimal() and len(wanted) < 10 and 1 <= int(wanted) <= count:
        return (int(wanted) - 1,)
    known = ", ".join(identifiers) if identifiers else f"1 to {count}"
    raise NotFound(f"{slide.name}: has no optical path {wanted}; choose one of {known}")


def _focal_planes(slide: Slide, wanted: int | None) -> tuple[int, ...]:
    count = slide.pyramid.focal_planes
    if wanted is None:
        return tuple(range(count))
    if not 1 <= wanted <= count:
        raise OutOfBounds(f"{slide.name}: has no focal plane {wanted}; it has 1 to {count}")
    return (wanted - 1,)
