"""Series some of whose frames are broken, or are not like the others: what dicom2tiff tells, and what it writes."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom.encaps import generate_frames
from pydicom.uid import JPEG2000Lossless
from skimage.data import immunohistochemistry

from tests.conftest import Run
from tests.foreign_series import TILE, Picture, header, save
from tests.oracles import scan, tiff_tiles
from tests.test_dicom2tiff import SAMPLE
from wsi_dicom.stores import SeriesRecord

RED = (255, 0, 0)


class TestBadTiles:
    """The frame at column 3, row 1 of the middle level is broken, which is the finest one of what is exported."""

    @pytest.fixture
    def broken(self, stored: SeriesRecord) -> Callable[[str], Path]:
        def damage(how: str) -> Path:
            folder = Path(shutil.copytree(stored.folder, how))
            for path in folder.glob("*.dcm"):
                dataset = pydicom.dcmread(path)
                if dataset.TotalPixelMatrixColumns == 2048 and dataset.ImageType[2] == "VOLUME":
                    frame = list(generate_frames(dataset.PixelData, number_of_frames=64))[11]
                    data = bytearray(path.read_bytes())
                    begin = data.index(frame)
                    middle = begin + frame.index(b"\xff\xda") + 14
                    if how == "header":
                        data[begin : begin + 20] = b"\x55" * 20
                    else:  # markers that no scan has
                        data[middle : middle + 200] = b"\xff\xc0" * 100
                    path.write_bytes(data)
                    return folder
            raise AssertionError("no such level")

        return damage

    @pytest.mark.parametrize(("how", "words"), [("header", []), ("header", ["--safety"]), ("scan", ["--safety"])])
    def test_they_end_the_export(
        self, dicom2tiff: Run, broken: Callable[[str], Path], how: str, words: list[str], stored: SeriesRecord
    ) -> None:
        Path("out.tif").write_bytes(b"what was there before")
        said = dicom2tiff(broken(how), "out.tif", "--level", 1, *words, code=2).stderr
        assert f"{stored.series_uid}: level 1, tile column 3, row 1" in said
        assert Path("out.tif").read_bytes() == b"what was there before"
        assert [path for path in Path.cwd().iterdir() if path.name.startswith(".")] == []

    @pytest.mark.parametrize(("how", "words"), [("header", []), ("header", ["--reencode"]), ("scan", ["--safety"])])
    def test_they_become_background(
        self, dicom2tiff: Run, broken: Callable[[str], Path], how: str, words: list[str]
    ) -> None:
        folder = broken(how)
        words = ["--level", "1", "--on-bad-tile=blank", "--color=255,0,0", *words]
        assert "level 1, tile column 3, row 1" in dicom2tiff(folder, "out.tif", *words).stderr
        told = json.loads(dicom2tiff(folder, "out.tif", *words, "--json").stdout)
        (bad,) = told["bad_tiles"]
        assert (bad["level"], bad["column"], bad["row"]) == (1, 3, 1)
        with tifffile.TiffFile("out.tif") as tiff, tifffile.TiffFile(SAMPLE) as source:
            shown = tiff.pages[0].asarray()[256:512, 768:1024]
            assert np.abs(shown.astype(int) - RED).max() <= 3
            if "--reencode" not in words:
                theirs = [scan(tile) for tile in tiff_tiles(source.series[0].levels[1].pages[0])]
                ours = [scan(tile) for tile in tiff_tiles(tiff.pages[0])]
                assert [at for at in range(64) if ours[at] != theirs[at]] == [11]

    def test_a_whole_series_passes_the_check(self, dicom2tiff: Run, stored: SeriesRecord) -> None:
        dicom2tiff(stored.series_uid, "out.tif", "--level", 1, "--safety")
        with tifffile.TiffFile("out.tif") as tiff, tifffile.TiffFile(SAMPLE) as source:
            assert [scan(tile) for tile in tiff_tiles(tiff.pages[0])] == [
                scan(tile) for tile in tiff_tiles(source.series[0].levels[1].pages[0])
            ]


@pytest.mark.parametrize("kind", ["JPEG", "JPEG 2000"])
def test_a_frame_of_another_size_than_it_should_be(dicom2tiff: Run, kind: str) -> None:
    """Found while it is copied, although nothing is decoded."""
    *good, small = [np.full((side, side, 3), 200, np.uint8) for side in (*(TILE,) * 5, 8)]
    encode = imagecodecs.jpeg8_encode if kind == "JPEG" else partial(imagecodecs.jpeg2k_encode, codecformat="j2k")
    picture = Picture() if kind == "JPEG" else Picture(syntax=JPEG2000Lossless, photometric="YBR_RCT")
    streams = pydicom.encaps.encapsulate([encode(pixels) for pixels in (*good, small)])
    save(Path("a.dcm"), header(picture), picture.syntax, streams)
    said = dicom2tiff("a.dcm", "out.tif", code=2).stderr
    assert f"level 0, tile column 2, row 1: a {kind} stream of 8 x 8 pixels" in said


def test_frames_that_are_stored_otherwise_than_the_first(dicom2tiff: Run) -> None:
    """A TIFF page has one kind of tiles: what cannot stand beside the others is encoded like them."""
    tissue, progressive = np.ascontiguousarray(immunohistochemistry()[:TILE, :TILE]), io.BytesIO()
    plain, in_rgb = (
        imagecodecs.jpeg8_encode(tissue, level=98, subsampling="444", **more)
        for more in ({}, {"colorspace": "RGB", "outcolorspace": "RGB"})
    )
    Image.fromarray(tissue).save(progressive, "JPEG", quality=98, subsampling=0, progressive=True)
    streams = [plain, in_rgb, progressive.getvalue()] * 2
    save(Path("a.dcm"), header(Picture()), Picture().syntax, pydicom.encaps.encapsulate(streams))
    dicom2tiff("a.dcm", "out.tif")
    with tifffile.TiffFile("out.tif") as tiff:
        shown, tiles = tiff.pages[0].asarray().astype(int), list(tiff_tiles(tiff.pages[0]))
        assert [scan(tile) == scan(stream) for tile, stream in zip(tiles, streams, strict=True)] == [
            True,
            False,
            False,
        ] * 2
        for column in range(2):
            assert np.abs(shown[:TILE, TILE * column : TILE * (column + 1)] - tissue).mean() < 4


@pytest.mark.parametrize("words", [[], ["--on-bad-tile", "blank"]])
def test_a_broken_label_is_named(dicom2tiff: Run, stored: SeriesRecord, words: list[str]) -> None:
    folder = Path(shutil.copytree(stored.folder, "broken"))
    (path,) = (
        path
        for path in folder.glob("*.dcm")
        if pydicom.dcmread(path, stop_before_pixels=True).ImageType[2] == "OVERVIEW"
    )
    data = bytearray(path.read_bytes())
    at = data.rindex(b"\xff\xd8\xff")
    data[at : at + 20] = b"\x55" * 20
    path.write_bytes(data)
    said = dicom2tiff(folder, "out.tif", *words, code=2).stderr
    assert f"{stored.series_uid}: overview: " in said
    dicom2tiff(folder, "out.tif", *words, "--no-overview", "--level", 2)
