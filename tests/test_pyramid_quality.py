"""Rebuilt pyramids as other readers see them, against pyramids computed at once from the decoded finest level."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import tifffile
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from skimage.metrics import peak_signal_noise_ratio

from tests.array_slide import ArraySlide
from tests.contracts.source_contract import Reader
from tests.fuzz.specimens import Maker, makers
from tests.oracles import assert_conformant
from tests.series_readers import FrameReader, OpenslideSeriesReader, WsidicomReader, readers, volumes
from tests.test_pyramid import area_average, smoothed_average, tissue
from tests.test_sources_ome import OmeReader
from tests.vendor_tiffs import Page, picture, reduced, write
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.convert import Dicomized, DicomizeOptions, dicomize
from wsi_dicom.geometry import FIRST_PLANE, Plane, Region, Spacing
from wsi_dicom.plan import PlanOptions
from wsi_dicom.stores.folder import FolderStore

SAMPLE = Path(__file__).parent.parent / "sample_data" / "ihc-8k.svs"
MADE = makers(None)
ORTHANC_DB = {False: (30.4, 24.6, 21.7, 20.0), True: (31.3, 27.7, 26.0, 26.7)}
"""What OrthancWSIDicomizer reaches at levels 1 to 4 of a slide like ours, without and with --smooth."""


def series_of(source: Any, folder: Path, **plan: Any) -> Dicomized:
    return dicomize(source, FolderStore(folder), DicomizeOptions(plan=PlanOptions(pyramid=True, **plan)))


def level_of(reader: Reader, number: int, plane: Plane = FIRST_PLANE) -> NDArray[Any]:
    return reader.region(number, Region(0, 0, *reader.sizes[number]), plane)


@pytest.fixture(scope="module")
def stained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The middle of the sample slide, of odd sizes, and stored as scanners do."""
    path = tmp_path_factory.mktemp("stained") / "slide.tif"
    with openslide.OpenSlide(SAMPLE) as slide:
        pixels = np.asarray(slide.read_region((2800, 2600), 0, (2333, 2047)).convert("RGB"))
    tifffile.imwrite(
        path, pixels, tile=(256, 256), compression="jpeg", photometric="rgb", compressionargs={"level": 80}
    )
    return path


@pytest.mark.parametrize("smooth", [False, True], ids=["box", "smooth"])
def test_lossy_levels_are_good(stained: Path, tmp_path: Path, smooth: bool) -> None:
    """At the default quality; the exact pyramid is never rounded on its way down."""
    series_of(stained, tmp_path / "series", smooth=smooth)
    reader = OpenslideSeriesReader(tmp_path / "series")
    exact = level_of(reader, 0).astype(float)
    for number, theirs in enumerate(ORTHANC_DB[smooth], 1):
        exact = smoothed_average(exact) if smooth else area_average(exact)
        quality = peak_signal_noise_ratio(exact, level_of(reader, number).astype(float), data_range=255)
        assert quality >= 32
        assert quality > theirs


@pytest.mark.parametrize("smooth", [False, True], ids=["box", "smooth"])
def test_lossless_levels_have_no_seams(stained: Path, tmp_path: Path, smooth: bool) -> None:
    """From the finest level to the coarsest, no pixel is off by more than the rounding of each halving."""
    done = series_of(
        stained, tmp_path / "series", smooth=smooth, compression=Compression.HTJ2K, tile_width=96, tile_height=80
    )
    reader = WsidicomReader(tmp_path / "series")
    assert len(reader.sizes) == len(done.plan.levels) == 6
    exact = level_of(reader, 0).astype(float)
    for number in range(1, len(reader.sizes)):
        exact = smoothed_average(exact) if smooth else area_average(exact)
        assert np.abs(level_of(reader, number) - exact).max() <= number * (1.0 if smooth else 0.5)


ODD_SLIDES = {
    "one pixel more than tiles": ((257, 193), (64, 64)),
    "tiles that are not square": ((333, 205), (96, 48)),
    "one tile": ((60, 41), (64, 64)),
    "one column of pixels": ((1, 300), (64, 64)),
    "one row of pixels": ((130, 1), (32, 64)),
    "narrow, so that coarse sizes are far from their quotient": ((1001, 77), (64, 64)),
}


@pytest.mark.parametrize(("size", "tile"), ODD_SLIDES.values(), ids=ODD_SLIDES)
def test_odd_slides(size: tuple[int, int], tile: tuple[int, int], tmp_path: Path, tool: Callable[[str], str]) -> None:
    """Pixels twice as high as wide; each level's are exactly twice as large, however its size was rounded."""
    slide = ArraySlide(tissue(*size), tile)
    slide.pyramid = replace(slide.pyramid, spacing=Spacing(0.00025, 0.0005))
    done = series_of(slide, tmp_path / "series", compression=Compression.NONE)
    assert_conformant(done.outputs, tool)
    for number, image in enumerate(volumes(tmp_path / "series")):
        assert spacing_of(image) == (0.0005 * 2**number, 0.00025 * 2**number)
        assert (image.ImagedVolumeWidth, image.ImagedVolumeHeight) == pytest.approx(
            (size[0] * 0.00025, size[1] * 0.0005)
        )
    for reader in readers(tmp_path / "series"):
        assert len(reader.sizes) == len(done.plan.levels)
        seen = [level_of(reader, number) for number in range(len(reader.sizes))]
        np.testing.assert_array_equal(seen[0], tissue(*size))
        for finer, coarser in itertools.pairwise(seen):
            assert np.abs(coarser - area_average(finer)).max() <= 0.5


