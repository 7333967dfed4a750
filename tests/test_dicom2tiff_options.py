"""Every option of dicom2tiff as a user types it: what is in the files that are written, by tifffile and OpenSlide."""

from __future__ import annotations

import io
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openslide
import pydicom
import pytest
import tifffile
from PIL import Image, JpegImagePlugin

from tests.array_slide import ArraySlide
from tests.conftest import Run
from tests.foreign_series import TILE, Picture, header, jpeg_frames, native_frames, per_frame_groups, save, save_native
from tests.foreign_series import sparse as sparsely
from tests.oracles import scan, tiff_tiles
from tests.test_dicom2tiff import SAMPLE
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.convert import TiffOptions, dicom_to_tiff
from wsi_dicom.slide import Encoding
from wsi_dicom.stores import SeriesRecord
from wsi_dicom.stores.local import LocalStore

RED = (255, 0, 0)

Convert = Callable[..., tifffile.TiffFile]


@pytest.fixture
def run(dicom2tiff: Run) -> Run:
    return dicom2tiff


@pytest.fixture
def convert(run: Run, tmp_path: Path) -> Convert:
    """Runs dicom2tiff; what tifffile makes of the output."""

    def start(series: object, *words: object, name: str = "out.tif") -> tifffile.TiffFile:
        run(series, name, *words)
        left = [path for path in Path.cwd().iterdir() if path.name.startswith(".")]
        assert left == []
        return tifffile.TiffFile(name)

    return start


def tissue(stored: SeriesRecord) -> Path:
    """The file of the finest level."""
    return max(stored.folder.glob("*.dcm"), key=lambda path: path.stat().st_size)


def sampling(jpeg: bytes) -> int:
    """0: 4:4:4, 1: 4:2:2, 2: 4:2:0, as Pillow counts them."""
    return JpegImagePlugin.get_sampling(Image.open(io.BytesIO(jpeg)))


class TestSeries:
    """What SERIES may be."""

    @pytest.mark.parametrize("given", ["series_uid", "orthanc_id", "beginning", "folder", "file", "zip"])
    def test_every_way_to_name_it(self, convert: Convert, stored: SeriesRecord, given: str) -> None:
        with zipfile.ZipFile("slide.zip", "w") as archive:
            for path in stored.folder.glob("*.dcm"):
                archive.write(path, path.name)
        names = {
            "series_uid": stored.series_uid,
            "orthanc_id": stored.orthanc_id,
            "beginning": stored.orthanc_id[:7],
            "folder": stored.folder,
            "file": tissue(stored),
            "zip": Path("slide.zip"),
        }
        with convert(names[given]) as tiff:
            assert [page.shape[:2] for page in tiff.pages if page.is_tiled] == [(8192, 8192), (2048, 2048), (512, 512)]
            assert len(tiff.pages) == 6
            assert f"SeriesInstanceUID = {stored.series_uid}" in tiff.pages[0].description

    @pytest.mark.parametrize(
        "url",
        [
            "orthanc+http://user:secret@host:8042/53f99acd-833cca7f",
            "dicomweb+https://user:secret@host/dicom-web/studies/1/series/2",
            "http:/user:secret@host",
        ],
    )
    def test_urls_are_refused_without_a_word_of_the_password(self, run: Run, url: str) -> None:
        said = run(url, "out.tif", code=2).stderr
        assert "from files and from the local store, not from URLs" in said
        assert "secret" not in said
        assert "user" not in said

    def test_nothing(self, run: Run, stored: SeriesRecord) -> None:
        """An unset variable of a shell is not the folder where one is."""
        shutil.copy(tissue(stored), "here.dcm")
        assert "SERIES is empty" in run("", "out.tif", code=2).stderr

    def test_several_slides_in_a_folder(self, run: Run) -> None:
        for name in ("a", "b"):
            save_native(Path(f"{name}.dcm"), Picture(series_uid=f"1.2.{ord(name)}"), native_frames(6))
        said = run(".", "out.tif", code=2).stderr
        assert "holds 2 whole-slide series" in said
        assert "a.dcm" in said
        assert "b.dcm" in said


