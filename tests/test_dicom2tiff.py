"""Series become TIFFs that every reader opens as a pyramid, with the scanner's own bytes in them."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from skimage.data import immunohistochemistry

from tests.oracles import scan, tiff_tiles
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.convert import DicomizeOptions, TiffOptions, dicom_to_tiff, dicomize
from wsi_dicom.errors import CorruptInput, InvalidRequest, StoreError
from wsi_dicom.plan import PlanOptions
from wsi_dicom.stores.local import LocalStore

SAMPLE = Path(__file__).parent.parent / "sample_data" / "ihc-8k.svs"


def there_and_back(source: Path, folder: Path, plan: PlanOptions | None = None) -> Path:
    store = LocalStore(folder / "store")
    done = dicomize(source, store, DicomizeOptions(plan=plan or PlanOptions()))
    with store.open(done.series.orthanc_id) as slide:
        dicom_to_tiff(slide, folder / "out.tif", TiffOptions())
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    return folder / "out.tif"


@pytest.fixture(scope="module")
def cmu(slides: Path) -> Path:
    return slides / "aperio" / "CMU-1-Small-Region.svs"


@pytest.fixture(scope="module")
def from_cmu(cmu: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return there_and_back(cmu, tmp_path_factory.mktemp("cmu"))


@pytest.fixture(scope="module")
def from_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return there_and_back(SAMPLE, tmp_path_factory.mktemp("sample"), PlanOptions(pyramid=True))


@pytest.mark.parametrize("made", ["from_cmu", "from_sample"])
def test_the_scans_are_the_scanners(made: str, cmu: Path, request: pytest.FixtureRequest) -> None:
    source = cmu if made == "from_cmu" else SAMPLE
    with tifffile.TiffFile(source) as before, tifffile.TiffFile(request.getfixturevalue(made)) as after:
        assert [scan(tile) for tile in tiff_tiles(after.pages[0])] == [
            scan(tile) for tile in tiff_tiles(before.pages[0])
        ]


@pytest.mark.parametrize("made", ["from_cmu", "from_sample"])
def test_openslide_sees_the_same_slide(made: str, cmu: Path, request: pytest.FixtureRequest) -> None:
    theirs = openslide.OpenSlide(cmu if made == "from_cmu" else SAMPLE)
    ours = openslide.OpenSlide(request.getfixturevalue(made))
    assert ours.properties["openslide.vendor"] == "generic-tiff"
    assert ours.dimensions == theirs.dimensions
    assert float(ours.properties["openslide.mpp-x"]) == pytest.approx(
        float(theirs.properties["openslide.mpp-x"]), rel=1e-4
    )
    area = ((theirs.dimensions[0] - 700, theirs.dimensions[1] - 600), 0, (700, 600))
    np.testing.assert_array_equal(np.asarray(ours.read_region(*area)), np.asarray(theirs.read_region(*area)))


def test_openslide_sees_the_pyramid(from_sample: Path) -> None:
    slide = openslide.OpenSlide(from_sample)
    assert slide.level_count == 6
    assert [round(downsample) for downsample in slide.level_downsamples] == [1, 2, 4, 8, 16, 32]


def test_libtiff_has_nothing_to_say(
    from_sample: Path, from_cmu: Path, tool: Callable[[str], str], tmp_path: Path
) -> None:
    """It reads all directories, and decodes every tile of the finest level."""
    for path in (from_sample, from_cmu):
        decoded = tmp_path / "decoded.tif"
        for command in ([tool("tiffinfo"), path], [tool("tiffcp"), "-c", "none", path, decoded]):
            read = subprocess.run(command, capture_output=True, text=True, check=False)
            assert read.returncode == 0
            assert read.stderr == ""


def test_tags(from_sample: Path) -> None:
    with tifffile.TiffFile(from_sample) as tiff, tifffile.TiffFile(SAMPLE) as source:
        assert [len(series.levels) for series in tiff.series] == [6, 1, 1, 1]
        for number, page in enumerate(tiff.pages[:6]):
            assert page.subfiletype == (1 if number else 0)
            assert page.photometric == tifffile.PHOTOMETRIC.YCBCR
            assert page.tags["YCbCrSubSampling"].value == (2, 2)
            assert "JPEGTables" not in page.tags
            assert page.tags[34675].value[128:] == source.pages[0].tags[34675].value[128:]
        numerator, denominator = tiff.pages[0].tags["XResolution"].value
        assert numerator / denominator == pytest.approx(40000)
        assert tiff.pages[0].tags["ResolutionUnit"].value == 3
        assert "AppMag = 40" in tiff.pages[0].description
        assert "SeriesInstanceUID = 2.25." in tiff.pages[0].description


def test_red_green_blue_stays_so(from_cmu: Path) -> None:
    """CMU-1-Small-Region holds RGB in its JPEG tiles, without saying so; its subsampling tag lies."""
    with tifffile.TiffFile(from_cmu) as tiff:
        assert tiff.pages[0].photometric == tifffile.PHOTOMETRIC.RGB
        assert "YCbCrSubSampling" not in tiff.pages[0].tags


@pytest.mark.parametrize("compression", [Compression.JPEG2000, Compression.NONE])
def test_lossless_series_come_back_exactly(compression: Compression, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (300, 420, 3), np.uint8)
    tifffile.imwrite(tmp_path / "in.tif", pixels, tile=(128, 128), photometric="rgb")
    made = there_and_back(tmp_path / "in.tif", tmp_path, PlanOptions(compression=compression))
    np.testing.assert_array_equal(tifffile.imread(made), pixels)


def test_tiles_that_tiff_cannot_hold_are_cut_anew(slides: Path, tmp_path: Path) -> None:
    """highdicom's example has tiles of 10 x 10 pixels; TIFF wants multiples of 16."""
    store = LocalStore(tmp_path / "store")
    record = store.add([slides / "dicom_wsi" / "highdicom" / "sm_image.dcm"])
    with store.open(record.series_uid) as slide:
        dicom_to_tiff(slide, tmp_path / "out.tif", TiffOptions())
        expected = np.vstack([np.hstack([slide.tile(0, c, r) for c in range(5)]) for r in range(5)])
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), expected)


