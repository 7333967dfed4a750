"""SVS that `dicom2tiff` writes: what OpenSlide, tifffile and libtiff see, and what comes back from series and TIFFs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import openslide
import pydicom
import pytest
import tifffile
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000, JPEG2000Lossless
from skimage.data import immunohistochemistry

from tests.dicom_series import GRAY, Kind, write_series
from tests.foreign_series import Picture, header, jpeg_frames, save
from tests.oracles import frames, images, scan, tiff_tiles
from tests.test_dicom2tiff import SAMPLE
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.convert import DicomizeOptions, TiffOptions, dicom_to_tiff, dicomize
from wsi_dicom.geometry import Region
from wsi_dicom.part import PartOptions
from wsi_dicom.plan import PlanOptions
from wsi_dicom.slide import Encoding, ImageFlavor
from wsi_dicom.sources import open_slide
from wsi_dicom.stores.local import LocalStore
from wsi_dicom.tiff.flavors import Flavor

PROPERTIES = (
    "openslide.vendor",
    "openslide.objective-power",
    "aperio.AppMag",
    "aperio.ScanScope ID",
    "aperio.Time",
)


@pytest.fixture(scope="module")
def cmu(slides: Path) -> Path:
    return slides / "aperio" / "CMU-1-Small-Region.svs"


def through_dicom(source: Path, folder: Path, **plan: Any) -> Path:
    store = LocalStore(folder / "store")
    uid = dicomize(source, store, DicomizeOptions(plan=PlanOptions(**plan))).series.series_uid
    with store.open(uid) as slide:
        dicom_to_tiff(slide, folder / "out.svs", TiffOptions(flavor=Flavor.SVS))
    return folder / "out.svs"


@pytest.fixture(scope="module")
def from_cmu(cmu: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return through_dicom(cmu, tmp_path_factory.mktemp("cmu"))


@pytest.fixture(scope="module")
def from_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return through_dicom(SAMPLE, tmp_path_factory.mktemp("sample"))


@pytest.fixture(params=["from_cmu", "from_sample"])
def pair(request: pytest.FixtureRequest, cmu: Path) -> tuple[Path, Path]:
    """A scanner's file, and what came of it."""
    return cmu if request.param == "from_cmu" else SAMPLE, request.getfixturevalue(request.param)


def written(series: Path, output: Path, **options: Any) -> Path:
    with open_slide(series) as slide:
        dicom_to_tiff(slide, output, TiffOptions(flavor=Flavor.SVS, **options))
    return output


def shown(path: Path) -> np.ndarray:
    """The finest level by OpenSlide."""
    with openslide.OpenSlide(path) as slide:
        assert slide.properties["openslide.vendor"] == "aperio"
        return np.asarray(slide.read_region((0, 0), 0, slide.dimensions))[:, :, :3]