class TestLevelsAndTiles:
    def test_levels(self, convert: Convert, stored: SeriesRecord) -> None:
        with convert(stored.series_uid, "--levels", 2) as tiff:
            assert [page.shape[0] for page in tiff.pages if page.is_tiled] == [8192, 2048]

    @pytest.mark.parametrize("smooth", [False, True])
    def test_pyramid(self, convert: Convert, stored: SeriesRecord, smooth: bool) -> None:
        """New levels, whose scans are not those of the series; the finest one is copied."""
        words = ["--level=1", "--pyramid", "--levels=3", *(["--smooth"] if smooth else [])]
        with convert(stored.series_uid, *words) as tiff, tifffile.TiffFile(SAMPLE) as source:
            levels = [page for page in tiff.pages if page.is_tiled]
            assert [page.shape[0] for page in levels] == [2048, 1024, 512]
            assert [scan(tile) for tile in tiff_tiles(levels[0])] == [
                scan(tile) for tile in tiff_tiles(source.series[0].levels[1].pages[0])
            ]
            base = source.series[0].levels[1].asarray().astype(float)
            average = base.reshape(1024, 2, 1024, 2, 3).mean(axis=(1, 3))
            assert np.abs(levels[1].asarray() - average).mean() < (8 if smooth else 3)

    def test_smoothing_smooths(self, convert: Convert, stored: SeriesRecord) -> None:
        noise = []
        for words in ([], ["--smooth"]):
            with convert(
                stored.series_uid, "--pyramid", *words, "--level", "2", "--levels", "2", "--quality", "95"
            ) as tiff:
                noise.append(np.abs(np.diff(tiff.pages[1].asarray().astype(float), axis=1)).mean())
        assert noise[1] < noise[0]

    def test_smooth_alone_is_a_mistake(self, run: Run, stored: SeriesRecord) -> None:
        assert "--pyramid" in run(stored.series_uid, "out.tif", "--smooth", code=2).stderr

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--deidentify", "--label"], "give it or --deidentify"),
            (["--deidentify", "--overview=1"], "give it or --deidentify"),
            (["--region", "0,0,9,9", "--thumbnail"], "--thumbnail shows more than --region"),
            (["--subsampling", "444", "--compression", "lzw"], "--subsampling is for JPEG, not for lzw"),
        ],
    )
    def test_what_contradicts_itself(self, run: Run, stored: SeriesRecord, words: list[str], said: str) -> None:
        assert said in run(stored.series_uid, "out.tif", *words, code=2).stderr

    def test_tile_size(self, convert: Convert, stored: SeriesRecord) -> None:
        with convert(stored.series_uid, "--level", 1, "--tile-size", 512) as tiff, openslide.OpenSlide(SAMPLE) as slide:
            assert [(page.tilewidth, page.tilelength) for page in tiff.pages if page.is_tiled] == [(512, 512)] * 2
            shown = np.asarray(slide.read_region((0, 0), 1, (2048, 2048)))[:, :, :3]
            assert np.abs(tiff.pages[0].asarray().astype(int) - shown).mean() < 3

    @pytest.mark.parametrize(("side", "said"), [(100, "multiple of 16"), (8, "16<=x<=4096"), (8192, "16<=x<=4096")])
    def test_tiles_that_tiff_cannot_have(self, run: Run, stored: SeriesRecord, side: int, said: str) -> None:
        assert said in run(stored.series_uid, "out.tif", "--tile-size", side, code=2).stderr

    @pytest.mark.parametrize(("chosen", "expected"), [("444", 0), ("422", 1), ("420", 2), (None, 2)])
    def test_subsampling(self, convert: Convert, stored: SeriesRecord, chosen: str | None, expected: int) -> None:
        words = [] if chosen is None else ["--subsampling", chosen]
        with convert(stored.series_uid, "--level", 2, "--reencode", *words) as tiff:
            assert sampling(next(tiff_tiles(tiff.pages[0]))) == expected
            assert tiff.pages[0].tags["YCbCrSubSampling"].value == [(1, 1), (2, 1), (2, 2)][expected]

    @pytest.mark.parametrize(
        "words",
        [["--reencode", "--quality=40"], ["--reencode=1", "--jpeg-quality=40"], ["--reencode=on", "--quality", "40"]],
    )
    def test_orthancs_spellings(self, convert: Convert, stored: SeriesRecord, words: list[str]) -> None:
        with (
            convert(stored.series_uid, "--level", 2, *words) as tiff,
            convert(stored.series_uid, "--level", 2, name="copied.tif") as copied,
        ):
            assert tiff.pages[0].compression == tifffile.COMPRESSION.JPEG
            assert sum(tiff.pages[0].databytecounts) < 0.7 * sum(copied.pages[0].databytecounts)

    def test_reencode_does_not_change_what_compression_says(self, convert: Convert, stored: SeriesRecord) -> None:
        with convert(stored.series_uid, "--level", 2, "--reencode", "--compression", "zstd") as tiff:
            assert tiff.pages[0].compression == tifffile.COMPRESSION.ZSTD
            with openslide.OpenSlide(SAMPLE) as slide:
                shown = np.asarray(slide.read_region((0, 0), 2, (512, 512)))[:, :, :3]
            np.testing.assert_array_equal(tiff.pages[0].asarray(), shown)

    def test_any_number_of_threads_makes_the_same_file(self, run: Run, stored: SeriesRecord) -> None:
        for threads in (1, 5):
            run(stored.series_uid, f"{threads}.tif", "--level", 1, "--pyramid", "--threads", threads)
        assert Path("1.tif").read_bytes() == Path("5.tif").read_bytes()


