"""Which instances make up which levels: planes and paths in files of their own, concatenations, frames of reference."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filereader import dcmread
from pydicom.uid import generate_uid

from tests.foreign_series import (
    TILE,
    Picture,
    header,
    jpeg_frames,
    native_frames,
    per_frame_groups,
    save,
    save_native,
    sparse,
)
from wsi_dicom.dicom.slide import open_series
from wsi_dicom.errors import CorruptInput, OutOfBounds, UnsupportedFormat
from wsi_dicom.geometry import Plane

GRID = [(1 + column * TILE, 1 + row * TILE) for row in range(2) for column in range(3)]


def light(*identifiers: str) -> list[Dataset]:
    paths = []
    for identifier in identifiers:
        path = Dataset()
        path.OpticalPathIdentifier, path.OpticalPathDescription = identifier, f"light {identifier}"
        paths.append(path)
    return paths


def at_depth(z_um: float) -> list[Dataset]:
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem = origin.YOffsetInSlideCoordinateSystem = "0"
    origin.ZOffsetInSlideCoordinateSystem = str(z_um)
    return [origin]


def images(folder: Path, told: Sequence[dict[str, Any]]) -> tuple[list[Path], np.ndarray[Any, Any]]:
    """An instance of six frames for each set of attributes, all of one series and size."""
    series, frames = generate_uid(), native_frames(6 * len(told)).reshape(len(told), 6, TILE, TILE, 3)
    files = [
        save_native(folder / f"{number}.dcm", Picture(series_uid=series, attributes=attributes), frames[number])
        for number, attributes in enumerate(told)
    ]
    return files, frames


def test_focal_planes_in_instances_of_their_own(tmp_path: Path) -> None:
    depths = [3.0, 0.0, 1.5]
    files, frames = images(tmp_path, [{"TotalPixelMatrixOriginSequence": at_depth(z)} for z in depths])
    with open_series(files) as slide:
        assert len(slide.pyramid.levels) == 1
        assert (slide.pyramid.focal_planes, slide.pyramid.optical_paths) == (3, 1)
        assert slide.pyramid.focal_spacing_um == 1.5
        assert not slide.sparse
        for focal, z in enumerate(sorted(depths)):
            for number, (column, row) in enumerate(slide.pyramid.base.tiles()):
                assert np.array_equal(slide.tile(0, column, row, Plane(0, focal)), frames[depths.index(z)][number])
        for outside in (Plane(0, 3), Plane(1, 0), Plane(0, -1)):
            with pytest.raises(OutOfBounds):
                slide.tile(0, 0, 0, outside)


@pytest.mark.parametrize("described", ["own", "all"])
def test_optical_paths_in_instances_of_their_own(tmp_path: Path, described: str) -> None:
    """Each describes its own path; or all of them, and the shared functional groups tell which it is."""
    told: list[dict[str, Any]] = []
    for number, name in enumerate("CAB"):
        shared = Dataset()
        shared.OpticalPathIdentificationSequence = [Dataset()]
        shared.OpticalPathIdentificationSequence[0].OpticalPathIdentifier = name
        paths = light(name) if described == "own" else light(*"CAB")
        told.append({"OpticalPathSequence": paths, "InstanceNumber": 9 - number})
        if described == "all":
            told[-1]["SharedFunctionalGroupsSequence"] = [shared]
    files, frames = images(tmp_path, told)
    with open_series(files) as slide:
        assert (slide.pyramid.focal_planes, slide.pyramid.optical_paths) == (1, 3)
        names = [path.identifier for path in slide.metadata.optical_paths]
        assert names == (["B", "A", "C"] if described == "own" else ["C", "A", "B"])
        assert [path.description for path in slide.metadata.optical_paths] == [f"light {name}" for name in names]
        for index, name in enumerate(names):
            assert np.array_equal(slide.tile(0, 2, 1, Plane(index, 0)), frames["CAB".index(name)][5])


def test_sparse_planes_in_instances_of_their_own(tmp_path: Path) -> None:
    """Two paths at two depths each, a tile missing from one of them; all paths described by every instance."""
    series, places = generate_uid(), [(path, z) for path in "AB" for z in (2.0, -1.0)]
    files, frames = [], native_frames(24).reshape(4, 6, TILE, TILE, 3)
    for number, (path, z) in enumerate(places):
        count = 5 if number == 3 else 6
        groups = per_frame_groups(GRID[:count], z_um=[z] * count, path=[path] * count)
        picture = sparse(Picture(series_uid=series, attributes={"OpticalPathSequence": light("A", "B")}), groups)
        files.append(save_native(tmp_path / f"{number}.dcm", picture, frames[number][:count]))
    with open_series(files[::-1]) as slide:
        assert (slide.pyramid.focal_planes, slide.pyramid.optical_paths) == (2, 2)
        assert slide.pyramid.focal_spacing_um == 3.0
        assert slide.sparse
        for number, (path, z) in enumerate(places):
            plane = Plane("AB".index(path), int(z > 0))
            assert np.array_equal(slide.tile(0, 1, 1, plane), frames[number][4])
            assert slide.absent(0, 2, 1, plane) is (number == 3)


def test_two_images_of_the_same_plane_are_refused(tmp_path: Path) -> None:
    files, _ = images(tmp_path, [{"OpticalPathSequence": light("A")}] * 2)
    with pytest.raises(UnsupportedFormat, match=r"\d\.dcm and another image .* both show 43 x 29 pixels"):
        open_series(files)


def test_planes_in_other_tiles_are_refused(tmp_path: Path) -> None:
    files, _ = images(tmp_path, [{}])
    other = Picture(tile=32, frames=2, series_uid=str(dcmread(files[0]).SeriesInstanceUID))
    files.append(save_native(tmp_path / "other.dcm", other, native_frames(2, 32)))
    with pytest.raises(UnsupportedFormat, match="in different tiles or encodings"):
        open_series(files)


def test_extended_depth_of_field_beside_its_planes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files, frames = images(tmp_path, [{"ExtendedDepthOfField": "YES"}, {"ExtendedDepthOfField": "NO"}])
    with open_series(files) as slide:
        assert slide.pyramid.focal_planes == 1
        assert np.array_equal(slide.tile(0, 0, 0), frames[1][0])
    assert "0.dcm, fused from focal planes" in caplog.text
    with open_series(files[:1]) as slide:
        assert np.array_equal(slide.tile(0, 0, 0), frames[0][0])


def test_a_copy_of_a_file_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files, frames = images(tmp_path, [{}])
    files.append(Path(shutil.copy(files[0], tmp_path / "copy.dcm")))
    with open_series(files) as slide:
        assert np.array_equal(slide.tile(0, 0, 0), frames[0][0])
    assert "copy.dcm, which has the UID of another" in caplog.text


def parts(folder: Path, total: int | None) -> list[Path]:
    """Six frames in three parts of two."""
    uid, series, files = generate_uid(), generate_uid(), []
    for number in range(3):
        attributes = {
            "ConcatenationUID": uid,
            "InConcatenationNumber": number + 1,
            "ConcatenationFrameOffsetNumber": 2 * number,
        }
        if total is not None:
            attributes["InConcatenationTotalNumber"] = total
        groups = per_frame_groups(GRID[2 * number : 2 * number + 2])
        picture = sparse(Picture(series_uid=series, attributes=attributes), groups)
        frames = jpeg_frames(6)[2 * number : 2 * number + 2]
        files.append(save(folder / f"part{number + 1}.dcm", header(picture), picture.syntax, encapsulate(frames)))
    return files


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_missing_parts_of_a_concatenation_are_named(tmp_path: Path, missing: int) -> None:
    files = parts(tmp_path, 3)
    del files[missing - 1]
    with pytest.raises(CorruptInput, match=rf"part\d\.dcm: its concatenation lacks .* in part {missing} of 3 of "):
        open_series(files)


def test_parts_that_tell_no_total(tmp_path: Path) -> None:
    files = parts(tmp_path, None)
    with open_series(files) as slide:
        assert not slide.sparse
    with pytest.raises(CorruptInput, match=r"part3\.dcm: .* lacks frames 1 to 4, which are in parts 1, 2"):
        open_series(files[2:])


def test_an_absurd_total_of_parts(tmp_path: Path) -> None:
    with pytest.raises(CorruptInput, match="lacks frames from 7 on") as raised:
        open_series(parts(tmp_path, 65535))
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(("size", "accepted"), [((22, 15), True), ((21, 14), True), ((22, 29), False)])
def test_frames_of_reference(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, size: tuple[int, int], accepted: bool
) -> None:
    base = Picture(attributes={"FrameOfReferenceUID": generate_uid()})
    frames = -(-size[0] // TILE) * -(-size[1] // TILE)
    small = Picture(*size, frames=frames, series_uid=base.series_uid)
    small.attributes = {"FrameOfReferenceUID": generate_uid()}
    files = [
        save_native(tmp_path / "base.dcm", base, native_frames(6)),
        save_native(tmp_path / "small.dcm", small, native_frames(frames)),
    ]
    if accepted:
        with open_series(files) as slide:
            assert len(slide.pyramid.levels) == 2
        assert "2 frames of reference, taken for one" in caplog.text
    else:
        with pytest.raises(CorruptInput, match=r"mixes 2 frames of reference, and .*small\.dcm is no level"):
            open_series(files)


def test_levels_with_tiles_of_different_sizes_and_no_base(tmp_path: Path) -> None:
    """What is finest is level 0, however coarse; origins may differ by the rounding."""
    middle = Picture(attributes={"TotalPixelMatrixOriginSequence": at_depth(0)})
    coarse = Picture(21, 14, 32, 1, series_uid=middle.series_uid)
    coarse.attributes = {"TotalPixelMatrixOriginSequence": at_depth(0.001)}
    frames, frame = native_frames(6), native_frames(1, 32)
    files = [
        save_native(tmp_path / "coarse.dcm", coarse, frame),
        save_native(tmp_path / "middle.dcm", middle, frames),
    ]
    with open_series(files) as slide:
        assert [level.tile_width for level in slide.pyramid.levels] == [TILE, 32]
        assert np.array_equal(slide.tile(0, 1, 0), frames[1])
        assert np.array_equal(slide.tile(1, 0, 0), frame[0])
