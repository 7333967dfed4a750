"""Every option of dicomize as a user types it: what is in the files that are written, by pydicom and other readers."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pydicom
import pytest
import tifffile
import wsidicom
from PIL import Image, ImageCms, JpegImagePlugin
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless
from skimage.data import immunohistochemistry

from tests.conftest import Run
from tests.foreign_series import Picture, native_frames, save_native
from tests.oracles import assert_conformant, frames, images, tiff_tiles
from tests.test_sources_cytomine import PRIVATE, PUBLIC, Server, encoded, running
from tests.test_sources_philips import make as philips_slide
from tests.vendor_tiffs import drop_tiles
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.codecs.transfer_syntaxes import KNOWN

SAMPLE = Path(__file__).parent.parent / "sample_data" / "ihc-small.tif"
LARGE = SAMPLE.with_name("ihc-8k.svs")
TISSUE = immunohistochemistry()[:301, :413]
KEY = "correct horse battery staple"

Convert = Callable[..., dict[str, list[Dataset]]]


@pytest.fixture
def run(run_inside: Run) -> Run:
    return run_inside


@pytest.fixture
def convert(run: Run) -> Convert:
    """Runs dicomize; the instances by flavour, the finest level first."""

    def start(*words: object, **more: str) -> dict[str, list[Dataset]]:
        return images(Path(json.loads(run("dicomize", *words, "--json", **more).stdout)["location"]))

    return start


@pytest.fixture
def cmu(slides: Path) -> Path:
    return slides / "aperio" / "CMU-1-Small-Region.svs"


@pytest.fixture
def lossless(tmp_path: Path) -> Path:
    path = tmp_path / "lossless.tif"
    tifffile.imwrite(
        path, TISSUE, tile=(128, 128), compression="zlib", photometric="rgb", resolution=(20000, 20000),
        resolutionunit="CENTIMETER",
    )  # fmt: skip
    return path


@pytest.fixture
def without_spacing(tmp_path: Path) -> Path:
    path = tmp_path / "unscaled.tif"
    tifffile.imwrite(path, TISSUE, tile=(128, 128), compression="jpeg", photometric="rgb")
    return path


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """The tile at column 5, row 2 of the finest level is a JPEG whose scan asks for a table that there is not."""
    path = Path(shutil.copy(SAMPLE, tmp_path / "damaged.tif"))
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        number = 2 * -(-page.imagewidth // page.tilewidth) + 5
        tables = page.dataoffsets[number] + list(tiff_tiles(page))[number].index(b"\xff\xda") + 6
    with path.open("r+b") as file:
        file.seek(tables)
        file.write(b"\x33")
    return path


def picture(datasets: list[Dataset]) -> np.ndarray[Any, Any]:
    """What OpenSlide shows of the finest level."""
    with openslide.OpenSlide(datasets[0].filename) as slide:
        return np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))


def sampling(jpeg: bytes) -> int:
    """0: 4:4:4, 1: 4:2:2, 2: 4:2:0, as Pillow counts them."""
    return JpegImagePlugin.get_sampling(Image.open(io.BytesIO(jpeg)))


class TestInput:
    @pytest.mark.parametrize("spelling", ["--force-openslide=1", "--source=openslide", "--source=OpenSlide"])
    def test_openslide_is_asked(self, convert: Convert, spelling: str) -> None:
        """It decodes, so everything is encoded anew."""
        base = convert(SAMPLE, spelling)["VOLUME"][0]
        assert base.ImageType[0] == "DERIVED"
        with openslide.OpenSlide(SAMPLE) as slide:
            theirs = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB")).astype(int)
        assert abs(picture([base]) - theirs).mean() < 3

    def test_the_path_of_openslide_is_ignored(self, run: Run) -> None:
        done = run("dicomize", SAMPLE, "--openslide=/usr/lib/libopenslide.so.0", "--json")
        assert done.stderr == "note: --openslide is ignored: OpenSlide comes with this program\n"

    def test_a_wrong_source_lists_the_names(self, run: Run) -> None:
        said = run("dicomize", SAMPLE, "--source", "frobnicate", code=2).stderr
        for name in ("svs", "ndpi", "dicom", "ome-tiff", "openslide", "picture"):
            assert name in said

    @pytest.mark.parametrize("name", ["ndpi", "dicom", "picture", "philips", "ventana", "scn", "qptiff", "ome-tiff"])
    def test_a_file_of_another_kind(self, run: Run, name: str) -> None:
        assert SAMPLE.name in run("dicomize", SAMPLE, "--source", name, code=2).stderr

    def test_padding(self, convert: Convert, tmp_path: Path) -> None:
        Image.fromarray(TISSUE).save(tmp_path / "flat.png")
        base = convert(tmp_path / "flat.png", "--padding=64", "--color=1,2,3", "--spacing=0.0005")["VOLUME"][0]
        assert (base.TotalPixelMatrixColumns, base.TotalPixelMatrixRows) == (448, 320)
        shown = picture([base])
        np.testing.assert_array_equal(shown[:301, :413], TISSUE)
        assert (shown[301:] == (1, 2, 3)).all()
        assert (shown[:, 413:] == (1, 2, 3)).all()

    def test_a_bad_tile(self, run: Run, damaged: Path) -> None:
        """What is not decoded is copied as it is, unless --safety looks."""
        run("dicomize", damaged)
        assert "column 5, row 2" in run("dicomize", damaged, "--safety", code=2).stderr
        assert "column 5, row 2" in run("dicomize", damaged, "--pyramid", code=2).stderr
        done = run("dicomize", damaged, "--safety=1", "--on-bad-tile", "blank", "--json")
        told = json.loads(done.stdout)
        assert [(bad["level"], bad["column"], bad["row"]) for bad in told["bad_tiles"]] == [(0, 5, 2)]
        assert done.stderr.startswith("warning: blank: ")
        shown = picture(images(Path(told["location"]))["VOLUME"])
        assert (shown[256 : 256 + 128, 640 : 640 + 128] == 255).all()

    @pytest.mark.parametrize("compression", ["jpeg", "png"])
    def test_cytomine(self, convert: Convert, compression: str) -> None:
        tissue = Image.fromarray(immunohistochemistry())
        with running(Server(tissue)) as server:
            base = convert(
                f"--cytomine-url={server.url}", "--cytomine-image=325", f"--cytomine-compression={compression}",
                f"--cytomine-public-key={PUBLIC}", "--spacing=0.0005", WSI_DICOM_CYTOMINE_PRIVATE_KEY=PRIVATE,
            )["VOLUME"][0]  # fmt: skip
        if compression == "png":
            np.testing.assert_array_equal(picture([base]), np.asarray(tissue))
        else:
            assert frames(base)[0].rstrip(b"\0") == encoded(tissue, "jpg").rstrip(b"\0")

    def test_half_of_cytomine(self, run: Run) -> None:
        said = run("dicomize", "--cytomine-url=http://localhost:1", code=2).stderr
        assert "--cytomine-public-key, --cytomine-private-key, --cytomine-image" in said
        run("dicomize", SAMPLE, "--cytomine-url=http://localhost:1", code=2)


class TestTiles:
    def test_levels(self, convert: Convert) -> None:
        assert len(convert(SAMPLE, "--levels=1")["VOLUME"]) == 1
        widths = [level.TotalPixelMatrixColumns for level in convert(SAMPLE, "--pyramid", "--levels=3")["VOLUME"]]
        assert widths == [1001, 501, 251]

    def test_smooth(self, convert: Convert, lossless: Path) -> None:
        """Neither is the other's pyramid; both keep the mean of the picture."""
        plain, smooth = (
            convert(lossless, "--pyramid=1", f"--smooth={switch}", "--compression=none")["VOLUME"][1].pixel_array
            for switch in (0, 1)
        )
        assert (plain != smooth).any()
        assert plain.mean() == pytest.approx(smooth.mean(), rel=0.01)

    def test_tile_size(self, convert: Convert, lossless: Path) -> None:
        base = convert(lossless, "--tile-width=256", "--tile-height=64")["VOLUME"][0]
        assert (base.Columns, base.Rows) == (256, 64)
        np.testing.assert_array_equal(picture([base]), TISSUE)

    def test_reencode(self, convert: Convert) -> None:
        with tifffile.TiffFile(SAMPLE) as tiff:
            tile = next(tiff_tiles(tiff.pages[0]))
        base = convert(SAMPLE, "--reencode")["VOLUME"][0]
        assert base.ImageType[0] == "DERIVED"
        assert list(base.LossyImageCompressionMethod) == ["ISO_10918_1"] * 2
        assert frames(base)[0] != tile

    @pytest.mark.parametrize("spelling", ["--quality=35", "--jpeg-quality=35"])
    def test_quality(self, convert: Convert, spelling: str) -> None:
        """The tables are those of libjpeg's quality, by Pillow."""
        file = io.BytesIO()
        Image.new("RGB", (16, 16)).save(file, "JPEG", quality=35)
        ours = frames(convert(SAMPLE, "--reencode", spelling)["VOLUME"][0])[0]
        assert Image.open(io.BytesIO(ours)).quantization == Image.open(file).quantization

    @pytest.mark.parametrize(("name", "expected"), [("444", 0), ("422", 1), ("420", 2)])
    def test_subsampling(self, convert: Convert, lossless: Path, name: str, expected: int) -> None:
        base = convert(lossless, "--compression=jpeg", f"--subsampling={name}")["VOLUME"][0]
        assert sampling(frames(base)[0]) == expected

    @pytest.mark.parametrize("compression", [each for each in Compression if each.transfer_syntax in KNOWN])
    def test_compression(self, convert: Convert, lossless: Path, compression: Compression) -> None:
        base = convert(lossless, "--compression", compression)["VOLUME"][0]
        recompress = compression is Compression.JPEG_XL_RECOMPRESS  # of what is no JPEG nothing is lost
        expected = Compression.JPEG_XL if recompress else compression
        assert base.file_meta.TransferSyntaxUID == expected.transfer_syntax
        assert base.LossyImageCompression == ("00" if expected.lossless else "01")

    @pytest.mark.parametrize(
        ("words", "kept"), [([], True), (["--compression=none"], True), (["--compression=rle"], False)]
    )
    def test_tiles_without_compression_get_the_one_that_is_asked_for(
        self, convert: Convert, tmp_path: Path, words: list[str], kept: bool
    ) -> None:
        stored = native_frames(6)
        base = convert(save_native(tmp_path / "raw.dcm", Picture(), stored), *words, "--spacing=0.0005")["VOLUME"][0]
        assert base.file_meta.TransferSyntaxUID == (ExplicitVRLittleEndian if kept else RLELossless)
        np.testing.assert_array_equal(base.pixel_array[:2], stored[:2])  # the others reach beyond the picture

    @pytest.mark.parametrize("name", ["label", "overview", "thumbnail"])
    def test_pictures_that_are_left_out(self, convert: Convert, cmu: Path, name: str) -> None:
        assert set(convert(cmu, f"--no-{name}")) == {"VOLUME", "LABEL", "OVERVIEW", "THUMBNAIL"} - {name.upper()}

    def test_absent_tiles(self, convert: Convert, tmp_path: Path) -> None:
        source = philips_slide(tmp_path / "sparse.tiff")
        drop_tiles(source, 0, [0, 1, 5, 6, 10, 11, 12])  # of 5 x 3 tiles of 64 x 64 pixels
        drop_tiles(source, 1, [0, 3])
        base = convert(source)["VOLUME"][0]
        assert (base.DimensionOrganizationType, base.NumberOfFrames) == ("TILED_SPARSE", 8)
        for words, colour in ([["--repaint"], (255, 255, 255)], [["--color=200,100,50"], (200, 100, 50)]):
            base = convert(source, *words)["VOLUME"][0]
            assert (base.DimensionOrganizationType, base.NumberOfFrames) == ("TILED_FULL", 15)
            assert abs(picture([base])[:, :128].astype(int) - colour).max() <= 2