class TestAbsentTiles:
    """A sparse series: tiles (1, 0) and (2, 1) of 3 x 2 were never scanned."""

    PLACES = ((1, 1), (2 * TILE + 1, 1), (1, TILE + 1), (TILE + 1, TILE + 1))

    @pytest.fixture(params=["native", "jpeg"])
    def series(self, request: pytest.FixtureRequest) -> Path:
        picture = sparsely(Picture(), per_frame_groups(self.PLACES))
        picture.attributes["RecommendedAbsentPixelCIELabValue"] = [0, 0x8080, 0x8080]  # black
        if request.param == "native":
            return save_native(Path("sparse.dcm"), picture, native_frames(4))
        return save(Path("sparse.dcm"), header(picture), picture.syntax, pydicom.encaps.encapsulate(jpeg_frames(4)))

    @pytest.fixture
    def series_dense_place(self) -> tuple[slice, slice]:
        return slice(2, TILE - 2), slice(TILE + 2, 2 * TILE - 2)

    @pytest.mark.parametrize(
        ("words", "color"), [([], (0, 0, 0)), (["--color=255,0,0"], RED), (["--color", "255,255,255"], (255, 255, 255))]
    )
    @pytest.mark.parametrize("more", [[], ["--reencode"], ["--flavor", "svs"]])
    def test_their_color(
        self,
        convert: Convert,
        series: Path,
        series_dense_place: tuple[slice, slice],
        words: list[str],
        color: tuple[int, int, int],
        more: list[str],
    ) -> None:
        """As the user says, else as the series does: also white, where the series says black."""
        with convert(series, *words, *more) as tiff:
            absent = tiff.pages[0].asarray()[series_dense_place]
        assert np.abs(absent.astype(int) - color).max() <= 4

    def test_of_a_series_in_the_store(
        self, run_inside: Run, series: Path, series_dense_place: tuple[slice, slice]
    ) -> None:
        store = LocalStore(Path("store"))
        uid = store.add([series]).series_uid
        for words, color in (([], 0), (["--color=9,9,9"], 9)):
            run_inside("dicom2tiff", uid, "out.tif", "--store", "store", *words)
            assert np.abs(tifffile.imread("out.tif")[series_dense_place].astype(int) - color).max() <= 4

    @pytest.mark.parametrize("color", ["255,0", "256,0,0", "red", "1,2,3,4", "-1,0,0", ",,", "1" * 5000 + ",0,0"])
    def test_what_is_no_color(self, run: Run, series: Path, color: str) -> None:
        assert "is no colour" in run(series, "out.tif", f"--color={color}", code=2).stderr


