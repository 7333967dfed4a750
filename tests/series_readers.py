"""Series as other programs read them, all behind the `Reader` of the source contract."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import wsidicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from skimage.metrics import peak_signal_noise_ratio

from tests.contracts.source_contract import OpenslideReader, Reader
from tests.oracles import frames, images
from wsi_dicom.codecs import transfer_syntaxes as syntaxes
from wsi_dicom.geometry import FIRST_PLANE, Level, Plane, Region
from wsi_dicom.plan import ConversionPlan

Pixels = NDArray[Any]
Place = tuple[int, int, Plane]

IN_OPENSLIDE = frozenset(
    {syntaxes.EXPLICIT_VR_LITTLE_ENDIAN, syntaxes.JPEG_BASELINE, syntaxes.JPEG_2000_LOSSLESS, syntaxes.JPEG_2000}
)
NOT_IN_WSIDICOM = frozenset({syntaxes.DEFLATED_IMAGE_FRAME, syntaxes.JPEG_XL_RECOMPRESSION})
LOSSY_DB = 32  # of tissue at quality 90


def volumes(folder: Path) -> list[Dataset]:
    """The levels, finest first; of one that is split all parts."""
    return sorted(images(folder)["VOLUME"], key=lambda image: image.InstanceNumber)


class WsidicomReader:
    """All levels and planes by wsidicom, which must also read the label and the overview where there is one."""

    def __init__(self, folder: Path) -> None:
        self._levels: list[dict[Plane, Pixels]] = []
        found = images(folder)
        paths = [item.OpticalPathIdentifier for item in found["VOLUME"][0].OpticalPathSequence]
        with wsidicom.WsiDicom.open(folder) as slide:
            for level in sorted(slide.pyramid, key=lambda level: level.level):
                size = level.size.width, level.size.height
                self._levels.append(
                    {
                        Plane(path, focal): slide.read_region(
                            (0, 0), level.level, size, z=z, path=identifier, as_array=True
                        ).reshape(size[1], size[0], -1)
                        for path, identifier in enumerate(paths)
                        for focal, z in enumerate(sorted(level.focal_planes))
                    }
                )
            if "LABEL" in found:
                slide.read_label()
            if "OVERVIEW" in found:
                slide.read_overview()
        self.sizes = [level[FIRST_PLANE].shape[1::-1] for level in self._levels]

    def region(self, level: int, region: Region, plane: Plane = FIRST_PLANE) -> Pixels:
        return self._levels[level][plane][region.y : region.bottom, region.x : region.right]


class OpenslideSeriesReader(OpenslideReader):
    """The first plane by OpenSlide, which finds a series by any of its files."""

    def __init__(self, folder: Path) -> None:
        super().__init__(min(folder.glob("*.dcm")))


class FrameReader:
    """All levels and planes put together from frames that pydicom finds, for what no program opens whole.

    A level may be split, or lack tiles, which are white.
    """

    def __init__(self, folder: Path) -> None:
        self._levels: list[Pixels] = []
        parts: dict[int, list[Dataset]] = {}
        for part in volumes(folder):
            parts.setdefault(part.InstanceNumber, []).append(part)
        for instances in parts.values():
            self._levels.append(_together(instances))
        self.sizes = [level.shape[3:1:-1] for level in self._levels]

    def region(self, level: int, region: Region, plane: Plane = FIRST_PLANE) -> Pixels:
        return self._levels[level][*plane, region.y : region.bottom, region.x : region.right]


def _together(instances: list[Dataset]) -> Pixels:
    """Shape (optical paths, focal planes, height, width, samples)."""
    first = instances[0]
    level = Level(first.TotalPixelMatrixColumns, first.TotalPixelMatrixRows, first.Columns, first.Rows)
    placed = [pair for part in instances for pair in zip(_places(part, level), _decoded(part), strict=True)]
    paths = 1 + max(plane.optical_path for (_, _, plane), _ in placed)
    focal = 1 + max(plane.focal_plane for (_, _, plane), _ in placed)
    kind = f"u{first.BitsAllocated // 8}"
    shape = paths, focal, level.rows * first.Rows, level.columns * first.Columns, first.SamplesPerPixel
    whole = np.full(shape, np.iinfo(kind).max, kind)
    for (x, y, plane), tile in placed:
        whole[*plane, y : y + first.Rows, x : x + first.Columns] = tile.reshape(first.Rows, first.Columns, -1)
    return whole[:, :, : level.height, : level.width]


def _places(image: Dataset, level: Level) -> Iterator[Place]:
    """x, y and plane of each frame: PS3.3 C.7.6.17.3 without positions, C.8.12.6.1 with them."""
    identifiers = [item.OpticalPathIdentifier for item in image.OpticalPathSequence]
    if image.DimensionOrganizationType == "TILED_FULL":
        for path in range(len(identifiers)):
            for focal in range(image.TotalPixelMatrixFocalPlanes):
                for column, row in level.tiles():
                    yield column * level.tile_width, row * level.tile_height, Plane(path, focal)
        return
    step = 1000 * float(image.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].get("SpacingBetweenSlices", 1))
    for groups in image.PerFrameFunctionalGroupsSequence:
        place = groups.PlanePositionSlideSequence[0]
        path = identifiers.index(groups.OpticalPathIdentificationSequence[0].OpticalPathIdentifier)
        yield (
            place.ColumnPositionInTotalImagePixelMatrix - 1,
            place.RowPositionInTotalImagePixelMatrix - 1,
            Plane(path, round(float(place.ZOffsetInSlideCoordinateSystem) / step)),
        )


def _inflated(frame: bytes, image: Dataset) -> Pixels:
    return np.frombuffer(zlib.decompress(frame, wbits=-15), f"<u{image.BitsAllocated // 8}")


_DECODERS: dict[str, Callable[[bytes, Dataset], Pixels]] = {
    syntaxes.JPEG_BASELINE: lambda frame, _: np.asarray(Image.open(io.BytesIO(frame))),
    syntaxes.DEFLATED_IMAGE_FRAME: _inflated,
    syntaxes.JPEG_XL_RECOMPRESSION: lambda frame, _: imagecodecs.jpegxl_decode(frame),
    syntaxes.JPEG_XL_LOSSLESS: lambda frame, _: imagecodecs.jpegxl_decode(frame),
}
"""What pydicom cannot decode, and JPEG, whose colours it converts in its own way."""


def _decoded(image: Dataset) -> list[Pixels]:
    decode = _DECODERS.get(image.file_meta.TransferSyntaxUID)
    if decode is None:
        return list(image.pixel_array.reshape(image.NumberOfFrames, -1))
    return [decode(frame, image) for frame in frames(image)]


def readers(folder: Path) -> list[OpenslideSeriesReader | WsidicomReader | FrameReader]:
    """Other people's programs that can read a series: wsidicom, else pydicom, and OpenSlide where it can, too."""
    series = [pydicom.dcmread(path, stop_before_pixels=True) for path in folder.glob("*.dcm")]
    used = {image.file_meta.TransferSyntaxUID for image in series}
    levels = [image for image in series if image.ImageType[2] == "VOLUME"]
    deep, colour = levels[0].BitsAllocated == 16, levels[0].SamplesPerPixel == 3
    alike = len({(image.Rows, image.Columns) for image in levels}) == 1  # wsidicom drops levels of other tiles
    in_wsidicom = alike and not used & NOT_IN_WSIDICOM and not (deep and (colour or syntaxes.RLE in used))
    several_planes = levels[0].TotalPixelMatrixFocalPlanes > 1
    # OpenSlide orders levels by their widths, and refuses those of equal width
    ordered = len({image.TotalPixelMatrixColumns for image in levels}) == max(image.InstanceNumber for image in levels)
    in_openslide = used <= IN_OPENSLIDE and colour and not deep and not several_planes and ordered
    first: WsidicomReader | FrameReader = WsidicomReader(folder) if in_wsidicom else FrameReader(folder)
    return [first, OpenslideSeriesReader(folder)] if in_openslide else [first]


def assert_seen(series: Path, expected: Reader, plan: ConversionPlan, *, exact: bool = True) -> None:
    """All who can read the series see the levels and planes of the plan as the other reader does."""
    for reader in readers(series):
        assert len(reader.sizes) == len(plan.levels)
        assert list(reader.sizes) == list(expected.sizes[: len(plan.levels)])
        for plane in plan.planes[:1] if isinstance(reader, OpenslideSeriesReader) else plan.planes:
            for level, size in enumerate(reader.sizes):
                seen, due = (each.region(level, Region(0, 0, *size), plane) for each in (reader, expected))
                if exact:
                    np.testing.assert_array_equal(seen, due, f"{type(reader).__name__}, level {level}, {plane}")
                else:
                    assert seen.dtype == due.dtype
                    assert peak_signal_noise_ratio(due, seen) > LOSSY_DB, (type(reader).__name__, level, plane)