class TestScale:
    def test_spacing(self, convert: Convert, without_spacing: Path) -> None:
        found = convert(without_spacing, "--spacing=0.0005,0.00025", "--require-spacing")
        base = found["VOLUME"][0]
        measures = base.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        assert list(measures.PixelSpacing) == [0.00025, 0.0005]  # between rows first
        assert base.ImagedVolumeWidth == pytest.approx(413 * 0.0005)
        assert base.ImagedVolumeHeight == pytest.approx(301 * 0.00025)
        with openslide.OpenSlide(base.filename) as slide:
            assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.5)

    def test_imaged_size(self, convert: Convert, without_spacing: Path) -> None:
        words = [
            "--imaged-width=4.13",
            "--imaged-height=6.02",
            "--imaged-depth=0.004",
            "--offset-x=1.5",
            "--offset-y=-2",
        ]
        base = convert(without_spacing, *words)["VOLUME"][0]
        measures = base.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        assert [float(side) for side in measures.PixelSpacing] == pytest.approx([0.02, 0.01])
        assert base.ImagedVolumeDepth == pytest.approx(4)  # in micrometres, unlike width and height
        origin = base.TotalPixelMatrixOriginSequence[0]
        assert (origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem) == (1.5, -2)

    def test_defaults(self, convert: Convert) -> None:
        base = convert(SAMPLE)["VOLUME"][0]
        origin = base.TotalPixelMatrixOriginSequence[0]
        assert (origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem) == (20, 40)
        assert base.ImagedVolumeDepth == pytest.approx(1)

    def test_nobody_tells(self, run: Run, convert: Convert, without_spacing: Path) -> None:
        said = run("dicomize", without_spacing, "--require-spacing", code=2).stderr
        assert "--spacing" in said
        assert convert(without_spacing)["VOLUME"][0].ImagedVolumeWidth == pytest.approx(15)
        assert "warning: " in run("dicomize", without_spacing).stderr

    def test_a_spacing_that_is_not_the_slides(self, run: Run) -> None:
        assert run("dicomize", SAMPLE, "--spacing=0.00025").stderr.startswith(
            "warning: ihc-small.tif: the spacing given"
        )