class TestThereAndBack:
    """SVS to DICOM to SVS."""

    def test_scans_are_identical(self, pair: tuple[Path, Path]) -> None:
        with tifffile.TiffFile(pair[0]) as before, tifffile.TiffFile(pair[1]) as after:
            tiled = [[page for page in file.pages if page.is_tiled] for file in (before, after)]
            assert len(tiled[0]) == len(tiled[1])
            for theirs, ours in zip(*tiled, strict=True):
                assert [scan(tile) for tile in tiff_tiles(ours)] == [scan(tile) for tile in tiff_tiles(theirs)]

    def test_openslide_shows_the_same(self, pair: tuple[Path, Path]) -> None:
        with openslide.OpenSlide(pair[0]) as before, openslide.OpenSlide(pair[1]) as after:
            assert after.level_dimensions == before.level_dimensions
            assert {name: after.properties[name] for name in PROPERTIES} == {
                name: before.properties[name] for name in PROPERTIES
            }
            for axis in "xy":
                name = f"openslide.mpp-{axis}"
                assert float(after.properties[name]) == float(before.properties[name])
            for level, (width, height) in enumerate(before.level_dimensions):
                area = ((max(0, before.dimensions[0] - 700), 0), level, (min(700, width), min(700, height)))
                theirs, ours = (np.asarray(file.read_region(*area)) for file in (before, after))
                np.testing.assert_array_equal(ours, theirs)

    def test_pictures_are_equal(self, pair: tuple[Path, Path]) -> None:
        """Where strips become one, decoders smooth the chroma across what was their edge: few pixels, little."""
        with openslide.OpenSlide(pair[0]) as before, openslide.OpenSlide(pair[1]) as after:
            assert set(after.associated_images) == set(before.associated_images) == {"label", "macro", "thumbnail"}
            for name, picture in before.associated_images.items():
                error = np.abs(np.asarray(picture).astype(int) - np.asarray(after.associated_images[name]))
                assert error.max() < (1 if name == "label" else 32)
                assert (error > 0).mean() < 0.1

    def test_the_date_and_the_profile_are_equal(self, pair: tuple[Path, Path]) -> None:
        with open_slide(pair[0]) as before, open_slide(pair[1]) as after:
            assert after.metadata.acquired == before.metadata.acquired
            assert after.metadata.icc_profile is not None
            if before.metadata.icc_profile is not None:  # DICOM wants the class of input devices in its header
                assert after.metadata.icc_profile[128:] == before.metadata.icc_profile[128:]

    def test_tifffile_knows_the_series(self, pair: tuple[Path, Path]) -> None:
        with tifffile.TiffFile(pair[0]) as before, tifffile.TiffFile(pair[1]) as after:
            assert after.is_svs
            assert [(series.name, len(series.levels), series.shape) for series in after.series] == [
                (series.name, len(series.levels), series.shape) for series in before.series
            ]
            assert [page.subfiletype for page in after.pages] == [page.subfiletype for page in before.pages]
            described = tifffile.tifffile.svs_description_metadata(after.pages[0].description)
            assert described["MPP"] == tifffile.tifffile.svs_description_metadata(before.pages[0].description)["MPP"]
            assert codec_name(after.pages[0]) == codec_name(before.pages[0])

    def test_libtiff_has_nothing_to_say(
        self, pair: tuple[Path, Path], tool: Callable[[str], str], tmp_path: Path
    ) -> None:
        for command in ([tool("tiffinfo"), pair[1]], [tool("tiffcp"), "-c", "none", pair[1], tmp_path / "decoded.tif"]):
            said = subprocess.run(command, capture_output=True, text=True, check=False)
            assert (said.returncode, said.stderr) == (0, "")

    def test_a_new_pyramid(self, tmp_path: Path) -> None:
        made = through_dicom(SAMPLE, tmp_path, pyramid=True)
        with openslide.OpenSlide(made) as slide:
            assert [round(downsample) for downsample in slide.level_downsamples] == [1, 2, 4, 8, 16, 32]
            assert set(slide.associated_images) == {"label", "macro", "thumbnail"}
        with tifffile.TiffFile(made) as tiff:
            assert [(series.name, len(series.levels)) for series in tiff.series] == [
                *(("Baseline", 6), ("Thumbnail", 1), ("Label", 1), ("Macro", 1)),
            ]


def codec_name(page: tifffile.TiffPage) -> str:
    """What the first line of a description calls the compression."""
    (last,) = [part for part in page.description.partition("|")[0].split() if part.startswith("JPEG/")][-1:]
    return last.partition(";")[0]


@pytest.mark.parametrize("flavor", [Flavor.TIFF, Flavor.SVS])
@pytest.mark.parametrize("name", ["cytomine_cmu1", "gcp_single/bone_jpeg.dcm"])
def test_dicom_to_tiff_to_dicom(slides: Path, name: str, flavor: Flavor, tmp_path: Path) -> None:
    """Series of other people's: what they scanned, and where, is what comes back."""
    source = slides / "dicom_wsi" / name
    with open_slide(source) as slide:
        dicom_to_tiff(slide, tmp_path / "out.tif", TiffOptions(flavor=flavor))
    done = dicomize(tmp_path / "out.tif", LocalStore(tmp_path / "store"), DicomizeOptions())
    before = {}
    for path in [source] if source.is_file() else source.glob("*.dcm"):
        dataset = pydicom.dcmread(path)
        before[dataset.ImageType[2]] = dataset
    after = {kind: found[0] for kind, found in images(done.series.folder).items()}
    assert set(before) <= set(after)
    for kind, dataset in before.items():
        if kind != "LABEL":
            assert [scan(frame) for frame in frames(after[kind])] == [scan(frame) for frame in frames(dataset)]
        size = dataset.TotalPixelMatrixColumns, dataset.TotalPixelMatrixRows
        assert (after[kind].TotalPixelMatrixColumns, after[kind].TotalPixelMatrixRows) == size
    theirs, ours = before["VOLUME"], after["VOLUME"]
    spacing = [
        dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing for dataset in (theirs, ours)
    ]
    assert [float(side) for side in spacing[1]] == pytest.approx([float(side) for side in spacing[0]], rel=1e-5)
    if "OpticalPathSequence" in theirs:  # of its header DICOM wants the class to be that of input devices
        profiles = [dataset.OpticalPathSequence[0].ICCProfile[128:] for dataset in (theirs, ours)]
        assert profiles[1] == profiles[0]


