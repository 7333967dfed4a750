"""Small real series in every encoding, and the checkers that judge them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
from pydicom.dataset import Dataset
from skimage.data import immunohistochemistry

from wsi_dicom.codecs.transfer_syntaxes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    lossy_method,
)
from wsi_dicom.dicom.dataset import image_dataset
from wsi_dicom.dicom.description import ImageDescription, ImagedVolume, LossyStep
from wsi_dicom.dicom.uids import SeriesIdentity
from wsi_dicom.dicom.writer import InstanceWriter
from wsi_dicom.geometry import Level, PixelFormat, Spacing
from wsi_dicom.metadata import SlideMetadata
from wsi_dicom.slide import Encoding, ImageFlavor, Pixels

RGB, GRAY, GRAY_16 = PixelFormat(), PixelFormat(1, 8), PixelFormat(1, 16)
VOLUME = ImagedVolume(500 * 0.0005, 460 * 0.0005)
METADATA = SlideMetadata(
    manufacturer="Aperio",
    model="GT\\450\x00",
    serial_number="SS" + "1" * 80,
    software_versions=("1.0", ""),
    acquired=datetime(2024, 2, 29, 12, 30),
    objective_power=20.0,
    barcode="S24-17",
)


@dataclass(frozen=True)
class Kind:
    """One way of storing tiles."""

    name: str
    encoding: Encoding
    pixel_format: PixelFormat = RGB
    exact: bool = False

    def encode(self, pixels: Pixels) -> bytes:
        syntax = self.encoding.transfer_syntax
        samples = np.ascontiguousarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
        if syntax == JPEG_BASELINE and self.encoding.photometric == "RGB":  # libjpeg adds the Adobe marker
            return bytes(imagecodecs.jpeg8_encode(samples, level=95, colorspace="RGB", outcolorspace="RGB"))
        if syntax == JPEG_BASELINE:
            return bytes(imagecodecs.jpeg8_encode(samples, level=95))
        if syntax in (JPEG_2000, JPEG_2000_LOSSLESS):
            level = 0 if self.exact else 45
            return bytes(imagecodecs.jpeg2k_encode(samples, level, codecformat="j2k", reversible=self.exact, mct=True))
        return samples.tobytes()


KINDS = [
    Kind("jpeg-ycbcr", Encoding(JPEG_BASELINE, "YBR_FULL_422")),
    Kind("jpeg-rgb", Encoding(JPEG_BASELINE, "RGB")),
    Kind("j2k-lossless", Encoding(JPEG_2000_LOSSLESS, "YBR_RCT"), exact=True),
    Kind("j2k", Encoding(JPEG_2000, "YBR_ICT")),
    Kind("native", Encoding(EXPLICIT_VR_LITTLE_ENDIAN, "RGB"), exact=True),
    Kind("gray-jpeg", Encoding(JPEG_BASELINE, "MONOCHROME2"), GRAY),
    Kind("gray-16", Encoding(IMPLICIT_VR_LITTLE_ENDIAN, "MONOCHROME2"), GRAY_16, exact=True),
]
COLOUR_KINDS = [kind for kind in KINDS if kind.pixel_format == RGB]
KINDS_OF_8_BITS = [kind for kind in KINDS if kind.pixel_format.bits == 8]


@dataclass(frozen=True)
class Series:
    folder: Path
    kind: Kind
    pictures: dict[tuple[ImageFlavor, bool], Pixels]

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())

    def dataset(self, flavor: str, resampled: str = "NONE") -> Dataset:
        found = [pydicom.dcmread(file) for file in self.files]
        return next(d for d in found if d.ImageType[2:] == [flavor, resampled])


def source_picture(pixel_format: PixelFormat) -> Pixels:
    tissue = immunohistochemistry()[:460, :500]
    if pixel_format == RGB:
        return tissue
    gray = tissue.mean(axis=2, keepdims=True)
    return gray.astype(np.uint8) if pixel_format.bits == 8 else (gray * 256).astype(np.uint16)


def frames(picture: Pixels, level: Level) -> list[Pixels]:
    white = np.iinfo(picture.dtype).max
    padded = np.full(
        (level.rows * level.tile_height, level.columns * level.tile_width, picture.shape[2]), white, picture.dtype
    )
    padded[: level.height, : level.width] = picture
    height, width = level.tile_height, level.tile_width
    return [
        padded[row * height : (row + 1) * height, column * width : (column + 1) * width]
        for column, row in level.tiles()
    ]


def write_series(folder: Path, kind: Kind, additions: Dataset, metadata: SlideMetadata = METADATA) -> Series:
    """Two levels, thumbnail, label and overview."""
    identity = SeriesIdentity.random()
    picture = source_picture(kind.pixel_format)
    pictures = {
        (ImageFlavor.VOLUME, False): picture,
        (ImageFlavor.VOLUME, True): picture[::2, ::2],
        (ImageFlavor.THUMBNAIL, True): picture[::4, ::4],
        (ImageFlavor.LABEL, False): picture[:100, :121],
        (ImageFlavor.OVERVIEW, False): picture[:101, :301],
    }
    method = lossy_method(kind.encoding.transfer_syntax)
    base_uid = identity.instance_uid("level 0")
    for number, ((flavor, resampled), pixels) in enumerate(pictures.items(), start=1):
        height, width = pixels.shape[:2]
        volume = flavor is ImageFlavor.VOLUME
        level = Level(width, height, 256, 256) if volume else Level(width, height, width, height)
        description = ImageDescription(
            flavor=flavor,
            instance_number=number,
            sop_instance_uid=base_uid if volume and not resampled else identity.instance_uid(f"{flavor} {resampled}"),
            level=level,
            spacing=Spacing(0.0005, 0.0005).scaled(500 / width, 460 / height) if volume else None,
            pixel_format=kind.pixel_format,
            encoding=kind.encoding,
            resampled=resampled,
            reencoded=method is not None and not (volume and not resampled),
            lossy=() if method is None else (LossyStep("ISO_15444_1", 8.5), LossyStep(method)),
            source_uid=base_uid if resampled else None,
        )
        dataset = image_dataset(identity, description, metadata, VOLUME, additions)
        encoded = [kind.encode(frame) for frame in frames(pixels, level)]
        total = sum(map(len, encoded))
        path = folder / f"{number}.dcm"
        with InstanceWriter(path, dataset, frame_count=level.tile_count, largest_total=total) as writer:
            for frame in encoded:
                writer.write(frame)
    return Series(folder, kind, pictures)


EXPECTED_WARNINGS = (
    "needed to build DICOMDIR",  # patient and study are unknown here
    "method inconsistent with Transfer Syntax",  # it looks at the first step of two only
)


def complaints(tool: Callable[[str], str], program: str, *files: Path) -> list[str]:
    """What a checker finds wrong, without the warnings that are expected."""
    # warnings quote values in whatever character set the file has
    done = subprocess.run([tool(program), *files], capture_output=True, text=True, errors="replace", check=False)
    lines = (done.stdout + done.stderr).splitlines()
    found = [line for line in lines if "Error" in line or "Warning" in line]
    return [line for line in found if not any(expected in line for expected in EXPECTED_WARNINGS)]
