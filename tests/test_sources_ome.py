"""OME-TIFF against tifffile: real files, and what tifffile writes with OME-XML of its own or of ours."""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from tests.contracts.source_contract import CopiedJpegContract, SourceContract, scan
from tests.ome_document import GRAY, PICTURE, ome, pixels_of, stack, write
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.errors import CorruptInput, OutOfBounds, UnsupportedFormat, WsiError
from wsi_dicom.geometry import FIRST_PLANE, PixelFormat, Plane, Region
from wsi_dicom.metadata import OpticalPath
from wsi_dicom.region import read_region
from wsi_dicom.slide import Encoding, ImageFlavor, Slide, SourceOptions
from wsi_dicom.sources import open_slide


class OmeReader:
    """The first series by tifffile, every plane of it; signed samples moved up by half of their range."""

    def __init__(self, path: Path) -> None:
        with tifffile.TiffFile(path) as file:
            self._levels = [_czyxs(level.asarray(), level.axes) for level in file.series[0].levels]
        self.sizes = [(level.shape[3], level.shape[2]) for level in self._levels]

    def region(self, level: int, region: Region, plane: Plane = FIRST_PLANE) -> NDArray[Any]:
        return self._levels[level][*plane, region.y : region.bottom, region.x : region.right]


def _czyxs(pixels: np.ndarray, axes: str) -> np.ndarray:
    """Axes C, Z, Y, X, S, at the first time point."""
    if "T" in axes:
        pixels, axes = pixels.take(0, axes.index("T")), axes.replace("T", "")
    order = [axis for axis in "CZYXS" if axis in axes]
    pixels = pixels.transpose([axes.index(axis) for axis in order])
    for number, axis in enumerate("CZYXS"):
        if axis not in order:
            pixels = np.expand_dims(pixels, number)
    if pixels.dtype.kind == "i":
        bits = pixels.dtype.itemsize * 8
        pixels = (pixels.astype(int) + (1 << bits - 1)).astype(f"u{bits // 8}")
    return pixels


class OmeContract(SourceContract):
    reader = OmeReader
    planes = 1

    def test_every_plane_has_the_pixels_that_tifffile_sees(self, slide: Slide, path: Path) -> None:
        reader = OmeReader(path)
        assert len(slide.pyramid.planes) == self.planes
        for plane in slide.pyramid.planes:
            for number, level in enumerate(slide.pyramid.levels):
                expected = reader.region(number, level.bounds, plane)
                assert np.array_equal(read_region(slide, number, level.bounds, plane), expected), (plane, number)
        with pytest.raises(OutOfBounds, match=f"optical path {slide.pyramid.optical_paths}"):
            slide.tile(0, 0, 0, Plane(slide.pyramid.optical_paths, 0))


class TestChannelsAndFocalPlanes(OmeContract):
    """Real, of 8-bit signed samples in strips of one row."""

    planes = 15

    @pytest.fixture
    def path(self, slides: Path) -> Path:
        return slides / "ome_tiff" / "multi-channel-z-series.ome.tif"

    def test_planes(self, slide: Slide) -> None:
        assert (slide.pyramid.optical_paths, slide.pyramid.focal_planes) == (3, 5)
        assert slide.pyramid.pixel_format == PixelFormat(1, 8)
        assert len(slide.metadata.optical_paths) == 3

    def test_users_are_told_that_values_move(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING), open_slide(path):
            pass
        assert "int8" in caplog.text


class TestPyramidOfSubdirectories(OmeContract):
    """Real, of 16-bit samples, renamed since: its UUID tells that the planes lie in this file."""

    planes = 3

    @pytest.fixture
    def path(self, slides: Path) -> Path:
        return slides / "ome_tiff" / "2048x2048_ome6_tiled.ome.tif"

    def test_pixels_are_no_unit_of_length(self, slide: Slide) -> None:
        assert slide.pyramid.spacing is None
        assert slide.pyramid.pixel_format == PixelFormat(1, 16)


