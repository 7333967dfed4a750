"""Slides become series: what other readers see in them is what they see in the slides."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
import wsidicom
from pydicom.dataset import Dataset
from skimage.data import immunohistochemistry

from tests.oracles import assert_conformant, frames, images, scan, tiff_tiles
from wsi_dicom.convert import Dicomized, DicomizeOptions, UidChoice, dicomize
from wsi_dicom.errors import StoreError
from wsi_dicom.plan import Compression, PlanOptions
from wsi_dicom.stores.local import LocalStore

SAMPLE = Path(__file__).parent.parent / "sample_data" / "ihc-8k.svs"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    return LocalStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def cmu(slides: Path) -> Path:
    return slides / "aperio" / "CMU-1-Small-Region.svs"


@pytest.fixture(scope="module")
def copied(cmu: Path, store: LocalStore) -> Dicomized:
    return dicomize(cmu, store, DicomizeOptions())


@pytest.fixture(scope="module")
def rebuilt(store: LocalStore) -> Dicomized:
    return dicomize(SAMPLE, store, DicomizeOptions(plan=PlanOptions(pyramid=True)))


def as_dicom(series: Dicomized) -> openslide.OpenSlide:
    return openslide.OpenSlide(next(series.series.folder.glob("*.dcm")))


class TestCopied:
    """A real scanner's file, its tiles copied."""

    def test_is_conformant(self, copied: Dicomized, tool: Callable[[str], str]) -> None:
        assert_conformant(copied.series.folder.glob("*.dcm"), tool)

    def test_every_scan_is_the_scanners(self, copied: Dicomized, cmu: Path) -> None:
        found = images(copied.series.folder)
        with tifffile.TiffFile(cmu) as tiff:
            scanned = [scan(tile) for tile in tiff_tiles(tiff.pages[0])]
        assert [scan(frame) for frame in frames(found["VOLUME"][0])] == scanned

    def test_openslide_sees_the_same_slide(self, copied: Dicomized, cmu: Path) -> None:
        ours, theirs = as_dicom(copied), openslide.OpenSlide(cmu)
        assert ours.level_dimensions == theirs.level_dimensions
        for name in ("openslide.mpp-x", "openslide.mpp-y", "openslide.objective-power"):
            assert float(ours.properties[name]) == pytest.approx(float(theirs.properties[name]))
        np.testing.assert_array_equal(
            np.asarray(ours.read_region((0, 0), 0, ours.dimensions)),
            np.asarray(theirs.read_region((0, 0), 0, theirs.dimensions)),
        )

    @pytest.mark.parametrize("name", ["label", "macro", "thumbnail"])
    def test_openslide_sees_the_same_pictures(self, copied: Dicomized, cmu: Path, name: str) -> None:
        ours, theirs = as_dicom(copied).associated_images[name], openslide.OpenSlide(cmu).associated_images[name]
        assert ours.size == theirs.size
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))

    def test_wsidicom_sees_the_same_slide(self, copied: Dicomized, cmu: Path) -> None:
        with wsidicom.WsiDicom.open(copied.series.folder) as slide:
            assert (slide.size.width, slide.size.height) == openslide.OpenSlide(cmu).dimensions
            ours = np.asarray(slide.read_region((700, 900), 0, (512, 400)))
            assert slide.read_label().size == (387, 463)
            assert slide.read_overview().size == (1280, 431)
        theirs = openslide.OpenSlide(cmu).read_region((700, 900), 0, (512, 400)).convert("RGB")
        np.testing.assert_array_equal(ours, np.asarray(theirs))

    def test_says_what_was_lost_and_when(self, copied: Dicomized) -> None:
        base = images(copied.series.folder)["VOLUME"][0]
        assert list(base.ImageType) == ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
        assert base.LossyImageCompression == "01"
        assert base.LossyImageCompressionMethod == "ISO_10918_1"
        raw = 130 * 240 * 240 * 3
        assert base.LossyImageCompressionRatio == pytest.approx(raw / sum(map(len, frames(base))), rel=1e-3)
        assert images(copied.series.folder)["LABEL"][0].LossyImageCompression == "00"


