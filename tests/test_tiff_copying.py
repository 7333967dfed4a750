"""Copying a series to TIFF: what the series lacks, and files as large as their blocks of writing and more."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import pyvips
import tifffile
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from skimage.data import immunohistochemistry

from tests.foreign_series import Picture, header, jpeg_frames, per_frame_groups, save, sparse
from tests.oracles import tiff_tiles
from wsi_dicom.convert import TiffOptions, dicom_to_tiff
from wsi_dicom.convert.to_tiff import BigTiff
from wsi_dicom.dicom.slide import open_series
from wsi_dicom.errors import CodecError
from wsi_dicom.plan import PlanOptions
from wsi_dicom.tiff.flavors import Flavor

BACKGROUND = (90, 120, 200)
ACROSS, DOWN, SIDE = 5, 4, 32


@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize("first", [0, 7])
def test_absent_tiles_are_background_and_the_others_are_copied(tmp_path: Path, first: int, verify: bool) -> None:
    frames = jpeg_frames(3, SIDE)
    places = [(first + number * 5) % (ACROSS * DOWN) for number in range(3)]
    items = per_frame_groups([(place % ACROSS * SIDE + 1, place // ACROSS * SIDE + 1) for place in places])
    picture = sparse(Picture(ACROSS * SIDE, DOWN * SIDE, SIDE), items)
    path = save(tmp_path / "image.dcm", header(picture), picture.syntax, encapsulate(frames))
    with open_series([path], BACKGROUND) as slide:
        dicom_to_tiff(slide, tmp_path / "out.tif", TiffOptions(PlanOptions(verify=verify)))
    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        tiles = list(tiff_tiles(tiff.pages[0]))
    for number, tile in enumerate(tiles):
        if number in places:
            assert tile == frames[places.index(number)]
        else:
            assert np.abs(imagecodecs.jpeg8_decode(tile).astype(int) - BACKGROUND).max() <= 2


@pytest.mark.parametrize("big", [BigTiff.YES, BigTiff.NO])
@pytest.mark.parametrize("flavor", Flavor)
def test_pages_after_many_blocks_of_tiles(tmp_path: Path, flavor: Flavor, big: BigTiff) -> None:
    """Tiles are written in blocks of a megabyte by a thread of their own; directories, and links to them, follow."""
    side, count, across = 512, 24, 6
    frames = jpeg_frames(count, side)
    picture = Picture(across * side, count // across * side, side, frames=count)
    path = save(tmp_path / "image.dcm", header(picture), picture.syntax, encapsulate(frames))
    with open_series([path]) as slide:
        dicom_to_tiff(slide, tmp_path / "out.tif", TiffOptions(flavor=flavor, big=big))
    assert (tmp_path / "out.tif").stat().st_size > 2 << 20
    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        assert tiff.is_bigtiff is (big is BigTiff.YES)
        assert list(tiff_tiles(tiff.pages[0])) == frames
        assert len(tiff.pages) == (2 if flavor is Flavor.SVS else 1)


def gray_sampled_2x2(stream: bytes) -> bytes:
    """As some encoders write gray, whose factors say nothing (T.81 A.2.2); libtiff refuses all but 1 x 1."""
    frame = stream.index(b"\xff\xc0")
    return stream[: frame + 11] + b"\x22" + stream[frame + 12 :]


def red_green_blue(stream: bytes) -> bytes:
    """YCbCr whose components are called R, G and B, so that all readers take it for these."""
    frame, scan = stream.index(b"\xff\xc0"), stream.index(b"\xff\xda")
    jfif_end = 4 + int.from_bytes(stream[4:6], "big")
    named = bytearray(stream)
    for number, name in enumerate(b"RGB"):
        named[frame + 10 + 3 * number] = named[scan + 5 + 2 * number] = name
    return bytes(named[:2] + named[jfif_end:])


def encoded(sampling: str) -> list[bytes]:
    picture = immunohistochemistry()
    places = [(x, y) for y in (0, 128) for x in (0, 128)]
    return [
        imagecodecs.jpeg8_encode(picture[y : y + 128, x : x + 128], level=90, subsampling=sampling) for x, y in places
    ]


def encoded_gray() -> list[bytes]:
    tiles = [imagecodecs.jpeg8_decode(tile)[:, :, 1] for tile in encoded("444")]
    return [gray_sampled_2x2(bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(tile), level=95))) for tile in tiles]


def of_tiles(folder: Path, tiles: list[bytes], photometric: str = "YBR_FULL_422") -> Path:
    picture = Picture(256, 256, 128, frames=4, photometric=photometric)
    return save(folder / "image.dcm", header(picture), picture.syntax, encapsulate(tiles))


def decoded_by_libtiff(path: Path) -> NDArray[np.uint8]:
    """All of level 0, by libvips; libtiff refuses a page with tiles that are sampled otherwise than the page says."""
    return np.asarray(pyvips.Image.new_from_file(str(path), fail_on="warning").numpy())


@pytest.mark.parametrize("sampling", ["444", "422", "420", "440", "411"])
@pytest.mark.parametrize("broken", [0, 3])
def test_a_blank_tile_is_sampled_as_the_others(tmp_path: Path, sampling: str, broken: int) -> None:
    """And takes none of them with it, be it the first."""
    tiles = encoded(sampling)
    kept = [tile for number, tile in enumerate(tiles) if number != broken]
    tiles[broken] = b"\xff\xd8 no JPEG"
    with open_series([of_tiles(tmp_path, tiles)], BACKGROUND) as slide:
        done = dicom_to_tiff(slide, tmp_path / "out.tif", TiffOptions(blank_bad_tiles=True))
    assert [(bad.column, bad.row) for bad in done.bad_tiles] == [(broken % 2, broken // 2)]
    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        assert [tile for number, tile in enumerate(tiff_tiles(tiff.pages[0])) if number != broken] == kept
    shown = decoded_by_libtiff(tmp_path / "out.tif")
    x, y = broken % 2 * 128, broken // 2 * 128
    assert np.abs(shown[y : y + 128, x : x + 128].astype(int) - BACKGROUND).max() <= 2


@pytest.mark.parametrize(
    ("tiles", "photometric"),
    [
        (encoded_gray(), "MONOCHROME2"),
        ([red_green_blue(tile) for tile in encoded("420")], "RGB"),
        ([encoded(sampling)[number] for number, sampling in enumerate(("420", "444", "422", "411"))], "YBR_FULL_422"),
    ],
)
@pytest.mark.parametrize("flavor", Flavor)
def test_sampling_that_tiff_cannot_tell(tmp_path: Path, tiles: list[bytes], photometric: str, flavor: Flavor) -> None:
    """A page has one sampling, of YCbCr only: what does not fit is encoded anew."""
    with open_series([of_tiles(tmp_path, tiles, photometric)]) as slide:
        expected = np.vstack([np.hstack([slide.tile(0, column, row) for column in (0, 1)]) for row in (0, 1)])
        dicom_to_tiff(slide, tmp_path / "out.tif", TiffOptions(flavor=flavor))
    shown = decoded_by_libtiff(tmp_path / "out.tif").reshape(expected.shape)
    assert np.abs(shown.astype(int) - expected).mean() < 4


@pytest.mark.parametrize("flavor", Flavor)
def test_a_broken_tile_that_is_sampled_otherwise_is_named(tmp_path: Path, flavor: Flavor) -> None:
    tiles = encoded("444")
    tiles[2] = encoded("420")[2][:-2]  # its header is whole
    with open_series([of_tiles(tmp_path, tiles)]) as slide:
        with pytest.raises(CodecError, match="level 0, tile column 0, row 1"):
            dicom_to_tiff(slide, tmp_path / "out.tif", TiffOptions(flavor=flavor))
        done = dicom_to_tiff(slide, tmp_path / "out.tif", TiffOptions(flavor=flavor, blank_bad_tiles=True))
    assert [(bad.column, bad.row) for bad in done.bad_tiles] == [(0, 1)]


def talkative(stream: bytes) -> bytes:
    """With Exif and a comment that name somebody."""
    said = b"".join(
        b"\xff" + bytes([marker]) + (2 + len(text)).to_bytes(2, "big") + text
        for marker, text in ((0xE1, b"Exif\0\0Featherstonehaugh"), (0xFE, b"Featherstonehaugh"))
    )
    return stream[:2] + said + stream[2:]


@pytest.mark.parametrize("flavor", Flavor)
def test_streams_that_name_the_patient(tmp_path: Path, flavor: Flavor) -> None:
    """De-identified ones do not; nothing else about them changes."""
    silent = encoded("420")
    series = Picture(256, 256, 128, frames=4)
    save(tmp_path / "level.dcm", header(series), series.syntax, encapsulate([talkative(tile) for tile in silent]))
    shown = Picture(128, 128, 128, frames=1, flavor="THUMBNAIL", series_uid=series.series_uid)
    save(tmp_path / "thumbnail.dcm", header(shown), shown.syntax, encapsulate([talkative(silent[0])]))
    output = tmp_path / "out.tif"
    for deidentify, frames in ((False, [talkative(tile) for tile in silent]), (True, silent)):
        with open_series([tmp_path / "level.dcm", tmp_path / "thumbnail.dcm"]) as slide:
            dicom_to_tiff(slide, output, TiffOptions(flavor=flavor, deidentify=deidentify))
        assert (b"Featherstonehaugh" in output.read_bytes()) is not deidentify
        with tifffile.TiffFile(output) as tiff:
            assert list(tiff_tiles(tiff.pages[0])) == frames
