"""Levels split into concatenations: complete, conformant, and for every reader the same as in one piece."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from tests.array_slide import ArraySlide
from tests.fuzz.specimens import Maker, makers
from tests.oracles import assert_conformant, frames
from tests.series_readers import FrameReader, assert_seen
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.convert import Dicomized, DicomizeOptions, dicomize
from wsi_dicom.plan import PlanOptions
from wsi_dicom.stores.folder import FolderStore

MADE = makers(None)
CONCATENATION = {
    "ConcatenationUID",
    "InConcatenationNumber",
    "InConcatenationTotalNumber",
    "ConcatenationFrameOffsetNumber",
    "SOPInstanceUIDOfConcatenationSource",
}
OF_EACH_PART = {
    "SOPInstanceUID",
    "NumberOfFrames",
    "InConcatenationNumber",
    "ConcatenationFrameOffsetNumber",
    "PerFrameFunctionalGroupsSequence",
    "LossyImageCompressionRatio",
    "PixelData",
}


class Case(NamedTuple):
    """A slide, how it is converted, and the largest file in bytes: less than its finest level, more than its last."""

    make: Maker
    plan: PlanOptions
    largest: int


CASES = {
    "copied": Case(MADE["philips"]["whole"], PlanOptions(), 20_000),
    "native": Case(MADE["philips"]["whole"], PlanOptions(compression=Compression.NONE, reencode=True), 70_000),
    "rebuilt": Case(MADE["svs"]["jpeg"], PlanOptions(pyramid=True, smooth=True), 40_000),
    "planes": Case(MADE["leica"]["planes"], PlanOptions(), 60_000),
    "planes-16": Case(MADE["ome"]["planes"], PlanOptions(compression=Compression.JPEG_LS), 90_000),
    "sparse": Case(MADE["openslide"]["mirax"], PlanOptions(), 90_000),
    "sparse-copied": Case(MADE["dicom"]["sparse"], PlanOptions(), 40_000),
}


class Split(NamedTuple):
    """The same slide converted twice."""

    case: Case
    whole: Dicomized
    parts: Dicomized
    folder: Path

    @property
    def levels(self) -> list[tuple[Dataset, list[Dataset]]]:
        """Of each level the image in one piece, and those it is split into, in order."""
        found = []
        for number in range(1, 1 + len(self.parts.plan.levels)):
            one, several = ([image for image in map(pydicom.dcmread, done.outputs) if image.InstanceNumber == number]
                            for done in (self.whole, self.parts))  # fmt: skip
            found.append((one[0], sorted(several, key=lambda image: image.get("InConcatenationNumber", 0))))
        return found


@pytest.fixture(scope="module", params=CASES)
def split(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Split:
    case, folder = CASES[request.param], tmp_path_factory.mktemp("split")
    (folder / "source").mkdir()
    path = case.make(folder / "source")
    whole = dicomize(path, FolderStore(folder / "whole"), DicomizeOptions(plan=case.plan))
    options = DicomizeOptions(plan=case.plan, largest_instance=case.largest)
    return Split(case, whole, dicomize(path, FolderStore(folder / "parts"), options), folder)


def test_is_conformant(split: Split, tool: Callable[[str], str]) -> None:
    assert_conformant(split.parts.outputs, tool)


def test_readers_see_what_they_see_in_one_piece(split: Split) -> None:
    assert_seen(split.folder / "parts", FrameReader(split.folder / "whole"), split.whole.plan)


def test_parts_are_complete_and_in_order(split: Split) -> None:
    several = [parts for _, parts in split.levels if len(parts) > 1]
    assert several
    for parts in several:
        counts = [part.NumberOfFrames for part in parts]
        assert [part.InConcatenationNumber for part in parts] == list(range(1, 1 + len(parts)))
        assert {part.InConcatenationTotalNumber for part in parts} == {len(parts)}
        assert [part.ConcatenationFrameOffsetNumber for part in parts] == [0, *accumulate(counts[:-1])]
        assert {part.DimensionOrganizationType for part in parts} == {"TILED_SPARSE"}
        names = {part.SOPInstanceUID for part in parts}
        assert len(names) == len(parts)
        assert parts[0].SOPInstanceUIDOfConcatenationSource not in names


def test_parts_share_all_that_is_not_of_their_frames(split: Split) -> None:
    for _, parts in split.levels:
        shared = [{e.keyword: e.value for e in part if e.keyword not in OF_EACH_PART} for part in parts]
        assert all(one == shared[0] for one in shared)
        assert all(
            len(part.PerFrameFunctionalGroupsSequence) == part.NumberOfFrames for part in parts if len(parts) > 1
        )


def test_frames_are_those_of_the_level_in_one_piece(split: Split) -> None:
    for whole, parts in split.levels:
        if split.case.plan.compression is Compression.NONE:
            assert b"".join(part.PixelData for part in parts) == whole.PixelData
        else:
            assert [frame for part in parts for frame in frames(part)] == frames(whole)


def test_a_level_that_fits_is_no_concatenation(split: Split) -> None:
    fitting = [(whole, parts[0]) for whole, parts in split.levels if len(parts) == 1]
    assert fitting
    for whole, only in fitting:
        assert not CONCATENATION & set(only.dir())
        assert only.DimensionOrganizationType == whole.DimensionOrganizationType


def test_no_file_of_several_frames_is_larger_than_allowed(split: Split) -> None:
    for path in split.parts.outputs:
        several = pydicom.dcmread(path, stop_before_pixels=True).NumberOfFrames > 1
        assert path.stat().st_size <= split.case.largest or not several


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_limit_any_gaps(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every frame is in one part, at its place, and no part is larger than the limit, unless it is one frame."""
    columns, rows = data.draw(st.integers(1, 5), "columns"), data.draw(st.integers(1, 4), "rows")
    grid = [(column, row) for row in range(rows) for column in range(columns)]
    missing = data.draw(st.frozensets(st.sampled_from(grid)), "missing")
    limit = data.draw(st.integers(1, 16_000), "limit")
    pixels = np.random.default_rng(columns).integers(0, 256, (16 * rows, 16 * columns, 1), np.uint8)
    slide = ArraySlide(pixels, (16, 16), missing=missing)
    slide.sparse = bool(missing)
    folder = tmp_path_factory.mktemp("parts") / "series"
    plan = PlanOptions(compression=Compression.JPEG_LS)
    done = dicomize(slide, FolderStore(folder), DicomizeOptions(plan=plan, largest_instance=limit))
    counts = [pydicom.dcmread(path, stop_before_pixels=True).NumberOfFrames for path in done.outputs]
    assert sum(counts) == max(1, len(grid) - len(missing))  # DICOM knows no image without frames
    for path, count in zip(done.outputs, counts, strict=True):
        assert count == 1 or path.stat().st_size <= limit
    for column, row in missing:
        pixels[16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = 255
    np.testing.assert_array_equal(FrameReader(folder).region(0, slide.pyramid.base.bounds), pixels)
