"""Zeiss CZI files written by libCZI's own writer, against what was written, SlideIO and OpenSlide."""

from __future__ import annotations

import logging
import re
import struct
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import slideio
from pylibCZIrw import czi
from skimage.data import immunohistochemistry

from tests.oracles import images
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.convert import DicomizeOptions, dicomize
from wsi_dicom.errors import CorruptInput, OutOfBounds, UnsupportedFormat, WsiError
from wsi_dicom.geometry import PixelFormat, Plane
from wsi_dicom.metadata import OpticalPath
from wsi_dicom.plan import PlanOptions
from wsi_dicom.region import read_region
from wsi_dicom.slide import Slide, SourceOptions
from wsi_dicom.sources import open_slide
from wsi_dicom.stores.folder import FolderStore

PICTURE: np.ndarray = immunohistochemistry()  # type: ignore[no-untyped-call]
SCENES = {0: ((0, 0), (300, 400)), 1: ((1600, 50), (100, 200))}
"""Place (x, y) and shape of each scene."""
BOUNDS = (1800, 300)


def scene_pixels(scene: int, channel: int = 0, focal_plane: int = 0, kind: Any = np.uint8, samples: int = 1) -> Any:
    """What lies in a scene, shape (height, width, samples): colours in red, green, blue."""
    height, width = SCENES[scene][1]
    shade = 40 * scene + 20 * channel + 7 * focal_plane
    pixels = PICTURE[shade : shade + height, shade : shade + width, :samples] // 2 + shade
    return (pixels.astype(np.uint16) * 200 if kind == np.uint16 else pixels).astype(kind)


def write(
    path: Path, *, channels: int = 1, focal_planes: int = 1, kind: Any = np.uint8, samples: int = 1,
    compression: str | None = None, **metadata: Any,
) -> Path:  # fmt: skip
    with czi.create_czi(str(path), compression_options=compression) as out:
        for scene, ((x, y), _) in SCENES.items():
            for channel in range(channels):
                for focal_plane in range(focal_planes):
                    pixels = scene_pixels(scene, channel, focal_plane, kind, samples)
                    out.write(
                        np.ascontiguousarray(pixels[:, :, ::-1]), (x, y), {"C": channel, "Z": focal_plane}, scene=scene
                    )
        out.write_metadata("slide", **{"scale_x": 5e-7, "scale_y": 2.5e-7, "scale_z": 1.5e-6, **metadata})
    return path


def assert_scenes(slide: Slide, kind: Any = np.uint8) -> None:
    """Each scene in each plane has what was written; between them there is nothing."""
    samples = slide.pyramid.pixel_format.samples
    for plane in slide.pyramid.planes:
        everything = read_region(slide, 0, slide.pyramid.base.bounds, plane)
        assert everything.dtype == kind
        gap = np.ones(everything.shape[:2], bool)
        for scene, ((x, y), (height, width)) in SCENES.items():
            expected = scene_pixels(scene, *plane, kind, samples)
            assert np.array_equal(everything[y : y + height, x : x + width], expected), (plane, scene)
            gap[y : y + height, x : x + width] = False
        assert np.all(everything[gap] == (0 if samples == 1 else np.iinfo(kind).max))