class TestMetadata:
    def test_settings(self, convert: Convert, tmp_path: Path, tool: Callable[[str], str]) -> None:
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        (tmp_path / "display.icc").write_bytes(profile)
        (tmp_path / "case.json").write_text(json.dumps({"PatientName": "Müller^Zoë", "PatientID": "7"}), "utf-8")
        found = convert(
            SAMPLE, "--objective-power=20", "--optical-path=brightfield", "--encoding=Latin1",
            "--icc-profile", tmp_path / "display.icc", "--dataset", tmp_path / "case.json",
            "--study-uid=1.2.3", "--series-uid=1.2.3.4",
        )  # fmt: skip
        assert_conformant([Path(dataset.filename) for dataset in found["VOLUME"]], tool)
        for dataset in found["VOLUME"]:
            assert (dataset.StudyInstanceUID, dataset.SeriesInstanceUID) == ("1.2.3", "1.2.3.4")
            assert (dataset.SpecificCharacterSet, dataset.PatientName) == ("ISO_IR 100", "Müller^Zoë")
            assert "Müller^Zoë".encode("latin1") in Path(dataset.filename).read_bytes()
            path = dataset.OpticalPathSequence[0]
            assert path.ObjectiveLensPower == 20
            assert path.ICCProfile[100 : len(profile)] == profile[100:]
        with wsidicom.WsiDicom.open(Path(found["VOLUME"][0].filename).parent) as slide:
            assert (slide.size.width, slide.size.height) == (1001, 777)

    def test_no_optical_path(self, convert: Convert) -> None:
        assert "OpticalPathSequence" not in convert(SAMPLE, "--optical-path=none")["VOLUME"][0]

    def test_a_text_that_the_encoding_does_not_know(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "case.json").write_text(json.dumps({"PatientName": "Иванов"}), "utf-8")
        said = run("dicomize", SAMPLE, "--dataset", tmp_path / "case.json", "--encoding=latin1", code=2).stderr
        assert "PatientName" in said
        assert "Иванов" not in said

    def test_deterministic_uids(self, run: Run) -> None:
        words = ["dicomize", SAMPLE, "--uids=deterministic", "--json"]
        first = json.loads(run(*words).stdout)
        assert first["series"] in run(*words, code=2).stderr
        again = json.loads(run(*words, "--skip-existing").stdout)
        assert (again["series"], again["skipped"]) == (first["series"], True)
        assert "nothing was converted" in run(*words[:-1], "--skip-existing").stdout

    def test_a_table(self, convert: Convert, tmp_path: Path) -> None:
        (tmp_path / "case.json").write_text(json.dumps({"PatientName": "All^Of", "StudyDescription": "Both"}))
        (tmp_path / "slides.csv").write_text("file,PatientName,Specimen.Identifier\nihc-small.tif,Row^Of,S-1\n")
        base = convert(SAMPLE, "--dataset", tmp_path / "case.json", "--metadata-csv", tmp_path / "slides.csv")[
            "VOLUME"
        ][0]
        assert (base.PatientName, base.StudyDescription) == ("Row^Of", "Both")
        assert base.SpecimenDescriptionSequence[0].SpecimenIdentifier == "S-1"


