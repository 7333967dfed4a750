"""A DICOM series as a Slide, against pydicom and wsidicom: real files first, then everything the standard allows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filereader import dcmread
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, generate_uid
from wsidicom import WsiDicom

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
from wsi_dicom.codecs import codec_for, encode_tile
from wsi_dicom.dicom.slide import open_series
from wsi_dicom.errors import CodecError, CorruptInput, OutOfBounds
from wsi_dicom.geometry import Plane, Spacing
from wsi_dicom.slide import EncodedTile, ImageFlavor

REAL = [
    "gcp_single/bone_jpeg.dcm",
    "gcp_single/bone_jpeg2000.dcm",
    "gcp_single/bone_raw.dcm",
    "highdicom/sm_image.dcm",
    "highdicom/sm_image_control.dcm",
    "highdicom/sm_image_dots.dcm",
    "highdicom/sm_image_numbers.dcm",
    "highdicom/sm_image_grayscale.dcm",
    "highdicom/sm_image_grayscale_reversed.dcm",
]
GRID = [(1 + column * TILE, 1 + row * TILE) for row in range(2) for column in range(3)]


@pytest.fixture
def real_series(slides: Path) -> list[Path]:
    return sorted((slides / "dicom_wsi" / "cytomine_cmu1").glob("*.dcm"))


def of_flavor(files: Sequence[Path], flavor: str) -> Dataset:
    return next(data for data in map(dcmread, files) if data.ImageType[2] == flavor)


@pytest.mark.parametrize("name", REAL)
def test_every_frame_of_real_files(slides: Path, name: str) -> None:
    path = slides / "dicom_wsi" / name
    data = dcmread(path)
    expected = data.pixel_array
    lossy = data.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.50"
    with open_series([path]) as slide:
        level = slide.pyramid.base
        assert (level.width, level.height) == (data.TotalPixelMatrixColumns, data.TotalPixelMatrixRows)
        assert (level.tile_width, level.tile_height) == (data.Columns, data.Rows)
        assert level.tile_count == len(expected)
        assert (slide.lossy_method(0) is None) is not lossy
        for frame, (column, row) in zip(expected, level.tiles(), strict=True):
            tile = slide.tile(0, column, row)
            assert tile.dtype == frame.dtype
            # Inverse DCTs of two libraries differ by one step, and colour conversion can double that.
            np.testing.assert_allclose(tile.astype(int), frame.reshape(tile.shape), atol=2 if lossy else 0)
        row_spacing, column_spacing = data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
        assert slide.pyramid.spacing == Spacing(column_spacing, row_spacing)


def test_real_series_against_wsidicom(real_series: list[Path]) -> None:
    with open_series(real_series) as slide, WsiDicom.open(real_series) as oracle:
        level = slide.pyramid.base
        assert (level.width, level.height) == (oracle.size.width, oracle.size.height)
        for column, row in [(0, 0), (4, 6), (9, 12), (9, 0)]:
            expected = np.asarray(oracle.read_tile(0, (column, row), crop_to_image_boundary=False))
            np.testing.assert_allclose(slide.tile(0, column, row).astype(int), expected, atol=2)
        for flavor, expected_image in {
            ImageFlavor.LABEL: oracle.read_label(),
            ImageFlavor.OVERVIEW: oracle.read_overview(),
        }.items():
            image = slide.associated[flavor]
            assert expected_image is not None
            assert (image.width, image.height) == expected_image.size
            np.testing.assert_allclose(image.pixels().astype(int), np.asarray(expected_image), atol=2)


def test_real_series_is_read_as_stored(real_series: list[Path]) -> None:
    volume = of_flavor(real_series, "VOLUME")
    with open_series(real_series) as slide:
        for (column, row), frame in zip(
            slide.pyramid.base.tiles(), generate_frames(volume.PixelData, number_of_frames=130), strict=True
        ):
            tile = slide.encoded_tile(0, column, row)
            assert tile is not None
            assert tile.encoding == slide.encoding(0)
            assert frame in (tile.data, tile.data + b"\0")
        thumbnail = slide.associated[ImageFlavor.THUMBNAIL].encoded()
        assert thumbnail is not None
        stored = next(generate_frames(of_flavor(real_series, "THUMBNAIL").PixelData, number_of_frames=1))
        assert stored in (thumbnail.data, thumbnail.data + b"\0")
        assert set(slide.associated) == {ImageFlavor.LABEL, ImageFlavor.OVERVIEW, ImageFlavor.THUMBNAIL}


def test_metadata_of_a_real_series(real_series: list[Path]) -> None:
    volume = of_flavor(real_series, "VOLUME")
    with open_series(real_series) as slide:
        told = slide.metadata
        assert (slide.series_uid, slide.study_uid) == (volume.SeriesInstanceUID, volume.StudyInstanceUID)
        assert (volume.Manufacturer, volume.ManufacturerModelName) == ("Unknown", "Unknown")  # which tells nothing
        assert (told.manufacturer, told.model) == (None, None)
        assert told.icc_profile == volume.OpticalPathSequence[0].ICCProfile
        assert told.acquired == datetime(2009, 12, 29, 9, 59, 15)
        assert told.slide_identifier == volume.ContainerIdentifier
        assert told.identifiers["FrameOfReferenceUID"] == volume.FrameOfReferenceUID
        assert [instance.path for instance in slide.instances] == real_series
        assert not any("PixelData" in instance.header for instance in slide.instances)


def test_metadata_that_scanners_write(tmp_path: Path) -> None:
    path, label = Dataset(), Picture(flavor="LABEL", width=TILE, height=TILE, frames=1)
    path.OpticalPathIdentifier, path.ObjectiveLensPower, path.ICCProfile = "1", 40, b"\0" * 128
    volume = Picture(series_uid=label.series_uid)
    volume.attributes = {
        "Manufacturer": "Maker",
        "SoftwareVersions": ["1.0", "2.0"],
        "AcquisitionDateTime": "20240229123000.5+0130",
        "DeviceSerialNumber": "SN",
        "OpticalPathSequence": [path],
        "ImagedVolumeWidth": 0.43,
        "ImagedVolumeHeight": 0.58,
    }
    label.attributes = {"BarcodeValue": "B-12"}
    files = [
        save_native(tmp_path / "label.dcm", label, native_frames(1)),
        save_native(tmp_path / "volume.dcm", volume, native_frames(6)),
    ]
    with open_series(files) as slide:
        told = slide.metadata
        assert told.acquired is not None
        assert told.acquired.isoformat() == "2024-02-29T12:30:00.500000+01:30"
        assert (told.manufacturer, told.serial_number, told.barcode) == ("Maker", "SN", "B-12")
        assert told.software_versions == ("1.0", "2.0")
        assert told.objective_power == 40
        assert told.icc_profile == b"\0" * 128
        assert told.identifiers["PatientID"] == "P1"
        assert slide.pyramid.spacing == pytest.approx((0.01, 0.02))


def test_levels_come_finest_first(tmp_path: Path) -> None:
    base = Picture()
    small = Picture(width=22, height=15, frames=2, series_uid=base.series_uid)
    files = [
        save_native(tmp_path / "a.dcm", small, native_frames(2)),
        save_native(tmp_path / "b.dcm", base, native_frames(6)),
    ]
    with open_series(files) as slide:
        assert [(level.width, level.height) for level in slide.pyramid.levels] == [(43, 29), (22, 15)]
        assert np.array_equal(slide.tile(1, 1, 0), native_frames(2)[1])
        assert np.array_equal(slide.tile(0, 2, 1), native_frames(6)[5])


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("delimited", [False, True])
def test_sparse_tiles(tmp_path: Path, syntax: str, delimited: bool) -> None:
    """Frames in any order, some missing, sequences with a length or with delimiters."""
    shown = [4, 0, 5, 2]
    picture = sparse(Picture(), per_frame_groups([GRID[number] for number in shown]))
    picture.photometric = "RGB"
    data = header(picture)
    groups = data["PerFrameFunctionalGroupsSequence"]
    groups.is_undefined_length = delimited
    for item in groups.value:
        item.is_undefined_length_sequence_item = delimited
        item["PlanePositionSlideSequence"].is_undefined_length = delimited
    frames = native_frames(4)
    with open_series([save(tmp_path / "image.dcm", data, syntax, frames.tobytes())]) as slide:
        for number in range(6):
            column, row = number % 3, number // 3
            expected = frames[shown.index(number)] if number in shown else np.full((TILE, TILE, 3), 255)
            assert np.array_equal(slide.tile(0, column, row), expected)
            assert (slide.encoded_tile(0, column, row) is None) is (number not in shown)


def test_missing_tile_of_16_bits_is_white(tmp_path: Path) -> None:
    picture = sparse(Picture(), per_frame_groups(GRID[:1]))
    frames = native_frames(1, kind="u2", samples=1)
    with open_series([save_native(tmp_path / "image.dcm", picture, frames)]) as slide:
        assert np.array_equal(slide.tile(0, 0, 0), frames[0])
        assert np.array_equal(slide.tile(0, 1, 0), np.full((TILE, TILE, 1), 65535, np.uint16))


def test_tiled_full_planes_and_paths(tmp_path: Path) -> None:
    """Column fastest, then row, focal plane, optical path (PS3.3 C.7.6.17.3)."""
    paths = [Dataset(), Dataset()]
    paths[0].OpticalPathIdentifier, paths[1].OpticalPathIdentifier = "A", "B"
    picture = Picture(frames=36, attributes={"TotalPixelMatrixFocalPlanes": 3, "OpticalPathSequence": paths})
    frames = native_frames(36)
    with open_series([save_native(tmp_path / "image.dcm", picture, frames)]) as slide:
        assert (slide.pyramid.optical_paths, slide.pyramid.focal_planes) == (2, 3)
        by_place = frames.reshape(2, 3, 2, 3, TILE, TILE, 3)
        for path, plane, row, column in np.ndindex(2, 3, 2, 3):
            assert np.array_equal(slide.tile(0, column, row, Plane(path, plane)), by_place[path, plane, row, column])
        for outside in (Plane(2, 0), Plane(0, 3), Plane(-1, 0), Plane(0, -1)):
            with pytest.raises(OutOfBounds):
                slide.encoded_tile(0, 0, 0, outside)


def test_sparse_planes_and_paths(tmp_path: Path) -> None:
    paths = [Dataset(), Dataset()]
    paths[0].OpticalPathIdentifier, paths[1].OpticalPathIdentifier = "A", "B"
    places = [(path, z) for path in "BA" for z in (2.5, -1.0)]
    groups = per_frame_groups(
        [GRID[0]] * 4 + [GRID[5]], z_um=[*(z for _, z in places), -1.0], path=[*(path for path, _ in places), "B"]
    )
    picture = sparse(Picture(attributes={"OpticalPathSequence": paths}), groups)
    frames = native_frames(5)
    with open_series([save_native(tmp_path / "image.dcm", picture, frames)]) as slide:
        assert (slide.pyramid.optical_paths, slide.pyramid.focal_planes) == (2, 2)
        for frame, (path, z) in zip(frames, places, strict=False):
            assert np.array_equal(slide.tile(0, 0, 0, Plane("AB".index(path), int(z > 0))), frame)
        assert slide.encoded_tile(0, 2, 1) is None
        assert np.array_equal(slide.tile(0, 2, 1, Plane(1, 0)), frames[4])


def test_depths_that_follow_the_tissue_are_one_plane(tmp_path: Path) -> None:
    picture = sparse(Picture(), per_frame_groups(GRID, z_um=[n / 4 for n in range(6)]))
    with open_series([save_native(tmp_path / "image.dcm", picture, native_frames(6))]) as slide:
        assert slide.pyramid.focal_planes == 1
        assert np.array_equal(slide.tile(0, 2, 1), native_frames(6)[5])


def concatenation(folder: Path, cuts: Sequence[int], *, tiled_full: bool) -> list[Path]:
    """Parts of six frames, each but the last as long as `cuts` says; written last part first."""
    frames, uid, series = jpeg_frames(6), generate_uid(), generate_uid()
    bounds = [0, *cuts, 6]
    files = []
    for number in reversed(range(len(bounds) - 1)):
        start, end = bounds[number], bounds[number + 1]
        picture = Picture(frames=end - start, series_uid=series)
        if not tiled_full:
            sparse(picture, per_frame_groups(GRID[start:end]))
        picture.attributes |= {
            "ConcatenationUID": uid,
            "InConcatenationNumber": number + 1,
            "ConcatenationFrameOffsetNumber": start,
        }
        data = header(picture)
        files.append(save(folder / f"{9 - number}.dcm", data, picture.syntax, encapsulate(frames[start:end])))
    return files


@pytest.mark.parametrize("tiled_full", [True, False])
def test_concatenation(tmp_path: Path, tiled_full: bool) -> None:
    with open_series(concatenation(tmp_path, [1, 4], tiled_full=tiled_full)) as slide:
        assert len(slide.pyramid.levels) == 1
        for number, frame in enumerate(jpeg_frames(6)):
            tile = slide.encoded_tile(0, number % 3, number // 3)
            assert tile is not None
            assert tile.data == frame
        rows = [tile for row in range(2) for tile in slide.encoded_row(0, row)]
        assert [tile.data for tile in rows if tile is not None] == jpeg_frames(6)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_concatenation_with_a_part_missing(tmp_path: Path, missing: int) -> None:
    files = concatenation(tmp_path, [1, 4], tiled_full=True)
    del files[missing]
    with pytest.raises(CorruptInput, match=r"\.dcm"):
        open_series(files)


def test_stream_wins_over_the_photometric_attribute(tmp_path: Path) -> None:
    """RGB in the JPEG, and an attribute that says YCbCr; wrong colours in some readers."""
    colours = np.zeros((TILE, TILE, 3), np.uint8)
    colours[:, :8] = 200, 30, 90
    stream = bytes(imagecodecs.jpeg8_encode(colours, level=95, colorspace="RGB", outcolorspace="RGB"))
    assert b"Adobe" in stream
    picture = Picture(width=TILE, height=TILE, frames=1)
    path = save(tmp_path / "image.dcm", header(picture), picture.syntax, encapsulate([stream]))
    with open_series([path]) as slide:
        encoding = slide.encoding(0)
        assert encoding is not None
        assert encoding.photometric == "RGB"
        np.testing.assert_allclose(slide.tile(0, 0, 0).astype(int), colours, atol=12)


def test_jpeg_of_one_sample(tmp_path: Path) -> None:
    gray = native_frames(1, samples=1)[0] // 8 + 100
    picture = Picture(width=TILE, height=TILE, frames=1, photometric="MONOCHROME2")
    stream = bytes(imagecodecs.jpeg8_encode(gray[:, :, 0], level=98))
    path = save(tmp_path / "image.dcm", header(picture), picture.syntax, encapsulate([stream]))
    with open_series([path]) as slide:
        assert slide.pyramid.pixel_format.samples == 1
        np.testing.assert_allclose(slide.tile(0, 0, 0).astype(int), gray, atol=8)


def test_tiled_overview_is_put_together(tmp_path: Path) -> None:
    volume = Picture()
    overview = Picture(flavor="OVERVIEW", series_uid=volume.series_uid)
    frames = native_frames(6)
    files = [
        save_native(tmp_path / "volume.dcm", volume, frames),
        save_native(tmp_path / "overview.dcm", overview, frames),
    ]
    with open_series(files) as slide:
        image = slide.associated[ImageFlavor.OVERVIEW]
        whole = frames.reshape(2, 3, TILE, TILE, 3).swapaxes(1, 2).reshape(2 * TILE, 3 * TILE, 3)
        assert np.array_equal(image.pixels(), whole[:29, :43])
        assert image.encoded() is None


def test_unsupported_label_does_not_hide_the_slide(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    volume = Picture()
    label = Picture(flavor="LABEL", width=TILE, height=TILE, frames=1, series_uid=volume.series_uid)
    label.photometric = "PALETTE COLOR"
    files = [
        save_native(tmp_path / "volume.dcm", volume, native_frames(6)),
        save(tmp_path / "label.dcm", header(label), ExplicitVRLittleEndian, bytes(TILE * TILE * 3)),
    ]
    with open_series(files) as slide:
        assert not slide.associated
        assert "label.dcm" in caplog.text


@pytest.mark.parametrize("flavor", ["LABEL", "OVERVIEW", "THUMBNAIL"])
@pytest.mark.parametrize("fault", ["cut off", "size"])
def test_a_damaged_picture_does_not_take_the_slide_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, flavor: str, fault: str
) -> None:
    small = Picture(flavor=flavor, width=TILE, height=TILE, frames=1)
    small.attributes = {"TotalPixelMatrixColumns": 0} if fault == "size" else {}
    frames = native_frames(6)
    files = [
        save_native(tmp_path / "volume.dcm", Picture(series_uid=small.series_uid), frames),
        save_native(tmp_path / "small.dcm", small, native_frames(1)),
    ]
    if fault == "cut off":
        files[1].write_bytes(files[1].read_bytes()[:-100])
    with open_series(files) as slide:
        assert np.array_equal(slide.tile(0, 2, 0), frames[2])
        assert not slide.associated
    assert caplog.text.count("small.dcm") == 1


def test_a_label_of_a_billion_tiles(tmp_path: Path) -> None:
    """Its header costs nothing, and its tiles would take hours."""
    label = sparse(Picture(16_000, 5_000, 1, flavor="LABEL"), per_frame_groups([(1, 1)]))
    files = [
        save_native(tmp_path / "volume.dcm", Picture(series_uid=label.series_uid), native_frames(6)),
        save_native(tmp_path / "label.dcm", label, native_frames(1, 1)),
    ]
    with (
        open_series(files) as slide,
        pytest.raises(CorruptInput, match=r"label.dcm has .* in 80000000 tiles; .* limit"),
    ):
        slide.associated[ImageFlavor.LABEL].pixels()


def test_unknown_compression_is_named(slides: Path) -> None:
    path = slides / "dicom_wsi" / "highdicom" / "sm_image_jpegls_nobot.dcm"
    data = dcmread(path)
    expected = list(generate_frames(data.PixelData, number_of_frames=25))
    with open_series([path]) as slide:
        tile = slide.encoded_tile(0, 4, 4)
        assert tile is not None
        assert expected[24] in (tile.data, tile.data + b"\0")
        assert tile.encoding.transfer_syntax == data.file_meta.TransferSyntaxUID


def test_tile_that_does_not_decode_is_named(tmp_path: Path) -> None:
    frames = jpeg_frames(6)
    frames[4] = frames[4][:40] + b"\xff\xd9"
    picture = Picture()
    path = save(tmp_path / "image.dcm", header(picture), picture.syntax, encapsulate(frames))
    with open_series([path]) as slide:
        with pytest.raises(CodecError, match=f"{picture.series_uid}: level 0, tile column 1, row 1"):
            slide.tile(0, 1, 1)
        assert slide.tile(0, 2, 1).shape == (TILE, TILE, 3)


@pytest.mark.parametrize("place", [(0, 3, 0), (0, 0, 2), (0, -1, 0), (0, 0, -1), (1, 0, 0), (-1, 0, 0)])
def test_outside(tmp_path: Path, place: tuple[int, int, int]) -> None:
    with open_series([save_native(tmp_path / "image.dcm", Picture(), native_frames(6))]) as slide:
        with pytest.raises(OutOfBounds):
            slide.tile(*place)
        with pytest.raises(OutOfBounds):
            slide.encoded_tile(*place)


@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422"])
def test_jpeg2000_of_ycbcr_samples(tmp_path: Path, photometric: str) -> None:
    """YCbCr that JPEG 2000 knows nothing of: no component transform in the stream, and pydicom converts alike."""
    samples = imagecodecs.jpeg2k_encode(
        np.random.default_rng(3).integers(16, 240, (TILE, TILE, 3), np.uint8), level=0, codecformat="j2k", mct=False
    )
    picture = Picture(TILE, TILE, frames=1, syntax=JPEG2000Lossless, photometric=photometric)
    path = save(tmp_path / "image.dcm", header(picture), picture.syntax, encapsulate([bytes(samples)]))
    with open_series([path]) as slide:
        stored = imagecodecs.jpeg2k_decode(samples)
        expected = convert_color_space(stored, "YBR_FULL", "RGB")
        np.testing.assert_allclose(slide.tile(0, 0, 0).astype(int), expected, atol=1)
        encoding = slide.encoding(0)
        assert encoding is not None
        flat = np.full((TILE, TILE, 3), (200, 60, 120), np.uint8)
        again = EncodedTile(encode_tile(flat, encoding, 90), encoding)
        decoded = codec_for(encoding.transfer_syntax).decode(again, TILE, TILE, slide.pyramid.pixel_format)
        np.testing.assert_allclose(decoded.astype(int), flat, atol=2)


def test_jpeg_stream_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    """libjpeg would fill the rest with gray and say nothing."""
    frames = jpeg_frames(6)
    frames[2] = frames[2][:-100]
    picture = Picture()
    path = save(tmp_path / "image.dcm", header(picture), picture.syntax, encapsulate(frames))
    with open_series([path]) as slide:
        slide.tile(0, 1, 0)
        with pytest.raises(CodecError, match="cut off"):
            slide.tile(0, 2, 0)


def test_year_that_no_slide_was_scanned_in(tmp_path: Path) -> None:
    picture = Picture(attributes={"AcquisitionDateTime": "00010203040506"})
    path = save(tmp_path / "image.dcm", header(picture), picture.syntax, encapsulate(jpeg_frames(6)))
    with open_series([path]) as slide:
        assert slide.metadata.acquired is None