class TestBrightfieldJpeg(OmeContract, CopiedJpegContract):
    @pytest.fixture
    def path(self, slides: Path) -> Path:
        return slides / "ome_tiff" / "OS-2-ndpi.ome.tif"

    def test_spacing_and_optical_path(self, slide: Slide) -> None:
        assert slide.pyramid.spacing == pytest.approx((0.0002270972430394695, 0.00022710240047237298))
        assert [path.fluorescence for path in slide.metadata.optical_paths] == [False]
        assert slide.metadata.software_versions == ("OME Bio-Formats 6.7.0",)


class TestBrightfieldLzw(OmeContract):
    @pytest.fixture
    def path(self, slides: Path) -> Path:
        return slides / "ome_tiff" / "XYC_bfconvert_LZW.ome.tiff"


class TestCopiedFluorescence(OmeContract):
    """JPEG of one sample in every channel and focal plane, with SubIFDs."""

    planes = 6

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path, pixels = tmp_path / "copied.ome.tif", stack((3, 2))
        same: dict[str, Any] = {"tile": (64, 64), "compression": "jpeg", "photometric": "minisblack"}
        with tifffile.TiffWriter(path, ome=True) as out:
            out.write(pixels, subifds=1, metadata={"axes": "CZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}, **same)
            out.write(pixels[:, :, ::2, ::2], subfiletype=1, **same)
        return path

    def test_all_streams_are_those_of_the_file(self, slide: Slide, path: Path) -> None:
        with tifffile.TiffFile(path) as file, path.open("rb") as raw:
            for number, level in enumerate(slide.pyramid.levels):
                assert slide.encoding(number) == Encoding(JPEG_BASELINE, "MONOCHROME2")
                pages = file.series[0].levels[number].pages
                assert sum(sum(page.databytecounts) for page in pages) <= slide.stored_bytes(number)
                for page, plane in zip(pages, slide.pyramid.planes, strict=True):
                    for index, place in enumerate(level.tiles()):
                        raw.seek(page.dataoffsets[index])
                        tile = slide.encoded_tile(number, *place, plane)
                        assert tile is not None
                        assert scan(tile.data) == scan(raw.read(page.databytecounts[index]))
                    row = [slide.encoded_tile(number, column, 0, plane) for column in range(level.columns)]
                    assert list(slide.encoded_row(number, 0, plane)) == row

    def test_spacing_differs_in_x_and_y(self, slide: Slide) -> None:
        assert slide.pyramid.spacing == pytest.approx((0.0005, 0.00025))


def test_planes_that_are_encoded_in_two_ways_are_not_copied(tmp_path: Path) -> None:
    path, pixels = tmp_path / "two.ome.tif", stack((2,))
    document = ome(pixels_of("uint8", 300, 200, c=2, inner='<TiffData IFD="0"/><TiffData FirstC="1" IFD="1"/>'))
    same: dict[str, Any] = {"tile": (64, 64), "photometric": "minisblack", "metadata": None}
    with tifffile.TiffWriter(path) as out:
        out.write(pixels[0], compression="jpeg", description=document.encode(), **same)
        out.write(pixels[1], compression="zlib", **same)
    with open_slide(path) as slide:
        assert slide.encoding(0) is None
        assert slide.encoded_tile(0, 0, 0) is None
        assert list(slide.encoded_row(0, 0)) == [None] * 5
        assert slide.lossy_method(0) == "ISO_10918_1"
        assert np.array_equal(slide.tile(0, 0, 0, Plane(1, 0))[:, :, 0], pixels[1, :64, :64])


@pytest.mark.parametrize("order", ["".join(order) for order in itertools.permutations("CZT")])
def test_order_of_dimensions(tmp_path: Path, order: str) -> None:
    """Two channels, three focal planes, two time points; all directories told of at once."""
    planes = stack((12,))
    document = ome(pixels_of("uint8", 300, 200, c=2, z=3, t=2, order=f"XY{order}"))
    path = write(tmp_path / "order.ome.tif", document, *planes)
    reader = OmeReader(path)
    with open_slide(path) as slide:
        assert (slide.pyramid.optical_paths, slide.pyramid.focal_planes) == (2, 3)
        for plane in slide.pyramid.planes:
            assert np.array_equal(read_region(slide, 0, Region(0, 0, 300, 200), plane), reader.region(
                0, Region(0, 0, 300, 200), plane
            ))  # fmt: skip


def test_directories_in_any_order(tmp_path: Path) -> None:
    """Runs that begin anywhere, one with the NumPlanes of older schemas; of a plane told of twice the last counts."""
    planes = stack((5,))
    runs = (
        '<TiffData FirstC="1" IFD="0" NumPlanes="2"/><TiffData IFD="3"/>'
        '<TiffData FirstZ="1" IFD="2"/><TiffData FirstC="1" FirstZ="1" IFD="4"/>'
    )
    path = write(tmp_path / "any.ome.tif", ome(pixels_of("uint8", 300, 200, c=2, z=2, inner=runs)), *planes)
    where = {Plane(1, 0): 0, Plane(0, 1): 2, Plane(0, 0): 3, Plane(1, 1): 4}
    with open_slide(path) as slide:
        for plane, page in where.items():
            assert np.array_equal(slide.tile(0, 0, 0, plane)[:, :, 0], planes[page, :64, :64]), plane


def test_the_first_time_point_is_taken_and_said_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    planes = stack((3,))
    path = write(tmp_path / "times.ome.tif", ome(pixels_of("uint8", 300, 200, t=3)), *planes)
    with caplog.at_level(logging.WARNING), open_slide(path) as slide:
        assert np.array_equal(slide.tile(0, 1, 1)[:, :, 0], planes[0, 64:128, 64:128])
    assert "first of 3 time points" in caplog.text


INSTRUMENT = """
<Instrument ID="Instrument:0"><Microscope Manufacturer="Zeta" Model="Axis 7" SerialNumber="77"/>
<Objective ID="Objective:0" NominalMagnification="10.0"/><Objective ID="Objective:1" NominalMagnification="40.0"/>
</Instrument>"""
CHANNELS = """
<Channel ID="Channel:0" Name="DAPI" Color="65535" ExcitationWavelength="358" EmissionWavelength="461"
 ExcitationWavelengthUnit="nm" EmissionWavelengthUnit="nm"/>
<Channel ID="Channel:1" Fluor="Cy5" Color="-16776961" EmissionWavelength="0.67" EmissionWavelengthUnit="&#181;m"/>
<Channel ID="Channel:2" Name="PH" ContrastMethod="Phase"/><TiffData/>"""


def test_metadata(tmp_path: Path) -> None:
    image = pixels_of(
        "uint16", 300, 200, c=3, z=2, inner=CHANNELS,
        attributes='PhysicalSizeX="325" PhysicalSizeXUnit="nm" PhysicalSizeY="0.000325" PhysicalSizeYUnit="mm" '
        'PhysicalSizeZ="1.5"',
        more='<AcquisitionDate>2021-03-04T05:06:07.25Z</AcquisitionDate><Description>colon</Description>'
        '<InstrumentRef ID="Instrument:0"/><ObjectiveSettings ID="Objective:1"/>',
    )  # fmt: skip
    document = ome(image, before=INSTRUMENT, attributes='Creator="Scanner 9"')
    path = write(tmp_path / "told.ome.tif", document, *stack((6,), np.uint16))
    with open_slide(path) as slide:
        told = slide.metadata
        assert told.optical_paths == (
            OpticalPath("0", "DAPI", fluorescence=True, excitation_nm=358.0, emission_nm=461.0, color=(0, 0, 255)),
            OpticalPath("1", "Cy5", fluorescence=True, emission_nm=670.0, color=(255, 0, 0)),
            OpticalPath("2", "PH"),
        )
        assert slide.pyramid.spacing == pytest.approx((0.000325, 0.000325))
        assert slide.pyramid.focal_spacing_um == 1.5
        assert slide.pyramid.pixel_format == PixelFormat(1, 16)
        assert told.objective_power == 40.0
        assert (told.manufacturer, told.model, told.serial_number) == ("Zeta", "Axis 7", "77")
        assert told.software_versions == ("Scanner 9",)
        assert told.acquired == datetime(2021, 3, 4, 5, 6, 7, 250000, UTC)
        assert told.properties == {"Image Name": "main", "Description": "colon", "Creator": "Scanner 9"}


@pytest.mark.parametrize("told", ['<Channel ID="C" SamplesPerPixel="3"/>', '<Channel ID="C"/>', ""])
@pytest.mark.parametrize("planar", [False, True], ids=["together", "separate planes"])
def test_colour_is_one_optical_path(tmp_path: Path, told: str, planar: bool) -> None:
    document = ome(pixels_of("uint8", 300, 200, c=3, inner=f"{told}<TiffData/>"))
    pixels = PICTURE[:200, :300]
    stored = np.moveaxis(pixels, 2, 0) if planar else pixels
    options = {"planarconfig": "separate"} if planar else {}
    path = write(tmp_path / "rgb.ome.tif", document, stored, **options)
    with open_slide(path) as slide:
        assert slide.pyramid.optical_paths == 1
        assert not slide.metadata.optical_paths[0].fluorescence
        assert np.array_equal(read_region(slide, 0, slide.pyramid.base.bounds), pixels)


@pytest.mark.parametrize("told", [True, False], ids=["as images", "not at all"])
def test_levels_as_further_pages(tmp_path: Path, told: bool) -> None:
    """All channels of a level after all those of the finer one."""
    planes = stack((2,))
    levels = [planes, planes[:, ::2, ::2], planes[:, ::4, ::4]]
    sizes, runs = [(300, 200), (150, 100), (75, 50)], [f'<TiffData IFD="{ifd}" PlaneCount="2"/>' for ifd in (0, 2, 4)]
    images = [
        pixels_of("uint8", *size, c=2, name=f"of {size}", inner=run) for size, run in zip(sizes, runs, strict=True)
    ]
    document = ome(*(images if told else images[:1]))
    path = write(tmp_path / "pages.ome.tif", document, *(page for level in levels for page in level))
    with open_slide(path) as slide:
        assert [(level.width, level.height) for level in slide.pyramid.levels] == sizes
        for number, level in enumerate(levels):
            for plane in slide.pyramid.planes:
                inside = slide.pyramid.levels[number].bounds
                assert np.array_equal(read_region(slide, number, inside, plane)[:, :, 0], level[plane.optical_path])


def test_label_and_macro_are_told_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As Bio-Formats names them; what nobody knows is left out, and the log says so."""
    main, label, macro, other = PICTURE[:200, :300], PICTURE[:90, :80], PICTURE[:50, :200], PICTURE[:60, :60]
    told = '<Channel SamplesPerPixel="3"/><TiffData IFD="{}"/>'
    document = ome(
        pixels_of("uint8", 300, 200, c=3, name="slide.svs", inner=told.format(0)),
        pixels_of("uint8", 80, 90, c=3, name="label image", inner=told.format(1)),
        pixels_of("uint8", 200, 50, c=3, name="x [macro]", inner=told.format(2)),
        pixels_of("uint8", 60, 60, c=3, name="?", inner=told.format(3)),
    )
    path = write(tmp_path / "named.ome.tif", document, main, label, macro, other, compression="zlib")
    with caplog.at_level(logging.WARNING), open_slide(path) as slide:
        assert set(slide.associated) == {ImageFlavor.LABEL, ImageFlavor.OVERVIEW}
        assert np.array_equal(slide.associated[ImageFlavor.LABEL].pixels(), label)
        assert np.array_equal(slide.associated[ImageFlavor.OVERVIEW].pixels(), macro)
        assert len(slide.pyramid.levels) == 1
    assert "image '?' is left out" in caplog.text


@pytest.mark.parametrize(("c", "expected"), [(2, 0), (3, 255)], ids=["fluorescence", "colour"])
def test_missing_tiles_are_dark_in_fluorescence(tmp_path: Path, c: int, expected: int) -> None:
    pages = [PICTURE[:128, :128]] if c == 3 else list(stack((2,))[:, :128, :128])
    path = write(tmp_path / "holes.ome.tif", ome(pixels_of("uint8", 128, 128, c=c)), *pages)
    with tifffile.TiffFile(path, mode="r+b") as file:
        page = file.pages[0]
        page.tags["TileByteCounts"].overwrite((0, *page.databytecounts[1:]))
    with open_slide(path) as slide:
        assert slide.absent(0, 0, 0)
        assert np.all(slide.tile(0, 0, 0) == expected)
        assert np.array_equal(slide.tile(0, 1, 0).squeeze(), pages[0][:64, 64:])
    with open_slide(path, options=SourceOptions(color=(9, 9, 9))) as slide:
        assert np.all(slide.tile(0, 0, 0) == (9 if c == 3 else 0))


# --- sets of files


BOMB = '<!DOCTYPE OME [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("document", "error", "message"),
    [
        (ome(pixels_of("float", 300, 200)), UnsupportedFormat, "pixels of type float"),
        (ome(pixels_of("uint8", 301, 200)), CorruptInput, "300 x 200 pixels, where the OME-XML says 301 x 200"),
        (ome(pixels_of("uint8", 300, 200, c=2)), CorruptInput, "puts a plane into directory 1"),
        (ome(pixels_of("uint8", 300, 200, c=2, inner='<TiffData IFD="0"/>')), CorruptInput, "where channel 1, focal"),
        (ome(pixels_of("uint8", 300, 200, z=70000)), UnsupportedFormat, "70000 planes; the limit is 65536"),
        (ome(pixels_of("uint8", 300, 200, order="XYCZQ")), CorruptInput, "DimensionOrder 'XYCZQ'"),
        (ome(pixels_of("uint8", 300, 200, z=0)), CorruptInput, "SizeZ of Pixels is '0'"),
        (ome(pixels_of("uint8", 300, 200, inner='<TiffData FirstZ="1"/>')), CorruptInput, "TiffData begins at"),
        (ome(pixels_of("uint8", 300, 200, inner='<TiffData IFD="-1"/>')), CorruptInput, "IFD of TiffData is '-1'"),
        (ome(pixels_of("uint8", 300, 200, inner='<TiffData/>' * 9)), CorruptInput, "TiffData tell of 5 planes"),
        (ome('<Image Name="none"/>'), CorruptInput, "image 'none' has no Pixels"),
        (ome(), CorruptInput, "no images"),
        (ome(pixels_of("uint8", 300, 200)).replace("?>", f"?>{BOMB}"), UnsupportedFormat, "document type declaration"),
        (ome(pixels_of("uint8", 300, 200)).replace("<Pixels", "<Pixels &nope;"), CorruptInput, "does not parse"),
        (ome("<x/>" * 500_001), UnsupportedFormat, "more than 500000 elements"),
    ],
)  # fmt: skip
def test_refused_by_name(tmp_path: Path, document: str, error: type[WsiError], message: str) -> None:
    path = write(tmp_path / "bad.ome.tif", document, GRAY)
    with pytest.raises(error, match=message) as caught:
        open_slide(path)
    assert "bad.ome.tif" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_plain_reader_does_not_take_one_plane_for_the_slide(tmp_path: Path) -> None:
    path = write(tmp_path / "two.ome.tif", ome(pixels_of("uint8", 300, 200, c=2)), *stack((2,)))
    with pytest.raises(UnsupportedFormat, match="ome-tiff"):
        open_slide(path, source="tiff")
    with open_slide(path, source="ome-tiff") as slide:
        assert slide.pyramid.optical_paths == 2


def mutants(document: str, count: int) -> Iterator[str]:
    """Copies with up to three stretches of it cut out, doubled, or turned into numbers of other sizes."""
    chance = random.Random(5)
    for _ in range(count):
        text = document
        for _ in range(chance.randint(1, 3)):
            begin = chance.randrange(len(text))
            end = begin + chance.randrange(1, 24)
            text = text[:begin] + chance.choice(["", text[begin:end] * 2, "0", "-1", "99999999", '"']) + text[end:]
        yield text


def test_mutated_documents_open_or_fail_in_one_line(tmp_path: Path) -> None:
    image = pixels_of("uint8", 300, 200, c=2, inner='<Channel Name="a"/><TiffData IFD="0" PlaneCount="2"/>')
    path, opened = tmp_path / "mutant.companion.ome", 0
    write(tmp_path / "planes.tif", ome(), *stack((2,)))
    document = ome(image.replace("</TiffData>", "")).replace(
        'PlaneCount="2"/>', 'PlaneCount="2"><UUID FileName="planes.tif">x</UUID></TiffData>'
    )
    for text in itertools.chain([document], mutants(document, 400)):
        path.write_text(text)
        try:
            with open_slide(path) as slide:
                slide.tile(0, 0, 0, slide.pyramid.planes[-1])
                opened += 1
        except WsiError as error:
            assert "\n" not in str(error)  # noqa: PT017  # most of them are errors, not all
    assert opened > 10
