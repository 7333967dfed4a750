"""Any layout of frames and of their positions that pydicom can write is read as pydicom reads it."""

from __future__ import annotations

import struct
import tempfile
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended, get_frame
from pydicom.filereader import dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from tests.foreign_series import (
    Picture,
    header,
    item,
    native_frames,
    per_frame_groups,
    save,
    save_native,
    sparse,
)
from wsi_dicom.dicom.slide import open_series
from wsi_dicom.geometry import Plane

COLUMNS, ROWS, SIDE = 4, 3, 2
PLACES = [(1 + column * SIDE, 1 + row * SIDE) for row in range(ROWS) for column in range(COLUMNS)]
SMALL: dict[str, Any] = {"width": COLUMNS * SIDE, "height": ROWS * SIDE, "tile": SIDE}

streams = st.binary(max_size=9).map(lambda data: b"\xff\xd8" + data.replace(b"\xff", b"\xfe") + b"\xff\xd9")


@st.composite
def pixel_data(draw: st.DrawFn) -> tuple[list[bytes], bytes, tuple[bytes, ...]]:
    """Frames, the value of Pixel Data, the extended offset table and its lengths."""
    frames = draw(st.lists(streams, min_size=COLUMNS * ROWS, max_size=COLUMNS * ROWS))
    kind = draw(st.sampled_from(["extended", "basic", "none", "odd items", "uncounted padding", "wrong table"]))
    if kind == "extended":
        value, *tables = encapsulate_extended(frames)
        return frames, value, tuple(tables)
    if kind in ("basic", "none"):
        pieces = draw(st.integers(1, 2))
        return frames, encapsulate(frames, fragments_per_frame=pieces, has_bot=kind == "basic"), ()
    pads = [b"\0" * (len(frame) % 2) for frame in frames]
    if kind == "odd items":
        items = [item(frame) for frame in frames]
        if sum(map(len, items)) % 2:  # else pydicom pads the whole
            items[-1] = item(frames[-1] + b"\0")
    elif kind == "uncounted padding":
        items = [item(frame) + pad for frame, pad in zip(frames, pads, strict=True)]
    else:
        items = [item(frame + pad) for frame, pad in zip(frames, pads, strict=True)]
    offsets = list(accumulate(map(len, items[:-1]), initial=0))
    if kind == "wrong table":
        offsets[draw(st.integers(0, len(offsets) - 1))] = draw(st.integers(0, 0xFFFFFFFF).map(lambda n: n | 1))
    return frames, item(struct.pack(f"<{len(offsets)}I", *offsets)) + b"".join(items), ()


@settings(max_examples=40, deadline=None)
@given(pixel_data())
def test_offset_tables(drawn: tuple[list[bytes], bytes, tuple[bytes, ...]]) -> None:
    frames, value, tables = drawn
    with tempfile.TemporaryDirectory() as folder:
        picture = Picture(**SMALL, frames=len(frames))
        path = save(Path(folder) / "image.dcm", header(picture), picture.syntax, value, tables)
        with open_series([path]) as slide:
            rows = [tile for row in range(ROWS) for tile in slide.encoded_row(0, row)]
            assert [tile.data for tile in rows if tile is not None] == frames
        with open_series([path]) as slide:
            for number, (column, row) in enumerate(slide.pyramid.base.tiles()):
                tile = slide.encoded_tile(0, column, row)
                assert tile is not None
                assert tile.data == frames[number]
        data = dcmread(path)
        if tables:
            read = get_frame(data.PixelData, 3, number_of_frames=len(frames), extended_offsets=tables)
            assert read.rstrip(b"\0") == frames[3]


decimals = st.one_of(
    st.floats(-1e5, 1e5).map(lambda value: f"{value:.10g}"[:16]), st.integers(-999, 99999).map(str), st.just("0")
)