class TestWhatToExport:
    @pytest.mark.parametrize("name", ["label", "overview", "thumbnail"])
    def test_pictures_that_are_left_out(self, convert: Convert, stored: SeriesRecord, name: str) -> None:
        shown = {"label": "label", "overview": "macro", "thumbnail": "thumbnail"}
        with convert(stored.series_uid, "--level", 2, f"--no-{name}") as tiff:
            told = [page.description.partition("Image = ")[2] for page in tiff.pages[1:]]
        assert sorted(told) == sorted(shown[other] for other in shown if other != name)

    @pytest.mark.parametrize("region", ["1,2,3", "a,b,c,d", "0,0,0,5", "0,0,5,-5", "1.5,0,2,2", "0,0,99999999999,1"])
    def test_what_is_no_region(self, run: Run, stored: SeriesRecord, region: str) -> None:
        said = run(stored.series_uid, "out.tif", f"--region={region}", code=2).stderr
        assert "is no region" in said or "is empty" in said

    def test_a_region_outside(self, run: Run, stored: SeriesRecord) -> None:
        said = run(stored.series_uid, "out.tif", "--region", "8000,0,193,1", code=2).stderr
        assert "does not lie within the 8192 x 8192 pixels of level 0" in said

    def test_a_region_with_a_pyramid(self, convert: Convert, stored: SeriesRecord) -> None:
        with convert(stored.series_uid, "--region", "300, 200, 600, 500", "--pyramid") as tiff:
            assert [page.shape[:2] for page in tiff.pages] == [(500, 600), (250, 300), (125, 150)]

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--level", "3"], "has no level 3; it has 0 to 2"),
            (["--focal-plane", "2"], "has no focal plane 2; it has 1 to 1"),
            (["--optical-path", "DAPI"], "has no optical path DAPI; choose one of"),
        ],
    )
    def test_what_the_slide_has_not(self, run: Run, stored: SeriesRecord, words: list[str], said: str) -> None:
        assert said in run(stored.series_uid, "out.tif", *words, code=2).stderr

    @pytest.mark.parametrize("flavor", ["tiff", "svs"])
    def test_several_planes(self, run: Run, convert: Convert, flavor: str) -> None:
        """One has to be chosen, and then it is that one."""
        frames = native_frames(12)
        series = save_native(
            Path("deep.dcm"), Picture(frames=12, attributes={"TotalPixelMatrixFocalPlanes": 2}), frames
        )
        said = run(series, "out.tif", "--flavor", flavor, code=2).stderr
        assert "2 focal planes of 1 optical paths" in said
        assert "--focal-plane and --optical-path, or --flavor ome" in said
        with convert(series, "--flavor", flavor, "--focal-plane", 2) as tiff:
            np.testing.assert_array_equal(tiff.pages[0].asarray()[:TILE, :TILE], frames[6])

    @pytest.mark.parametrize("flavor", ["tiff", "svs", "ome"])
    @pytest.mark.parametrize("words", [[], ["--pyramid", "--level=1"], ["--region", "0,0,700,700"]])
    def test_deidentify(self, run: Run, stored: SeriesRecord, flavor: str, words: list[str]) -> None:
        """No byte of the file tells whose it is, which series, or when and on which device it was scanned."""
        base = pydicom.dcmread(tissue(stored), stop_before_pixels=True)
        uids = {
            element.value for element in base.iterall() if element.VR == "UI" and str(element.value).startswith("2.25")
        }
        secrets = {"Featherstonehaugh", "MRN-4711", "ACC-99", "19470203", str(base.DeviceSerialNumber)} | set(
            map(str, uids)
        )
        day = base.AcquisitionDateTime[:8]
        forms = (
            day,
            f"{day[:4]}:{day[4:6]}:{day[6:]}",
            f"{day[:4]}-{day[4:6]}-{day[6:]}",
            f"{day[4:6]}/{day[6:]}/{day[:4]}",
        )
        for name, deidentify in (("known.tif", []), ("anonymous.tif", ["--deidentify"])):
            run(stored.series_uid, name, "--flavor", flavor, *deidentify, *words)
        written = Path("anonymous.tif").read_bytes()
        assert [secret for secret in {*secrets, *forms} if secret.encode() in written] == []
        assert stored.series_uid.encode() in Path("known.tif").read_bytes()
        if not words:
            with tifffile.TiffFile("anonymous.tif") as tiff:  # neither label nor overview
                assert [page.shape[:2] for page in tiff.pages if not page.is_tiled] == [(768, 768)]


