"""Pictures of slides: the pixels that other readers see, their scale and colour profile, and nothing else."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pydicom
import pytest
import pyvips
import tifffile
from PIL import Image, ImageCms
from pydicom.dataset import Dataset
from skimage.data import immunohistochemistry
from skimage.metrics import peak_signal_noise_ratio as psnr

from tests.array_slide import ArraySlide
from tests.conftest import Run
from tests.test_dicom_window import by_pydicom, image, written
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.convert import DicomizeOptions, PictureOptions, PictureWritten, dicomize, slide_to_picture
from wsi_dicom.dicom.slide import open_series
from wsi_dicom.errors import CodecError, InvalidRequest, OutOfBounds, StoreError, UnsupportedFormat
from wsi_dicom.geometry import FIRST_PLANE, Level, Plane, Region, Spacing
from wsi_dicom.part import PartOptions
from wsi_dicom.picture_file import PictureFormat, Quality, encode_picture
from wsi_dicom.plan import PlanOptions
from wsi_dicom.slide import Pixels, Slide
from wsi_dicom.stores.folder import FolderStore

SAMPLE = Path(__file__).parent.parent / "sample_data" / "ihc-8k.svs"
TISSUE: Any = immunohistochemistry()  # type: ignore[no-untyped-call]  # scikit-image has no types
PNG, JPG, WEBP = PictureFormat.PNG, PictureFormat.JPG, PictureFormat.WEBP
READ_BY_PILLOW = [kind for kind in PictureFormat if kind not in (PictureFormat.JXL, PictureFormat.PDF)]
WITH_SCALE = [PNG, JPG, WEBP, PictureFormat.TIF]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GRAY_PROFILE = SRGB[:16] + b"GRAY" + SRGB[20:]


def series(source: Path, folder: Path, **options: Any) -> Path:
    dicomize(source, FolderStore(folder), DicomizeOptions(**options))
    return folder


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Levels of 8192, 2048 and 512 pixels, and a patient."""
    patient = Dataset()
    patient.PatientName, patient.PatientID = "Doe^Jane", "MRN-4711"
    return series(SAMPLE, tmp_path_factory.mktemp("sample"), additions=patient)


def opened(folder: Path) -> Slide:
    return open_series(sorted(folder.glob("*.dcm")))


def picture(slide: Slide, output: Path, picture_format: PictureFormat = PNG, **options: Any) -> Image.Image:
    """The file, as Pillow reads it."""
    done = slide_to_picture(slide, output, PictureOptions(picture_format, **options))
    made = Image.open(output)
    made.load()
    assert made.size == (done.width, done.height)
    return made


