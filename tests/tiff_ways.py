"""Ways of storing pixels in a TIFF: what tifffile writes of one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from skimage.data import immunohistochemistry

PICTURE: np.ndarray = immunohistochemistry()  # type: ignore[no-untyped-call]
ODD = np.ascontiguousarray(PICTURE[:201, :307])
GRAY = np.ascontiguousarray(ODD[:, :, 1])
RAMP = np.arange(307, dtype=np.uint16)
GRAY16 = GRAY.astype(np.uint16) * 257 + RAMP
RGB16 = ODD.astype(np.uint16) * 257 - RAMP[:, np.newaxis]
FADING = np.clip(np.indices(GRAY.shape)[0] * 2 - 60, 0, 255).astype(np.uint8)
"""Opacity: none at the top, all at the bottom."""
RGBA = np.dstack([ODD, FADING])
PREMULTIPLIED = np.dstack([(ODD * (FADING[:, :, np.newaxis] / 255)).astype(np.uint8), FADING])
COLORMAP = np.random.default_rng(3).integers(0, 65536, (3, 256)).astype(np.uint16)
TILES: dict[str, Any] = {"tile": (64, 112)}
PLANES: dict[str, Any] = {"planarconfig": "separate"}
WAYS: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "none, big endian, 16 bits": (GRAY16, {**TILES, "byteorder": ">"}),
    "deflate, predictor, 16 bits, big endian": (
        GRAY16,
        {**TILES, "compression": "zlib", "predictor": 2, "byteorder": ">"},
    ),
    "lzw, predictor": (ODD, {**TILES, "compression": "lzw", "predictor": 2}),
    "zstd, predictor, BigTIFF": (ODD, {**TILES, "compression": "zstd", "predictor": 2, "bigtiff": True}),
    "lzma, predictor, 16 bits": (RGB16, {**TILES, "compression": "lzma", "predictor": 2}),
    "packbits strips, last one short": (ODD, {"rowsperstrip": 64, "compression": "packbits"}),
    "webp, lossless": (ODD, {**TILES, "compression": "webp"}),
    "webp, lossy": (ODD, {**TILES, "compression": "webp", "compressionargs": {"lossless": False, "level": 80}}),
    "lerc": (ODD, {**TILES, "compression": "lerc"}),
    "lerc, lossy": (ODD, {**TILES, "compression": "lerc", "compressionargs": {"level": 3}}),
    "lerc in deflate, 16 bits": (
        GRAY16,
        {**TILES, "compression": "lerc", "compressionargs": {"compression": "deflate"}},
    ),
    "lerc in zstd": (ODD, {**TILES, "compression": "lerc", "compressionargs": {"compression": "zstd"}}),
    "jpeg xl": (ODD, {**TILES, "compression": "jpegxl"}),
    "jpeg xl, lossy": (ODD, {**TILES, "compression": "jpegxl", "compressionargs": {"lossless": False}}),
    "jpeg xl, 16 bits": (GRAY16, {**TILES, "compression": "jpegxl"}),
    "jpeg xr": (ODD, {**TILES, "compression": "jpegxr"}),
    "jpeg xr, lossy": (ODD, {**TILES, "compression": "jpegxr", "compressionargs": {"level": 0.9}}),
    "jpeg xr, 16 bits": (GRAY16, {**TILES, "compression": "jpegxr"}),
    "jpeg 2000, 16 bits": (GRAY16, {**TILES, "compression": "jpeg2000"}),
    "jpeg": (ODD, {"tile": (64, 64), "compression": "jpeg", "photometric": "ycbcr"}),
    "jpeg, gray": (GRAY, {"tile": (64, 64), "compression": "jpeg"}),
    "jpeg strips": (ODD, {"rowsperstrip": 48, "compression": "jpeg"}),
    "jpeg, 12 bits": (GRAY16 >> 4, {"tile": (64, 64), "compression": "jpeg", "bitspersample": 12}),
    "12 bits": (GRAY16 >> 4, {**TILES, "bitspersample": 12}),
    "4 bits": (GRAY >> 4, {"rowsperstrip": 32, "bitspersample": 4}),
    "2 bits, white is zero": (GRAY >> 6, {"rowsperstrip": 32, "bitspersample": 2, "photometric": "miniswhite"}),
    "1 bit": (GRAY > 128, {"tile": (64, 64), "compression": "zlib"}),
    "1 bit strips, white is zero": (GRAY > 128, {"rowsperstrip": 30, "photometric": "miniswhite"}),
    "white is zero": (GRAY, {**TILES, "photometric": "miniswhite"}),
    "jpeg, white is zero": (GRAY, {"tile": (64, 64), "compression": "jpeg", "photometric": "miniswhite"}),
    "white is zero, 16 bits": (GRAY16, {**TILES, "photometric": "miniswhite", "compression": "lzw"}),
    "palette": (GRAY, {**TILES, "photometric": "palette", "colormap": COLORMAP, "compression": "packbits"}),
    "alpha": (RGBA, {**TILES, "extrasamples": "unassalpha", "compression": "zlib", "predictor": 2}),
    "alpha, premultiplied": (PREMULTIPLIED, {**TILES, "extrasamples": "assocalpha", "compression": "lzw"}),
    "alpha, 16 bits": (RGBA.astype(np.uint16) * 257, {**TILES, "extrasamples": "unassalpha"}),
    "alpha, webp": (RGBA, {**TILES, "extrasamples": "unassalpha", "compression": "webp"}),
    "alpha, jpeg xl": (RGBA, {**TILES, "extrasamples": "unassalpha", "compression": "jpegxl"}),
    "alpha, gray": (
        np.dstack([GRAY, FADING]),
        {**TILES, "extrasamples": "unassalpha", "planarconfig": "contig"},
    ),
    "extra sample": (RGBA, {**TILES, "extrasamples": "unspecified"}),
    "planes, deflate": (np.moveaxis(ODD, 2, 0), {**TILES, **PLANES, "compression": "zlib", "predictor": 2}),
    "planes, jpeg": (np.moveaxis(ODD, 2, 0), {"tile": (64, 64), **PLANES, "compression": "jpeg"}),
    "planes in strips, 16 bits": (np.moveaxis(RGB16, 2, 0), {"rowsperstrip": 50, **PLANES}),
    "planes, alpha": (
        np.moveaxis(RGBA, 2, 0),
        {**TILES, **PLANES, "extrasamples": "unassalpha", "compression": "zstd"},
    ),
}


def write_way(path: Path, way: str) -> None:
    pixels, options = WAYS[way]
    kind = "rgb" if pixels.ndim == 3 and 2 not in pixels.shape else "minisblack"
    tifffile.imwrite(path, pixels, metadata=None, **{"photometric": kind, **options})
