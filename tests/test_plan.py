"""Plans over any pyramid and any options: every level is there once, and its action is one that it allows."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.array_slide import ArraySlide
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.codecs.transfer_syntaxes import JPEG_2000_LOSSLESS, JPEG_BASELINE, RLE, lossy_method
from wsi_dicom.errors import CodecError
from wsi_dicom.geometry import Level, PixelFormat, Pyramid
from wsi_dicom.plan import (
    DICOM,
    LARGEST_TILE,
    Action,
    Container,
    ConversionPlan,
    PlanOptions,
    expected_bytes,
    largest_total,
    make_plan,
    raw_bytes,
)
from wsi_dicom.slide import Encoding
from wsi_dicom.tiff.flavors import generic

TIFF = generic.FLAVOR.container

FORMATS = st.builds(PixelFormat, st.sampled_from([1, 3]), st.sampled_from([8, 16]))
STORED = {
    "jpeg": Encoding(JPEG_BASELINE, "YBR_FULL_422", (2, 1)),
    "jpeg 2000": Encoding(JPEG_2000_LOSSLESS, "YBR_RCT"),
    "rle": Encoding(RLE, "RGB"),
    "nothing that DICOM holds": None,
}


@st.composite
def slides(draw: st.DrawFn) -> ArraySlide:
    """Up to four levels in tiles of any size, each a half to a fifth of the one before."""
    sides = st.integers(1, 30_000)
    sizes = [(draw(sides), draw(sides))]
    for _ in range(draw(st.integers(0, 3))):
        divisor = draw(st.integers(2, 5))
        sizes.append((max(1, sizes[-1][0] // divisor), max(1, sizes[-1][1] // divisor)))
    tiles = st.one_of(st.sampled_from([16, 240, 256, 512]), st.integers(1, 5000))
    levels = tuple(Level(*size, draw(tiles), draw(tiles)) for size in sizes)
    stored = STORED[draw(st.sampled_from(list(STORED)))]
    pixel_format = PixelFormat() if stored is not None else draw(FORMATS)
    slide = ArraySlide(np.zeros((1, 1, 3), np.uint8), encoding=stored)
    slide.sparse = draw(st.booleans())
    slide.pyramid = Pyramid(levels, pixel_format, optical_paths=draw(st.integers(1, 3)))
    return slide


OPTIONS = st.builds(
    PlanOptions,
    pyramid=st.booleans(),
    smooth=st.booleans(),
    compression=st.one_of(st.none(), st.sampled_from(Compression)),
    sampling=st.one_of(st.none(), st.sampled_from([(1, 1), (2, 2)])),
    reencode=st.booleans(),
    tile_width=st.one_of(st.none(), st.integers(16, 4096)),
    tile_height=st.one_of(st.none(), st.integers(16, 4096)),
    levels=st.one_of(st.none(), st.integers(1, 6)),
    repaint=st.booleans(),
)
SLIDES = slides()


def planned(slide: ArraySlide, options: PlanOptions, container: Container = DICOM) -> ConversionPlan:
    """Where a compression can hold the pixels at all."""
    try:
        return make_plan(slide, options, container)
    except CodecError:
        assert options.compression is not None
        if options.compression.transfer_syntax in container.transfer_syntaxes:
            assert options.compression in (Compression.JPEG, Compression.WEBP)
            assert slide.pyramid.pixel_format != PixelFormat(3, 8)
        assume(False)
        raise


@settings(deadline=None)
@given(slide=SLIDES, options=OPTIONS)
def test_levels_are_those_of_the_source_or_halvings_down_to_one_tile(slide: ArraySlide, options: PlanOptions) -> None:
    plan, found = planned(slide, options), slide.pyramid.levels
    outputs = [level.output for level in plan.levels]
    assert (outputs[0].width, outputs[0].height) == (found[0].width, found[0].height)
    if options.pyramid:
        for finer, coarser in pairwise(outputs):
            assert coarser == Level(-(-finer.width // 2), -(-finer.height // 2), finer.tile_width, finer.tile_height)
        assert all(level.tile_count > 1 for level in outputs[:-1])
        assert outputs[-1].tile_count == 1 or len(outputs) == options.levels
        assert {level.source_level for level in plan.levels} == {0}
        assert {level.action for level in plan.levels[1:]} <= {Action.DERIVE}
    else:
        assert [(level.width, level.height) for level in outputs] == [
            (level.width, level.height) for level in found[: options.levels]
        ]
        assert [level.source_level for level in plan.levels] == list(range(len(outputs)))
    tiles = [-(-level.width // level.tile_width) * -(-level.height // level.tile_height) for level in outputs]
    assert plan.tile_count == slide.pyramid.optical_paths * sum(tiles)


@settings(deadline=None)
@given(slide=SLIDES, options=OPTIONS)
def test_what_is_kept_is_kept_whole(slide: ArraySlide, options: PlanOptions) -> None:
    """Kept are tiles of the asked size, in an encoding that can be written, unless all are to be encoded anew."""
    for number, level in enumerate(planned(slide, options).levels):
        source, stored = slide.pyramid.levels[level.source_level], slide.encoding(level.source_level)
        asked = options.tile_width in (None, source.tile_width) and options.tile_height in (None, source.tile_height)
        derived = options.pyramid and number > 0
        fits = max(source.tile_width, source.tile_height) <= LARGEST_TILE
        assert level.action.keeps_tiles == (
            stored is not None and asked and fits and not options.reencode and not derived
        )
        if level.action is Action.COPY:
            assert (level.output, level.encoding) == (source, stored)
        if level.action is Action.RECOMPRESS:
            assert options.compression is Compression.JPEG_XL_RECOMPRESS
            assert (level.output, replace(level.encoding, transfer_syntax=JPEG_BASELINE)) == (source, stored)


@settings(deadline=None)
@given(slide=SLIDES, options=OPTIONS)
def test_new_tiles_are_as_asked(slide: ArraySlide, options: PlanOptions) -> None:
    for level in planned(slide, options).levels:
        if level.action.keeps_tiles:
            continue
        assert options.tile_width in (None, level.output.tile_width)
        assert options.tile_height in (None, level.output.tile_height)
        assert max(level.output.tile_width, level.output.tile_height) <= LARGEST_TILE
        lossless = slide.lossy_method(level.source_level) is None
        lossy = lossy_method(level.encoding.transfer_syntax) is not None
        if options.compression is None:  # nobody asked for a loss
            assert not (lossy and (lossless or slide.pyramid.pixel_format.bits == 16))
        elif options.compression is Compression.JPEG_XL_RECOMPRESS:
            assert lossy != lossless
        else:
            assert level.encoding.transfer_syntax == options.compression.transfer_syntax
        if options.sampling is not None:
            assert level.encoding.sampling == options.sampling


@settings(deadline=None)
@given(slide=SLIDES, options=OPTIONS)
def test_gaps_stay_gaps_unless_painted(slide: ArraySlide, options: PlanOptions) -> None:
    assert {level.sparse for level in planned(slide, options).levels} == {slide.sparse and not options.repaint}


@settings(deadline=None)
@given(slide=SLIDES, options=OPTIONS)
def test_bytes_are_bounded_by_what_the_pixels_take(slide: ArraySlide, options: PlanOptions) -> None:
    for level in planned(slide, options).levels:
        raw = raw_bytes(slide, level)
        assert raw >= level.output.width * level.output.height * slide.pyramid.pixel_format.bytes_per_pixel
        assert expected_bytes(slide, level) <= raw
        assert level.action.keeps_tiles or largest_total(slide, level) >= raw


@settings(deadline=None)
@given(slide=SLIDES, options=OPTIONS)
def test_tiff_has_tiles_of_multiples_of_16_and_no_gaps(slide: ArraySlide, options: PlanOptions) -> None:
    slide.pyramid = replace(slide.pyramid, optical_paths=1)
    allowed = {None, Compression.NONE, Compression.JPEG, Compression.JPEG2000, Compression.JPEG2000_LOSSY}
    assume(options.compression in allowed)
    plan = planned(slide, replace(options, tile_width=None, tile_height=None), TIFF)
    for level in plan.levels:
        assert (level.output.tile_width % 16, level.output.tile_height % 16, level.sparse) == (0, 0, False)
        assert level.encoding.transfer_syntax in TIFF.transfer_syntaxes
    assert plan.associated == {}


def test_jpeg_of_16_bits_is_refused() -> None:
    slide = ArraySlide(np.zeros((1, 1, 1), np.uint16))
    with pytest.raises(CodecError, match="holds 8 bits per sample, not 16"):
        make_plan(slide, PlanOptions(compression=Compression.JPEG), DICOM)


def test_absent_tiles_take_room() -> None:
    """They are written; small ones are larger in JPEG than their pixels are. That decides for BigTIFF."""
    side, count = 16, 1_000_000
    slide = ArraySlide(np.zeros((side, side, 3), np.uint8), encoding=STORED["jpeg"])
    slide.pyramid, slide.sparse, slide.files = Pyramid((Level(side * count, side, side, side),)), True, (Path("a.dcm"),)
    (level,) = make_plan(slide, PlanOptions(), TIFF).levels
    assert level.action is Action.COPY
    assert largest_total(slide, level) > count * len(imagecodecs.jpeg8_encode(np.full((side, side, 3), 200, np.uint8)))