@pytest.mark.parametrize(
    ("level", "region"),
    [
        (0, Region(4111, 203, 701, 505)),
        (1, Region(404, 8, 4096, 5000)),
        (1, None),
        (2, None),
        (2, Region(160, 0, 160, 64)),
    ],
)
def test_png_is_exactly_what_openslide_reads(sample: Path, tmp_path: Path, level: int, region: Region | None) -> None:
    down = 4**level
    x, y, width, height = (region.x, region.y, region.width, region.height) if region else (0, 0, 8192, 8192)
    with openslide.OpenSlide(SAMPLE) as theirs, opened(sample) as slide:
        due = theirs.read_region((x, y), level, (width // down, height // down)).convert("RGB")
        made = picture(slide, tmp_path / "a.png", part=PartOptions(level, region), threads=2)
    np.testing.assert_array_equal(np.asarray(made), np.asarray(due))


def test_png_of_a_lossless_series_is_exactly_what_pydicom_reads(slides: Path, tmp_path: Path) -> None:
    path = slides / "dicom_wsi" / "highdicom" / "sm_image_jpegls.dcm"
    tiles = pydicom.dcmread(path).pixel_array.reshape(5, 5, 10, 10, 3)
    due = tiles.transpose(0, 2, 1, 3, 4).reshape(50, 50, 3)
    with open_series([path]) as slide:
        made = picture(slide, tmp_path / "a.png", part=PartOptions(region=Region(7, 13, 31, 29)))
    np.testing.assert_array_equal(np.asarray(made), due[13:42, 7:38])


def test_a_plane_of_a_stack(slides: Path, tmp_path: Path) -> None:
    source = slides / "ome_tiff" / "multi-channel-z-series.ome.tif"
    stack = tifffile.imread(source)
    assert stack.shape == (3, 5, 167, 439)  # channels, focal planes
    folder = series(source, tmp_path / "series")
    with opened(folder) as slide:
        with pytest.raises(
            UnsupportedFormat, match=r"has 5 focal planes of 3 optical paths; .* choose it with --focal"
        ):
            slide_to_picture(slide, tmp_path / "a.png", PictureOptions(PNG))
        made = picture(slide, tmp_path / "a.png", part=PartOptions(optical_path="2", focal_plane=4))
    assert made.mode == "L"
    np.testing.assert_array_equal(
        np.asarray(made), stack[2, 3].astype(int) + 128
    )  # paths are called 0, 1, 2; values are signed


def test_gray_of_twelve_bits_is_shown_through_its_window(tmp_path: Path) -> None:
    path = written(tmp_path, image(WindowCenter=1000, WindowWidth=800))
    with open_series([path]) as slide:
        made = picture(slide, tmp_path / "a.png")
    np.testing.assert_allclose(np.asarray(made), by_pydicom(path), atol=0.5001)


@pytest.mark.parametrize(("picture_format", "quality", "least"), [(JPG, 90, 34), (JPG, 30, 28), (WEBP, 90, 34)])
def test_lossy_pictures_are_close(tmp_path: Path, picture_format: PictureFormat, quality: int, least: float) -> None:
    made = picture(ArraySlide(TISSUE), tmp_path / "a", picture_format, quality=quality)
    assert psnr(TISSUE, np.asarray(made)) > least  # type: ignore[no-untyped-call]  # scikit-image has no types


@pytest.mark.parametrize("picture_format", [JPG, WEBP])
def test_quality_is_size(tmp_path: Path, picture_format: PictureFormat) -> None:
    sizes = []
    for quality in (10, 50, 95):
        picture(ArraySlide(TISSUE), tmp_path / "a", picture_format, quality=quality)
        sizes.append((tmp_path / "a").stat().st_size)
    assert 4 * sizes[0] < 2 * sizes[1] < sizes[2]


def per_cm(made: Image.Image) -> tuple[float, float]:
    """The scale of a picture, as Pillow reads it."""
    exif = made.getexif()
    if made.format == "WEBP":
        assert exif[0x0128] == 3
        return float(exif[0x011A]), float(exif[0x011B])
    across, down = made.info["dpi"]
    return across / 2.54, down / 2.54


def pictured(picture_format: PictureFormat, pixels: Pixels = TISSUE, **told: Any) -> Image.Image:
    made = Image.open(io.BytesIO(encode_picture(pixels, picture_format, **told)))
    made.load()
    return made


@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_png_keeps_every_pixel(samples: int) -> None:
    pixels = np.random.default_rng(samples).integers(0, 256, (37, 61, samples), np.uint8)
    due = pixels[:, :, 0] if samples == 1 else pixels
    for turned in (pixels, pixels[::-1, ::-1]):
        made = np.asarray(pictured(PNG, turned, spacing=Spacing(0.0005, 0.0005)))
        np.testing.assert_array_equal(made, due if turned is pixels else due[::-1, ::-1])


class TestScale:
    @pytest.mark.parametrize("picture_format", [PNG, JPG, WEBP])
    @pytest.mark.parametrize(("level", "region"), [(0, Region(100, 200, 64, 64)), (2, None)])
    def test_is_that_of_the_level(
        self, sample: Path, tmp_path: Path, picture_format: PictureFormat, level: int, region: Region | None
    ) -> None:
        with openslide.OpenSlide(SAMPLE) as theirs, opened(sample) as slide:
            micrometres = float(theirs.properties["openslide.mpp-x"]) * 16 ** (level // 2)
            made = picture(slide, tmp_path / "a", picture_format, part=PartOptions(level, region))
        assert per_cm(made) == pytest.approx((10_000 / micrometres,) * 2, rel=1e-4)

    @pytest.mark.parametrize("picture_format", WITH_SCALE)
    def test_pixels_need_not_be_square(self, picture_format: PictureFormat) -> None:
        made = pictured(picture_format, spacing=Spacing(0.00025, 0.001))
        assert per_cm(made) == pytest.approx((40_000, 10_000), rel=1e-6)

    @pytest.mark.parametrize("picture_format", [PNG, JPG])
    def test_libvips_reads_it(self, picture_format: PictureFormat) -> None:
        data = encode_picture(TISSUE, picture_format, spacing=Spacing(0.0005, 0.0002525))
        made = pyvips.Image.new_from_buffer(data, "")
        assert (made.xres, made.yres) == pytest.approx((2000, 1 / 0.0002525), rel=1e-4)  # pixels per mm

    @pytest.mark.parametrize("picture_format", READ_BY_PILLOW)
    @pytest.mark.parametrize("side", [1e-300, 1e-7, 1e5, 1e300])
    def test_what_no_format_can_tell_is_not_told(self, picture_format: PictureFormat, side: float) -> None:
        made = pictured(picture_format, spacing=Spacing(side, side))
        assert made.info.get("jfif_density", (1, 1)) == (1, 1)
        assert not made.info.keys() & {"dpi", "exif"} or picture_format is PictureFormat.TIF

    def test_jpeg_tells_none_that_is_too_fine_for_it(self) -> None:
        assert pictured(JPG, spacing=Spacing(0.0001, 0.0001)).info["jfif_unit"] == 0
        assert per_cm(pictured(PNG, spacing=Spacing(0.0001, 0.0001)))[0] == pytest.approx(100_000)


class TestIccProfile:
    @pytest.mark.parametrize("picture_format", [PNG, JPG, WEBP])
    def test_is_the_slide_s(self, sample: Path, tmp_path: Path, picture_format: PictureFormat) -> None:
        due = pydicom.dcmread(min(sample.glob("*.dcm"))).OpticalPathSequence[0].ICCProfile
        with opened(sample) as slide:
            made = picture(slide, tmp_path / "a", picture_format, part=PartOptions(2))
        assert made.info["icc_profile"] == due
        assert ImageCms.getOpenProfile(io.BytesIO(made.info["icc_profile"])).profile.xcolor_space == "RGB "

    @pytest.mark.parametrize("picture_format", WITH_SCALE)
    def test_of_any_size(self, picture_format: PictureFormat) -> None:
        profile = SRGB + bytes(200_000)
        assert pictured(picture_format, icc_profile=profile).info["icc_profile"] == profile

    @pytest.mark.parametrize("picture_format", WITH_SCALE)
    def test_only_with_pixels_that_it_is_for(self, picture_format: PictureFormat) -> None:
        """libpng refuses to read others, and browsers show odd colours."""
        gray = TISSUE[:, :, :1].copy()
        assert not pictured(picture_format, gray, icc_profile=SRGB).info.get("icc_profile") or picture_format is WEBP
        grayed = pictured(picture_format, quality=Quality.GRAY, icc_profile=SRGB).info
        assert not grayed.get("icc_profile") or picture_format is WEBP
        assert "icc_profile" not in pictured(picture_format, icc_profile=GRAY_PROFILE).info
        assert "icc_profile" not in pictured(picture_format, icc_profile=b"no profile").info
        kept = pictured(picture_format, gray, icc_profile=GRAY_PROFILE).info.get("icc_profile")
        assert kept == (None if picture_format is WEBP else GRAY_PROFILE)  # WebP knows no gray


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_nothing_names_the_slide_or_the_patient(sample: Path, tmp_path: Path, name: str) -> None:
    with opened(sample) as slide:
        picture(slide, tmp_path / name, PictureFormat(name[2:]), part=PartOptions(2))
        uids = [uid for name, uid in slide.metadata.identifiers.items() if name.endswith("UID")]
    data = (tmp_path / name).read_bytes()
    assert uids
    for word in ("Jane", "MRN-4711", *uids):
        assert word.encode() not in data


class Enormous(ArraySlide):
    """A level that is refused before it is read."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__(TISSUE, (512, 512))
        self.pyramid = replace(self.pyramid, levels=(Level(width, height, 512, 512),))

    def tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> Pixels:
        raise AssertionError("a tile was read")


class TestLimits:
    @pytest.mark.parametrize(
        ("picture_format", "width", "height", "reason"),
        [
            (PNG, 1 << 17, (1 << 10) + 1, "pictures of at most 134217728 pixels are written"),
            (PNG, 1_000_000, 1_000_000, "pictures of at most 134217728 pixels are written"),
            (JPG, 65_501, 1, "a JPG picture holds at most 65500 pixels on a side"),
            (PNG, 1, 1_000_001, "a PNG picture holds at most 1000000 pixels on a side"),
            (WEBP, 1, 16_384, "a WEBP picture holds at most 16383 pixels on a side"),
        ],
    )
    def test_too_large(
        self, tmp_path: Path, picture_format: PictureFormat, width: int, height: int, reason: str
    ) -> None:
        due = f"array: {width} x {height} pixels: {reason}; choose a coarser --level or a smaller --region"
        with pytest.raises(InvalidRequest, match=due):
            slide_to_picture(Enormous(width, height), tmp_path / "a", PictureOptions(picture_format))
        assert list(tmp_path.iterdir()) == []

    def test_more_detail_than_webp_can_hold(self) -> None:
        noise = np.random.default_rng(5).integers(0, 256, (4096, 4096, 3), np.uint8)
        with pytest.raises(InvalidRequest, match=r"cannot hold so much detail .*; ask for .* lower quality"):
            encode_picture(noise, WEBP, webp_quality=95)

    @pytest.mark.parametrize("region", [Region(500, 0, 13, 4), Region(-1, 0, 4, 4), Region(0, 0, 0, 0)])
    def test_regions_outside(self, tmp_path: Path, region: Region) -> None:
        with pytest.raises(OutOfBounds, match="does not lie within the 512 x 512 pixels of level 0"):
            slide_to_picture(ArraySlide(TISSUE), tmp_path / "a", PictureOptions(PNG, PartOptions(region=region)))


@pytest.mark.parametrize("threads", [1, 3])
def test_each_tile_is_decoded_once_and_told(tmp_path: Path, threads: int) -> None:
    class Watch:
        def __init__(self) -> None:
            self.due = self.tiles = self.pixels = 0

        def planned(self, pixels: int) -> None:
            self.due = pixels

        def advanced(self, tiles: int, pixels: int) -> None:
            self.tiles, self.pixels = self.tiles + tiles, self.pixels + pixels

    slide, watch = ArraySlide(TISSUE), Watch()
    options = PictureOptions(PNG, PartOptions(region=Region(65, 100, 200, 300)), threads=threads)
    assert slide_to_picture(slide, tmp_path / "a", options, watch) == PictureWritten(200, 300)
    assert slide.decoded == {(column, row): 1 for column in range(1, 5) for row in range(1, 7)}
    assert (watch.due, watch.pixels, watch.tiles) == (60_000, 60_000, 24)


class TestOutput:
    @pytest.fixture
    def broken(self, tmp_path: Path) -> Path:
        """A series whose tile in column 1 of row 1 has no header."""
        tifffile.imwrite(tmp_path / "a.tif", TISSUE, tile=(256, 256), photometric="rgb")
        folder = series(tmp_path / "a.tif", tmp_path / "series", plan=PlanOptions(compression=Compression.JPEG2000))
        (path,) = folder.glob("*.dcm")
        data = bytearray(path.read_bytes())
        last = data.rindex(b"\xff\x4f\xff\x51")
        data[last : last + 60] = bytes(60)
        path.write_bytes(data)
        return folder

    def test_a_broken_tile_ends_it_and_destroys_nothing(self, broken: Path, tmp_path: Path) -> None:
        output = tmp_path / "a.png"
        output.write_bytes(b"precious")
        before = sorted(tmp_path.iterdir())
        with opened(broken) as slide, pytest.raises(CodecError, match="level 0, tile column 1, row 1"):
            slide_to_picture(slide, output, PictureOptions(PNG))
        assert output.read_bytes() == b"precious"
        assert sorted(tmp_path.iterdir()) == before

    def test_or_becomes_background_and_is_told(self, broken: Path, tmp_path: Path) -> None:
        with opened(broken) as slide:
            done = slide_to_picture(slide, tmp_path / "a.png", PictureOptions(PNG, blank_bad_tiles=True))
        due = TISSUE.copy()
        due[256:, 256:] = 255
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), due)
        assert [bad[:3] for bad in done.bad_tiles] == [(0, 1, 1)]

    def test_not_over_what_is_read(self, broken: Path) -> None:
        (path,) = broken.glob("*.dcm")
        with opened(broken) as slide, pytest.raises(InvalidRequest, match="is what the slide is read from"):
            slide_to_picture(slide, path, PictureOptions(PNG))

    def test_no_such_folder(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="there is no folder"):
            slide_to_picture(ArraySlide(TISSUE), tmp_path / "nowhere" / "a.png", PictureOptions(PNG))


class TestCommand:
    @pytest.mark.parametrize(
        ("name", "options", "kind"),
        [
            ("a.png", [], "PNG"),
            ("a.JPG", ["--quality", "40"], "JPEG"),
            ("a.jpeg", ["--deidentify", "--no-label"], "JPEG"),
            ("a.webp", ["--region", "0,0,1600,800"], "WEBP"),
            ("a.tif", ["--to", "webp"], "WEBP"),
            ("a.png", ["--to", "jpeg"], "JPEG"),
        ],
    )
    def test_the_name_or_the_option_says_what(
        self, run: Run, sample: Path, tmp_path: Path, name: str, options: list[str], kind: str
    ) -> None:
        told = json.loads(run("dicom2tiff", sample, name, "--level", "2", "--json", *options).stdout)
        with Image.open(tmp_path / "here" / name) as made:
            assert made.format == kind
            assert made.size == ((100, 50) if "--region" in options else (512, 512))
        assert told["output"] == name
        assert told["bytes"] == (tmp_path / "here" / name).stat().st_size
        assert told["bad_tiles"] == []

    def test_no_space_left(self, sample: Path, tmp_path: Path) -> None:
        """A limit on the size of files stands for a full disk."""
        program = Path(sys.executable).parent / "dicom2tiff"
        command = f"ulimit -f 20; trap '' XFSZ; {program} {sample} a.png --level 2"
        said = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert said.returncode == 2
        assert said.stderr == f"dicom2tiff: a.png: cannot be written: {os.strerror(errno.EFBIG)}\n"
        assert list(tmp_path.iterdir()) == []

    def test_it_tells_the_size(self, run: Run, sample: Path) -> None:
        assert "\n300 x 200 pixels\n" in run("dicom2tiff", sample, "a.png", "--region", "80,80,300,200").stdout

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            (["--pyramid"], "--pyramid is for TIFF, but a.png becomes a picture (png)"),
            (["--flavor", "svs"], "--flavor is for TIFF"),
            (["--compression", "jpeg"], "--compression is for TIFF"),
            (["--tile-size", "256"], "--tile-size is for TIFF"),
            (["--levels", "2"], "--levels is for TIFF"),
            (["--reencode=1"], "--reencode is for TIFF"),
            (["--subsampling", "444"], "--subsampling is for TIFF"),
            (["--bigtiff", "yes"], "--bigtiff is for TIFF"),
            (["--label"], "--label is for TIFF"),
            (["--quality", "80"], "--quality is for jpeg and webp: PNG is lossless"),
            (["--region", "0,0,99999,2"], "the region 0,0,99999,2 does not lie within the 8192 x 8192 pixels"),
            (["--level", "7"], "has no level 7; it has 0 to 2"),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, run: Run, sample: Path, tmp_path: Path, options: list[str], reason: str
    ) -> None:
        assert reason in run("dicom2tiff", sample, "a.png", *options, code=2).stderr
        assert list((tmp_path / "here").iterdir()) == []
