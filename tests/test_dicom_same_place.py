"""Which images are levels of one pyramid: thumbnails as its apex; levels that lie elsewhere, or are turned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.uid import generate_uid

from tests.foreign_series import TILE, Picture, native_frames, save_native
from wsi_dicom.convert import DicomizeOptions, dicomize
from wsi_dicom.dicom.slide import open_series
from wsi_dicom.errors import CorruptInput, UnsupportedFormat
from wsi_dicom.geometry import Region
from wsi_dicom.region import read_region
from wsi_dicom.slide import ImageFlavor
from wsi_dicom.stores.folder import FolderStore

PYRAMID, OTHER_PYRAMID = generate_uid(), generate_uid()
SERIES = generate_uid()
UPRIGHT, TURNED = [0, -1, 0, -1, 0, 0], [1, 0, 0, 0, 1, 0]


def origin(x_mm: float, y_mm: float) -> list[Dataset]:
    item = Dataset()
    item.XOffsetInSlideCoordinateSystem, item.YOffsetInSlideCoordinateSystem = str(x_mm), str(y_mm)
    return [item]


def measures(spacing_mm: float) -> list[Dataset]:
    shared, item = Dataset(), Dataset()
    item.PixelSpacing = [spacing_mm, spacing_mm]
    shared.PixelMeasuresSequence = [item]
    return [shared]


def image(
    path: Path, size: tuple[int, int], *, tile: int = TILE, flavor: str = "VOLUME", **attributes: Any
) -> tuple[Path, NDArray[Any]]:
    frames = native_frames(-(-size[0] // tile) * -(-size[1] // tile), tile)
    picture = Picture(*size, tile, len(frames), flavor=flavor, series_uid=SERIES, attributes=attributes)
    return save_native(path, picture, frames), frames


def levels(folder: Path, *told: dict[str, Any]) -> list[Path]:
    """Halved from one to the next, 96 x 64 pixels being the finest."""
    return [image(folder / f"{n}.dcm", (96 >> n, 64 >> n), **attributes)[0] for n, attributes in enumerate(told)]


def thumbnail(
    folder: Path, size: tuple[int, int] = (24, 16), kind: str = "RESAMPLED", **attributes: Any
) -> tuple[Path, NDArray[Any]]:
    attributes["ImageType"] = ["DERIVED", "PRIMARY", "THUMBNAIL", kind]
    return image(folder / "thumbnail.dcm", size, tile=24, flavor="THUMBNAIL", **attributes)


@pytest.mark.parametrize(
    ("base", "small", "size", "kind"),
    [
        ({"PyramidUID": PYRAMID}, {"PyramidUID": PYRAMID}, (24, 16), "NONE"),
        ({}, {}, (24, 16), "RESAMPLED"),
        ({"FrameOfReferenceUID": "1.2.3"}, {"FrameOfReferenceUID": "1.2.3"}, (23, 16), "RESAMPLED"),
    ],
)
def test_a_thumbnail_is_the_apex(
    tmp_path: Path, base: dict[str, Any], small: dict[str, Any], size: tuple[int, int], kind: str
) -> None:
    files = levels(tmp_path, base, base)
    path, frames = thumbnail(tmp_path, size, kind, **small)
    with open_series([path, *files]) as slide:
        assert [level.width for level in slide.pyramid.levels] == [96, 48, size[0]]
        assert np.array_equal(slide.tile(2, 0, 0), frames[0])
        assert np.array_equal(slide.associated[ImageFlavor.THUMBNAIL].pixels(), frames[0][: size[1], : size[0]])
        shown = read_region(slide, 2, Region(3, 2, 9, 8))
        assert np.array_equal(shown, frames[0][2:10, 3:12])


@pytest.mark.parametrize(
    ("base", "small", "size", "kind"),
    [
        ({"PyramidUID": PYRAMID}, {"PyramidUID": OTHER_PYRAMID}, (24, 16), "RESAMPLED"),
        ({"PyramidUID": PYRAMID}, {}, (24, 16), "RESAMPLED"),
        ({}, {}, (24, 16), "NONE"),  # taken by another camera
        ({}, {}, (24, 24), "RESAMPLED"),  # of another part
        ({}, {}, (48, 32), "RESAMPLED"),  # as large as the coarsest level
        ({"FrameOfReferenceUID": "1.2.3"}, {"FrameOfReferenceUID": "1.2.4"}, (24, 16), "RESAMPLED"),
    ],
)
def test_a_thumbnail_is_a_picture_of_its_own(
    tmp_path: Path, base: dict[str, Any], small: dict[str, Any], size: tuple[int, int], kind: str
) -> None:
    files = levels(tmp_path, base, base)
    with open_series([*files, thumbnail(tmp_path, size, kind, **small)[0]]) as slide:
        assert [level.width for level in slide.pyramid.levels] == [96, 48]
        assert slide.associated[ImageFlavor.THUMBNAIL].width == size[0]


def test_thumbnails_of_a_complete_pyramid(tmp_path: Path) -> None:
    files = levels(tmp_path, {}, {}, {}, {})
    path, _ = thumbnail(tmp_path, (6, 4))
    with open_series([*files, path]) as slide:
        assert [level.width for level in slide.pyramid.levels] == [96, 48, 24, 12]


def test_a_thumbnail_alone_is_no_slide(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFormat, match="no whole-slide image of flavor VOLUME"):
        open_series([thumbnail(tmp_path)[0]])


@pytest.mark.parametrize("kept", [[1, 2], [2], [0, 2]])
def test_missing_levels(tmp_path: Path, kept: list[int]) -> None:
    """Whatever is finest is level 0, with a spacing of its own."""
    told = [{"SharedFunctionalGroupsSequence": measures(0.0005 * 2**number)} for number in range(3)]
    files = levels(tmp_path, *told)
    with open_series([files[number] for number in kept]) as slide:
        assert [level.width for level in slide.pyramid.levels] == [96 >> number for number in kept]
        assert slide.pyramid.spacing == pytest.approx((0.0005 * 2 ** kept[0],) * 2)
        frames = dcmread(files[2]).pixel_array
        assert np.array_equal(slide.tile(len(kept) - 1, 1, 0), frames[1])


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"TotalPixelMatrixOriginSequence": origin(20, 40)}, None),
        ({"TotalPixelMatrixOriginSequence": origin(20.0005, 39.9995)}, None),  # centres of larger pixels
        ({"TotalPixelMatrixOriginSequence": origin(20.02, 40)}, None),  # less than a pixel of this level
        ({"TotalPixelMatrixOriginSequence": origin(21.5, 40)}, "begins 1.5 mm off"),
        ({"ImageOrientationSlide": TURNED}, "is turned otherwise"),
        ({"ImageOrientationSlide": [0, -1, 1e-6, -1, 0, 0]}, None),
    ],
)
def test_levels_that_contradict_each_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, second: dict[str, Any], said: str | None
) -> None:
    told: dict[str, Any] = {"TotalPixelMatrixOriginSequence": origin(20, 40), "ImageOrientationSlide": UPRIGHT}
    spacing = {"SharedFunctionalGroupsSequence": measures(0.025)}
    files = levels(tmp_path, told, told | second | spacing)
    with open_series(files) as slide:
        assert len(slide.pyramid.levels) == 2
    records = [record.getMessage() for record in caplog.records if record.name.startswith("wsi_dicom")]
    if said is None:
        assert not records
    else:
        (record,) = records
        assert SERIES in record
        assert said in record
        assert str(dcmread(files[1]).SOPInstanceUID) in record


def test_a_level_with_the_spacing_of_another_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    same = {"SharedFunctionalGroupsSequence": measures(0.001)}
    with open_series(levels(tmp_path, same, same)) as slide:
        assert slide.pyramid.level_spacing(1) == pytest.approx((0.002, 0.002))
    assert caplog.text.count("has pixels 1 times as large where its size tells 2") == 1


@pytest.mark.parametrize("size", [(48, 32), (48, 48)], ids=["other spacing", "other shape"])
def test_a_second_part_of_the_slide_is_no_level(tmp_path: Path, size: tuple[int, int]) -> None:
    """It lies elsewhere, and its pixels, or its shape, are not those of a level."""
    told: dict[str, Any] = {"ImageOrientationSlide": UPRIGHT, "SharedFunctionalGroupsSequence": measures(0.001)}
    first, second = (told | {"TotalPixelMatrixOriginSequence": origin(x_mm, 40)} for x_mm in (20, 5))
    files = [*levels(tmp_path, first), image(tmp_path / "second.dcm", size, **second)[0]]
    with pytest.raises(CorruptInput, match=r"second\.dcm shows another place than .*0\.dcm .* begins 15 mm off"):
        open_series(files)


@pytest.mark.parametrize("keyword", ["PyramidUID", "FrameOfReferenceUID"])
@pytest.mark.parametrize("spacing", [0.001, 0.002])
def test_levels_of_two_pyramids(tmp_path: Path, caplog: pytest.LogCaptureFixture, keyword: str, spacing: float) -> None:
    first, second = (
        {keyword: uid, "SharedFunctionalGroupsSequence": measures(mm)}
        for uid, mm in ((PYRAMID, 0.001), (OTHER_PYRAMID, spacing))
    )
    files = levels(tmp_path, first, second)
    if spacing == 0.002:  # all but the UIDs is that of one pyramid
        with open_series(files) as slide:
            assert len(slide.pyramid.levels) == 2
        assert "taken for one" in caplog.text
    else:
        with pytest.raises(CorruptInput, match=r"mixes 2 .*1\.dcm is no level of the pyramid of .*0\.dcm"):
            open_series(files)


def test_a_level_of_another_shape_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = levels(tmp_path, {})
    files.append(image(tmp_path / "square.dcm", (32, 32))[0])
    with open_series(files) as slide:
        assert len(slide.pyramid.levels) == 2
    assert caplog.text.count("has another shape") == 1


@pytest.mark.parametrize("label", ["NO", "YES", None])
def test_one_frame_without_image_type(tmp_path: Path, caplog: pytest.LogCaptureFixture, label: str | None) -> None:
    """It may be a label, and is a level only when it tells that it shows none."""
    files = levels(tmp_path, {})
    files.append(image(tmp_path / "small.dcm", (12, 8), ImageType=None, SpecimenLabelInImage=label)[0])
    with open_series(files) as slide:
        assert [level.width for level in slide.pyramid.levels] == ([96, 12] if label == "NO" else [96])
        assert not slide.associated
    (record,) = [record for record in caplog.records if record.name.startswith("wsi_dicom")]
    said = "taken for a VOLUME" if label == "NO" else "small.dcm, neither a level nor a label"
    assert said in record.getMessage()


@pytest.mark.parametrize("orientation", [TURNED, [-1, 0, 0, 0, 1, 0], [0.8, 0.6, 0, -0.6, 0.8, 0]])
def test_a_turned_slide_stays_turned(tmp_path: Path, orientation: list[float]) -> None:
    """Pixels are not turned, and what was made from them lies where they lay."""
    told = {
        "ImageOrientationSlide": orientation,
        "TotalPixelMatrixOriginSequence": origin(12.25, 33.5),
        "FrameOfReferenceUID": generate_uid(),
        "SharedFunctionalGroupsSequence": measures(0.001),
    }
    files = levels(tmp_path, told, told | {"SharedFunctionalGroupsSequence": measures(0.002)})
    store = FolderStore(tmp_path / "new")
    dicomize(files[0], store, DicomizeOptions())
    made = sorted((tmp_path / "new").rglob("*.dcm"), key=lambda path: -dcmread(path).TotalPixelMatrixColumns)
    assert len(made) == 2
    for path, source in zip(made, files, strict=True):
        new, old = dcmread(path), dcmread(source)
        assert np.array_equal(new.pixel_array, old.pixel_array)
        assert [float(value) for value in new.ImageOrientationSlide] == orientation
        assert new.FrameOfReferenceUID == told["FrameOfReferenceUID"]
        place = new.TotalPixelMatrixOriginSequence[0]
        assert (place.XOffsetInSlideCoordinateSystem, place.YOffsetInSlideCoordinateSystem) == (12.25, 33.5)


def test_extended_depth_of_field_at_every_level(tmp_path: Path) -> None:
    """Fused from three planes, and told so in the series that is made of it."""
    told = {"ExtendedDepthOfField": "YES", "NumberOfFocalPlanes": 3, "DistanceBetweenFocalPlanes": 1.5}
    files = levels(tmp_path, told, told)
    with open_series(files) as slide:
        assert (len(slide.pyramid.levels), slide.pyramid.focal_planes) == (2, 1)
    dicomize(files[0], FolderStore(tmp_path / "new"), DicomizeOptions())
    for path in (tmp_path / "new").rglob("*.dcm"):
        new = dcmread(path)
        assert (new.ExtendedDepthOfField, new.NumberOfFocalPlanes, new.DistanceBetweenFocalPlanes) == ("YES", 3, 1.5)
