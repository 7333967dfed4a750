"""Pixels of one stored tile or strip, for every compression that is read; never more memory than the tile has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from wsi_dicom.codecs import codec_for
from wsi_dicom.codecs.jpeg_markers import parse_header
from wsi_dicom.codecs.transfer_syntaxes import JPEG_2000 as JPEG_2000_SYNTAX
from wsi_dicom.errors import CodecError
from wsi_dicom.slide import EncodedTile, Encoding, Pixels
from wsi_dicom.sources.tiff_layout import JPEG, JPEG_2000, Compression, Photometric, TiffLayout


def _deflate(data: bytes, size: int) -> bytes:
    from imagecodecs import zlib_decode

    return bytes(zlib_decode(data, out=size))


def _lzw(data: bytes, size: int) -> bytes:
    from imagecodecs import lzw_decode

    return bytes(lzw_decode(data, out=size))


def _packbits(data: bytes, size: int) -> bytes:
    from imagecodecs import packbits_decode

    return bytes(packbits_decode(data, out=size))


def _zstd(data: bytes, size: int) -> bytes:
    from imagecodecs import zstd_decode

    return bytes(zstd_decode(data, out=size))


_BYTES: Final[dict[Compression, Callable[[bytes, int], bytes]]] = {
    Compression.NONE: lambda data, _: data,
    Compression.LZW: _lzw,
    Compression.DEFLATE: _deflate,
    Compression.DEFLATE_OLD: _deflate,
    Compression.PACKBITS: _packbits,
    Compression.ZSTD: _zstd,
}


def decode(layout: TiffLayout, tile: EncodedTile, rows: int) -> Pixels:
    """Shape (rows, tile width, samples) or, for JPEG that differs from its grid, less. Raises CodecError.

    `tile` is a complete stream; its encoding counts only for JPEG that is silent about its colour.
    """
    shape = rows, layout.level.tile_width, layout.pixel_format.samples
    try:
        if layout.compression in JPEG:
            return _jpeg(layout, tile, rows)
        if layout.compression in JPEG_2000:
            return _jpeg2000(layout, tile.data, shape)
        if layout.compression == Compression.WEBP:
            return _webp(tile.data, shape)
        return _samples(layout, tile.data, shape)
    except (RuntimeError, ValueError) as error:  # the errors of imagecodecs have no narrower common class
        raise CodecError(f"{layout.compression.name} decoding failed: {error}") from error


def _samples(layout: TiffLayout, data: bytes, shape: tuple[int, int, int]) -> Pixels:
    from imagecodecs import delta_decode

    kind = np.dtype(np.uint8 if layout.pixel_format.bits == 8 else layout.byte_order + "u2")
    count = shape[0] * shape[1] * shape[2]
    found = _BYTES[layout.compression](data, count * kind.itemsize)
    if len(found) < count * kind.itemsize:
        raise CodecError(f"{len(found)} bytes of pixels where {count * kind.itemsize} are needed")
    pixels: Pixels = np.frombuffer(found, dtype=kind, count=count).reshape(shape)
    pixels = pixels.astype(kind.newbyteorder("="), copy=False)
    if layout.predicted:
        pixels = delta_decode(pixels, axis=1)
    return ~pixels if layout.photometric == Photometric.WHITE_IS_ZERO else pixels


def _jpeg(layout: TiffLayout, tile: EncodedTile, rows: int) -> Pixels:
    header = parse_header(tile.data)
    if header.width > layout.level.tile_width or header.height > layout.level.tile_height:
        raise CodecError(
            f"a JPEG stream of {header.width} x {header.height} pixels in a tile of {layout.level.tile_width} x {rows}"
        )
    codec = codec_for(tile.encoding.transfer_syntax)
    return codec.decode(tile, header.width, header.height, layout.pixel_format)[:rows]


def _jpeg2000(layout: TiffLayout, data: bytes, shape: tuple[int, int, int]) -> Pixels:
    ycbcr = layout.compression == Compression.APERIO_JP2K_YCBCR or layout.photometric == Photometric.YCBCR
    colour = "YBR_FULL" if ycbcr else "RGB"
    stored = Encoding(JPEG_2000_SYNTAX, colour if shape[2] == 3 else "MONOCHROME2")
    return codec_for(JPEG_2000_SYNTAX).decode(EncodedTile(data, stored), shape[1], shape[0], layout.pixel_format)


def _webp(data: bytes, shape: tuple[int, int, int]) -> Pixels:
    from imagecodecs import webp_decode

    pixels: Pixels = np.empty(shape, np.uint8)
    webp_decode(data, hasalpha=False, out=pixels)  # refuses another shape before it decodes
    return pixels