class TestPrivacy:
    @pytest.fixture
    def case(self, tmp_path: Path) -> Path:
        path = tmp_path / "case.json"
        told = {"PatientName": "Doe^Jane", "PatientID": "77", "StudyDate": "20240301", "StudyInstanceUID": "1.2.3.99"}
        path.write_text(json.dumps(told))
        return path

    def test_deidentify(self, convert: Convert, cmu: Path, case: Path, tmp_path: Path) -> None:
        (tmp_path / "key").write_text(KEY + "\n")
        words = [cmu, "--dataset", case, "--deidentify", "--levels=1"]
        by_option = convert(*words, f"--key={KEY}")
        by_file = convert(*words, "--key-file", tmp_path / "key", "--dates=keep")
        by_variable = convert(*words, "--dates=shift", WSI_DICOM_KEY=KEY)
        by_chance = convert(*words)
        for found in (by_option, by_file, by_variable, by_chance):
            assert set(found) == {"VOLUME", "THUMBNAIL"}
            for dataset in (image for flavour in found.values() for image in flavour):
                assert (dataset.PatientName, dataset.PatientIdentityRemoved) == ("", "YES")
                assert b"Doe^Jane" not in Path(dataset.filename).read_bytes()
        studies = [found["VOLUME"][0].StudyInstanceUID for found in (by_option, by_file, by_variable)]
        assert len({*studies}) == 1
        assert by_chance["VOLUME"][0].StudyInstanceUID not in (*studies, "1.2.3.99")
        dates = [found["VOLUME"][0].StudyDate for found in (by_option, by_file, by_variable)]
        assert dates[:2] == ["", "20240301"]
        assert "2014" <= dates[2][:4] <= "2024"
        assert dates[2] != "20240301"

    def test_pseudonym(self, convert: Convert, case: Path) -> None:
        names = {
            str(convert(SAMPLE, "--dataset", case, "--pseudonym", WSI_DICOM_KEY=key)["VOLUME"][0].PatientName)
            for key in (KEY, KEY, KEY[::-1])
        }
        assert all(re.fullmatch(r"\d{6}-\d{4}-[0-9a-f]{4}", name) for name in names)
        assert len({name[-4:] for name in names}) == 2