@st.composite
def groups(draw: st.DrawFn) -> list[Dataset]:
    """Per-frame items for some tiles in any order: offsets of any length, other elements before, between and after."""
    shown = draw(st.permutations(PLACES))[: draw(st.integers(1, len(PLACES)))]
    paths = draw(st.lists(st.sampled_from(["A", "BLUE"]), min_size=len(shown), max_size=len(shown)))
    items = per_frame_groups(shown, path=paths)
    delimited = draw(st.booleans())
    for frame in items:
        place = frame.PlanePositionSlideSequence[0]
        place.XOffsetInSlideCoordinateSystem = draw(decimals)
        place.YOffsetInSlideCoordinateSystem = draw(decimals)
        if draw(st.booleans()):
            place.ImageComments = draw(st.text("ab ", max_size=6))
        if draw(st.booleans()):
            frame.FrameContentSequence[0].FrameComments = draw(st.text("ab ", max_size=6))
        if draw(st.booleans()):
            frame.private_block(0x5301, "TEST", create=True).add_new(1, "UN", draw(st.binary(max_size=5)))
        frame.is_undefined_length_sequence_item = delimited
        frame["PlanePositionSlideSequence"].is_undefined_length = draw(st.booleans())
    return items


@settings(max_examples=40, deadline=None)
@given(groups(), st.booleans(), st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian]))
def test_sparse_layouts(items: list[Dataset], delimited: bool, syntax: str) -> None:
    paths = [Dataset(), Dataset()]
    paths[0].OpticalPathIdentifier, paths[1].OpticalPathIdentifier = "A", "BLUE"
    picture = sparse(Picture(**SMALL, photometric="RGB", attributes={"OpticalPathSequence": paths}), items)
    data = header(picture)
    data["PerFrameFunctionalGroupsSequence"].is_undefined_length = delimited
    frames = native_frames(len(items), SIDE)
    with tempfile.TemporaryDirectory() as folder:
        path = save(Path(folder) / "image.dcm", data, syntax, frames.tobytes())
        expected = {}
        for number, frame in enumerate(dcmread(path).PerFrameFunctionalGroupsSequence):
            place = frame.PlanePositionSlideSequence[0]
            column = (place.ColumnPositionInTotalImagePixelMatrix - 1) // SIDE
            row = (place.RowPositionInTotalImagePixelMatrix - 1) // SIDE
            identifier = frame.OpticalPathIdentificationSequence[0].OpticalPathIdentifier
            expected[column, row, ["A", "BLUE"].index(identifier)] = frames[number]
        with open_series([path]) as slide:
            for column, row in slide.pyramid.base.tiles():
                for optical_path in range(2):
                    plane = Plane(optical_path, 0)
                    shown = expected.get((column, row, optical_path))
                    assert slide.absent(0, column, row, plane) is (shown is None)
                    if shown is not None:
                        assert np.array_equal(slide.tile(0, column, row, plane), shown)


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_planes_of_a_level_of_one_tile(tmp_path: Path, parts: int) -> None:
    """The apex of a pyramid with three focal planes: each frame tells its depth, also when it is alone in its part."""
    frames, depths, uid, series = native_frames(3, SIDE), [1.0, -0.5, 0.25], generate_uid(), generate_uid()
    files = []
    for number, numbers in enumerate(np.array_split(np.arange(3), parts), start=1):
        items = per_frame_groups([(1, 1)] * len(numbers), z_um=[depths[n] for n in numbers])
        picture = sparse(Picture(SIDE, SIDE, SIDE, photometric="RGB", series_uid=series), items)
        if parts > 1:
            picture.attributes |= {"ConcatenationUID": uid, "InConcatenationNumber": number}
            picture.attributes |= {"ConcatenationFrameOffsetNumber": int(numbers[0])}
        pixels = frames[numbers].tobytes()
        files.append(save(tmp_path / f"{number}.dcm", header(picture), ExplicitVRLittleEndian, pixels))
    with open_series(files) as slide:
        assert slide.pyramid.focal_planes == 3
        for focal, depth in enumerate(sorted(depths)):
            assert np.array_equal(slide.tile(0, 0, 0, Plane(0, focal)), frames[depths.index(depth)])


