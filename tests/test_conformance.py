"""Every kind of slide in every encoding that can hold it: no checker objects, and other programs see its pixels.

Slides that differ in what reaches the encoder meet every encoding. The others, which differ in how they are read, meet
a third of them each, and each encoding meets a third of them. How the series is cut changes from pair to pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from benchmarks.build_ndpi import encode_stripes, tissue, write_ndpi
from tests import ndpi_file
from tests.contracts.source_contract import OpenslideReader, Reader, TifffileReader
from tests.fuzz.specimens import Maker, makers
from tests.ome_document import stack
from tests.oracles import assert_conformant
from tests.series_readers import OpenslideSeriesReader, assert_seen
from tests.test_sources_leica_scn import MainReader
from tests.test_sources_ome import OmeReader
from tests.test_sources_qptiff import QpiReader
from tests.vendor_tiffs import Page, levels, picture, write
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.codecs.transfer_syntaxes import KNOWN
from wsi_dicom.convert import DicomizeOptions, dicomize
from wsi_dicom.geometry import FIRST_PLANE, Plane, Region
from wsi_dicom.plan import Action, PlanOptions
from wsi_dicom.sources import open_slide
from wsi_dicom.stores.folder import FolderStore

MADE = makers(None)
LOSSY_DB = 32


class PictureReader:
    """A flat picture by Pillow."""

    def __init__(self, path: Path) -> None:
        with Image.open(path) as opened:
            self._pixels = np.atleast_3d(np.asarray(opened))
        self.sizes = [self._pixels.shape[1::-1]]

    def region(self, level: int, region: Region, plane: Plane = FIRST_PLANE) -> NDArray[Any]:
        return self._pixels[region.y : region.bottom, region.x : region.right]


def _tiff(folder: Path) -> Path:
    """Levels of odd sizes, the last one narrower than its tiles, and spacing of the first."""
    pages = [Page(pixels, um=0.5 * 2**n, subfile=bool(n)) for n, pixels in enumerate(levels(picture(293, 201), 2, 4))]
    return write(folder / "slide.tif", pages)


def _gray_16(folder: Path) -> Path:
    pixels = picture(301, 130)[:, :, 1].astype(np.uint16) * 250 + 77
    return write(folder / "slide.tif", [Page(pixels, compression="zlib", um=0.5)])


def _ome_planes(folder: Path) -> Path:
    """Two channels of two focal planes, of 16 bits in use, whose spacing differs in x and y."""
    path, pixels = folder / "slide.ome.tif", stack((2, 2), np.uint16) * 257
    same: dict[str, Any] = {"tile": (64, 64), "compression": "zlib", "photometric": "minisblack"}
    with tifffile.TiffWriter(path, ome=True) as out:
        out.write(pixels, subifds=1, metadata={"axes": "CZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}, **same)
        out.write(pixels[:, :, ::2, ::2], subfiletype=1, **same)
    return path


def _ndpi(folder: Path) -> Path:
    """Chroma is not subsampled: no decoder smooths it across borders of tiles."""
    sizes = ((256, 192), (128, 96))
    streams = [encode_stripes(tissue(*size), 8, "4:4:4") for size in sizes]
    pages = [ndpi_file.page(stream, *size, 20 * size[0] / 256) for stream, size in zip(streams, sizes, strict=True)]
    write_ndpi(folder / "slide.ndpi", pages)
    return folder / "slide.ndpi"


class Source(NamedTuple):
    """A kind of slide, and who else can read it."""

    make: Maker
    reader: Callable[[Path], Reader]
    bits: int = 8


DIFFERENT_PIXELS = {
    "tiff": Source(_tiff, OpenslideReader),
    "gray-16": Source(_gray_16, TifffileReader, 16),
    "scn-planes": Source(MADE["leica"]["planes"], MainReader),
    "ome-planes": Source(_ome_planes, OmeReader, 16),
    "mirax-sparse": Source(MADE["openslide"]["mirax"], OpenslideReader),
    "png": Source(MADE["picture"]["png"], PictureReader),
}
DIFFERENT_FILES = {
    "svs": Source(MADE["svs"]["jpeg"], OpenslideReader),
    "ndpi": Source(_ndpi, OpenslideReader),
    "philips": Source(MADE["philips"]["whole"], OpenslideReader),
    "bif": Source(MADE["ventana"]["bif"], OpenslideReader),
    "scn": Source(MADE["leica"]["brightfield"], MainReader),
    "qptiff": Source(MADE["qptiff"]["fluorescence"], QpiReader),
    "dicom": Source(MADE["dicom"]["jpeg"], OpenslideSeriesReader),
    "dicom-sparse": Source(MADE["dicom"]["sparse"], OpenslideSeriesReader),
    "jpeg": Source(MADE["picture"]["jpeg"], PictureReader),
}
SOURCES = DIFFERENT_PIXELS | DIFFERENT_FILES
COPIED = ["tiff", "scn-planes", *DIFFERENT_FILES]

WHOLE, RETILED, SPLIT = "whole", "retiled", "split"
CUTS = (WHOLE, RETILED, SPLIT)


def _encoded() -> Iterator[Any]:
    for row, (name, source) in enumerate(SOURCES.items()):
        for column, compression in enumerate(each for each in Compression if each.transfer_syntax in KNOWN):
            holds = source.bits == 8 or compression is not Compression.JPEG
            if holds and (name in DIFFERENT_PIXELS or (row + column) % 3 == 0):
                # a step of a third of the pairs above, and of the number of encodings, must not always meet one cut
                cut = CUTS[(row + column + column // 3) % len(CUTS)]
                yield pytest.param(source, compression, cut, id=f"{name}-{compression}-{cut}")


@pytest.mark.parametrize(("source", "compression", "cut"), list(_encoded()))
def test_encoded_anew(
    source: Source, compression: Compression, cut: str, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    path = source.make(tmp_path)
    with open_slide(path) as slide:
        pyramid = slide.pyramid
        lossy = any(slide.lossy_method(level) for level in range(len(pyramid.levels)))
    sides = {"tile_width": 96, "tile_height": 80} if cut == RETILED else {}
    raw = len(pyramid.planes) * pyramid.base.width * pyramid.base.height * pyramid.pixel_format.bytes_per_pixel
    options = DicomizeOptions(
        plan=PlanOptions(compression=compression, reencode=True, **sides),
        largest_instance=raw // (3 if compression.lossless else 12) if cut == SPLIT else 0,
    )
    done = dicomize(path, FolderStore(tmp_path / "series"), options)
    assert {level.action for level in done.plan.levels} == {Action.ENCODE}
    assert_conformant(done.outputs, tool)
    packed = compression is Compression.JPEG_XL_RECOMPRESS and not lossy  # there is no JPEG: its pixels are kept
    assert_seen(tmp_path / "series", source.reader(path), done.plan, exact=compression.lossless or packed)


@pytest.mark.parametrize("name", COPIED)
def test_copied(name: str, tmp_path: Path, tool: Callable[[str], str]) -> None:
    path = SOURCES[name].make(tmp_path)
    done = dicomize(path, FolderStore(tmp_path / "series"), DicomizeOptions())
    assert {level.action for level in done.plan.levels} == {Action.COPY}
    assert_conformant(done.outputs, tool)
    assert_seen(tmp_path / "series", SOURCES[name].reader(path), done.plan, exact=True)
