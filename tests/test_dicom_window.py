"""Grays of more than 8 bits are shown as their image wants it, which pydicom tells in floating point."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filereader import dcmread
from pydicom.pixels.encoders.base import JPEGLSLosslessEncoder
from pydicom.pixels.processing import apply_modality_lut, apply_windowing
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless

from tests.foreign_series import TILE, Picture, header, per_frame_groups, save
from tests.served import client_of
from tests.test_dicom_levels import light
from wsi_dicom.composite import CompositeSlide, read_channels
from wsi_dicom.convert import DicomizeOptions, dicomize
from wsi_dicom.decoded_cache import DecodedCache
from wsi_dicom.dicom.slide import open_series
from wsi_dicom.geometry import FIRST_PLANE, Plane
from wsi_dicom.part import PartOptions, part_of
from wsi_dicom.picture_file import PictureFormat
from wsi_dicom.render import ImageRequest, render
from wsi_dicom.slide import Slide
from wsi_dicom.stores.folder import FolderStore
from wsi_dicom.stores.local import LocalStore

TWELVE = (16, 12, False)


def values(bits: tuple[int, int, bool]) -> NDArray[Any]:
    """Shape (6, TILE, TILE): the whole range, ends included, in disorder."""
    allocated, stored, signed = bits
    numbers = np.linspace(0, (1 << stored) - 1, 6 * TILE * TILE).round().astype(int)
    numbers -= 1 << stored - 1 if signed else 0
    kind = f"<{'i' if signed else 'u'}{allocated // 8}"
    return np.random.default_rng(stored).permutation(numbers).astype(kind).reshape(6, TILE, TILE)


def image(bits: tuple[int, int, bool] = TWELVE, photometric: str = "MONOCHROME2", **told: Any) -> Dataset:
    data = header(Picture(3 * TILE, 2 * TILE, photometric="MONOCHROME2"))
    data.PhotometricInterpretation = photometric
    data.BitsAllocated, data.BitsStored, signed = bits
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(signed)
    for keyword, value in told.items():
        setattr(data, keyword, value)
    return data


def written(folder: Path, data: Dataset, bits: tuple[int, int, bool] = TWELVE, name: str = "image.dcm") -> Path:
    return save(folder / name, data, ExplicitVRLittleEndian, values(bits).tobytes())


def put_together(frames: NDArray[Any]) -> NDArray[Any]:
    return np.vstack([np.hstack(list(frames[:3])), np.hstack(list(frames[3:]))])


def whole_range() -> NDArray[Any]:
    """How an image of 12 bits looks of which nobody says how."""
    return put_together(values(TWELVE).astype(float)) * 255 / 4095


def pictured(slide: Slide, plane: Plane = FIRST_PLANE) -> NDArray[Any]:
    bounds = slide.pyramid.base.bounds
    request = ImageRequest(bounds, bounds.width, bounds.height, format=PictureFormat.PNG, plane=plane)
    return np.asarray(Image.open(io.BytesIO(render(slide, request))))


def by_pydicom(path: Path, window: Dataset | None = None) -> NDArray[Any]:
    """0 to 255, not rounded. `window`: with the attributes that tell it."""
    data = dcmread(path)
    wanted = window or data
    numbers = apply_modality_lut(data.pixel_array, wanted)
    for keyword in ("PixelRepresentation", "BitsStored", "PhotometricInterpretation"):
        setattr(wanted, keyword, data[keyword].value)
    shown = apply_windowing(numbers, wanted)
    ends = apply_modality_lut(np.array([0, (1 << data.BitsStored) - 1]), wanted)
    lowest = -(1 << data.BitsStored - 1) if data.PixelRepresentation else 0
    slope = float(wanted.get("RescaleSlope") or 1)
    due = (shown - (ends[0] + lowest * slope)) / (ends[1] - ends[0]) * 255
    return put_together(255 - due if data.PhotometricInterpretation == "MONOCHROME1" else due)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(
    ("bits", "center", "width"),
    [(TWELVE, 1000, 800), (TWELVE, 4000, 1500), ((16, 16, False), 300, 2), ((16, 16, True), -500.5, 20000)],
)
def test_windows(
    tmp_path: Path, photometric: str, function: str | None, bits: tuple[int, int, bool], center: float, width: float
) -> None:
    told: dict[str, Any] = {} if function is None else {"VOILUTFunction": function}
    data = image(bits, photometric, WindowCenter=center, WindowWidth=width, **told)
    path = written(tmp_path, data, bits)
    with open_series([path]) as slide:
        np.testing.assert_allclose(pictured(slide), by_pydicom(path), atol=0.5001)


@pytest.mark.parametrize(
    ("bits", "slope", "intercept"),
    [
        (TWELVE, 0.5, -100),
        (TWELVE, -2, 5000),
        ((16, 16, True), 1, 32768),  # makes them positive: the pixels are the modality's numbers
        ((16, 16, True), 3, -1024),
    ],
)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_windows_are_of_the_modality_s_numbers(
    tmp_path: Path, bits: tuple[int, int, bool], slope: float, intercept: float, photometric: str
) -> None:
    told: dict[str, Any] = {
        "RescaleSlope": slope,
        "RescaleIntercept": intercept,
        "WindowCenter": 900,
        "WindowWidth": 1200,
    }
    path = written(tmp_path, image(bits, photometric, **told), bits)
    with open_series([path]) as slide:
        np.testing.assert_allclose(pictured(slide), by_pydicom(path), atol=0.5001)


def test_the_first_of_several_windows(tmp_path: Path) -> None:
    data = image(WindowCenter=[700, 3000], WindowWidth=[500, 10], WindowCenterWidthExplanation=["WIDE", "NARROW"])
    path = written(tmp_path, data)
    with open_series([path]) as slide:
        np.testing.assert_allclose(pictured(slide), by_pydicom(path), atol=0.5001)


def test_windows_in_the_shared_functional_groups(tmp_path: Path) -> None:
    shared, window, rescale = Dataset(), Dataset(), Dataset()
    window.WindowCenter, window.WindowWidth = 900, 700
    rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = 0.5, 20, "US"
    shared.FrameVOILUTSequence, shared.PixelValueTransformationSequence = [window], [rescale]
    path = written(tmp_path, image(SharedFunctionalGroupsSequence=[shared]))
    window.update(rescale)
    with open_series([path]) as slide:
        np.testing.assert_allclose(pictured(slide), by_pydicom(path, window), atol=0.5001)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("bits", [TWELVE, (16, 10, True), (16, 16, False)])
def test_without_a_window_all_that_is_stored_is_shown(
    tmp_path: Path, bits: tuple[int, int, bool], photometric: str
) -> None:
    path = written(tmp_path, image(bits, photometric), bits)
    due = put_together(values(bits).astype(int) - values(bits).min()) * 255 / ((1 << bits[1]) - 1)
    with open_series([path]) as slide:
        shown = pictured(slide)
    np.testing.assert_allclose(shown, 255 - due if photometric == "MONOCHROME1" else due, atol=1)


def test_colour_of_twelve_bits(tmp_path: Path) -> None:
    data = image()
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
    frames = np.repeat(values(TWELVE)[..., np.newaxis], 3, axis=3)
    path = save(tmp_path / "image.dcm", data, ExplicitVRLittleEndian, frames.tobytes())
    with open_series([path]) as slide:
        np.testing.assert_allclose(pictured(slide)[..., 0], whole_range(), atol=0.5001)


@pytest.mark.parametrize(
    ("center", "width", "function"), [(100, 0.5, "LINEAR"), (100, 0, "SIGMOID"), (100, -4, "LINEAR_EXACT")]
)
def test_windows_that_make_no_sense(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, center: float, width: float, function: str
) -> None:
    data = image(WindowCenter=center, WindowWidth=width, VOILUTFunction=function)
    with open_series([written(tmp_path, data)]) as slide:
        np.testing.assert_allclose(pictured(slide), whole_range(), atol=0.5001)
    assert caplog.text.count(f"{data.SOPInstanceUID}: its {function} window makes no sense") == 1


@pytest.mark.filterwarnings("ignore:Invalid value for VR DS")  # pydicom writes it all the same
@pytest.mark.parametrize(
    ("slope", "intercept"), [("1e-320", "0"), ("1e300", "0"), ("inf", "0"), ("1", "nan"), ("0", "0"), ("1", "1e306")]
)
def test_absurd_rescales(tmp_path: Path, slope: str, intercept: str) -> None:
    """Whatever they make of the window, pixels keep their numbers, and there is a picture."""
    data = image((16, 12, True), RescaleSlope=slope, RescaleIntercept=intercept, WindowCenter=0, WindowWidth=100)
    with open_series([written(tmp_path, data, (16, 12, True))]) as slide:
        assert np.array_equal(slide.tile(0, 1, 0)[..., 0], values((16, 12, True))[1].astype(int) + 2048)
        assert pictured(slide).shape == (2 * TILE, 3 * TILE)


def test_windows_without_values(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_series([written(tmp_path, image(WindowCenter=None, WindowWidth=None))]) as slide:
        np.testing.assert_allclose(pictured(slide), whole_range(), atol=0.5001)
    assert not caplog.records


def test_a_window_that_is_no_number(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = image(WindowCenter="1234", WindowWidth="1000")
    path = written(tmp_path, data)
    path.write_bytes(path.read_bytes().replace(b"DS\4\x001234", b"DS\4\x00wide"))
    with open_series([path]) as slide:
        np.testing.assert_allclose(pictured(slide), whole_range(), atol=0.5001)
    assert caplog.text.count("window makes no sense") == 1


def two_channels(folder: Path) -> list[Path]:
    """In an image each, with windows of their own."""
    first = image(OpticalPathSequence=light("A"), WindowCenter=1000, WindowWidth=500)
    second = image(OpticalPathSequence=light("B"), WindowCenter=3000, WindowWidth=900, VOILUTFunction="SIGMOID")
    second.SeriesInstanceUID, second.StudyInstanceUID = first.SeriesInstanceUID, first.StudyInstanceUID
    return [written(folder, first, name="a.dcm"), written(folder, second, name="b.dcm")]


def test_channels_with_windows_of_their_own(tmp_path: Path) -> None:
    files = two_channels(tmp_path)
    with open_series(files) as slide:
        for path, file in enumerate(files):
            np.testing.assert_allclose(pictured(slide, Plane(path, 0)), by_pydicom(file), atol=0.5001)
        both = CompositeSlide(slide, read_channels("1:ff0000,2:00ff00", slide), DecodedCache(1 << 20), "slide")
        shown = np.vstack([np.hstack([both.tile(0, column, row) for column in range(3)]) for row in range(2)])
        for path, file in enumerate(files):
            np.testing.assert_allclose(shown[..., path], by_pydicom(file), atol=1)
        assert not shown[..., 2].any()
        for path, file in enumerate(files):
            alone = part_of(slide, PartOptions(optical_path="AB"[path]))
            np.testing.assert_allclose(pictured(alone), by_pydicom(file), atol=0.5001)


def test_channels_with_windows_of_their_own_made_anew(tmp_path: Path) -> None:
    """One window goes over all channels of an image: rather all that is stored than what is another channel's."""
    dicomize(two_channels(tmp_path)[0].parent, FolderStore(tmp_path / "new"), DicomizeOptions())
    with open_series(list((tmp_path / "new").rglob("*.dcm"))) as slide:
        for path in range(2):
            np.testing.assert_allclose(pictured(slide, Plane(path, 0)), whole_range(), atol=0.5001)