def test_labels_come_back_exactly(cmu: Path, from_cmu: Path, tmp_path: Path) -> None:
    with open_slide(cmu) as before, open_slide(from_cmu) as after:
        for flavor, picture in before.associated.items():
            np.testing.assert_array_equal(after.associated[flavor].pixels(), picture.pixels())


class TestThumbnail:
    """Readers take the second page for it: a series without one gets one made."""

    @pytest.fixture
    def series(self, slides: Path) -> Path:
        return slides / "dicom_wsi" / "gcp_single" / "bone_jpeg.dcm"

    def test_it_shows_the_slide(self, series: Path, tmp_path: Path) -> None:
        made = written(series, tmp_path / "out.svs")
        with openslide.OpenSlide(made) as slide:
            assert set(slide.associated_images) == {"thumbnail"}
            thumbnail = np.asarray(slide.associated_images["thumbnail"].convert("RGB")).astype(int)
            assert thumbnail.shape[:2] == slide.dimensions[::-1]  # no larger than the slide
        assert np.abs(thumbnail - shown(made)).mean() < 4

    def test_no_larger_than_it_need_be(self, cmu: Path, tmp_path: Path) -> None:
        made = written(cmu, tmp_path / "out.svs", plan=PlanOptions(left_out=frozenset(ImageFlavor)))
        with openslide.OpenSlide(made) as slide:
            assert slide.associated_images["thumbnail"].size == (766, 1024)
            smaller = slide.get_thumbnail((766, 1024))
            error = np.abs(np.asarray(slide.associated_images["thumbnail"].convert("RGB")).astype(int) - smaller)
        assert error.mean() < 6

    def test_of_a_region_it_shows_nothing_else(self, cmu: Path, tmp_path: Path) -> None:
        made = written(cmu, tmp_path / "out.svs", part=PartOptions(region=Region(240, 480, 500, 300)))
        with openslide.OpenSlide(made) as slide, openslide.OpenSlide(cmu) as whole:
            assert set(slide.associated_images) == {"thumbnail"}
            thumbnail = np.asarray(slide.associated_images["thumbnail"].convert("RGB")).astype(int)
            area = np.asarray(whole.read_region((240, 480), 0, (500, 300)).convert("RGB"))
        assert np.abs(thumbnail - area).mean() < 6


@pytest.mark.parametrize("left_out", [{"LABEL"}, {"OVERVIEW"}, {"LABEL", "OVERVIEW"}])
def test_pictures_that_are_left_out(cmu: Path, left_out: set[str], tmp_path: Path) -> None:
    made = written(cmu, tmp_path / "out.svs", plan=PlanOptions(left_out=frozenset(map(ImageFlavor, left_out))))
    with openslide.OpenSlide(made) as slide, tifffile.TiffFile(made) as tiff:
        names = {"LABEL": "label", "OVERVIEW": "macro"}
        assert set(slide.associated_images) == {"thumbnail"} | {names[f] for f in names if f not in left_out}
        assert [series.name for series in tiff.series][:2] == ["Baseline", "Thumbnail"]


def j2k_series(
    path: Path, photometric: str, tiles: list[np.ndarray], *, transform: bool, reversible: bool, container: str = "j2k"
) -> Path:
    syntax = JPEG2000Lossless if reversible else JPEG2000
    picture = Picture(48 * 3 - 5, 48 * 2 - 3, 48, syntax=syntax, photometric=photometric)
    level = 0 if reversible else 45
    streams = [
        imagecodecs.jpeg2k_encode(tile, level=level, codecformat=container, reversible=reversible, mct=transform)
        for tile in tiles
    ]
    return save(path, header(picture), syntax, pydicom.encaps.encapsulate(streams))


