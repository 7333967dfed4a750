"""OME-TIFF of several files: sets, their companion, and files from elsewhere."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pytest

from tests.ome_document import ome, set_document, stack, write, write_set
from wsi_dicom.errors import UnsupportedFormat
from wsi_dicom.geometry import Plane
from wsi_dicom.region import read_region
from wsi_dicom.slide import Slide
from wsi_dicom.sources import open_slide


@pytest.fixture
def members() -> list[tuple[str, str, np.ndarray]]:
    """Name, UUID and pixels of each file of a set, one channel in each."""
    return [(f"part{n}.ome.tif", f"urn:uuid:{uuid.UUID(int=n + 1)}", plane) for n, plane in enumerate(stack((3,)))]


def assert_channels(slide: Slide, members: list[tuple[str, str, np.ndarray]]) -> None:
    assert slide.pyramid.optical_paths == len(members)
    for number, (_, _, plane) in enumerate(members):
        found = read_region(slide, 0, slide.pyramid.base.bounds, Plane(number, 0))
        assert np.array_equal(found[:, :, 0], plane)


@pytest.mark.parametrize("opened", [0, 2])
def test_files_of_a_set(tmp_path: Path, members: list[tuple[str, str, np.ndarray]], opened: int) -> None:
    paths = write_set(tmp_path, members)
    with open_slide(paths[opened]) as slide:
        assert_channels(slide, members)
        assert slide.name == paths[opened].name
        assert slide.files[0] == paths[opened]
        assert set(slide.files) == set(paths)
    with pytest.raises(ValueError, match="closed"):
        slide.tile(0, 0, 0, Plane(1, 0))


def test_a_renamed_file_of_a_set_is_known_by_its_uuid(
    tmp_path: Path, members: list[tuple[str, str, np.ndarray]]
) -> None:
    renamed = write_set(tmp_path, members)[0].rename(tmp_path / "other name.tif")
    with open_slide(renamed) as slide:
        assert_channels(slide, members)


def test_a_missing_file_of_a_set_is_named(tmp_path: Path, members: list[tuple[str, str, np.ndarray]]) -> None:
    first, second, _ = write_set(tmp_path, members)
    second.unlink()
    with pytest.raises(UnsupportedFormat, match=r"part0.*planes in part1\.ome\.tif, which must lie beside it"):
        open_slide(first)


@pytest.mark.parametrize("binary_only", [True, False], ids=["from a part", "itself"])
def test_companion_file(tmp_path: Path, members: list[tuple[str, str, np.ndarray]], binary_only: bool) -> None:
    companion = tmp_path / "set.companion.ome"
    companion.write_text("\ufeff" + set_document(members), "utf-8")
    parts = [
        write(tmp_path / name, ome(f'<BinaryOnly MetadataFile="{companion.name}" UUID="{identifier}"/>'), plane)
        for name, identifier, plane in members
    ]
    with open_slide(parts[1] if binary_only else companion) as slide:
        assert_channels(slide, members)
        assert set(slide.files) == {companion, *parts}
    companion.unlink()
    with pytest.raises(UnsupportedFormat, match=r"is in set\.companion\.ome, which must lie beside it"):
        open_slide(parts[1])


@pytest.mark.parametrize("how", ["parent", "absolute", "link", "folder"])
def test_no_file_from_elsewhere_is_read(tmp_path: Path, members: list[tuple[str, str, np.ndarray]], how: str) -> None:
    """The second channel lies outside the folder of the first, by a path, or by a symbolic link in it."""
    inside = tmp_path / "inside"
    inside.mkdir()
    outside = write(tmp_path / "secret.ome.tif", set_document(members), members[1][2])
    name = {"parent": "../secret.ome.tif", "absolute": str(outside), "link": "link.tif", "folder": "."}[how]
    if how == "link":
        (inside / name).symlink_to(outside)
    members[1] = name, members[1][1], members[1][2]
    for number in (0, 2):
        write(inside / members[number][0], set_document(members, f'UUID="{members[number][1]}"'), members[number][2])
    with pytest.raises(UnsupportedFormat, match="must lie beside it"):
        open_slide(inside / members[0][0])


def test_a_set_may_be_linked_as_a_whole(tmp_path: Path, members: list[tuple[str, str, np.ndarray]]) -> None:
    """As data management systems do, that keep the files elsewhere."""
    kept, seen = tmp_path / "kept", tmp_path / "seen"
    kept.mkdir()
    seen.mkdir()
    for path in write_set(kept, members):
        (seen / path.name).symlink_to(path)
    with open_slide(seen / members[0][0]) as slide:
        assert_channels(slide, members)


# --- what is refused