def spacing_of(image: Dataset) -> tuple[float, float]:
    """Between rows, between columns, in mm."""
    return tuple(image.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing)


def test_levels_of_the_source_that_are_no_power_of_two(tmp_path: Path, tool: Callable[[str], str]) -> None:
    """500 x 400 pixels, a third, and two ninths of them: wsidicom has no place for these, OpenSlide has."""
    base = picture(500, 400)
    pages = [Page(base, um=0.5), Page(reduced(base, 3), subfile=1), Page(picture(111, 89), subfile=1)]
    path = write(tmp_path / "slide.tif", pages)
    done = dicomize(path, FolderStore(tmp_path / "series"), DicomizeOptions())
    assert_conformant(done.outputs, tool)
    with openslide.OpenSlide(path) as theirs, openslide.OpenSlide(done.outputs[0]) as ours:
        assert ours.level_dimensions == theirs.level_dimensions == ((500, 400), (167, 134), (111, 89))
        assert ours.level_downsamples == pytest.approx(theirs.level_downsamples)
        for level, size in enumerate(ours.level_dimensions):
            one, other = (np.asarray(slide.read_region((0, 0), level, size)) for slide in (ours, theirs))
            np.testing.assert_array_equal(one, other)
    spacings = [spacing_of(image) for image in volumes(tmp_path / "series")]
    assert spacings[1] == pytest.approx((0.0005 * 400 / 134, 0.0005 * 500 / 167))
    assert spacings[2] == pytest.approx((0.0005 * 400 / 89, 0.0005 * 500 / 111))


@pytest.mark.parametrize("smooth", [False, True], ids=["box", "smooth"])
def test_every_plane_has_its_own_pyramid(smooth: bool, tmp_path: Path, tool: Callable[[str], str]) -> None:
    """Two channels of two focal planes, 16 bits."""
    path = MADE["ome"]["planes"](tmp_path)
    done = series_of(path, tmp_path / "series", smooth=smooth)
    assert_conformant(done.outputs, tool)
    (reader,) = readers(tmp_path / "series")
    source = OmeReader(path)
    assert len(done.plan.planes) == 4
    for plane in done.plan.planes:
        seen = [level_of(reader, number, plane) for number in range(len(done.plan.levels))]
        np.testing.assert_array_equal(seen[0], level_of(source, 0, plane))
        for finer, coarser in itertools.pairwise(seen):
            due = smoothed_average(finer) if smooth else area_average(finer)
            assert np.abs(coarser - due).max() <= (1.0 if smooth else 0.5)


SPARSE = {
    "as scanned": (MADE["openslide"]["mirax"], {}),
    "smaller tiles": (MADE["openslide"]["mirax"], {"tile_width": 32, "tile_height": 32}),
    "tiles across those of the scanner": (MADE["openslide"]["mirax"], {"tile_width": 48, "tile_height": 80}),
    "finest level copied": (MADE["dicom"]["sparse"], {}),
}


@pytest.mark.parametrize("smooth", [False, True], ids=["box", "smooth"])
@pytest.mark.parametrize(("make", "tiles"), SPARSE.values(), ids=SPARSE)
def test_absent_where_all_finer_tiles_are(
    make: Maker, tiles: dict[str, int], smooth: bool, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    done = series_of(make(tmp_path), tmp_path / "series", smooth=smooth, compression=Compression.HTJ2K, **tiles)
    assert_conformant(done.outputs, tool)
    present = [tiles_of(image) for image in volumes(tmp_path / "series")]
    assert 0 < len(present[0]) < done.plan.levels[0].output.tile_count
    for finer, coarser in itertools.pairwise(present):
        assert coarser == {(column // 2, row // 2) for column, row in finer}
    reader = FrameReader(tmp_path / "series")
    exact = level_of(reader, 0).astype(float)
    for number, planned in enumerate(done.plan.levels[1:], 1):
        exact = smoothed_average(exact) if smooth else area_average(exact)
        for column, row in present[number]:
            inside = planned.output.tile_region(column, row)
            due = exact[inside.y : inside.bottom, inside.x : inside.right]
            assert np.abs(reader.region(number, inside) - due).max() <= number * (1.0 if smooth else 0.5)


def tiles_of(image: Dataset) -> set[tuple[int, int]]:
    """Column and row of each tile that there is."""
    if image.DimensionOrganizationType == "TILED_FULL":
        columns, rows = -(-image.TotalPixelMatrixColumns // image.Columns), -(-image.TotalPixelMatrixRows // image.Rows)
        return set(itertools.product(range(columns), range(rows)))
    places = [groups.PlanePositionSlideSequence[0] for groups in image.PerFrameFunctionalGroupsSequence]
    return {
        (
            place.ColumnPositionInTotalImagePixelMatrix // image.Columns,
            place.RowPositionInTotalImagePixelMatrix // image.Rows,
        )
        for place in places
    }
