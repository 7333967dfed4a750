"""Compressions: one file each, found by DICOM transfer syntax.

To add one: write `codecs/x.py` with a class that satisfies Codec, and name it in `_codecs`.
"""

from __future__ import annotations

from functools import cache
from typing import Protocol

from wsi_dicom.codecs.transfer_syntaxes import TIFF_DEFLATE, TIFF_LZW, TIFF_ZSTD, transfer_syntax_name
from wsi_dicom.errors import CodecError
from wsi_dicom.geometry import PixelFormat
from wsi_dicom.slide import EncodedTile, Encoding, Pixels


class Codec(Protocol):
    """One compression, both ways. Stateless and thread-safe; the native code releases the GIL."""

    transfer_syntaxes: tuple[str, ...]

    def encoding(self, pixel_format: PixelFormat, lossless: bool) -> Encoding:
        """The best encoding for such pixels. Raises CodecError when this codec cannot hold them."""
        ...

    def encode(self, pixels: Pixels, encoding: Encoding, quality: int) -> bytes:
        """Compresses (height, width, samples) to a stream of just this `encoding`, one of ours or of a copied level.

        `quality` 1..100 counts for lossy transfer syntaxes. Raises CodecError.
        """
        ...

    def decode(self, tile: EncodedTile, width: int, height: int, pixel_format: PixelFormat) -> Pixels:
        """Pixels of shape (height, width, samples). Raises CodecError, also when the stream has another shape.

        The size is checked in the stream's header before anything is allocated for it.
        """
        ...


@cache
def _codecs() -> dict[str, Codec]:
    from wsi_dicom.codecs.deflated import DeflatedCodec
    from wsi_dicom.codecs.htj2k import Htj2kCodec
    from wsi_dicom.codecs.jpeg import JpegCodec
    from wsi_dicom.codecs.jpeg2000 import Jpeg2000Codec
    from wsi_dicom.codecs.jpegls import JpegLsCodec
    from wsi_dicom.codecs.jpegxl import JpegXlCodec
    from wsi_dicom.codecs.native import NativeCodec
    from wsi_dicom.codecs.rle import RleCodec
    from wsi_dicom.codecs.tiff_only import PredictedCodec, WebpCodec

    codecs: tuple[Codec, ...] = (
        NativeCodec(),
        JpegCodec(),
        Jpeg2000Codec(),
        Htj2kCodec(),
        JpegLsCodec(),
        JpegXlCodec(),
        RleCodec(),
        DeflatedCodec(),
        *(PredictedCodec(syntax) for syntax in (TIFF_LZW, TIFF_DEFLATE, TIFF_ZSTD)),
        WebpCodec(),
    )
    return {uid: codec for codec in codecs for uid in codec.transfer_syntaxes}


def codec_for(transfer_syntax: str) -> Codec:
    """The codec of a transfer syntax. Raises CodecError for one we do not know."""
    try:
        return _codecs()[transfer_syntax]
    except KeyError:
        raise CodecError(f"transfer syntax {transfer_syntax_name(transfer_syntax)} is not supported") from None


def encode_tile(pixels: Pixels, encoding: Encoding, quality: int) -> bytes:
    """Compresses one tile to a stream of `encoding`. Raises CodecError."""
    return codec_for(encoding.transfer_syntax).encode(pixels, encoding, quality)
