"""Slides that the library SlideIO reads, an optional package: its largest scene."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from wsi_dicom.errors import CodecError, CorruptInput, UnsupportedFormat
from wsi_dicom.geometry import TILE_SIDE, Level, PixelFormat, Plane, Pyramid, Region
from wsi_dicom.metadata import OpticalPath, SlideMetadata
from wsi_dicom.slide import AssociatedImage, EncodedTile, ImageFlavor, Pixels
from wsi_dicom.sources.decoded_slide import DecodedSlide, one_line, stored_share
from wsi_dicom.tiff.layout import MAX_TILE_BYTES, on_glass, plausible_spacing

if TYPE_CHECKING:
    from slideio import Scene
    from slideio import Slide as SlideioFile

_log = logging.getLogger(__name__)

_MAX_SIDE: Final = 2**31
_MAX_PLANES: Final = 1 << 16
_COLOURS: Final = ("red", "green", "blue")
_LOSSY: Final = {"Jpeg2000": "ISO_15444_1", "JpegXR": "ISO_29199_2"}
"""By name of the compression. They may be lossless, which SlideIO does not tell."""
_LOSSLESS: Final = frozenset(
    {
        "Uncompressed",
        "Png",
        "LZW",
        "HuffmanRL",
        "Zlib",
        "PackBits",
        "PKZIP",
        "GIF",
        "BIGGIF",
        "RLE_LW",
        "RLE_HC",
        "RLE_BL",
    }
)
_FLAVORS: Final = {
    "label": ImageFlavor.LABEL,
    "macro": ImageFlavor.OVERVIEW,
    "overview": ImageFlavor.OVERVIEW,
    "thumbnail": ImageFlavor.THUMBNAIL,
}


class SlideioAssociatedImage:
    """A label, overview or thumbnail. Satisfies AssociatedImage."""

    def __init__(self, name: str, scene: Scene, lock: threading.Lock, stored_share: float) -> None:
        """`name` is for messages, `lock` that of the slide.

        `stored_share`: bytes stored per byte of pixels in the slide, which this picture is taken to have as well.
        Raises UnsupportedFormat, also above 256 MiB of pixels.
        """
        self._name, self._scene, self._lock = name, scene, lock
        self.width, self.height = scene.size
        self.pixel_format = _pixel_format(name, scene)
        self.lossy_method = _lossy_method(scene)
        decoded = self.width * self.height * self.pixel_format.bytes_per_pixel
        if not 0 < decoded <= MAX_TILE_BYTES:
            raise UnsupportedFormat(f"{name}: {self.width} x {self.height} pixels")
        self.stored_bytes = max(1, round(decoded * stored_share))  # nobody tells more

    def encoded(self) -> EncodedTile | None:
        return None

    def pixels(self) -> Pixels:
        try:
            with self._lock:
                return _shaped(self._scene.read_block(), self.width, self.height, self.pixel_format.samples)
        except RuntimeError as error:
            raise CodecError(f"{self._name}: {one_line(error)}") from error


class SlideioSlide(DecodedSlide):
    """Satisfies Slide, over the largest scene: others, of other places or resolutions, are left out."""

    def __init__(self, path: Path, file: SlideioFile, other_files: tuple[Path, ...] = ()) -> None:
        """Raises UnsupportedFormat, CorruptInput, and what SlideIO raises (RuntimeError)."""
        scenes = [file.get_scene(number) for number in range(file.num_scenes)]
        if not scenes:
            raise CorruptInput(f"{path.name}: has no scene")
        scene = max(scenes, key=lambda scene: scene.size[0] * scene.size[1])
        for other in scenes:
            if other is not scene:
                _log.warning("%s: scene %r is left out", path.name, other.name)
        self._file, self._scene = file, scene
        pixel_format = _pixel_format(path.name, scene)
        channels = scene.num_channels if pixel_format.samples == 1 else 1
        if channels * scene.num_z_slices > _MAX_PLANES:
            raise UnsupportedFormat(f"{path.name}: {channels * scene.num_z_slices} planes; the limit is {_MAX_PLANES}")
        if scene.num_t_frames > 1:
            _log.warning("%s: the first of %d time points is taken", path.name, scene.num_t_frames)
        x_um, y_um = (metres * 1e6 for metres in scene.resolution)
        focal_planes = max(1, scene.num_z_slices)
        levels = _levels(path.name, scene)
        super().__init__(
            path,
            Pyramid(
                levels,
                pixel_format,
                on_glass(plausible_spacing(x_um, y_um), levels[0]),
                focal_planes=focal_planes,
                optical_paths=channels,
                focal_spacing_um=scene.z_resolution * 1e6 if focal_planes > 1 and scene.z_resolution > 0 else None,
            ),
            _metadata(scene, channels, pixel_format),
            lossy_method=_lossy_method(scene),
            other_files=other_files,
        )
        share = stored_share(self.pyramid, sum(found.stat().st_size for found in self.files))
        self.associated = _associated(path.name, file, self._lock, share)

    def _window(self, level: int, region: Region, plane: Plane) -> Pixels:
        grid, samples = self.pyramid.levels[level], self.pyramid.pixel_format.samples
        inside = region.intersection(grid.bounds)
        found = self._scene.read_block_from_level(
            level,
            (inside.x, inside.y, inside.width, inside.height),
            channel_indices=[plane.optical_path] if samples == 1 else [],
            slices=(plane.focal_plane, plane.focal_plane + 1),
        )
        pixels = _shaped(found, inside.width, inside.height, samples)
        beyond = (0, region.height - inside.height), (0, region.width - inside.width), (0, 0)
        return np.pad(pixels, beyond, mode="edge") if any(after for _, after in beyond) else pixels

    def _release(self) -> None:
        self._scene.close()
        self._file.close()


def _pixel_format(name: str, scene: Scene) -> PixelFormat:
    """Three channels of 8 bits are colours, unless they have names of their own. Raises UnsupportedFormat."""
    types = {np.dtype(scene.get_channel_data_type(number)) for number in range(scene.num_channels)}
    if types not in ({np.dtype(np.uint8)}, {np.dtype(np.uint16)}):
        raise UnsupportedFormat(f"{name}: pixels of type {', '.join(sorted(map(str, types)))}; 8 or 16 bits are read")
    names = [scene.get_channel_name(number).lower() for number in range(scene.num_channels)]
    colour = len(names) == len(_COLOURS) and all(told in ("", ours) for told, ours in zip(names, _COLOURS, strict=True))
    return PixelFormat(3 if colour else 1, types.pop().itemsize * 8)


def _levels(name: str, scene: Scene) -> tuple[Level, ...]:
    sizes = [scene.size]
    for number in range(1, scene.num_zoom_levels):
        size = scene.get_zoom_level_info(number).size
        sizes.append((size.width, size.height))
    for width, height in sizes:
        if not (0 < width < _MAX_SIDE and 0 < height < _MAX_SIDE):
            raise CorruptInput(f"{name}: a level of {width} x {height} pixels")
    return tuple(Level(width, height, TILE_SIDE, TILE_SIDE) for width, height in sizes)


def _metadata(scene: Scene, channels: int, pixel_format: PixelFormat) -> SlideMetadata:
    gray = pixel_format.samples == 1
    names = [scene.get_channel_name(number) if gray else "" for number in range(channels)]
    moment = scene.acquisition_time
    return SlideMetadata(
        acquired=datetime.fromtimestamp(moment, UTC) if 0 < moment < 1 << 32 else None,
        objective_power=scene.magnification if 0 < scene.magnification <= 200 else None,
        icc_profile=scene.get_color_profile() if not gray else None,
        optical_paths=tuple(
            OpticalPath(str(number), description=name or None, fluorescence=gray) for number, name in enumerate(names)
        ),
    )


def _lossy_method(scene: Scene) -> str | None:
    """What is not known to be lossless is taken for JPEG: to call lossy pixels lossless would be false."""
    name = scene.compression.name
    return None if name in _LOSSLESS else _LOSSY.get(name, "ISO_10918_1")


def _shaped(found: object, width: int, height: int, samples: int) -> Pixels:
    """Shape (height, width, samples). Raises RuntimeError, as SlideIO does, for another number of pixels."""
    pixels = np.asarray(found)
    if pixels.size != height * width * samples:
        raise RuntimeError(f"pixels of shape {pixels.shape} instead of {width} x {height} of {samples} samples")
    return pixels.reshape(height, width, samples)


def _associated(
    name: str, file: SlideioFile, lock: threading.Lock, share: float
) -> Mapping[ImageFlavor, AssociatedImage]:
    found: dict[ImageFlavor, AssociatedImage] = {}
    for told in file.get_aux_image_names():
        flavor = _FLAVORS.get(told.lower())
        if flavor is None or flavor in found:
            _log.warning("%s: picture %r is left out", name, told)
            continue
        try:
            found[flavor] = SlideioAssociatedImage(f"{name}: {told}", file.get_aux_image(told), lock, share)
        except UnsupportedFormat as error:
            _log.warning("left out: %s", error)
    return found


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Tells what SlideIO says of a file that it cannot open as CorruptInput."""
    try:
        yield
    except RuntimeError as error:  # the only class that it raises
        raise CorruptInput(f"{path.name}: SlideIO cannot read it: {one_line(error)}") from error