class TestRebuilt:
    """The sample slide with a new pyramid."""

    def test_is_conformant(self, rebuilt: Dicomized, tool: Callable[[str], str]) -> None:
        assert_conformant(rebuilt.series.folder.glob("*.dcm"), tool)

    def test_has_all_levels_down_to_one_tile(self, rebuilt: Dicomized) -> None:
        slide = as_dicom(rebuilt)
        sizes = slide.level_dimensions
        assert sizes[0] == openslide.OpenSlide(SAMPLE).dimensions
        assert all(
            finer[axis] == coarser[axis] * 2 - finer[axis] % 2
            for finer, coarser in itertools.pairwise(sizes)
            for axis in (0, 1)
        )
        assert max(sizes[-1]) <= 256 < max(sizes[-2])

    def test_the_finest_level_is_still_a_copy(self, rebuilt: Dicomized) -> None:
        with tifffile.TiffFile(SAMPLE) as tiff:
            scanned = [scan(tile) for tile in tiff_tiles(tiff.pages[0])]
        assert [scan(frame) for frame in frames(images(rebuilt.series.folder)["VOLUME"][0])] == scanned

    def test_levels_share_what_they_must(self, rebuilt: Dicomized) -> None:
        found = images(rebuilt.series.folder)
        everything = [dataset for datasets in found.values() for dataset in datasets]
        for keyword in ("SeriesInstanceUID", "StudyInstanceUID", "AcquisitionDateTime", "ContainerIdentifier"):
            assert len({dataset[keyword].value for dataset in everything}) == 1
        for keyword in ("FrameOfReferenceUID", "PyramidUID", "ImagedVolumeWidth", "ImagedVolumeHeight"):
            assert len({dataset[keyword].value for dataset in found["VOLUME"]}) == 1
        for dataset in found["VOLUME"][1:]:
            assert list(dataset.ImageType) == ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
            assert list(dataset.LossyImageCompressionMethod) == ["ISO_10918_1", "ISO_10918_1"]

    def test_keeps_the_scanners_colour_profile(self, rebuilt: Dicomized) -> None:
        with tifffile.TiffFile(SAMPLE) as tiff:
            profile = tiff.pages[0].tags[34675].value
        for dataset in images(rebuilt.series.folder)["VOLUME"]:
            ours = dataset.OpticalPathSequence[0].ICCProfile
            assert ours[12:16] == b"scnr"
            assert ours[100 : len(profile)] == profile[100:]

    def test_wsidicom_opens_it(self, rebuilt: Dicomized) -> None:
        with wsidicom.WsiDicom.open(rebuilt.series.folder) as slide:
            assert len(slide.levels) == rebuilt.plan.tile_count.bit_length() - 5 or len(slide.levels) > 4


