"""Samples of one stored tile or strip, for every compression that is read; never more memory than the tile has."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

import numpy as np

from wsi_dicom.codecs import codec_for
from wsi_dicom.codecs.jpeg_markers import parse_header
from wsi_dicom.codecs.transfer_syntaxes import JPEG_2000 as JPEG_2000_SYNTAX
from wsi_dicom.errors import CodecError
from wsi_dicom.geometry import PixelFormat
from wsi_dicom.slide import EncodedTile, Encoding, Pixels
from wsi_dicom.tiff.layout import JPEG, JPEG_2000, JPEG_XL, JPEG_XR, LERC, WEBP, Compression, TiffLayout
from wsi_dicom.tiff.samples import Photometric
from wsi_dicom.tiff.structure import Tag


def _deflate(data: bytes, size: int) -> bytes:
    from imagecodecs import zlib_decode

    return bytes(zlib_decode(data, out=size))


def _lzma(data: bytes, size: int) -> bytes:
    from imagecodecs import lzma_decode

    return bytes(lzma_decode(data, out=size))


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
    Compression.LZMA: _lzma,
    Compression.PACKBITS: _packbits,
    Compression.ZSTD: _zstd,
    Compression.ZSTD_OLD: _zstd,
}
_JPEG_XR_OFFSET, _JPEG_XR_BYTES = 0xBCC0, 0xBCC1
_LERC_INSIDE: Final = {1: _deflate, 2: _zstd}  # second value of field LercParameters


def decode(layout: TiffLayout, tile: EncodedTile, rows: int) -> Pixels:
    """Samples as stored, shape (rows, tile width, samples that a tile has); JPEG that differs from its grid has less.

    `tile` is a complete stream; its encoding counts only for JPEG that is silent about its colour. Raises CodecError.
    """
    shape = rows, layout.level.tile_width, layout.samples.together
    try:
        if layout.compression in JPEG:
            return _jpeg(layout, tile, rows)
        if layout.compression in JPEG_2000:
            return _jpeg2000(layout, tile.data, shape)
        if layout.compression in _BYTES:
            return _samples(layout, tile.data, shape)
        return _picture(layout, tile.data, shape)
    except (RuntimeError, ValueError) as error:  # the errors of imagecodecs have no narrower common class
        raise CodecError(f"{layout.compression.name} decoding failed: {error}") from error


def _samples(layout: TiffLayout, data: bytes, shape: tuple[int, int, int]) -> Pixels:
    from imagecodecs import delta_decode, packints_decode

    rows, width, samples = shape
    bits, size = layout.samples.bits, rows * layout.row_bytes
    # some writers fill the last strip up to the height of the others
    found = _BYTES[layout.compression](data, layout.level.tile_height * layout.row_bytes)
    if len(found) < size:
        raise CodecError(f"{len(found)} bytes of pixels where {size} are needed")
    if bits not in (8, 16):
        kind = "u1" if bits < 8 else "u2"
        return np.asarray(packints_decode(found[:size], kind, bits, runlen=width * samples)).reshape(shape)
    stored = np.dtype("u1" if bits == 8 else layout.byte_order + "u2")
    pixels: Pixels = np.frombuffer(found, dtype=stored, count=rows * width * samples).reshape(shape)
    pixels = pixels.astype(stored.newbyteorder("="), copy=False)
    return np.asarray(delta_decode(pixels, axis=1)) if layout.predicted else pixels


def _jpeg(layout: TiffLayout, tile: EncodedTile, rows: int) -> Pixels:
    header = parse_header(tile.data)
    if header.width > layout.level.tile_width or header.height > layout.level.tile_height:
        raise CodecError(
            f"a JPEG stream of {header.width} x {header.height} pixels in a tile of {layout.level.tile_width} x {rows}"
        )
    codec = codec_for(tile.encoding.transfer_syntax)
    return codec.decode(tile, header.width, header.height, _stored_format(layout))[:rows]


def _jpeg2000(layout: TiffLayout, data: bytes, shape: tuple[int, int, int]) -> Pixels:
    ycbcr = layout.compression == Compression.APERIO_JP2K_YCBCR or layout.photometric == Photometric.YCBCR
    colour = "YBR_FULL" if ycbcr else "RGB"
    stored = Encoding(JPEG_2000_SYNTAX, colour if shape[2] == 3 else "MONOCHROME2")
    tile = EncodedTile(data, stored)
    return codec_for(JPEG_2000_SYNTAX).decode(tile, shape[1], shape[0], _stored_format(layout))


def _picture(layout: TiffLayout, data: bytes, shape: tuple[int, int, int]) -> Pixels:
    """Compressions of whole pictures: each refuses another shape or type than that of `out` before it decodes."""
    import imagecodecs

    out: Pixels = np.empty(shape if shape[2] > 1 else shape[:2], _kind(layout))
    if layout.compression in WEBP:
        imagecodecs.webp_decode(data, hasalpha=shape[2] == 4, out=out)
    elif layout.compression in JPEG_XL:
        imagecodecs.jpegxl_decode(data, numthreads=1, out=out)
    elif layout.compression in JPEG_XR:
        _refuse_cut_off(data)
        imagecodecs.jpegxr_decode(data, out=out)
    elif layout.compression in LERC:
        imagecodecs.lerc_decode(lerc_blob(layout, data), out=out)
    return out.reshape(shape)


def _refuse_cut_off(data: bytes) -> None:
    """jxrlib fills what is missing with gray. Raises CodecError by the container (ITU-T T.832 annex A), if any.

    Its directory is that of TIFF, with tags of its own for offset and byte count of the picture.
    """
    if not data.startswith(b"II\xbc") or len(data) < 10:
        return
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at) if at + 2 <= len(data) else (0,)
    if not count or at + 2 + 12 * count > len(data):
        raise CodecError("the JPEG XR stream ends within its header")
    fields = {tag: value for tag, _, _, value in struct.iter_unpack("<HHII", data[at + 2 : at + 2 + 12 * count])}
    end = fields.get(_JPEG_XR_OFFSET, 0) + fields.get(_JPEG_XR_BYTES, 0)
    if end > len(data):
        raise CodecError(f"the JPEG XR stream is cut off: it has {len(data)} of {end} bytes")


def lerc_blob(layout: TiffLayout, data: bytes) -> bytes:
    """LERC out of the Deflate or Zstandard that field LercParameters (version, compression) has. Raises CodecError."""
    parameters = layout.directory.integers(Tag.LERC_PARAMETERS)
    inside = _LERC_INSIDE.get(parameters[1]) if len(parameters) > 1 else None
    if inside is None:
        return data
    size = layout.level.tile_height * layout.row_bytes
    try:
        return inside(data, size + (size >> 3) + 4096)  # noise may grow a little, and has a header
    except (RuntimeError, ValueError) as error:  # the errors of imagecodecs have no narrower common class
        raise CodecError(f"LERC decoding failed: {error}") from error


def _stored_format(layout: TiffLayout) -> PixelFormat:
    return PixelFormat(layout.samples.together, 8 if layout.samples.bits <= 8 else 16)


def _kind(layout: TiffLayout) -> str:
    return "u1" if layout.samples.bits <= 8 else "u2"
