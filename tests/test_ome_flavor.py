"""OME-TIFF that `dicom2tiff` writes, as the schema, tifffile, libtiff, libvips, OpenSlide and our own source see it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import ome_types
import openslide
import pydicom
import pytest
import pyvips
import tifffile
from numpy.typing import NDArray
from ome_types.model import OME
from pydicom.dataset import Dataset

from tests.conftest import Run
from tests.foreign_series import Picture, native_frames, save_native
from tests.ome_document import stack
from tests.ome_stack import CHANNELS, SCANNED, STAINED, write_stack
from tests.oracles import frames, images, scan, tiff_tiles
from tests.test_dicom2tiff import SAMPLE
from tests.test_sources_ome import OmeReader
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.convert import DicomizeOptions, TiffOptions, dicom_to_tiff, dicomize
from wsi_dicom.convert.to_tiff import BigTiff
from wsi_dicom.geometry import FIRST_PLANE, Plane, Region
from wsi_dicom.metadata import SlideMetadata
from wsi_dicom.part import PartOptions
from wsi_dicom.plan import PlanOptions
from wsi_dicom.region import read_region
from wsi_dicom.slide import ImageFlavor, Slide
from wsi_dicom.sources import open_slide
from wsi_dicom.stores.local import LocalStore
from wsi_dicom.tiff.flavors import Flavor


def series_of(source: Path, folder: Path, **plan: Any) -> tuple[LocalStore, str]:
    store = LocalStore(folder / "store")
    return store, dicomize(source, store, DicomizeOptions(plan=PlanOptions(**plan))).series.series_uid


def exported(series: tuple[LocalStore, str], output: Path, **options: Any) -> Path:
    store, uid = series
    with store.open(uid) as slide:
        dicom_to_tiff(slide, output, TiffOptions(flavor=Flavor.OME, **options))
    return output


def described(path: Path) -> OME:
    """The document, which keeps to the schema."""
    with tifffile.TiffFile(path) as file:
        document = file.ome_metadata
    assert document is not None
    return ome_types.from_xml(document, validate=True)


def plane_of(reader: OmeReader, level: int, plane: Plane = FIRST_PLANE) -> NDArray[Any]:
    return reader.region(level, Region(0, 0, *reader.sizes[level]), plane)


def every_plane(slide: Slide) -> Iterator[tuple[int, Plane, NDArray[Any]]]:
    for number, level in enumerate(slide.pyramid.levels):
        for plane in slide.pyramid.planes:
            yield number, plane, read_region(slide, number, level.bounds, plane)


def assert_quiet(*command: object) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def what_is_kept(told: SlideMetadata) -> tuple[object, ...]:
    paths = [(path.description, path.fluorescence, path.excitation_nm, path.emission_nm, path.color)
             for path in told.optical_paths]  # fmt: skip
    return paths, told.acquired, told.objective_power, told.manufacturer, told.model, told.serial_number


# --- fluorescence: three channels, four focal planes, three levels, 16 bits


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fluorescence")


@pytest.fixture(scope="module")
def source(folder: Path) -> Path:
    return write_stack(folder / "source.ome.tif", stack((3, 4), np.uint16) * 251, CHANNELS)


@pytest.fixture(scope="module")
def series(source: Path, folder: Path) -> tuple[LocalStore, str]:
    return series_of(source, folder)


@pytest.fixture(scope="module")
def copied(series: tuple[LocalStore, str], folder: Path) -> Path:
    return exported(series, folder / "copied.ome.tif")


@pytest.fixture(scope="module")
def deflated(series: tuple[LocalStore, str], folder: Path) -> Path:
    plan = PlanOptions(reencode=True, compression=Compression.DEFLATE, tile_width=128, tile_height=48)
    return exported(series, folder / "deflated.ome.tif", plan=plan)


@pytest.mark.parametrize("made", ["copied", "deflated"])
def test_every_plane_of_every_level(made: str, source: Path, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(made)
    before, after = OmeReader(source), OmeReader(path)
    assert after.sizes == before.sizes == [(300, 200), (150, 100), (75, 50)]
    with open_slide(path) as ours:
        for number, plane, pixels in every_plane(ours):
            expected = plane_of(before, number, plane)
            assert expected.dtype == np.uint16
            np.testing.assert_array_equal(plane_of(after, number, plane), expected)
            np.testing.assert_array_equal(pixels, expected)


def test_libvips_finds_the_levels(deflated: Path, source: Path) -> None:
    before = OmeReader(source)
    for page, plane in ((0, Plane(0, 0)), (6, Plane(1, 2)), (11, Plane(2, 3))):
        for level in range(3):
            found = pyvips.Image.tiffload(str(deflated), page=page, subifd=level - 1).numpy()
            np.testing.assert_array_equal(np.atleast_3d(found), plane_of(before, level, plane))


def test_levels_are_subdirectories_and_nothing_else(copied: Path) -> None:
    """As the specification of OME-TIFF has them: largest first, NewSubfileType 1, not in the chain of pages."""
    with tifffile.TiffFile(copied) as file:
        assert len(file.pages) == 12
        for page in file.pages:
            assert page.subfiletype == 0
            below = [(sub.imagewidth, sub.imagelength, sub.subfiletype, sub.is_tiled) for sub in page.pages]
            assert below == [(150, 100, 1, True), (75, 50, 1, True)]
        assert [bool(page.description) for page in file.pages] == [True] + [False] * 11
        assert file.series[0].axes == "CZYX"


def test_what_the_document_tells(copied: Path) -> None:
    told = described(copied)
    (image,) = told.images
    pixels = image.pixels
    assert (pixels.size_x, pixels.size_y, pixels.size_z, pixels.size_c, pixels.size_t) == (300, 200, 4, 3, 1)
    assert pixels.type.value == "uint16"
    assert not pixels.interleaved
    assert (pixels.physical_size_x, pixels.physical_size_y) == pytest.approx((0.325, 0.65))
    assert pixels.physical_size_z == pytest.approx(1.5)
    assert [block.ifd for block in pixels.tiff_data_blocks] == list(range(12))
    first, second, third = pixels.channels
    assert [channel.name for channel in pixels.channels] == ["DAPI", STAINED, None]
    assert (first.color, second.color) == (ome_types.model.Color("#0000ff"), ome_types.model.Color("#ff7f00"))
    assert (first.excitation_wavelength, first.emission_wavelength) == (358, 461)
    assert {channel.illumination_type.value for channel in (first, second, third)} == {"Epifluorescence"}
    assert image.acquisition_date == SCANNED
    instrument = told.instruments[0]
    assert instrument.microscope.manufacturer == "Zeta"
    assert instrument.objectives[0].nominal_magnification == 40
    assert image.objective_settings.id == instrument.objectives[0].id


@pytest.mark.parametrize("made", ["copied", "deflated"])
def test_libtiff_has_nothing_to_say(made: str, tool: Callable[[str], str], request: pytest.FixtureRequest) -> None:
    assert_quiet(tool("tiffinfo"), "-s", request.getfixturevalue(made))


def test_all_comes_back(source: Path, copied: Path, tmp_path: Path) -> None:
    store, uid = series_of(copied, tmp_path)
    with open_slide(source) as before, open_slide(copied) as between, store.open(uid) as after:
        for slide in (between, after):
            assert what_is_kept(slide.metadata) == what_is_kept(before.metadata)
            assert slide.pyramid.spacing == pytest.approx(before.pyramid.spacing)
            assert slide.pyramid.focal_spacing_um == pytest.approx(1.5)
            for (*place, expected), (*same, found) in zip(every_plane(before), every_plane(slide), strict=True):
                assert place == same
                np.testing.assert_array_equal(found, expected)


def test_the_identifiers_are_an_annotation(copied: Path, series: tuple[LocalStore, str]) -> None:
    store, uid = series
    header = pydicom.dcmread(next(store.resolve(uid).folder.glob("*.dcm")), stop_before_pixels=True)
    told = described(copied)
    (annotation,) = told.structured_annotations.map_annotations
    keys = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "PyramidUID")
    assert {entry.k: entry.value for entry in annotation.value.ms} == {key: header[key].value for key in keys}
    assert [reference.id for reference in told.images[0].annotation_refs] == [annotation.id]


def test_one_plane_by_the_command(source: Path, tmp_path: Path, run: Run) -> None:
    """Nothing in it leads back to the patient, and it is a slide of its own."""
    uid = json.loads(run("dicomize", source, "--json").stdout)["series"]
    run("dicom2tiff", uid, "one.ome.btf", "--optical-path=2", "--focal-plane=3", "--deidentify")
    path = tmp_path / "here" / "one.ome.btf"
    (image,) = described(path).images
    pixels = image.pixels
    assert (pixels.size_c, pixels.size_z, pixels.physical_size_z) == (1, 1, None)
    assert [channel.name for channel in pixels.channels] == [None]
    before, after = OmeReader(source), OmeReader(path)
    for level in range(3):
        np.testing.assert_array_equal(plane_of(after, level), plane_of(before, level, Plane(2, 2)))
    assert openslide.OpenSlide.detect_format(path) == "generic-tiff"


def test_deidentified(series: tuple[LocalStore, str], tmp_path: Path) -> None:
    path = exported(series, tmp_path / "out.ome.tif", deidentify=True)
    told, written = described(path), path.read_bytes()
    assert not told.structured_annotations.map_annotations
    assert told.images[0].acquisition_date is None
    for secret in (b"2021", b"77-12", b"2.25.", series[1].encode()):
        assert secret not in written
    assert told.images[0].pixels.channels[0].name == "DAPI"


def test_levels_that_are_made_anew(series: tuple[LocalStore, str], source: Path, tmp_path: Path) -> None:
    """Those of each plane come from that plane."""
    plan = PlanOptions(pyramid=True, compression=Compression.LZW, tile_width=64, tile_height=64)
    path = exported(series, tmp_path / "out.ome.tif", plan=plan)
    before, after = OmeReader(source), OmeReader(path)
    assert after.sizes == [(300, 200), (150, 100), (75, 50), (38, 25)]
    for plane in (Plane(channel, focal) for channel in range(3) for focal in range(4)):
        np.testing.assert_array_equal(plane_of(after, 0, plane), plane_of(before, 0, plane))
        blocks = plane_of(before, 0, plane).astype(float).reshape(100, 2, 150, 2)
        np.testing.assert_allclose(plane_of(after, 1, plane)[:, :, 0], blocks.mean(axis=(1, 3)), atol=1)


# --- real slides


@pytest.mark.parametrize(
    ("name", "planes"),
    [("multi-channel-z-series.ome.tif", 15), ("OS-2-ndpi.ome.tif", 1), ("XYC_bfconvert_LZW.ome.tiff", 1)],
)
def test_real_slides_come_back(slides: Path, name: str, planes: int, tmp_path: Path) -> None:
    source = slides / "ome_tiff" / name
    path = exported(series_of(source, tmp_path), tmp_path / "out.ome.tif")
    (image,) = described(path).images
    assert len(image.pixels.tiff_data_blocks) == planes
    before, after = OmeReader(source), OmeReader(path)
    assert before.sizes == after.sizes
    with open_slide(path) as ours:
        for level, plane, found in every_plane(ours):
            np.testing.assert_array_equal(found, plane_of(before, level, plane))
            np.testing.assert_array_equal(plane_of(after, level, plane), found)


# --- brightfield


@pytest.fixture(scope="module")
def sample_series(tmp_path_factory: pytest.TempPathFactory) -> tuple[LocalStore, str]:
    return series_of(SAMPLE, tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def sample(sample_series: tuple[LocalStore, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(sample_series, tmp_path_factory.mktemp("exported") / "sample.ome.tif", big=BigTiff.YES)


def test_scans_are_the_scanners(sample: Path) -> None:
    with tifffile.TiffFile(SAMPLE) as before, tifffile.TiffFile(sample) as after:
        assert after.is_bigtiff
        levels = before.series[0].levels
        assert [level.shape for level in after.series[0].levels] == [level.shape for level in levels]
        assert len(levels) == 3
        for ours, theirs in zip(after.series[0].levels, levels, strict=True):
            assert [scan(tile) for tile in tiff_tiles(ours.keyframe)] == [
                scan(tile) for tile in tiff_tiles(theirs.keyframe)
            ]
        assert len(after.pages[0].pages) == 2


def test_and_back_to_dicom(sample: Path, sample_series: tuple[LocalStore, str], tmp_path: Path) -> None:
    folders = [store.resolve(uid).folder for store, uid in (sample_series, series_of(sample, tmp_path))]
    before, after = map(images, folders)
    assert {flavor: len(found) for flavor, found in after.items()} == {
        "VOLUME": 3, "LABEL": 1, "OVERVIEW": 1, "THUMBNAIL": 1,
    }  # fmt: skip
    for flavor in ("VOLUME", "OVERVIEW", "THUMBNAIL"):
        for old, new in zip(before[flavor], after[flavor], strict=True):
            assert [scan(frame) for frame in frames(new)] == [scan(frame) for frame in frames(old)]
    np.testing.assert_array_equal(after["LABEL"][0].pixel_array, before["LABEL"][0].pixel_array)


def test_openslide_and_libvips_see_the_same_slide(sample: Path, tool: Callable[[str], str]) -> None:
    theirs, ours = openslide.OpenSlide(SAMPLE), openslide.OpenSlide(sample)
    assert ours.dimensions == theirs.dimensions
    assert float(ours.properties["openslide.mpp-x"]) == pytest.approx(0.25, rel=1e-4)
    assert ours.color_profile.tobytes()[128:] == theirs.color_profile.tobytes()[128:]
    area = (3000, 2000, 700, 600)
    expected = np.asarray(theirs.read_region(area[:2], 0, area[2:]))[:, :, :3]
    np.testing.assert_array_equal(np.asarray(ours.read_region(area[:2], 0, area[2:]))[:, :, :3], expected)
    small = pyvips.Image.tiffload(str(sample), subifd=1)
    assert (small.width, small.height, small.bands) == (512, 512, 3)
    np.testing.assert_array_equal(small.numpy(), np.asarray(theirs.read_region((0, 0), 2, (512, 512)))[:, :, :3])
    assert_quiet(tool("tiffinfo"), "-s", sample)


def test_label_macro_and_thumbnail_are_images_with_known_names(
    sample: Path, sample_series: tuple[LocalStore, str]
) -> None:
    """QuPath hides images of just these names; Bio-Formats would not count pages that call themselves reduced."""
    told = described(sample)
    names = ["slide", "label image", "macro image", "thumbnail image"]
    assert [image.name for image in told.images] == names
    assert [block.ifd for image in told.images for block in image.pixels.tiff_data_blocks] == [0, 1, 2, 3]
    assert all(image.pixels.interleaved for image in told.images)
    assert [image.pixels.physical_size_x is None for image in told.images] == [False, True, True, False]
    store, uid = sample_series
    instances = images(store.resolve(uid).folder)
    with tifffile.TiffFile(sample) as file, tifffile.TiffFile(SAMPLE) as source, open_slide(sample) as ours:
        assert [series.name for series in file.series] == names
        assert [page.subfiletype for page in file.pages] == [0, 0, 0, 0]
        label = next(series for series in source.series if series.name == "Label").asarray()
        for page, flavor in zip(file.pages[1:], ("LABEL", "OVERVIEW", "THUMBNAIL"), strict=True):
            pixels = page.asarray()
            np.testing.assert_array_equal(ours.associated[ImageFlavor(flavor)].pixels(), pixels)
            if flavor == "LABEL":
                np.testing.assert_array_equal(pixels, label)
            else:
                assert [scan(strip) for strip in tiff_tiles(page)] == [scan(frames(instances[flavor][0])[0])]


def test_neither_label_nor_overview_when_deidentified(sample_series: tuple[LocalStore, str], tmp_path: Path) -> None:
    path = exported(sample_series, tmp_path / "out.ome.tif", deidentify=True)
    assert [image.name for image in described(path).images] == ["slide", "thumbnail image"]
    for secret in (b"SAMPLE01", b"2024", b"2.25."):
        assert secret not in path.read_bytes()


# --- what is rare


def test_colour_in_focal_planes(tmp_path: Path) -> None:
    pixels = np.random.default_rng(4).integers(0, 255, (3, 70, 90, 3), np.uint8)
    tifffile.imwrite(tmp_path / "in.ome.tif", pixels, tile=(32, 32), photometric="rgb", metadata={"axes": "ZYXS"})
    path = exported(series_of(tmp_path / "in.ome.tif", tmp_path), tmp_path / "out.ome.tif")
    (image,) = described(path).images
    assert (image.pixels.size_c, image.pixels.size_z, image.pixels.interleaved) == (3, 3, True)
    assert [channel.samples_per_pixel for channel in image.pixels.channels] == [3]
    np.testing.assert_array_equal(tifffile.imread(path), pixels)
    with open_slide(path) as slide:
        assert [plane for _, plane, _ in every_plane(slide)] == [Plane(0, focal) for focal in range(3)]
        for _, plane, found in every_plane(slide):
            np.testing.assert_array_equal(found, pixels[plane.focal_plane])


def test_very_many_planes(tmp_path: Path) -> None:
    pixels = np.random.default_rng(5).integers(0, 255, (5, 20, 48, 80), np.uint8)
    source = write_stack(tmp_path / "in.ome.tif", pixels, ({},) * 5)
    series = series_of(source, tmp_path, compression=Compression.NONE)
    path = exported(series, tmp_path / "out.ome.tif")
    before, after = OmeReader(source), OmeReader(path)
    for level in range(3):
        for plane in (Plane(channel, focal) for channel in range(5) for focal in range(20)):
            np.testing.assert_array_equal(plane_of(after, level, plane), plane_of(before, level, plane))
    with open_slide(path) as slide:
        assert len(list(every_plane(slide))) == 300


def foreign(path: Path, paths: dict[str, str | None], samples: int = 1) -> Path:
    """Other people's series of 3 x 2 tiles: optical paths by their identifiers, which not all have descriptions."""
    items = []
    for identifier, description in paths.items():
        item = Dataset()
        item.OpticalPathIdentifier = identifier
        if description is not None:
            item.OpticalPathDescription = description
        items.append(item)
    told = {"SpecificCharacterSet": "ISO_IR 192", "OpticalPathSequence": items}
    count = 6 * len(paths)
    picture = Picture(frames=count, attributes=told, series_uid="1.2.3.4", study_uid="1.2.3")
    return save_native(path, picture, native_frames(count, samples=samples))