class TestOutput:
    def test_names_of_files(self, run: Run, tmp_path: Path) -> None:
        run("dicomize", SAMPLE, "--folder=out", "--folder-pattern=level-%d.dcm")
        files = sorted((tmp_path / "here" / "out").iterdir())
        assert [path.name for path in files] == ["level-0.dcm", "level-1.dcm"]
        assert [pydicom.dcmread(path).TotalPixelMatrixColumns for path in files] == [1001, 500]
        assert not (tmp_path / "store").exists()

    def test_largest_size(self, convert: Convert) -> None:
        levels = convert(LARGE, "--max-size=2")["VOLUME"]
        parts = [dataset for dataset in levels if dataset.TotalPixelMatrixColumns == 8192]
        assert len(parts) == parts[0].InConcatenationTotalNumber > 1
        assert all(Path(dataset.filename).stat().st_size <= 2_000_000 for dataset in levels)
        with openslide.OpenSlide(parts[0].filename) as ours, openslide.OpenSlide(LARGE) as theirs:
            assert ours.level_dimensions == theirs.level_dimensions
            for place in ((0, 0), (3000, 4000), (7680, 7680)):
                window = (place, 0, (512, 512))
                np.testing.assert_array_equal(
                    np.asarray(ours.read_region(*window)), np.asarray(theirs.read_region(*window))
                )

    def test_a_dry_run_writes_nothing(self, run: Run, tmp_path: Path) -> None:
        words = ["dicomize", LARGE, "--pyramid", "--dry-run", "--provenance=provenance.json", "--folder=out"]
        said = run(*words).stdout
        assert "level 0: copy 8192 x 8192 in 1024 tiles of 256 x 256, JPEG baseline, about 5.2 MB" in said
        assert "level 1: derive 4096 x 4096" in said
        assert said.endswith("nothing was written\n")
        told = json.loads(run(*words, "--json").stdout)
        assert [level["action"] for level in told["levels"]] == ["copy"] + ["derive"] * 5
        assert told["levels"][1]["width"] == 4096
        assert told["associated"] == {"thumbnail": "copy", "label": "encode", "overview": "copy"}
        assert list((tmp_path / "here").iterdir()) == []
        assert not (tmp_path / "store").exists()

    def test_a_dry_run_of_several(self, run: Run, damaged: Path) -> None:
        done = run("dicomize", SAMPLE, "nowhere.svs", damaged, "--dry-run", "--json", code=1)
        told = [json.loads(line) for line in done.stdout.splitlines()]
        assert [("error" in line, line["slide"]) for line in told] == [
            (False, "ihc-small.tif"), (True, "nowhere.svs"), (False, "damaged.tif"),
        ]  # fmt: skip
        assert "nowhere.svs: FAILED" in run("dicomize", SAMPLE, "nowhere.svs", "--dry-run", code=1).stderr

    def test_provenance(self, run: Run, tmp_path: Path) -> None:
        secrets = {"WSI_DICOM_KEY": KEY, "WSI_DICOM_CYTOMINE_PRIVATE_KEY": "not for everybody"}
        done = run("dicomize", SAMPLE, "--deidentify", "--provenance=provenance.json", "--json", **secrets)
        text = (tmp_path / "here" / "provenance.json").read_text()
        assert not any(secret in text for secret in secrets.values())
        told = json.loads(text)
        series = json.loads(done.stdout)
        assert told["series_uid"] == series["series"]
        assert told["parameters"]["deidentify"] is True
        assert [record["name"] for record in told["inputs"]] == ["ihc-small.tif"]
        uids = {dataset.SOPInstanceUID for dataset in images(Path(series["location"]))["VOLUME"]}
        assert {record["sop_instance_uid"] for record in told["outputs"]} == uids
