"""Pyramids built block by block equal those computed over the whole picture by other libraries."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate1d
from skimage.data import immunohistochemistry
from skimage.transform import downscale_local_mean

from tests.array_slide import ArraySlide
from wsi_dicom.codecs import codec_for
from wsi_dicom.frames import write_frames
from wsi_dicom.geometry import Level
from wsi_dicom.plan import DICOM, Action, Compression, ConversionPlan, PlanOptions, make_plan
from wsi_dicom.slide import EncodedTile, Pixels


def tissue(width: int, height: int, samples: int = 3, kind: type = np.uint8) -> Pixels:
    picture = immunohistochemistry()
    repeats = (-(-height // picture.shape[0]), -(-width // picture.shape[1]), 1)
    pixels = np.tile(picture, repeats)[:height, :width, :samples]
    return pixels.astype(kind) * (257 if kind is np.uint16 else 1)


def build(slide: ArraySlide, scratch: Path, threads: int = 2, **options: object) -> tuple[ConversionPlan, list[Pixels]]:
    """The plan, and each level put together from its frames, cut to its size."""
    plan = make_plan(slide, PlanOptions(pyramid=True, **{"compression": Compression.NONE, **options}), DICOM)
    sinks: list[list[bytes]] = [[] for _ in plan.levels]
    done = [0, 0]

    class Sink:
        def __init__(self, frames: list[bytes]) -> None:
            self.write = frames.append

    def progress(tiles: int, pixels: int) -> None:
        done[0] += tiles
        done[1] += pixels

    write_frames(slide, plan, [Sink(s) for s in sinks], threads=threads, scratch=scratch, progress=progress)
    assert done == [plan.tile_count, plan.pixel_count]
    levels = [
        together(level.output, frames, lambda frame, level=level: decoded(frame, level, plan))
        for level, frames in zip(plan.levels, sinks, strict=True)
    ]
    return plan, levels


def decoded(frame: bytes, level, plan: ConversionPlan) -> Pixels:
    tile = EncodedTile(frame, level.encoding)
    codec = codec_for(level.encoding.transfer_syntax)
    return codec.decode(tile, level.output.tile_width, level.output.tile_height, plan.pixel_format)


def together(level: Level, frames: list[bytes], decode) -> Pixels:
    assert len(frames) == level.tile_count
    tiles = [decode(frame) for frame in frames]
    rows = [np.hstack(tiles[row * level.columns : (row + 1) * level.columns]) for row in range(level.rows)]
    whole = np.vstack(rows)
    assert (whole[level.height :] == np.iinfo(whole.dtype).max).all(), "what lies below the picture is white"
    assert (whole[:, level.width :] == np.iinfo(whole.dtype).max).all(), "what lies right of the picture is white"
    return whole[: level.height, : level.width]


def area_average(pixels: Pixels) -> np.ndarray:
    """Half the size by scikit-image; an odd edge is repeated first."""
    height, width = pixels.shape[:2]
    even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return downscale_local_mean(even, (2, 2, 1))


def smoothed_average(pixels: Pixels) -> np.ndarray:
    """A 5-tap binomial filter by scipy over the whole picture, then half the size."""
    binomial = np.array([1, 4, 6, 4, 1]) / 16
    smooth = correlate1d(pixels.astype(float), binomial, axis=0, mode="nearest")
    smooth = correlate1d(smooth, binomial, axis=1, mode="nearest")
    height, width = pixels.shape[:2]
    # the picture is extended before it is smoothed; so an odd edge is the smoothed edge of the extended picture
    if height % 2 or width % 2:
        even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        return smoothed_average(even)
    return downscale_local_mean(smooth, (2, 2, 1))


SIZES = [(1000, 700), (513, 1025), (64, 64), (65, 64), (1, 300), (129, 1), (2048, 600)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("smooth", [False, True], ids=["box", "smooth"])
def test_levels_equal_those_of_the_whole_picture(size: tuple[int, int], smooth: bool, tmp_path: Path) -> None:
    pixels = tissue(*size)
    plan, levels = build(ArraySlide(pixels), tmp_path, smooth=smooth)
    np.testing.assert_array_equal(levels[0], pixels)
    for finer, level in itertools.pairwise(levels):
        expected = smoothed_average(finer) if smooth else area_average(finer)
        difference = np.abs(level - expected)
        assert difference.max() <= (1.0 if smooth else 0.5)
    assert plan.levels[-1].output.tile_count == 1


@pytest.mark.parametrize("smooth", [False, True], ids=["box", "smooth"])
def test_no_tile_is_decoded_twice(smooth: bool, tmp_path: Path) -> None:
    slide = ArraySlide(tissue(1500, 1300))
    build(slide, tmp_path, smooth=smooth)
    assert set(slide.decoded.values()) == {1}
    assert len(slide.decoded) == slide.pyramid.base.tile_count


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("smooth", [False, True], ids=["box", "smooth"])
def test_the_result_does_not_depend_on_the_number_of_threads(threads: int, smooth: bool, tmp_path: Path) -> None:
    pixels = tissue(1300, 1100)
    _, levels = build(ArraySlide(pixels), tmp_path, threads, smooth=smooth)
    _, other = build(ArraySlide(pixels), tmp_path, 2, smooth=smooth)
    for one, two in zip(levels, other, strict=True):
        np.testing.assert_array_equal(one, two)


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    tile=st.tuples(st.integers(3, 40), st.integers(3, 40)),
    smooth=st.booleans(),
)
def test_any_size_and_any_tile(
    width: int, height: int, tile: tuple[int, int], smooth: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pixels = tissue(width, height, samples=1)
    _, levels = build(ArraySlide(pixels, tile), tmp_path_factory.getbasetemp(), smooth=smooth)
    np.testing.assert_array_equal(levels[0], pixels)
    for finer, level in itertools.pairwise(levels):
        expected = smoothed_average(finer) if smooth else area_average(finer)
        assert np.abs(level - expected).max() <= (1.0 if smooth else 0.5)


def test_16_bit_gray(tmp_path: Path) -> None:
    pixels = tissue(300, 200, samples=1, kind=np.uint16)
    _, levels = build(ArraySlide(pixels), tmp_path)
    for finer, level in itertools.pairwise(levels):
        assert np.abs(level - area_average(finer)).max() <= 0.5


def test_lossless_slides_stay_lossless(tmp_path: Path) -> None:
    pixels = tissue(200, 150)
    plan, levels = build(ArraySlide(pixels), tmp_path, compression=None)
    np.testing.assert_array_equal(levels[0], pixels)
    assert {level.encoding.transfer_syntax for level in plan.levels} == {"1.2.840.10008.1.2.4.90"}


def test_a_missing_tile_is_encoded_like_its_level(tmp_path: Path) -> None:
    jpeg = codec_for("1.2.840.10008.1.2.4.50")
    pixels = tissue(256, 256)
    encoding = jpeg.encoding(ArraySlide(pixels).pyramid.pixel_format, lossless=False)
    slide = ArraySlide(pixels, encoding=encoding, missing=frozenset({(1, 1)}))
    plan, levels = build(slide, tmp_path, compression=None)
    assert [level.action for level in plan.levels] == [Action.COPY, Action.DERIVE, Action.DERIVE]
    assert np.abs(levels[0].astype(int) - pixels).mean() < 4


def test_a_full_scratch_folder_is_named(tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk. It is the process's own, so another one has it."""
    program = """
import resource, signal, sys
from pathlib import Path
from wsi_dicom.errors import StoreError
from wsi_dicom.pyramid.band import BYTES_IN_MEMORY, EncodedBand, PlacedTile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (BYTES_IN_MEMORY, BYTES_IN_MEMORY))
try:
    with EncodedBand(Path(sys.argv[1])) as band:
        for size in (int(size) for size in sys.argv[2:]):
            band.add([PlacedTile(0, size, bytes(size))])
        band.write_to(None)
except StoreError as error:
    print(error)
"""
    for sizes in ([9 << 20], [8 << 20, 100]):  # too much at once; what only a flush finds out
        said = subprocess.run(
            [sys.executable, "-c", program, tmp_path, *map(str, sizes)], capture_output=True, text=True, check=True
        )
        assert said.stdout == f"{tmp_path}: cannot hold tiles for a while: {os.strerror(errno.EFBIG)}\n"