def paths_of(source: Path, output: Path, **part: Any) -> Path:
    with open_slide(source) as slide:
        dicom_to_tiff(slide, output, TiffOptions(flavor=Flavor.OME, part=PartOptions(**part)))
    return output


def test_text_that_xml_cannot_hold(tmp_path: Path) -> None:
    source = foreign(tmp_path / "in.dcm", {"1": "a\x0bb\x01c<&>\"' \ufffe é", "2": None})
    path = paths_of(source, tmp_path / "out.ome.tif")
    first, second = described(path).images[0].pixels.channels
    assert (first.name, second.name) == ("a b c<&>\"'   é", None)
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].tags["ImageDescription"].value.isascii()


@pytest.mark.parametrize(("chosen", "number"), [("1", 0), ("Cy5", 1), ("2", 1), ("7", 2), ("3", 2)])
def test_more_optical_paths_than_names(tmp_path: Path, chosen: str, number: int) -> None:
    """What has no description is called by its identifier, but for a mere number."""
    source = foreign(tmp_path / "in.dcm", {"1": "DAPI", "Cy5": None, "7": None})
    whole, part = paths_of(source, tmp_path / "all.ome.tif"), tmp_path / "part.ome.tif"
    names = ["DAPI", "Cy5", None]
    assert [channel.name for channel in described(whole).images[0].pixels.channels] == names
    paths_of(source, part, optical_path=chosen)
    assert [channel.name for channel in described(part).images[0].pixels.channels] == [names[number]]
    found = plane_of(OmeReader(part), 0)
    np.testing.assert_array_equal(found, plane_of(OmeReader(whole), 0, Plane(number, 0)))
    np.testing.assert_array_equal(found[:16, :16], pydicom.dcmread(source).pixel_array[6 * number, :, :, None])