@pytest.mark.parametrize("compression", [None, "zstd0:ExplicitLevel=1", "zstd1:ExplicitLevel=3"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_fluorescence(tmp_path: Path, kind: Any, compression: str | None) -> None:
    path = write(tmp_path / "slide", channels=2, focal_planes=3, kind=kind, compression=compression)
    with open_slide(path) as slide:
        assert (slide.pyramid.base.width, slide.pyramid.base.height) == BOUNDS
        assert slide.pyramid.pixel_format == PixelFormat(1, 8 * np.dtype(kind).itemsize)
        assert (slide.pyramid.optical_paths, slide.pyramid.focal_planes) == (2, 3)
        assert slide.pyramid.spacing == pytest.approx((0.0005, 0.00025))
        assert slide.pyramid.focal_spacing_um == pytest.approx(1.5)
        assert slide.lossy_method(0) is None
        assert slide.encoding(0) is None
        assert slide.files == (path,)
        assert_scenes(slide, kind)


def test_slideio_sees_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "slide.czi", channels=2, focal_planes=2)
    file = slideio.open_slide(str(path), "CZI")
    with open_slide(path) as slide:
        everything = {plane: read_region(slide, 0, slide.pyramid.base.bounds, plane) for plane in slide.pyramid.planes}
        for number in range(file.num_scenes):
            scene = file.get_scene(number)
            x, y, width, height = scene.rect
            for (channel, focal_plane), pixels in everything.items():
                theirs = scene.read_block(channel_indices=[channel], slices=(focal_plane, focal_plane + 1))
                assert np.array_equal(theirs, pixels[y : y + height, x : x + width, 0])
        assert slide.pyramid.spacing == pytest.approx([value * 1000 for value in file.get_scene(0).resolution])
    file.close()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_colour(tmp_path: Path, kind: Any) -> None:
    path = write(tmp_path / "slide.czi", kind=kind, samples=3)
    with open_slide(path) as slide:
        assert slide.pyramid.pixel_format == PixelFormat(3, 8 * np.dtype(kind).itemsize)
        assert slide.metadata.optical_paths[0].fluorescence is False
        assert_scenes(slide, kind)
    with open_slide(path, options=SourceOptions(color=(10, 20, 30))) as slide:
        assert slide.tile(0, 1, 0)[0, -1].tolist() == [
            value * (257 if kind == np.uint16 else 1) for value in (10, 20, 30)
        ]


def as_scanned(path: Path) -> Path:
    """As slide scanners write brightfield: no dimensions Z and T, and a directory of attachments, here an empty one."""
    data = re.sub(rb"[ZT]\0\0\0(?=\0\0\0\0\x01\0\0\0.{8})", b"M\0\0\0", path.read_bytes(), flags=re.DOTALL)
    attachments = b"ZISRAWATTDIR".ljust(16, b"\0") + struct.pack("<qq", 256, 256) + bytes(256)
    path.write_bytes(data[:104] + struct.pack("<q", len(data)) + data[112:] + attachments)
    return path


def test_lossless_brightfield_is_left_to_openslide_and_stays_lossless(tmp_path: Path) -> None:
    path = as_scanned(write(tmp_path / "slide.czi", samples=3))
    assert openslide.OpenSlide.detect_format(path) == "zeiss"
    for source in (None, "czi", "openslide"):
        with open_slide(path, source) as slide:
            assert slide.metadata.properties["openslide.vendor"] == "zeiss"
            assert slide.lossy_method(0) is None
            assert slide.losses(0) == ()
            assert_scenes(slide)


def test_lossy_brightfield_is_told(tmp_path: Path) -> None:
    """The writer has no lossy compression: a file that says to be JPEG XR, of which no pixel is read here."""
    path = as_scanned(write(tmp_path / "slide.czi", samples=3))
    data = bytearray(path.read_bytes())
    for entry in re.finditer(rb"DV\x03\0\0\0", data):
        struct.pack_into("<i", data, entry.start() + 18, 4)
    path.write_bytes(data)
    with open_slide(path) as slide:
        assert slide.lossy_method(0) == "ISO_29199_2"
    with pytest.raises(CorruptInput, match="JPEG XR compression is not supported"):  # else what it reads may be lossy
        open_slide(path, "openslide")


def test_numbers_of_planes_need_not_begin_at_0(tmp_path: Path) -> None:
    path = tmp_path / "later.czi"
    with czi.create_czi(str(path)) as out:
        for channel in (2, 3):
            for focal_plane in (4, 5, 7):
                pixels = scene_pixels(0, channel - 2, focal_plane - 4)
                out.write(pixels, (0, 0), {"C": channel, "Z": focal_plane, "T": 6})
        out.write_metadata("slide", scale_x=5e-7, scale_y=5e-7, scale_z=1e-6)
    with open_slide(path) as slide:
        assert (slide.pyramid.optical_paths, slide.pyramid.focal_planes) == (2, 3)
        for path_number in (0, 1):
            for number, offset in enumerate((0, 1, 3)):
                found = read_region(slide, 0, slide.pyramid.base.bounds, Plane(path_number, number))
                assert np.array_equal(found, scene_pixels(0, path_number, offset))


def test_what_was_not_recorded_is_dark_in_every_level(tmp_path: Path) -> None:
    """Also in those that are derived: for them the background of the slide counts."""
    path = write(tmp_path / "slide.czi", channels=2)
    options = DicomizeOptions(plan=PlanOptions(pyramid=True, compression=Compression.NONE))
    dicomize(path, FolderStore(tmp_path / "series"), options)
    for number, image in enumerate(images(tmp_path / "series")["VOLUME"]):
        row = image.pixel_array.reshape(-1, image.Rows, image.Columns)[0, 20 >> number]
        assert row[: 390 >> number].all()
        assert not row[420 >> number : 1580 >> number].any()


def test_colour_of_16_bits_is_not(tmp_path: Path) -> None:
    path = as_scanned(write(tmp_path / "slide.czi", samples=3, kind=np.uint16))
    assert openslide.OpenSlide(path).dimensions == BOUNDS, "it would read it, in 8 bits"
    with open_slide(path) as slide:
        assert_scenes(slide, np.uint16)


def test_levels_are_those_that_are_stored(tmp_path: Path) -> None:
    """The writer makes no pyramid: subblocks of half the size get the place of those that they were made from."""
    path, base = tmp_path / "pyramid.czi", PICTURE[:300, :400, 0]
    coarse = np.roll(base[::2, ::2], 5)  # told apart from what scaling would give
    with czi.create_czi(str(path)) as out:
        out.write(base[:, :, None], (0, 0), {"C": 0})
        out.write(np.ascontiguousarray(coarse[:, :, None]), (0, 0), {"C": 0})
        out.write_metadata("slide", scale_x=5e-7, scale_y=5e-7)
    data = path.read_bytes()
    for axis, size in (b"X\0\0\0", 200), (b"Y\0\0\0", 150):
        stored = axis + struct.pack("<iifi", 0, size, 0.0, size)
        assert data.count(stored) == 2, "in the subblock and in the directory"
        data = data.replace(stored, axis + struct.pack("<iifi", 0, 2 * size, 0.0, size))
    path.write_bytes(data)
    with open_slide(path) as slide:
        assert [(level.width, level.height) for level in slide.pyramid.levels] == [(400, 300), (200, 150)]
        assert np.array_equal(read_region(slide, 0, slide.pyramid.base.bounds)[:, :, 0], base)
        assert np.array_equal(read_region(slide, 1, slide.pyramid.levels[1].bounds)[:, :, 0], coarse)


def test_what_lies_outside_all_scenes_is_absent(tmp_path: Path) -> None:
    with open_slide(write(tmp_path / "slide.czi")) as slide:
        assert slide.sparse
        assert [slide.absent(0, column, 0) for column in range(4)] == [False, True, True, False]


def test_metadata(tmp_path: Path) -> None:
    blue = czi.ChannelDisplaySettingsDataClass(
        True, czi.TintingMode.Color, czi.Rgb8Color(np.uint8(1), np.uint8(2), np.uint8(255)), 0.0, 1.0
    )
    path = write(
        tmp_path / "slide.czi", channels=2, channel_names={0: "DAPI", 1: "Cy5"}, display_settings={0: blue},
    )  # fmt: skip
    with open_slide(path) as slide:
        assert slide.metadata.manufacturer == "Zeiss"
        assert slide.metadata.software_versions[0].startswith("pylibCZIrw ")
        assert slide.metadata.optical_paths == (
            OpticalPath("0", "DAPI", fluorescence=True, color=(1, 2, 255)),
            OpticalPath("1", "Cy5", fluorescence=True),
        )
        assert slide.pyramid.focal_spacing_um is None


def test_metadata_of_a_scanner(tmp_path: Path) -> None:
    """What ZEN writes, and the writer here does not."""
    from wsi_dicom.sources.czi_metadata import read_metadata

    xml = """<ImageDocument><Metadata><Information>
    <Application><Name>ZEN 2.6 (blue edition)</Name><Version>2.6.76.00000</Version></Application>
    <Instrument><Microscopes><Microscope Id="Microscope:1" Name="Axio Scan"><System>Axio Scan.Z1</System></Microscope>
    </Microscopes><Objectives><Objective Id="Objective:1"><NominalMagnification>10</NominalMagnification></Objective>
    <Objective Id="Objective:2"><NominalMagnification>20</NominalMagnification></Objective></Objectives></Instrument>
    <Image><AcquisitionDateAndTime>2019-02-03T04:05:06.1234567Z</AcquisitionDateAndTime>
    <ObjectiveSettings><ObjectiveRef Id="Objective:2"/></ObjectiveSettings><Dimensions><Channels>
    <Channel Id="Channel:0" Name="EGFP"><ExcitationWavelength>488</ExcitationWavelength>
    <EmissionWavelength>509.5</EmissionWavelength><IlluminationType>Epifluorescence</IlluminationType></Channel>
    <Channel Id="Channel:1" Name="TL"><IlluminationType>Transmitted</IlluminationType></Channel>
    </Channels></Dimensions></Image></Information><DisplaySetting><Channels>
    <Channel Id="Channel:0"><Color>#FF00FF5B</Color></Channel></Channels></DisplaySetting>
    <Scaling><Items><Distance Id="X"><Value>3.25E-07</Value></Distance></Items></Scaling></Metadata></ImageDocument>"""
    told = read_metadata(xml, "slide.czi", [0, 1], PixelFormat(1, 16))
    assert told.metadata.model == "Axio Scan.Z1"
    assert told.metadata.objective_power == 20.0
    assert told.metadata.software_versions == ("ZEN 2.6 (blue edition) 2.6.76.00000",)
    assert told.metadata.acquired == datetime(2019, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert told.metadata.optical_paths == (
        OpticalPath("0", "EGFP", fluorescence=True, excitation_nm=488.0, emission_nm=509.5, color=(0, 255, 91)),
        OpticalPath("1", "TL"),
    )
    assert told.x_um == pytest.approx(0.325)
    assert told.y_um is None


def test_channels_of_other_pixels_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "mixed.czi"
    with czi.create_czi(str(path)) as out:
        out.write(PICTURE[:64, :64, :1], (0, 0), {"C": 0})
        out.write(PICTURE[:64, :64, :1].astype(np.uint16), (0, 0), {"C": 1})
        out.write(PICTURE[:64, :64, 1:2], (0, 0), {"C": 2})
        out.write_metadata("slide")
    with caplog.at_level(logging.WARNING), open_slide(path) as slide:
        assert slide.pyramid.optical_paths == 2
        assert slide.pyramid.spacing is None
        assert np.array_equal(slide.tile(0, 0, 0, Plane(1, 0))[:64, :64], PICTURE[:64, :64, 1:2])
    assert "channels [1] have other pixels" in caplog.text


def test_what_lies_outside_is_refused(tmp_path: Path) -> None:
    with open_slide(write(tmp_path / "slide.czi", channels=2)) as slide:
        for place in (0, 4, 0), (0, 0, 1), (0, -1, 0), (1, 0, 0):
            for read in slide.tile, slide.encoded_tile, slide.absent:
                with pytest.raises(OutOfBounds):
                    read(*place)
        for plane in Plane(2, 0), Plane(0, 1), Plane(-1, 0):
            with pytest.raises(OutOfBounds):
                slide.tile(0, 0, 0, plane)
        assert list(slide.encoded_row(0, 0)) == [None] * slide.pyramid.base.columns
    with pytest.raises(ValueError, match="closed"):
        slide.tile(0, 0, 0)


def test_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "slide.czi", kind=np.float32)
    with pytest.raises(UnsupportedFormat, match=r"slide\.czi: pixels of type Gray32Float"):
        open_slide(path)


def test_damage_is_told_in_one_line(tmp_path: Path) -> None:
    """Cut off anywhere, or with bytes of it changed: an error, or pixels."""
    data = write(tmp_path / "slide.czi", channels=2, compression="zstd1:ExplicitLevel=3").read_bytes()
    chance, refused = np.random.default_rng(3), 0
    damaged = [data[: int(len(data) * part)] for part in (0.001, 0.1, 0.5, 0.9, 0.999)]
    for _ in range(40):
        bytes_ = bytearray(data)
        for place in chance.integers(32, len(data), 6):
            bytes_[place] = chance.integers(256)
        damaged.append(bytes(bytes_))
    for number, content in enumerate(damaged):
        path = tmp_path / f"{number}.czi"
        path.write_bytes(content)
        try:
            with open_slide(path) as slide:
                slide.tile(0, 0, 0, slide.pyramid.planes[-1])
        except WsiError as error:
            refused += 1
            assert "\n" not in str(error)  # noqa: PT017  # not all of them fail
    assert refused >= 5


def test_without_the_package_the_message_says_what_to_install(tmp_path: Path) -> None:
    """In an interpreter that does not find it."""
    path = write(tmp_path / "slide.czi")
    script = (
        "import sys; sys.modules['pylibCZIrw'] = None\n"
        "from pathlib import Path; from wsi_dicom.sources import open_slide\n"
        f"open_slide(Path({str(path)!r}))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (
        "UnsupportedFormat: slide.czi: Zeiss CZI is read with an optional package: pip install wsi-dicom[czi]"
        in ran.stderr
    )
