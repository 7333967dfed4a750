"""`wsi-dicom info`: what it tells people and programs, and what it keeps to itself."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pydicom
import pytest
from click.testing import CliRunner
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from tests.dicom_series import KINDS, write_series
from tests.foreign_series import (
    Picture,
    header,
    jpeg_frames,
    native_frames,
    per_frame_groups,
    save,
    save_native,
    sparse,
)
from tests.validation.breaking import BASE, LABEL, change, setting
from wsi_dicom_cli.main import main

SLIDE_OF_HIGHDICOM = Path("dicom_wsi") / "highdicom" / "sm_image_jpegls.dcm"


def said_of(path: Path, *options: str) -> str:
    result = CliRunner().invoke(main, ["info", str(path), *options])
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def told_of(path: Path, *options: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(said_of(path, "--json", *options))
    return told


def rows(path: Path, *options: str) -> list[tuple[str, str]]:
    """(name, what is told), lines that go on joined."""
    joined: list[tuple[str, str]] = []
    for line in said_of(path, *options).splitlines():
        if line and not line[:16].strip():
            joined[-1] = joined[-1][0], f"{joined[-1][1]} {line[16:]}"
        elif line:
            joined.append((line[:16].strip(), line[16:]))
    return joined


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Two levels, thumbnail, label and overview."""
    folder = tmp_path / "series"
    folder.mkdir()
    write_series(folder, KINDS[0], Dataset())
    return folder


def test_a_series_as_pydicom_reads_it(slides: Path) -> None:
    folder = slides / "dicom_wsi" / "cytomine_cmu1"
    told, files = told_of(folder), sorted(folder.iterdir())
    found = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
    base = next(d for d in found if d.ImageType[2] == "VOLUME")
    (level,), dicom = told["levels"], told["dicom"]
    assert (told["format"], told["slide"], dicom["study_uid"]) == (
        "DICOM",
        base.SeriesInstanceUID,
        base.StudyInstanceUID,
    )
    assert (told["files"], told["bytes"]) == (4, sum(file.stat().st_size for file in files))
    assert (dicom["instances"], dicom["frames"]) == (4, sum(int(d.NumberOfFrames) for d in found))
    assert (level["tiles"], level["frames"]) == (130, base.NumberOfFrames)
    assert (level["width"], level["height"]) == (base.TotalPixelMatrixColumns, base.TotalPixelMatrixRows)
    assert (level["transfer_syntax"], level["photometric"]) == (base.file_meta.TransferSyntaxUID, "YBR_FULL_422")
    assert [step["ratio"] for step in level["lossy"]] == [float(ratio) for ratio in base.LossyImageCompressionRatio]
    assert dicom["organizations"] == ["TILED_FULL"]
    assert dicom["place"]["orientation"] == [float(cosine) for cosine in base.ImageOrientationSlide]
    assert set(told["associated"]) == {"label", "overview", "thumbnail"}
    assert {(finding["severity"], finding["clause"]) for finding in told["findings"]} == {
        ("error", "PS3.3 C.11.15.1.1"),
        ("warning", "dicom-microscopy-viewer"),
    }


def test_the_specimen_and_how_it_was_prepared(slides: Path) -> None:
    told = rows(slides / SLIDE_OF_HIGHDICOM)
    assert ("slide id", "S19-1_A_1_1, Microscope slide") in told
    assert ("specimen", "S19-1_A_1_1, Tissue section of Brain") in told
    assert [words for name, words in told if name == "prepared by"] == [
        "Sampling of tissue specimen: Dissection, Specimen obtained by surgical procedure, Neutral Buffered Formalin",
        "Sampling of tissue specimen: Dissection, Gross tissue specimen, Paraffin wax",
        "Staining: Hematoxylin stain, Water soluble eosin stain",
    ]
    assert ("origin", "x 23.4499 mm, y 25.6916 mm") in told
    assert ("orientation", "right is -y, down is -x on the slide") in told
    assert ("warning", f"trouble for OpenSlide: run wsi-dicom validate {slides / SLIDE_OF_HIGHDICOM}") in told


def test_nobody_is_named_unless_asked(series: Path) -> None:
    """Whatever an attribute of the patient is called: its value is in no line."""
    named = {
        "PatientName": "Miller^Anna",
        "PatientID": "MRN-4711",
        "PatientBirthDate": "19510203",
        "PatientSex": "F",
        "OtherPatientIDs": "SSN-1234",
        "PatientAddress": "Elm Street",
        "ReferringPhysicianName": "House^Gregory",
        "PatientComments": "lives alone",
    }
    for file in series.iterdir():
        change(file, setting(**named))
    change(series / LABEL, setting(LabelText="S24-17 Miller"))
    told = said_of(series, "--json")
    assert json.loads(told)["dicom"]["patient"] is None
    for output in (said_of(series), told):
        for value in ("Miller", "Anna", "MRN", "19510203", "1951-02-03", "SSN", "Elm", "House", "alone"):
            assert value not in output
    asked = rows(series, "--patient")
    assert [row for row in asked if row[0] in ("patient", "patient id", "born", "sex", "label text")] == [
        ("patient", "Miller^Anna"),
        ("patient id", "MRN-4711"),
        ("born", "1951-02-03"),
        ("sex", "F"),
        ("label text", "S24-17 Miller"),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "dicom_wsi/cytomine_cmu1",
        "dicom_wsi/gcp_single/bone_jpeg.dcm",
        SLIDE_OF_HIGHDICOM,
        "aperio/CMU-1-Small-Region.svs",
        "hamamatsu/test3-DAPI-2-(387).ndpi",
        "ome_tiff/multi-channel-z-series.ome.tif",
        "jpeg_jp2/XYC.png",
    ],
)
def test_lines_fit_a_terminal(slides: Path, name: str) -> None:
    lines = said_of(slides / name).splitlines()
    assert len(lines) > 8
    for line in lines:
        words = line[16:].split()
        assert len(line) <= 80 or len(words) == 1  # a path may be as long as it likes