def test_several_paths_of_colour(tmp_path: Path) -> None:
    source = foreign(tmp_path / "in.dcm", {"1": "plain", "2": "polarized"}, samples=3)
    path = paths_of(source, tmp_path / "out.ome.tif")
    pixels = described(path).images[0].pixels
    assert (pixels.size_c, [channel.samples_per_pixel for channel in pixels.channels]) == (6, [3, 3])
    with open_slide(source) as before, open_slide(path) as ours:
        reader = OmeReader(path)
        for (_, plane, expected), (_, same, found) in zip(every_plane(before), every_plane(ours), strict=True):
            assert plane == same
            np.testing.assert_array_equal(found, expected)
            np.testing.assert_array_equal(plane_of(reader, 0, plane), expected)


def test_a_colour_label_of_a_gray_slide(tmp_path: Path) -> None:
    """Pages of different kinds: each image says what its own are."""
    source = foreign(tmp_path / "in.dcm", {"1": "DAPI", "2": "FITC"})
    label = Picture(16, 16, frames=1, flavor="LABEL", series_uid="1.2.3.4", study_uid="1.2.3")
    pixels = native_frames(1)
    save_native(tmp_path / "label.dcm", label, pixels)
    path = paths_of(source, tmp_path / "out.ome.tif")
    slide, shown = described(path).images
    assert (slide.pixels.interleaved, shown.pixels.interleaved) == (False, True)
    assert [channel.samples_per_pixel for channel in shown.pixels.channels] == [3]
    assert [block.ifd for block in shown.pixels.tiff_data_blocks] == [2]
    with tifffile.TiffFile(path) as file, open_slide(path) as ours:
        assert [series.axes for series in file.series] == ["CYX", "YXS"]
        np.testing.assert_array_equal(file.series[1].asarray(), pixels[0])
        np.testing.assert_array_equal(ours.associated[ImageFlavor.LABEL].pixels(), pixels[0])
