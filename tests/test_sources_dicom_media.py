"""Series in zip archives, and on media with a DICOMDIR as dcmtk writes it."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pydicom.encaps import encapsulate
from pydicom.filereader import dcmread
from pydicom.uid import JPEGBaseline8Bit

from tests.foreign_series import Picture, header, jpeg_frames, native_frames, save, save_native
from wsi_dicom.dicom.slide import open_series
from wsi_dicom.errors import CorruptInput, UnsupportedFormat
from wsi_dicom.sources import open_slide
from wsi_dicom_cli.main import main


@pytest.fixture
def real_series(slides: Path) -> list[Path]:
    return sorted((slides / "dicom_wsi" / "cytomine_cmu1").glob("*.dcm"))


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where archives are unpacked; nothing may stay there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert not list(folder.iterdir())


def zipped(path: Path, members: Mapping[str, Path | bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content if isinstance(content, bytes) else content.read_bytes())
    return path


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zipped_series(tmp_path: Path, temporary: Path, real_series: list[Path], compression: int) -> None:
    members: dict[str, Path | bytes] = {f"slide/{number}/IM.dcm": file for number, file in enumerate(real_series)}
    path = zipped(tmp_path / "slide.zip", {"README.txt": b"hello", **members}, compression)
    with open_slide(path) as slide, open_series(real_series) as expected:
        assert not list(temporary.iterdir())
        assert slide.files == (path,)
        assert slide.pyramid == expected.pyramid
        assert slide.associated.keys() == expected.associated.keys()
        for column, row in expected.pyramid.base.tiles():
            assert slide.encoded_tile(0, column, row) == expected.encoded_tile(0, column, row)
        for flavor, image in expected.associated.items():
            assert np.array_equal(slide.associated[flavor].pixels(), image.pixels())


def test_names_in_an_archive_lead_nowhere(tmp_path: Path, temporary: Path) -> None:
    source = save_native(tmp_path / "image.dcm", Picture(), native_frames(6))
    outside = tmp_path / "outside.dcm"
    for name in ("../../outside.dcm", str(outside), "..", "a/../..", "\u202eimage\\..\\x", "x" * 300, "/"):
        with open_slide(zipped(tmp_path / "a.zip", {name.rstrip("/") or "_": source})) as slide:
            assert np.array_equal(slide.tile(0, 0, 0), native_frames(6)[0])
        assert not outside.exists()


def test_archives_that_swell_are_refused(tmp_path: Path, temporary: Path) -> None:
    source = save_native(tmp_path / "image.dcm", Picture(), native_frames(6))
    path = zipped(tmp_path / "bomb.zip", {"image.dcm": source.read_bytes() + bytes(8 << 20)})
    with pytest.raises(CorruptInput, match=r"bomb\.zip would swell to \d+ bytes, more than 200 times its own"):
        open_slide(path)


def test_an_archive_that_lies_of_its_sizes(tmp_path: Path, temporary: Path) -> None:
    source = save_native(tmp_path / "image.dcm", Picture(), native_frames(6))
    size = source.stat().st_size.to_bytes(4, "little")
    path = zipped(tmp_path / "liar.zip", {"image.dcm": source})
    assert path.read_bytes().count(size) == 2
    path.write_bytes(path.read_bytes().replace(size, (1000).to_bytes(4, "little")))
    with pytest.raises(CorruptInput, match=r"liar\.zip is a zip archive that cannot be read"):
        open_slide(path)


@pytest.mark.parametrize("cut", [30, 2000, -30])
def test_broken_archives(tmp_path: Path, temporary: Path, cut: int) -> None:
    source = save_native(tmp_path / "image.dcm", Picture(), native_frames(6))
    path = zipped(tmp_path / "broken.zip", {"image.dcm": source})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CorruptInput, match=r"broken\.zip"):
        open_slide(path)


def test_an_archive_is_named_by_what_is_said_of_its_files(tmp_path: Path, temporary: Path) -> None:
    source = save_native(tmp_path / "image.dcm", Picture(), native_frames(6))
    with pytest.raises(CorruptInput, match=r"slide\.zip/1/image\.dcm is truncated"):
        open_slide(zipped(tmp_path / "slide.zip", {"README": b"hello", "image.dcm": source.read_bytes()[:-1]}))
    save(source, header(Picture()), JPEGBaseline8Bit, encapsulate(jpeg_frames(5), has_bot=False))
    with (
        open_slide(zipped(tmp_path / "slide.zip", {"image.dcm": source})) as slide,
        pytest.raises(CorruptInput, match=r"slide\.zip/0/image\.dcm has 5 fragments for 6 frames"),
    ):
        slide.tile(0, 2, 1)


def test_an_archive_whose_directory_leads_before_its_beginning(tmp_path: Path, temporary: Path) -> None:
    source = save_native(tmp_path / "image.dcm", Picture(), native_frames(6))
    path = zipped(tmp_path / "slide.zip", {"image.dcm": source})
    content = bytearray(path.read_bytes())
    end = content.index(b"PK\x05\x06")
    (start,) = struct.unpack_from("<I", content, end + 16)
    struct.pack_into("<I", content, end + 16, start + 9)  # so that all begins 9 bytes earlier
    path.write_bytes(content)
    with pytest.raises(CorruptInput, match=r"slide\.zip is a zip archive that cannot be read: its directory is wrong"):
        open_slide(path)


def test_encrypted_archives(tmp_path: Path, temporary: Path) -> None:
    source = save_native(tmp_path / "image.dcm", Picture(), native_frames(6))
    path = zipped(tmp_path / "secret.zip", {"image.dcm": source}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(UnsupportedFormat, match=r"secret\.zip is an encrypted zip archive"):
        open_slide(path)


def test_archives_of_other_things(tmp_path: Path, temporary: Path) -> None:
    with pytest.raises(UnsupportedFormat, match=r"texts\.zip: holds no DICOM file"):
        open_slide(zipped(tmp_path / "texts.zip", {"a.txt": b"text", "b.txt": b""}))
    two = {f"{name}.dcm": save_native(tmp_path / name, Picture(), native_frames(6)) for name in "ab"}
    with pytest.raises(UnsupportedFormat, match=r"holds 2 whole-slide series; .* a\.dcm \(series [0-9.]+\) or b\.dcm"):
        open_slide(zipped(tmp_path / "two.zip", two))


@pytest.fixture
def medium(tmp_path: Path, real_series: list[Path], tool: Callable[[str], str]) -> Path:
    """A folder with the names that the standard wants, and a DICOMDIR above it."""
    (tmp_path / "medium" / "SLIDE").mkdir(parents=True)
    for number, path in enumerate(real_series):
        shutil.copy(path, tmp_path / "medium" / "SLIDE" / f"IM{number}")
    command = [tool("dcmmkdir"), "--no-xfer-check", "--invent", "--recurse", "SLIDE"]
    subprocess.run(command, cwd=tmp_path / "medium", check=True)
    return tmp_path / "medium"


@pytest.mark.parametrize("given", [".", "DICOMDIR"])
@pytest.mark.parametrize("lower", [False, True])
def test_a_medium(medium: Path, real_series: list[Path], given: str, lower: bool) -> None:
    if lower:
        for folder, _, names in os.walk(medium, topdown=False):
            for name in names:
                if name != "DICOMDIR":
                    Path(folder, name).rename(Path(folder, name.lower()))
            if Path(folder) != medium:
                Path(folder).rename(Path(folder).with_name(Path(folder).name.lower()))
    with open_slide(medium / given) as slide, open_series(real_series) as expected:
        assert len(slide.files) == len(real_series)
        assert slide.pyramid == expected.pyramid
        assert slide.encoded_tile(0, 3, 3) == expected.encoded_tile(0, 3, 3)


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")  # pydicom, of what is told here
@pytest.mark.parametrize("escape", [["..", "OUTSIDE"], ["SLIDE", "..", "..", "OUTSIDE"], ["/OUTSIDE"], ["LINK"]])
def test_a_medium_refers_to_nothing_outside(medium: Path, real_series: list[Path], escape: list[str]) -> None:
    shutil.copy(real_series[0], medium.parent / "OUTSIDE")
    (medium / "LINK").symlink_to(medium.parent / "OUTSIDE")
    directory = dcmread(medium / "DICOMDIR")
    record = next(record for record in directory.DirectoryRecordSequence if "ReferencedFileID" in record)
    record.ReferencedFileID = escape
    directory.save_as(medium / "DICOMDIR")
    with pytest.raises(CorruptInput, match="which is not in its folder"):
        open_slide(medium / "DICOMDIR")


def test_a_medium_with_a_file_missing(medium: Path) -> None:
    first = next(path for path in sorted(medium.rglob("*")) if path.is_file() and path.name != "DICOMDIR")
    first.unlink()
    with pytest.raises(CorruptInput, match=rf"refers to .*{first.name}, which is missing"):
        open_slide(medium)


@pytest.mark.filterwarnings("ignore:Invalid value|The value length|A value of type")  # pydicom, of what is told here
@pytest.mark.parametrize("name", ["A" * 300, ["A" * 200] * 30], ids=["name", "path"])
def test_a_medium_with_names_that_are_too_long(medium: Path, name: str | list[str]) -> None:
    directory = dcmread(medium / "DICOMDIR")
    record = next(record for record in directory.DirectoryRecordSequence if "ReferencedFileID" in record)
    record.ReferencedFileID = name
    directory.save_as(medium / "DICOMDIR")
    with pytest.raises(CorruptInput, match=r"DICOMDIR refers to A.*, which is missing"):
        open_slide(medium / "DICOMDIR")


def test_damaged_directories(medium: Path) -> None:
    """Cut off anywhere: what is left of it is a slide, or is refused."""
    content, refused = (medium / "DICOMDIR").read_bytes(), 0
    for length in range(0, len(content), 97):
        (medium / "DICOMDIR").write_bytes(content[:length])
        try:
            open_slide(medium / "DICOMDIR", source="dicom").close()
        except (CorruptInput, UnsupportedFormat):
            refused += 1
    assert refused


def test_info_of_an_archive(tmp_path: Path, temporary: Path, real_series: list[Path]) -> None:
    path = zipped(tmp_path / "slide.zip", {file.name: file for file in real_series})
    result = CliRunner().invoke(main, ["info", str(path)])
    assert result.exit_code == 0, result.output
    assert "2220 x 2967" in result.output
