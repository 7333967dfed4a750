"""Slides in every compression, as other people's readers see them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import highdicom
import imagecodecs
import numpy as np
import openslide
import pydicom
import pytest
import tifffile
import wsidicom
from skimage.data import immunohistochemistry
from skimage.metrics import peak_signal_noise_ratio

from tests import foreign_series
from tests.oracles import assert_conformant, frames, images
from wsi_dicom.codecs import transfer_syntaxes as syntaxes
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.convert import DicomizeOptions, dicomize
from wsi_dicom.dicom.slide import open_series
from wsi_dicom.plan import PlanOptions
from wsi_dicom.slide import Pixels
from wsi_dicom.stores.local import LocalStore
from wsi_dicom.validation import Severity, validate_series

TISSUE = immunohistochemistry()[:256, :384]
READ_BY_OPENSLIDE = (Compression.NONE, Compression.JPEG, Compression.JPEG2000, Compression.JPEG2000_LOSSY)
PHOTOMETRIC = {
    Compression.JPEG: "YBR_FULL_422",
    Compression.JPEG2000: "YBR_RCT",
    Compression.JPEG2000_LOSSY: "YBR_ICT",
    Compression.HTJ2K: "YBR_RCT",
    Compression.HTJ2K_LOSSY: "YBR_ICT",
    Compression.JPEG_XL_RECOMPRESS: "YBR_FULL_422",
}
METHOD = {
    Compression.JPEG: "ISO_10918_1",
    Compression.JPEG2000_LOSSY: "ISO_15444_1",
    Compression.HTJ2K_LOSSY: "ISO_15444_15",
}
NEW = [
    each
    for each in Compression
    if each.transfer_syntax in syntaxes.KNOWN and each is not Compression.JPEG_XL_RECOMPRESS
]
"""What pixels of a lossless slide can be compressed with."""


def converted(folder: Path, pixels: Pixels, compression: Compression, *, pyramid: bool = False) -> Path:
    """The series of a lossless TIFF."""
    tifffile.imwrite(
        folder / "slide.tif", pixels, tile=(128, 128), compression="zlib",
        photometric="rgb" if pixels.ndim == 3 else "minisblack", resolution=(20000, 20000), resolutionunit="CENTIMETER",
    )  # fmt: skip
    options = DicomizeOptions(plan=PlanOptions(pyramid=pyramid, compression=compression))
    return dicomize(folder / "slide.tif", LocalStore(folder / "store"), options).series.folder


@pytest.mark.parametrize("compression", NEW)
def test_a_slide_in_every_compression(compression: Compression, tmp_path: Path, tool: Callable[[str], str]) -> None:
    series = converted(tmp_path, TISSUE, compression, pyramid=True)
    assert_conformant(series.glob("*.dcm"), tool)
    findings = validate_series(sorted(series.glob("*.dcm")))
    assert not [finding for finding in findings if finding.severity is Severity.ERROR]
    for dataset in images(series)["VOLUME"]:
        assert dataset.file_meta.TransferSyntaxUID == compression.transfer_syntax
        assert dataset.PhotometricInterpretation == PHOTOMETRIC.get(compression, "RGB")
        assert dataset.LossyImageCompression == ("00" if compression.lossless else "01")
        assert dataset.get("LossyImageCompressionMethod") == METHOD.get(compression)
    for picture in [seen_by_us(series), *seen_by_others(series, compression)]:
        if compression.lossless:
            np.testing.assert_array_equal(picture, TISSUE)
        else:
            assert peak_signal_noise_ratio(TISSUE, picture) > 34


def seen_by_us(series: Path) -> Pixels:
    with open_series(sorted(series.glob("*.dcm"))) as slide:
        rows = [np.hstack([slide.tile(0, column, row) for column in range(3)]) for row in range(2)]
    return np.vstack(rows)


def seen_by_others(series: Path, compression: Compression) -> list[Pixels]:
    if compression is Compression.DEFLATED:
        tiles = [np.frombuffer(zlib.decompress(frame, wbits=-15), np.uint8) for frame in frames(base(series))]
        return [np.vstack([np.hstack([tile.reshape(128, 128, 3) for tile in tiles[i : i + 3]]) for i in (0, 3)])]
    with wsidicom.WsiDicom.open(series) as slide:
        seen = [np.asarray(slide.read_region((0, 0), 0, TISSUE.shape[1::-1]))]
    if compression in READ_BY_OPENSLIDE:
        with openslide.OpenSlide(next(series.glob("*.dcm"))) as slide:
            seen.append(np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB")))
    if compression in (Compression.JPEG_LS, Compression.HTJ2K, Compression.RLE):
        seen.append(highdicom.Image.from_dataset(base(series)).get_total_pixel_matrix(apply_icc_profile=False))
    return seen


def base(series: Path) -> pydicom.Dataset:
    return images(series)["VOLUME"][0]


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("compression", [c for c in NEW if c.lossless])
def test_16_bits_stay_16_bits(
    compression: Compression, samples: int, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    pixels = TISSUE.astype(np.uint16) * 256 + np.arange(384, dtype=np.uint16)[:, None] % 256
    pixels = np.ascontiguousarray(pixels[:, :, 0]) if samples == 1 else pixels
    series = converted(tmp_path, pixels, compression)
    assert_conformant(series.glob("*.dcm"), tool)
    np.testing.assert_array_equal(seen_by_us(series).reshape(pixels.shape), pixels)
    if compression in (Compression.NONE, Compression.JPEG2000, Compression.HTJ2K, Compression.JPEG_LS, Compression.RLE):
        tiles = base(series).pixel_array
        rows = [np.hstack(tiles[start : start + 3]) for start in (0, 3)]
        np.testing.assert_array_equal(np.vstack(rows), pixels)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize(
    "compression",
    [Compression.HTJ2K, Compression.JPEG_XL, Compression.JPEG_LS, Compression.RLE, Compression.DEFLATED, None],
    ids=str,
)
def test_what_wsidicom_refuses_is_told(compression: Compression | None, samples: int, tmp_path: Path) -> None:
    """Its 0.36 has no deflated frames, no recompressed JPEG, no colour of 16 bits. None: JPEG tiles, recompressed."""
    pixels = TISSUE if samples == 3 else np.ascontiguousarray(TISSUE[:, :, 0])
    if compression is None:
        tifffile.imwrite(tmp_path / "slide.tif", pixels, tile=(128, 128), compression="jpeg")
        options = DicomizeOptions(plan=PlanOptions(compression=Compression.JPEG_XL_RECOMPRESS))
        series = dicomize(tmp_path / "slide.tif", LocalStore(tmp_path / "store"), options).series.folder
    else:
        series = converted(tmp_path, pixels.astype(np.uint16) * 257, compression)
    told = any(finding.clause == "wsidicom" for finding in validate_series(list(series.glob("*.dcm"))))
    try:
        wsidicom.WsiDicom.open(series).close()
    except wsidicom.errors.WsiDicomNotFoundError:
        assert told
    else:
        assert not told


@pytest.mark.parametrize("photometric", ["rgb", "ycbcr"])
def test_jpeg_tiles_are_packed_and_come_back(photometric: str, tmp_path: Path, tool: Callable[[str], str]) -> None:
    tifffile.imwrite(
        tmp_path / "slide.tif", TISSUE, tile=(128, 128), compression="jpeg", photometric=photometric,
        resolution=(20000, 20000), resolutionunit="CENTIMETER", compressionargs={"level": 85},
    )  # fmt: skip
    series = {
        compression: dicomize(
            tmp_path / "slide.tif", LocalStore(tmp_path / str(compression)),
            DicomizeOptions(plan=PlanOptions(compression=compression)),
        ).series.folder
        for compression in (Compression.JPEG, Compression.JPEG_XL_RECOMPRESS)
    }  # fmt: skip
    copied, packed = series.values()
    assert base(packed).file_meta.TransferSyntaxUID == syntaxes.JPEG_XL_RECOMPRESSION
    assert base(packed).PhotometricInterpretation == base(copied).PhotometricInterpretation
    assert base(packed).LossyImageCompressionMethod == "ISO_10918_1"
    assert_conformant(packed.glob("*.dcm"), tool)
    assert not [f for f in validate_series(sorted(packed.glob("*.dcm"))) if f.severity is Severity.ERROR]
    restored = [bytes(imagecodecs.jpegxl_decode_jpeg(frame, numthreads=1)) for frame in frames(base(packed))]
    assert [foreign_series.padded(jpeg) for jpeg in restored] == frames(base(copied))
    np.testing.assert_array_equal(seen_by_us(packed), seen_by_us(copied))


@pytest.mark.parametrize(
    ("name", "syntax", "bits"),
    [
        ("JPEG_Lossless,_Non-Hierarchical_(Process_14)-RGB-8.jpg", syntaxes.JPEG_LOSSLESS, 8),
        ("JPEG_Lossless,_Non-Hierarchical_(Process_14)-GRAYSCALE-16.jpg", syntaxes.JPEG_LOSSLESS, 16),
        ("JPEG-LS_Lossy_(Near-Lossless)_Image_Compression-RGB-8.jls", syntaxes.JPEG_LS_NEAR_LOSSLESS, 8),
        ("RLE_Lossless-RGB-8.rle", syntaxes.RLE, 8),
        ("RLE_Lossless-GRAYSCALE-16.rle", syntaxes.RLE, 16),
    ],
)
def test_series_of_others(slides: Path, tmp_path: Path, name: str, syntax: str, bits: int) -> None:
    """Frames as other encoders made them, in an instance written by pydicom alone."""
    frame = foreign_series.padded((slides / "codec_frames" / name).read_bytes())
    picture = foreign_series.Picture(
        480, 240, 240, 2, photometric="RGB" if "RGB" in name else "MONOCHROME2",
        attributes={"BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1},
    )  # fmt: skip
    path = foreign_series.save(
        tmp_path / "series.dcm", foreign_series.header(picture), syntax,
        b"".join(map(foreign_series.item, (b"", frame, frame))),
    )  # fmt: skip
    if syntax == syntaxes.RLE:
        theirs = pydicom.dcmread(path).pixel_array[0]
    else:
        theirs = {"jpg": imagecodecs.jpegsof3_decode, "jls": imagecodecs.jpegls_decode}[name[-3:]](frame)
    with open_series([path]) as slide:
        np.testing.assert_array_equal(slide.tile(0, 1, 0), theirs.reshape(slide.tile(0, 1, 0).shape))