def test_a_vendors_file(slides: Path) -> None:
    told = told_of(slides / "aperio" / "CMU-1-Small-Region.svs")
    assert (told["format"], told["dicom"], told["findings"], told["warnings"]) == ("Aperio SVS", None, None, [])
    assert (told["files"], told["bytes"]) == (1, (slides / "aperio" / "CMU-1-Small-Region.svs").stat().st_size)
    assert (told["objective_power"], told["levels"][0]["compression"]) == (20.0, "JPEG baseline")


def test_levels_side_by_side(series: Path) -> None:
    told = rows(series)
    assert [words for name, words in told if name.startswith("level")] == [
        "500 x 460  0.5 um/pixel  4 tiles of 256 x 256",
        "250 x 230  1 um/pixel    1 tile of 256 x 256",
    ]
    assert [words for name, words in told if name == "lossy"] == [
        f"JPEG 2000 8.5:1, then JPEG {float(d.LossyImageCompressionRatio[1]):.3g}:1 (level {number})"
        for number, d in enumerate(map(pydicom.dcmread, (series / "1.dcm", series / "2.dcm")))
    ]
    assert ("compression", "JPEG baseline, YBR_FULL_422") in told


def test_what_was_repaired_is_told_here_and_not_on_standard_error(series: Path) -> None:
    change(series / BASE, setting(Modality="CT"))
    (repaired,) = told_of(series)["warnings"]
    assert "Modality is CT and should be SM" in repaired
    # one of Modality itself, four of those that have another
    warnings = [words for name, words in rows(series) if name == "warning"]
    assert warnings == [repaired, f"5 errors against the standard: run wsi-dicom validate {series}"]


def test_absent_tiles_planes_and_no_spacing(tmp_path: Path) -> None:
    picture = sparse(Picture(), per_frame_groups([(1, 1), (17, 17)]))
    told = rows(save_native(tmp_path / "sparse.dcm", picture, native_frames(2)))
    assert ("tiles", "2 of 6 there (TILED_SPARSE)") in told
    assert ("warning", "no pixel spacing is told: nothing can be measured") in told
    (tmp_path / "planes").mkdir()
    deep = Picture(frames=12, attributes={"TotalPixelMatrixFocalPlanes": 2})
    told = rows(save_native(tmp_path / "planes" / "a.dcm", deep, native_frames(12)))
    assert ("focal planes", "2") in told
    assert ("compression", "uncompressed, RGB") in told


def test_copies_count_once(series: Path) -> None:
    shutil.copy(series / BASE, series / "copy.dcm")
    told = told_of(series)
    assert (told["files"], told["dicom"]["instances"], told["dicom"]["frames"]) == (6, 5, 8)
    assert "which has the UID of another of its files" in told["warnings"][0]


def test_an_archive(series: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "slide"), "zip", series))
    told, unpacked = told_of(archive), told_of(series)
    assert (told["files"], told["bytes"]) == (1, archive.stat().st_size)
    assert {**told, "files": 0, "bytes": 0} == {**unpacked, "files": 0, "bytes": 0}


def test_what_a_file_says_moves_no_cursor(series: Path) -> None:
    for file in series.iterdir():
        change(file, setting(ManufacturerModelName="\x1b[2Jgone\r", ContainerIdentifier="a\x07\nb"))
    output = said_of(series)
    assert all(character.isprintable() or character == "\n" for character in output)
    assert "gone" in output


def test_values_that_cannot_be_read_are_left_out(series: Path) -> None:
    data = (series / BASE).read_bytes()
    for tag in ("00080020", "00200011", "00480102"):  # Study Date, Series Number, Image Orientation (Slide)
        element = bytes.fromhex(f"{tag[2:4]}{tag[:2]}{tag[6:]}{tag[4:6]}")
        start = data.index(element) + 8
        length = int.from_bytes(data[start - 2 : start], "little")
        data = data[:start] + b"?" * length + data[start + length :]
    (series / BASE).write_bytes(data)
    told = told_of(series)
    assert (told["dicom"]["series_number"], told["dicom"]["place"]["orientation"]) == (None, [])
    assert "PS3.5 6.2" in {finding["clause"] for finding in told["findings"]}


@pytest.mark.parametrize("command", ["info", "validate"])
@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("", "SERIES is empty"),  # an unset variable of a shell is not the folder where one is
        ("orthanc+http://user:secret@host:8042/1", "orthanc+http://...: series are read from files"),
        ("pipe", "pipe is neither a file nor a folder"),  # and would be waited for
        ("missing.dcm", "is neither a SeriesInstanceUID nor an Orthanc identifier"),
    ],
)
def test_words_that_name_no_slide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, word: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    save_native(tmp_path / "image.dcm", Picture(), native_frames(6))
    os.mkfifo("pipe")
    result = CliRunner().invoke(main, [command, word])
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert "secret" not in result.stderr


def test_levels_are_told_as_they_are_read(tmp_path: Path) -> None:
    """Not as headers tell: by the streams' colours, without what is left out of the slide."""
    fused = Picture(attributes={"ExtendedDepthOfField": "YES"})
    lying = Picture(series_uid=fused.series_uid, photometric="RGB")
    for name, picture in (("fused", fused), ("lying", lying)):
        save(tmp_path / f"{name}.dcm", header(picture), JPEGBaseline8Bit, encapsulate(jpeg_frames(6)))
    (level,) = told_of(tmp_path)["levels"]
    assert (level["frames"], level["photometric"]) == (6, "YBR_FULL_422")
