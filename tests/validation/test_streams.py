"""Streams of the newer compressions that do not fit the header of their image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pydicom.dataset import Dataset
from skimage.data import immunohistochemistry

from tests.foreign_series import padded
from tests.validation.breaking import BASE, Change, assert_found, change, put_frames, validated
from wsi_dicom.codecs import transfer_syntaxes as syntaxes
from wsi_dicom.dicom.uids import transfer_syntax_uid
from wsi_dicom.validation import Severity

TISSUE = np.ascontiguousarray(immunohistochemistry()[:256, :256])
SMALL = np.ascontiguousarray(TISSUE[:64, :64])
RLE_OF_ONE_BYTE = np.array([1, 64, *[0] * 14], "<u4").tobytes()


def stored(syntax: str, frame: bytes, photometric: str = "RGB") -> Change:
    """The same stream in every frame of a lossless image."""

    def put(dataset: Dataset) -> None:
        dataset.file_meta.TransferSyntaxUID = transfer_syntax_uid(syntax)
        dataset.PhotometricInterpretation = photometric
        put_frames(dataset, [padded(bytes(frame))] * 4)

    return put


def jpeg_xl(pixels: np.ndarray) -> bytes:
    return imagecodecs.jpegxl_encode(pixels, lossless=True, effort=1, numthreads=1)


@pytest.mark.parametrize(
    "how",
    [
        stored(syntaxes.JPEG_LS_LOSSLESS, imagecodecs.jpegls_encode(TISSUE)),
        stored(syntaxes.JPEG_XL_LOSSLESS, jpeg_xl(TISSUE)),
        stored(syntaxes.JPEG_LOSSLESS_SV1,
               imagecodecs.jpeg8_encode(TISSUE, lossless=True, predictor=1, colorspace="RGB", outcolorspace="RGB")),
        stored(syntaxes.RLE, np.array([3, 64, 64, 64, *[0] * 12], "<u4").tobytes() + b"\x81\0" * 512),
    ],
    ids=["jpeg-ls", "jpeg-xl", "jpeg-lossless", "rle"],
)  # fmt: skip
def test_good_streams(copy_of: Callable[[str], Path], how: Change) -> None:
    folder = copy_of("j2k-lossless")
    change(folder / BASE, how)
    assert not [finding for finding in validated(folder) if finding.severity is Severity.ERROR]


@pytest.mark.parametrize(
    ("clause", "how", "words"),
    [
        ("PS3.5 A.4.3", stored(syntaxes.JPEG_LS_LOSSLESS, imagecodecs.jpegls_encode(SMALL, level=3)), "by up to 3 in"),
        ("PS3.3 C.7.6.1.1.5", stored(syntaxes.JPEG_LS_NEAR_LOSSLESS, imagecodecs.jpegls_encode(SMALL, level=3)),
         "is wrong by up to 3; LossyImageCompression is 00"),
        ("PS3.5 8.2.3", stored(syntaxes.JPEG_LS_LOSSLESS, imagecodecs.jpegls_encode(SMALL)), "64 x 64 pixels"),
        ("PS3.5 8.2.3", stored(syntaxes.JPEG_LS_LOSSLESS, imagecodecs.jpegls_encode(SMALL.astype("u2"))), "16 bits"),
        ("PS3.5 8.2.3", stored(syntaxes.JPEG_LS_LOSSLESS, imagecodecs.jpeg8_encode(SMALL)), "where JPEG-LS is due"),
        ("PS3.5 8.2", stored(syntaxes.JPEG_LS_LOSSLESS, imagecodecs.jpegls_encode(SMALL)[:-9]), "is cut off"),
        ("PS3.5 8.2.15", stored(syntaxes.JPEG_XL_LOSSLESS, jpeg_xl(SMALL)), "64 x 64 pixels"),
        ("PS3.5 8.2.15", stored(syntaxes.JPEG_XL_LOSSLESS, jpeg_xl(SMALL[:, :, 0])), "1 samples a pixel"),
        ("PS3.5 8.2.15", stored(syntaxes.JPEG_XL_LOSSLESS, jpeg_xl(SMALL.astype("u2"))), "16 bits; BitsStored is 8"),
        ("PS3.5 8.2", stored(syntaxes.JPEG_XL_LOSSLESS, imagecodecs.jpegls_encode(SMALL)), "not a JPEG XL stream"),
        ("PS3.5 G.2", stored(syntaxes.RLE, RLE_OF_ONE_BYTE + b"\x81\0" * 512), "has 1 segments; 3 are due"),
        ("PS3.5 8.2.1", stored(syntaxes.JPEG_LOSSLESS, imagecodecs.jpeg8_encode(TISSUE)), "SOF0 with 8 bits, not lo"),
        ("PS3.5 8.2.15", stored(syntaxes.JPEG_XL_LOSSLESS, jpeg_xl(TISSUE), "YBR_RCT"), "RGB is due where pixels are"),
    ],
)  # fmt: skip
def test_streams_that_do_not_fit(copy_of: Callable[[str], Path], clause: str, how: Change, words: str) -> None:
    folder = copy_of("j2k-lossless")
    change(folder / BASE, how)
    assert_found(validated(folder), "error", clause, BASE, words)