class TestOutput:
    def test_json(self, run: Run, stored: SeriesRecord) -> None:
        done = run(stored.series_uid, "out.tif", "--level", "2", "--json")
        told = json.loads(done.stdout)
        assert (told["output"], told["bytes"], told["bad_tiles"]) == ("out.tif", Path("out.tif").stat().st_size, [])
        assert told["seconds"] > 0
        assert done.stderr == ""

    def test_for_people(self, run: Run, stored: SeriesRecord) -> None:
        said = run(stored.series_uid, "out.tif", "--level", "2", "--pyramid").stdout.splitlines()
        assert re.fullmatch(r"out\.tif: \d+\.\d MB, \d+\.\d s", said[0])
        assert "level 0: copy 512 x 512 in 4 tiles of 256 x 256, JPEG baseline" in said
        assert "level 1: derive 256 x 256 in 1 tiles of 256 x 256, JPEG baseline" in said

    @pytest.mark.parametrize(
        ("name", "words", "known"),
        [
            ("a.tif", [], "tiff"), ("a.svs", [], "svs"), ("A.SVS", [], "svs"), ("a.ome.tif", [], "ome"),
            ("a.OME.TIFF", [], "ome"), ("a.tif", ["--flavor", "svs"], "svs"), ("a.svs", ["--flavor=tiff"], "tiff"),
            ("a.svs", ["--flavor", "ome"], "ome"), ("a", [], "tiff"),
        ],
    )  # fmt: skip
    def test_the_flavor_is_as_said_else_by_the_name(
        self, convert: Convert, stored: SeriesRecord, name: str, words: list[str], known: str
    ) -> None:
        with convert(stored.series_uid, "--level", 2, *words, name=name) as tiff:
            assert (tiff.is_svs, tiff.is_ome) == (known == "svs", known == "ome")

    @pytest.mark.parametrize(
        ("words", "big"),
        [([], False), (["--bigtiff", "no"], False), (["--bigtiff=yes"], True)],
    )
    @pytest.mark.parametrize("flavor", ["tiff", "svs", "ome"])
    def test_bigtiff(
        self,
        convert: Convert,
        stored: SeriesRecord,
        flavor: str,
        words: list[str],
        big: bool,
        tool: Callable[[str], str],
    ) -> None:
        with convert(stored.series_uid, "--level", 2, "--flavor", flavor, *words) as tiff:
            assert tiff.is_bigtiff == big
        said = subprocess.run([tool("tiffinfo"), "out.tif"], capture_output=True, text=True, check=False)
        assert said.stderr == ""
        with openslide.OpenSlide("out.tif") as slide:
            assert slide.dimensions == (512, 512)

    @pytest.mark.parametrize(("size", "big"), [(3 << 30, False), ((4 << 30) - (65 << 20), False), (4 << 30, True)])
    def test_a_bigtiff_when_the_tiles_may_need_it(self, size: int, big: bool) -> None:
        """Of a slide that says how much its tiles may take; few of them are there."""

        class Large(ArraySlide):
            def stored_bytes(self, level: int) -> int:
                return size

        slide = Large(np.zeros((64, 64, 3), np.uint8), encoding=Encoding(JPEG_BASELINE, "YBR_FULL_422"))
        slide.files = (Path("elsewhere"),)
        dicom_to_tiff(slide, Path("out.tif"), TiffOptions())
        with tifffile.TiffFile("out.tif") as tiff:
            assert tiff.is_bigtiff == big
        Path("out.tif").unlink()

    def test_it_is_not_what_is_read(self, run: Run, stored: SeriesRecord) -> None:
        folder = Path(shutil.copytree(stored.folder, "series"))
        for path in folder.glob("*.dcm"):
            before = path.read_bytes()
            Path("link.tif").unlink(missing_ok=True)
            Path("link.tif").symlink_to(path)
            for output in (path, Path("link.tif"), Path("series/../series") / path.name):
                assert "is what the slide is read from" in run(folder, output, code=2).stderr
            assert path.read_bytes() == before

    @pytest.mark.parametrize("place", ["series/new.tif", "series/{uid}/new.tif", "staging/new.tif"])
    def test_it_does_not_lie_in_the_store(self, run: Run, stored: SeriesRecord, place: str) -> None:
        """Files there go away with their series."""
        root = stored.folder.parent.parent
        output = root / place.format(uid=stored.series_uid)
        Path("link").symlink_to(root)
        for spelling in (output, Path("link") / output.relative_to(root)):
            assert "lies among the files of the store" in run(stored.series_uid, spelling, code=2).stderr
            assert not output.exists()

    def test_beside_the_store_it_may_lie(self, run: Run, stored: SeriesRecord) -> None:
        output = stored.folder.parent.parent.parent / "beside.tif"
        run(stored.series_uid, output, "--level", 2)
        assert tifffile.imread(output).shape == (512, 512, 3)

    def test_what_a_killed_run_leaves_goes_with_the_next(self, stored: SeriesRecord, tmp_path: Path) -> None:
        program, store = Path(sys.executable).parent / "dicom2tiff", stored.folder.parent.parent
        command = [program, stored.series_uid, tmp_path / "out.tif", "--store", store, "--pyramid"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        limit = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < limit:
            if any(folder.is_dir() and any(folder.iterdir()) for folder in tmp_path.glob(".wsi-dicom-*")):
                process.send_signal(signal.SIGKILL)  # its file is begun
                break
        assert process.wait() == -signal.SIGKILL
        assert not (tmp_path / "out.tif").exists()
        assert len(list(tmp_path.glob(".wsi-dicom-*"))) == 2
        subprocess.run([*command, "--level", "2"], check=True, capture_output=True)
        assert [path.name for path in tmp_path.iterdir()] == ["out.tif"]