@pytest.mark.parametrize(
    ("compression", "photometric", "syntax"),
    [
        (None, "YBR_RCT", "1.2.840.10008.1.2.4.90"),
        (Compression.NONE, "RGB", "1.2.840.10008.1.2.1"),
    ],
    ids=["default", "none"],
)
def test_a_lossless_slide_stays_lossless(
    compression: Compression | None, photometric: str, syntax: str, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    pixels = immunohistochemistry()[:301, :413]
    tifffile.imwrite(
        tmp_path / "slide.tif", pixels, tile=(128, 128), compression="zlib", photometric="rgb",
        resolution=(20000, 20000), resolutionunit="CENTIMETER",
    )  # fmt: skip
    store = LocalStore(tmp_path / "store")
    options = DicomizeOptions(plan=PlanOptions(pyramid=True, compression=compression))
    done = dicomize(tmp_path / "slide.tif", store, options)
    assert_conformant(done.series.folder.glob("*.dcm"), tool)
    for dataset in images(done.series.folder)["VOLUME"]:
        assert dataset.file_meta.TransferSyntaxUID == syntax
        assert dataset.PhotometricInterpretation == photometric
        assert dataset.LossyImageCompression == "00"
    slide = as_dicom(done)
    np.testing.assert_array_equal(np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB")), pixels)
    assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.5)


@pytest.mark.parametrize("compression", ["aperio_jp2000_rgb", "jpeg2000"])
def test_jpeg_2000_is_copied(compression: str, tmp_path: Path, tool: Callable[[str], str]) -> None:
    pixels = immunohistochemistry()[:400, :500]
    tifffile.imwrite(
        tmp_path / "slide.tif", pixels, tile=(256, 256), compression=compression, photometric="rgb",
        compressionargs={"codecformat": "j2k", "reversible": True, "mct": True},
    )  # fmt: skip
    with tifffile.TiffFile(tmp_path / "slide.tif") as tiff:
        stored = list(tiff_tiles(tiff.pages[0]))
    done = dicomize(tmp_path / "slide.tif", LocalStore(tmp_path / "store"), DicomizeOptions())
    base = images(done.series.folder)["VOLUME"][0]
    assert base.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.90"
    assert base.PhotometricInterpretation == "YBR_RCT"
    assert [frame[: len(tile)] for frame, tile in zip(frames(base), stored, strict=True)] == stored
    assert_conformant(done.series.folder.glob("*.dcm"), tool)
    slide = as_dicom(done)
    np.testing.assert_array_equal(np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB")), pixels)


def test_an_unknown_spacing_is_assumed_and_said(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "slide.tif", immunohistochemistry(), tile=(256, 256), compression="jpeg")
    done = dicomize(tmp_path / "slide.tif", LocalStore(tmp_path / "store"), DicomizeOptions())
    assert len(done.warnings) == 1
    assert "15 mm" in done.warnings[0]
    base = images(done.series.folder)["VOLUME"][0]
    assert base.ImagedVolumeWidth == pytest.approx(15)
    assert "15 mm" in base.ImageComments


def test_the_users_dataset_is_in_every_instance(tmp_path: Path, cmu: Path, tool: Callable[[str], str]) -> None:
    from wsi_dicom.dicom.json_model import read_dataset

    (tmp_path / "patient.json").write_text(
        json.dumps({"PatientID": "P-17", "PatientName": "Muster^Änne", "ContainerIdentifier": "S26-1"})
    )
    options = DicomizeOptions(additions=read_dataset(tmp_path / "patient.json"))
    done = dicomize(cmu, LocalStore(tmp_path / "store"), options)
    assert done.series.patient_id == "P-17"
    assert_conformant(done.series.folder.glob("*.dcm"), tool)
    for datasets in images(done.series.folder).values():
        for dataset in datasets:
            assert (dataset.PatientID, dataset.PatientName, dataset.ContainerIdentifier) == (
                "P-17", "Muster^Änne", "S26-1",
            )  # fmt: skip


@pytest.mark.parametrize("compression", [None, Compression.NONE, Compression.JPEG2000])
def test_what_was_lossy_stays_declared(compression: Compression | None, tmp_path: Path) -> None:
    """JPEG in strips cannot be copied; its loss is told whatever it is encoded with."""
    tifffile.imwrite(
        tmp_path / "strips.tif", immunohistochemistry(), rowsperstrip=64, compression="jpeg", photometric="rgb"
    )
    options = DicomizeOptions(plan=PlanOptions(compression=compression))
    done = dicomize(tmp_path / "strips.tif", LocalStore(tmp_path / "store"), options)
    base = images(done.series.folder)["VOLUME"][0]
    assert base.LossyImageCompression == "01"
    methods = base.LossyImageCompressionMethod
    assert (["ISO_10918_1"] * 2 if compression is None else "ISO_10918_1") == methods
    ratios = base.LossyImageCompressionRatio
    assert all(ratio > 1 for ratio in (ratios if compression is None else [ratios]))


def test_one_strip_is_cut_into_tiles(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "strip.tif", np.tile(immunohistochemistry(), (3, 3, 1)), rowsperstrip=1536)
    options = DicomizeOptions(plan=PlanOptions(pyramid=True))
    done = dicomize(tmp_path / "strip.tif", LocalStore(tmp_path / "store"), options)
    assert [level.output.tile_count for level in done.plan.levels] == [9, 4, 1]


def test_two_slides_of_one_series_share_no_instance(tmp_path: Path, cmu: Path) -> None:
    additions = Dataset()
    additions.SeriesInstanceUID = "1.2.3.4"
    options = DicomizeOptions(additions=additions)
    uids = []
    for name in ("a", "b"):
        dicomize(cmu, LocalStore(tmp_path / name), options)
        uids += [path.stem for path in (tmp_path / name / "series" / "1.2.3.4").iterdir()]
    assert len(uids) == len(set(uids)) == 8


class TestDeterministicUids:
    """The same slide and options are the same series."""

    options = DicomizeOptions(uids=UidChoice.DETERMINISTIC)

    def test_skips_what_is_there(self, tmp_path: Path, cmu: Path) -> None:
        store = LocalStore(tmp_path / "store")
        first = dicomize(cmu, store, self.options)
        again = DicomizeOptions(uids=UidChoice.DETERMINISTIC, skip_existing=True)
        second = dicomize(cmu, store, again)
        assert second.plan is None
        assert second.series == first.series

    def test_refuses_to_store_twice(self, tmp_path: Path, cmu: Path) -> None:
        store = LocalStore(tmp_path / "store")
        first = dicomize(cmu, store, self.options)
        with pytest.raises(StoreError, match="already"):
            dicomize(cmu, store, self.options)
        assert [record.series_uid for record in store.search()] == [first.series.series_uid]
        assert not list((tmp_path / "store" / "staging").iterdir())

    def test_other_options_are_another_series(self, tmp_path: Path, cmu: Path) -> None:
        store = LocalStore(tmp_path / "store")
        dicomize(cmu, store, self.options)
        other = DicomizeOptions(plan=PlanOptions(pyramid=True), uids=UidChoice.DETERMINISTIC)
        dicomize(cmu, store, other)
        assert len(list(store.search())) == 2
