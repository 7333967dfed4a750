"""Every compression, with every kind of sample that it can hold, against what pydicom and DCMTK decode.

JPEG XL and deflated frames, which neither of them reads, are in test_codecs; uncompressed pixels in test_dicom_pixels.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filereader import dcmread
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from tests.foreign_series import Picture, header, save
from wsi_dicom.dicom.slide import open_series
from wsi_dicom.slide import Pixels

TILE = 32  # OpenJPEG's own encoder takes no smaller ones
SHAPE = (6, TILE, TILE)
DCMTK = {JPEGLossless: "+el", JPEGLosslessSV1: "+e1", JPEGBaseline8Bit: "+eb", JPEGExtended12Bit: "+ee"}
ENCODED_WITH: dict[str, dict[str, Any]] = {JPEG2000: {"j2k_psnr": [40]}, JPEGLSNearLossless: {"jls_error": 3}}


class Samples(NamedTuple):
    """How numbers stand in the file."""

    photometric: str
    allocated: int
    stored: int
    signed: bool = False

    @property
    def colours(self) -> int:
        return 3 if self.photometric == "RGB" else 1

    @property
    def lowest(self) -> int:
        return -(1 << self.stored - 1) if self.signed else 0

    def __str__(self) -> str:
        return f"{self.photometric}-{self.stored}of{self.allocated}{'-signed' if self.signed else ''}"


GRAY = [
    Samples("MONOCHROME2", allocated, stored, signed)
    for allocated, stored in [(8, 8), (8, 6), (16, 16), (16, 12), (16, 10), (16, 8)]
    for signed in (False, True)
]
KINDS = [
    *GRAY,
    Samples("MONOCHROME1", 8, 8),
    Samples("MONOCHROME1", 16, 12),
    Samples("MONOCHROME1", 16, 16, signed=True),
    *(Samples("RGB", allocated, stored) for allocated, stored in [(8, 8), (16, 16), (16, 12)]),
    Samples("PALETTE COLOR", 8, 8),
]


def numbers(samples: Samples) -> NDArray[Any]:
    """Slopes over the whole range, different in each frame, with some noise."""
    random = np.random.default_rng(samples.stored)
    top = (1 << samples.stored) - 1
    slope = np.linspace(0, top, TILE * TILE).reshape(TILE, TILE)
    frames = np.stack([np.roll(slope, 5 * number + 3 * colour) for number in range(6) for colour in range(3)])
    frames = frames.reshape(6, 3, TILE, TILE).transpose(0, 2, 3, 1)[..., : samples.colours]
    noisy = np.clip(frames + random.integers(-2, 3, frames.shape), 0, top).astype(int) + samples.lowest
    return noisy.astype(f"{'i' if samples.signed else 'u'}{samples.allocated // 8}")


def native(samples: Samples) -> Dataset:
    attributes: dict[str, Any] = {"PhotometricInterpretation": samples.photometric}
    if samples.photometric == "PALETTE COLOR":
        for number, colour in enumerate(("Red", "Green", "Blue")):
            table = np.random.default_rng(number).integers(0, 1 << 16, 256, np.uint16)
            attributes[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
            attributes[f"{colour}PaletteColorLookupTableData"] = table.tobytes()
    told = "RGB" if samples.colours == 3 else "MONOCHROME2"
    data = header(Picture(3 * TILE - 5, 2 * TILE - 3, TILE, photometric=told, attributes=attributes))
    data.BitsAllocated, data.BitsStored, data.HighBit = samples.allocated, samples.stored, samples.stored - 1
    data.PixelRepresentation = int(samples.signed)
    return data


def written(folder: Path, samples: Samples, syntax: UID, tool: Callable[[str], str]) -> Path:
    """By pydicom with its encoders, by DCMTK, or, what neither of them writes, by imagecodecs."""
    data, frames, path = native(samples), numbers(samples), folder / "image.dcm"
    if syntax in (HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K):
        options = {"level": 0.01, "reversible": False} if syntax == HTJ2K else {"reversible": True}
        streams = [bytes(imagecodecs.htj2k_encode(np.squeeze(frame), tlm=True, **options)) for frame in frames]
        return save(path, data, syntax, encapsulate(streams))
    plain = save(
        folder / "plain.dcm", data, ExplicitVRLittleEndian, frames.astype(f"<{frames.dtype.str[1:]}").tobytes()
    )
    if syntax in DCMTK:
        subprocess.run([tool("dcmcjpeg"), DCMTK[syntax], "+un", plain, path], check=True)
    else:
        data = dcmread(plain)
        data.compress(syntax, generate_instance_uid=False, **ENCODED_WITH.get(syntax, {}))
        data.save_as(path)
    return path


def by_others(path: Path, samples: Samples, tool: Callable[[str], str]) -> NDArray[Any]:
    """Shape (6, TILE, TILE, 1 or 3), as the samples are told to be."""
    if dcmread(path).file_meta.TransferSyntaxUID in DCMTK:  # pydicom decodes them only with a plug-in
        plain = path.with_name("decoded.dcm")
        subprocess.run([tool("dcmdjpeg"), path, plain], check=True)
        path = plain
    data = dcmread(path)
    return data.pixel_array.reshape(*SHAPE, samples.colours)


def shown(decoded: NDArray[Any], samples: Samples, data: Dataset) -> NDArray[Any]:
    """What a slide shows: never negative, MONOCHROME1 turned over, fewer than 8 bits spread, palettes in colour."""
    if samples.photometric == "PALETTE COLOR":
        return apply_color_lut(decoded[..., 0], data) >> 8
    top = (1 << samples.stored) - 1
    values = decoded.astype(int) - samples.lowest
    values = top - values if samples.photometric == "MONOCHROME1" else values
    return np.rint(values * 255 / top) if samples.stored < 8 else values


def read(path: Path) -> Pixels:
    with open_series([path]) as slide:
        return np.stack([slide.tile(0, column, row) for column, row in slide.pyramid.base.tiles()])


def writable(samples: Samples, syntax: UID) -> bool:
    """Whether the encoder at hand writes what it should."""
    if syntax in (HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K):  # it takes the bits of the array
        return samples.stored == samples.allocated
    if samples.stored <= 8 < samples.allocated:  # pydicom's RLE halves them, DCMTK's JPEG has 16 bits
        return syntax not in (RLELossless, JPEGLossless, JPEGLosslessSV1)
    return True


LOSSLESS = [
    (syntax, samples)
    for syntax in (
        RLELossless,
        JPEGLossless,
        JPEGLosslessSV1,
        JPEGLSLossless,
        JPEG2000Lossless,
        HTJ2KLossless,
        HTJ2KLosslessRPCL,
    )
    for samples in KINDS
    if writable(samples, syntax)
]


@pytest.mark.parametrize(("syntax", "samples"), LOSSLESS, ids=lambda value: getattr(value, "keyword", str(value)))
def test_lossless(tmp_path: Path, tool: Callable[[str], str], syntax: UID, samples: Samples) -> None:
    path = written(tmp_path, samples, syntax, tool)
    decoded = by_others(path, samples, tool)
    assert np.array_equal(decoded, numbers(samples))
    assert np.array_equal(read(path), shown(decoded, samples, dcmread(path)))


WITHOUT_PALETTE = [samples for samples in KINDS if samples.photometric != "PALETTE COLOR"]
LOSSY = [
    (JPEGBaseline8Bit, Samples("MONOCHROME1", 8, 8), 1),
    (JPEGBaseline8Bit, Samples("MONOCHROME2", 8, 8), 1),
    (JPEGBaseline8Bit, Samples("RGB", 8, 8), 3),
    (JPEGExtended12Bit, Samples("MONOCHROME2", 16, 12), 1),
    (JPEGExtended12Bit, Samples("MONOCHROME2", 8, 8), 1),
    *((JPEGLSNearLossless, samples, 0) for samples in WITHOUT_PALETTE if not samples.signed),
    *((JPEG2000, samples, 0) for samples in WITHOUT_PALETTE),
    *((HTJ2K, samples, 1) for samples in WITHOUT_PALETTE if writable(samples, HTJ2K)),
]


@pytest.mark.parametrize(("syntax", "samples", "error"), LOSSY, ids=lambda value: getattr(value, "keyword", str(value)))
def test_lossy(tmp_path: Path, tool: Callable[[str], str], syntax: UID, samples: Samples, error: int) -> None:
    """Inverse DCTs, ways of spreading chroma, and rounding differ by so much."""
    path = written(tmp_path, samples, syntax, tool)
    decoded = by_others(path, samples, tool)
    assert not np.array_equal(decoded, numbers(samples))
    np.testing.assert_allclose(read(path).astype(int), shown(decoded, samples, dcmread(path)), rtol=0, atol=error)


def test_a_stream_that_ends_as_if_it_were_padded(tmp_path: Path) -> None:
    """FF D9 00 is the padded end of a JPEG stream, and in RLE a white pixel before 40 black ones."""
    frames = np.zeros((6, 64, 64), np.uint8)
    frames[:, :, :24] = 255
    data = header(Picture(3 * 64, 2 * 64, 64, photometric="MONOCHROME2"))
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.PixelData = frames.tobytes()
    data.compress(RLELossless, generate_instance_uid=False)
    assert data.PixelData.count(b"\xff\xd9\x00\xfe\xff") == 5  # each before the next item but the last
    path = save(tmp_path / "image.dcm", data, RLELossless, data.PixelData)
    assert np.array_equal(read(path)[..., 0], dcmread(path).pixel_array)