class TestJpeg2000:
    """Copied under Aperio's own numbers, which OpenSlide reads."""

    @pytest.fixture
    def tiles(self) -> list[np.ndarray]:
        tissue = immunohistochemistry()
        return [tissue[row : row + 48, column : column + 48].copy() for row in (0, 48) for column in (0, 48, 96)]

    @pytest.mark.parametrize("reversible", [True, False])
    @pytest.mark.parametrize(("photometric", "transform"), [("RGB", False), ("YBR_RCT", True)])
    def test_rgb(
        self, tiles: list[np.ndarray], photometric: str, transform: bool, reversible: bool, tmp_path: Path
    ) -> None:
        named = photometric if reversible or photometric == "RGB" else "YBR_ICT"
        series = j2k_series(tmp_path / "a.dcm", named, tiles, transform=transform, reversible=reversible)
        made = written(series, tmp_path / "out.svs")
        with tifffile.TiffFile(made) as tiff:
            assert tiff.pages[0].compression == tifffile.COMPRESSION.APERIO_JP2000_RGB
            assert [stream[:2] for stream in tiff_tiles(tiff.pages[0])] == [b"\xff\x4f"] * 6
        assert_mosaic(shown(made), tiles, 0 if reversible else 4)

    def test_ycbcr_without_a_transform_in_the_stream(self, tiles: list[np.ndarray], tmp_path: Path) -> None:
        mixed = [cv2.cvtColor(tile, cv2.COLOR_RGB2YCrCb)[:, :, [0, 2, 1]] for tile in tiles]
        series = j2k_series(tmp_path / "a.dcm", "YBR_FULL", mixed, transform=False, reversible=True)
        assert_mosaic(shown(written(series, tmp_path / "out.svs")), tiles, 2)

    @pytest.mark.parametrize("flavor", [Flavor.TIFF, Flavor.OME])
    def test_but_not_where_nothing_tells_readers_of_it(
        self, tiles: list[np.ndarray], flavor: Flavor, tmp_path: Path
    ) -> None:
        mixed = [cv2.cvtColor(tile, cv2.COLOR_RGB2YCrCb)[:, :, [0, 2, 1]] for tile in tiles]
        series = j2k_series(tmp_path / "a.dcm", "YBR_FULL", mixed, transform=False, reversible=True)
        with open_slide(series) as slide:
            dicom_to_tiff(slide, tmp_path / "out.tif", TiffOptions(flavor=flavor))
        assert_mosaic(tifffile.imread(tmp_path / "out.tif"), tiles, 2)

    def test_frames_that_are_jp2_files(self, tiles: list[np.ndarray], tmp_path: Path) -> None:
        """As some write them; OpenSlide reads bare codestreams only."""
        series = j2k_series(tmp_path / "a.dcm", "YBR_RCT", tiles, transform=True, reversible=True, container="jp2")
        made = written(series, tmp_path / "out.svs")
        with tifffile.TiffFile(made) as tiff:
            assert [stream[:4] for stream in tiff_tiles(tiff.pages[0])] == [b"\xff\x4f\xff\x51"] * 6
        assert_mosaic(shown(made), tiles, 0)


def assert_mosaic(picture: np.ndarray, tiles: list[np.ndarray], most: int) -> None:
    whole = np.vstack([np.hstack(tiles[:3]), np.hstack(tiles[3:])])[: picture.shape[0], : picture.shape[1]]
    assert np.abs(picture.astype(int) - whole).mean() <= most
    assert most or picture.shape == (93, 139, 3)


def test_gray(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    series = write_series(tmp_path / "series", Kind("gray", Encoding(JPEG_BASELINE, "MONOCHROME2"), GRAY), Dataset())
    made = written(series.folder, tmp_path / "out.svs")
    base = series.pictures[ImageFlavor.VOLUME, False]
    assert np.abs(shown(made).astype(int) - base).mean() < 3


def test_a_series_that_tells_nothing(tmp_path: Path) -> None:
    """No spacing, objective, date, scanner or pictures."""
    streams = jpeg_frames(6, 48)
    series = save(
        tmp_path / "a.dcm",
        header(Picture(48 * 3, 48 * 2, 48)),
        "1.2.840.10008.1.2.4.50",
        pydicom.encaps.encapsulate(streams),
    )
    made = written(series, tmp_path / "out.svs")
    with openslide.OpenSlide(made) as slide, tifffile.TiffFile(made) as tiff:
        assert "openslide.mpp-x" not in slide.properties
        assert "openslide.objective-power" not in slide.properties
        assert [scan(tile) for tile in tiff_tiles(tiff.pages[0])] == [scan(stream) for stream in streams]


def test_from_a_coarser_level_on(from_sample: Path, tmp_path: Path) -> None:
    """AppMag is what the pixels show, as MPP is."""
    made = written(from_sample, tmp_path / "out.svs", part=PartOptions(level=1))
    with openslide.OpenSlide(made) as slide, openslide.OpenSlide(from_sample) as whole:
        assert slide.level_dimensions == whole.level_dimensions[1:]
        assert slide.properties["openslide.objective-power"] == "10"
        assert float(slide.properties["openslide.mpp-x"]) == 4 * float(whole.properties["openslide.mpp-x"])