@pytest.mark.parametrize("sampling", ["444", "422"])
@pytest.mark.parametrize("missing", [0, 3])
def test_a_missing_tile_does_not_spoil_the_page(
    sampling: str, missing: int, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    """TIFF has one chroma sampling for a page; libtiff refuses a tile with another."""
    picture = immunohistochemistry()
    tiles = [
        imagecodecs.jpeg8_encode(picture[y : y + 128, x : x + 128], level=90, subsampling=sampling)
        for y in (0, 128)
        for x in (0, 128)
    ]
    tiles[missing] = b""
    tifffile.imwrite(
        tmp_path / "in.tif", iter(tiles), shape=(256, 256, 3), dtype=np.uint8, tile=(128, 128),
        photometric="ycbcr", subsampling=(int(sampling == "422") + 1, 1), compression="jpeg", metadata=None,
    )  # fmt: skip
    made = there_and_back(tmp_path / "in.tif", tmp_path)
    read = subprocess.run(
        [tool("tiffcp"), "-c", "none", made, tmp_path / "o.tif"], capture_output=True, text=True, check=False
    )
    assert (read.returncode, read.stderr) == (0, "")


def test_nothing_names_the_patient(tmp_path: Path, cmu: Path) -> None:
    additions = Dataset()
    additions.PatientName, additions.PatientID, additions.AccessionNumber = "Doe^Jane", "P-4711", "A|MPP = 9"
    store = LocalStore(tmp_path / "store")
    done = dicomize(cmu, store, DicomizeOptions(additions=additions))
    with store.open(done.series.series_uid) as slide:
        dicom_to_tiff(slide, tmp_path / "out.tif", TiffOptions())
    written = (tmp_path / "out.tif").read_bytes()
    assert b"Jane" not in written
    assert b"P-4711" not in written
    assert b"MPP = 9" not in written


def test_the_date_is_that_of_the_scan(from_cmu: Path) -> None:
    with tifffile.TiffFile(from_cmu) as tiff:
        assert tiff.pages[0].tags["DateTime"].value == "2009:12:29 09:59:15"


class TestOutput:
    """The output appears whole or not at all, and what was there stays."""

    @pytest.fixture
    def series(self, cmu: Path, tmp_path: Path) -> tuple[LocalStore, str]:
        store = LocalStore(tmp_path / "store")
        return store, dicomize(cmu, store, DicomizeOptions()).series.series_uid

    def test_a_failed_run_destroys_nothing(self, series: tuple[LocalStore, str], tmp_path: Path) -> None:
        store, uid = series
        output = tmp_path / "out.tif"
        output.write_bytes(b"precious")
        volume = max(store.resolve(uid).folder.glob("*.dcm"), key=lambda path: path.stat().st_size)
        with store.open(uid) as slide:
            with volume.open("r+b") as file:
                file.truncate(volume.stat().st_size // 2)
            with pytest.raises(CorruptInput):
                dicom_to_tiff(slide, output, TiffOptions())
        assert output.read_bytes() == b"precious"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out.tif", "store"]

    def test_no_such_folder(self, series: tuple[LocalStore, str], tmp_path: Path) -> None:
        store, uid = series
        with store.open(uid) as slide, pytest.raises(StoreError, match="cannot be written"):
            dicom_to_tiff(slide, tmp_path / "nowhere" / "out.tif", TiffOptions())

    def test_a_folder(self, series: tuple[LocalStore, str], tmp_path: Path) -> None:
        store, uid = series
        with store.open(uid) as slide, pytest.raises(InvalidRequest, match="folder"):
            dicom_to_tiff(slide, tmp_path, TiffOptions())

    def test_what_is_no_file_stays(self, series: tuple[LocalStore, str], tmp_path: Path) -> None:
        store, uid = series
        pipe, link, loop = tmp_path / "pipe", tmp_path / "link", tmp_path / "loop"
        os.mkfifo(pipe)
        link.symlink_to(pipe)
        loop.symlink_to(loop)
        for output in (pipe, link, loop):
            with store.open(uid) as slide, pytest.raises(InvalidRequest, match=f"{output.name}: is not a regular file"):
                dicom_to_tiff(slide, output, TiffOptions())
        assert pipe.is_fifo()
        assert link.is_symlink()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "loop", "pipe", "store"]

    @pytest.mark.parametrize("exists", [True, False])
    def test_a_link_stays_and_its_target_is_replaced(
        self, series: tuple[LocalStore, str], tmp_path: Path, exists: bool
    ) -> None:
        store, uid = series
        (tmp_path / "elsewhere").mkdir()
        target, link = tmp_path / "elsewhere" / "target.tif", tmp_path / "out.tif"
        if exists:
            target.write_bytes(b"old")
        link.symlink_to(target)
        with store.open(uid) as slide:
            dicom_to_tiff(slide, link, TiffOptions())
        assert link.readlink() == target
        assert not target.is_symlink()
        assert tifffile.imread(target).ndim == 3
        assert [path.name for path in target.parent.iterdir()] == ["target.tif"]

    def test_the_longest_name(self, series: tuple[LocalStore, str], tmp_path: Path) -> None:
        store, uid = series
        output = tmp_path / ("n" * 251 + ".tif")
        with store.open(uid) as slide:
            dicom_to_tiff(slide, output, TiffOptions())
        assert output.is_file()

    def test_no_space_left(self, series: tuple[LocalStore, str], tmp_path: Path) -> None:
        """A limit on the size of files stands for a full disk; the last of the data are written when it closes."""
        _, uid = series
        program = Path(sys.executable).parent / "dicom2tiff"
        said = subprocess.run(
            ["bash", "-c", f"ulimit -f 100; trap '' XFSZ; {program} {uid} out.tif --store {tmp_path / 'store'}"],
            capture_output=True, text=True, check=False, cwd=tmp_path,
        )  # fmt: skip
        assert said.returncode == 2
        assert re.fullmatch(rf"dicom2tiff: \S*out\.tif: cannot be written: {os.strerror(errno.EFBIG)}\n", said.stderr)
        assert [path.name for path in tmp_path.iterdir()] == ["store"]


@settings(deadline=None)
@given(spacing=st.floats(1e-5, 0.1))
def test_resolution_keeps_its_digits(spacing: float) -> None:
    from wsi_dicom.tiff.page import pixels_per_cm

    numerator, denominator = pixels_per_cm(spacing)
    assert 0 < numerator < 2**32
    assert numerator / denominator == pytest.approx(10 / spacing, rel=1e-3)