def voi(center: float, width: float) -> Dataset:
    """Functional groups with a window."""
    groups, window = Dataset(), Dataset()
    window.WindowCenter, window.WindowWidth = center, width
    groups.FrameVOILUTSequence = [window]
    return groups


@pytest.mark.parametrize("sparse", [False, True])
def test_frames_tell_the_windows_of_their_channels(tmp_path: Path, sparse: bool) -> None:
    """Both channels in one image; a sparse one has them in any order, and the first of them not everywhere."""
    told = [(1000, 500)] * 6 + [(3000, 900)] * 6
    groups = [voi(*window) for window in told]
    frames = np.concatenate([values(TWELVE)] * 2)
    data = image(OpticalPathSequence=light("A", "B"), NumberOfFrames=12, PerFrameFunctionalGroupsSequence=groups)
    if sparse:
        data.DimensionOrganizationType = "TILED_SPARSE"
        grid = [(1 + TILE * column, 1 + TILE * row) for row in range(2) for column in range(3)] * 2
        positions = per_frame_groups(grid, path=["A"] * 6 + ["B"] * 6)
        for own, position in zip(groups, positions, strict=True):
            own.update(position)
        data.PerFrameFunctionalGroupsSequence = [*groups[:0:-1]]  # the last one first, A without its first tile
        data.NumberOfFrames = 11
        frames = frames[:0:-1]
    path = save(tmp_path / "image.dcm", data, ExplicitVRLittleEndian, frames.tobytes())
    for window in ((1000, 500), (3000, 900)):
        written(tmp_path, image(WindowCenter=window[0], WindowWidth=window[1]), name=f"{window[0]}.dcm")
    with open_series([path]) as slide:
        for channel, center in enumerate((1000, 3000)):
            shown, expected = pictured(slide, Plane(channel, 0)), by_pydicom(tmp_path / f"{center}.dcm")
            hidden = np.zeros(shown.shape, bool)
            hidden[:TILE, :TILE] = sparse and channel == 0
            np.testing.assert_allclose(shown[~hidden], expected[~hidden], atol=0.5001)