def test_the_only_frame_need_not_tell_where_it_is(tmp_path: Path) -> None:
    items = per_frame_groups([(1, 1)])
    del items[0].PlanePositionSlideSequence[0].RowPositionInTotalImagePixelMatrix
    items[0].FrameContentSequence[0].FrameComments = "all there is"
    picture = sparse(Picture(SIDE, SIDE, SIDE, photometric="RGB"), items)
    frames = native_frames(1, SIDE)
    with open_series([save(tmp_path / "a.dcm", header(picture), ExplicitVRLittleEndian, frames.tobytes())]) as slide:
        assert np.array_equal(slide.tile(0, 0, 0), frames[0])


def test_a_path_that_all_frames_share(tmp_path: Path) -> None:
    """Two instances describe both optical paths, and tell theirs in the shared groups, positions in the others."""
    series, files, frames = generate_uid(), [], native_frames(2 * len(PLACES), SIDE).reshape(2, -1, SIDE, SIDE, 3)
    for number, name in enumerate(("BLUE", "A")):
        shared, paths = Dataset(), [Dataset(), Dataset(), Dataset()]
        for item_, told in zip(paths, (name, "A", "BLUE"), strict=True):
            item_.OpticalPathIdentifier = told
        shared.OpticalPathIdentificationSequence = paths[:1]
        attributes = {"OpticalPathSequence": paths[1:], "SharedFunctionalGroupsSequence": [shared]}
        picture = sparse(
            Picture(**SMALL, photometric="RGB", series_uid=series, attributes=attributes), per_frame_groups(PLACES)
        )
        pixels = frames[number].tobytes()
        files.append(save(tmp_path / f"{name}.dcm", header(picture), ExplicitVRLittleEndian, pixels))
    with open_series(files) as slide:
        assert [path.identifier for path in slide.metadata.optical_paths] == ["A", "BLUE"]
        assert np.array_equal(slide.tile(0, 1, 0, Plane(0, 0)), frames[1][1])
        assert np.array_equal(slide.tile(0, 1, 0, Plane(1, 0)), frames[0][1])


def test_more_layouts_of_items_than_are_learned(tmp_path: Path) -> None:
    """Nearly every item has another; as of some item they are walked, one by one."""
    side = 36
    places = [(1 + column * SIDE, 1 + row * SIDE) for row in range(side) for column in range(side)]
    items = per_frame_groups(places)
    for number, frame in enumerate(items):
        frame.FrameContentSequence[0].FrameComments = "a" * (2 * (number // side))
        frame.PlanePositionSlideSequence[0].ImageComments = "b" * (2 * (number % side))
    picture = sparse(Picture(side * SIDE, side * SIDE, SIDE), items)
    frames = native_frames(len(items), SIDE)
    with open_series([save_native(tmp_path / "image.dcm", picture, frames)]) as slide:
        for number, (column, row) in enumerate(slide.pyramid.base.tiles()):
            assert np.array_equal(slide.tile(0, column, row), frames[number])


@pytest.mark.parametrize("described", [0, 1, 2])
def test_optical_paths_that_are_only_counted(described: int, tmp_path: Path) -> None:
    """Of TILED_FULL the frames tell with NumberOfOpticalPaths how many there are (PS3.3 C.7.6.17.3)."""
    frames = native_frames(18, samples=1)
    paths = [Dataset() for _ in range(described)]
    for number, path in enumerate(paths):
        path.OpticalPathIdentifier = f"P{number}"
    picture = Picture(frames=18, attributes={"NumberOfOpticalPaths": 3, "OpticalPathSequence": paths})
    with open_series([save_native(tmp_path / "image.dcm", picture, frames)]) as slide:
        assert (slide.pyramid.optical_paths, slide.pyramid.focal_planes) == (3, 1)
        for plane in slide.pyramid.planes:
            tile = slide.tile(0, 1, 1, plane)
            np.testing.assert_array_equal(tile, frames[6 * plane.optical_path + 4])