def test_frames_that_tell_too_much(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """More than is read of a frame: the window of the image counts, and the slide is shown all the same."""
    groups = [voi(1000, 500) for _ in range(12)]
    groups[0].private_block(0x29, "test", create=True).add_new(0, "OB", bytes(1 << 20))
    told: dict[str, Any] = {"OpticalPathSequence": light("A", "B"), "NumberOfFrames": 12}
    told |= {"PerFrameFunctionalGroupsSequence": groups, "WindowCenter": 2000, "WindowWidth": 3000}
    frames = np.concatenate([values(TWELVE)] * 2)
    path = save(tmp_path / "image.dcm", image(**told), ExplicitVRLittleEndian, frames.tobytes())
    written(tmp_path, image(WindowCenter=2000, WindowWidth=3000), name="due.dcm")
    with open_series([path]) as slide:
        np.testing.assert_allclose(pictured(slide), by_pydicom(tmp_path / "due.dcm"), atol=0.5001)
    assert str(path) in caplog.text


def test_tiles_keep_their_values_and_the_server_shows_the_window(tmp_path: Path) -> None:
    data = image(WindowCenter=1000, WindowWidth=800, InstanceNumber=1)
    streams = [
        JPEGLSLosslessEncoder.encode(
            frame, rows=TILE, columns=TILE, number_of_frames=1, samples_per_pixel=1, bits_allocated=16, bits_stored=12,
            pixel_representation=0, photometric_interpretation="MONOCHROME2",
        )
        for frame in values(TWELVE)
    ]  # fmt: skip
    path = save(tmp_path / "image.dcm", data, JPEGLSLossless, encapsulate(streams))
    with open_series([path]) as slide:
        assert np.array_equal(slide.tile(0, 2, 1)[..., 0], values(TWELVE)[5])
    store = LocalStore(tmp_path / "store")
    record = store.add([path])
    due = by_pydicom(path)
    with client_of(store) as client:
        tile = client.get(f"/tiles/{record.series_uid}/0/1/0")
        whole = client.get(f"/iiif/tiles/{record.series_uid}/full/max/0/default.png")
    store.close()
    assert (tile.status_code, whole.status_code) == (200, 200)
    np.testing.assert_allclose(np.asarray(Image.open(io.BytesIO(tile.content))), due[:TILE, TILE : 2 * TILE], atol=0.51)
    np.testing.assert_allclose(np.asarray(Image.open(io.BytesIO(whole.content))), due, atol=0.51)


@pytest.mark.parametrize("function", [None, "LINEAR", "SIGMOID"])
def test_a_series_made_anew_is_shown_alike(tmp_path: Path, function: str | None) -> None:
    """Values of 12 bits stand in 16 then, which nothing but the window tells."""
    told: dict[str, Any] = (
        {} if function is None else {"WindowCenter": 1000, "WindowWidth": 800, "VOILUTFunction": function}
    )
    source = written(tmp_path, image(**told))
    dicomize(source, FolderStore(tmp_path / "new"), DicomizeOptions())
    (new,) = (tmp_path / "new").rglob("*.dcm")
    assert dcmread(new).BitsStored == 16
    with open_series([source]) as before, open_series([new]) as after:
        assert np.array_equal(before.tile(0, 1, 1), after.tile(0, 1, 1))
        assert np.array_equal(pictured(before), pictured(after))
        np.testing.assert_allclose(by_pydicom(new), pictured(after), atol=0.5001)
