"""The compressions that new tiles can be asked to have, by the names that users type."""

from __future__ import annotations

from enum import StrEnum

from wsi_dicom.codecs import transfer_syntaxes as syntaxes


class Compression(StrEnum):
    """What tiles that cannot be copied are compressed with. The last four are for TIFF alone, `deflated` for DICOM."""

    NONE = "none"
    JPEG = "jpeg"
    JPEG2000 = "jpeg2000"
    JPEG2000_LOSSY = "jpeg2000-lossy"
    HTJ2K = "htj2k"
    HTJ2K_LOSSY = "htj2k-lossy"
    JPEG_LS = "jpeg-ls"
    JPEG_XL = "jpeg-xl"
    JPEG_XL_RECOMPRESS = "jpeg-xl-recompress"
    RLE = "rle"
    DEFLATED = "deflated"
    LZW = "lzw"
    DEFLATE = "deflate"
    ZSTD = "zstd"
    WEBP = "webp"

    @property
    def transfer_syntax(self) -> str:
        return _SYNTAXES[self]

    @property
    def lossless(self) -> bool:
        """Whether pixels come back as they were. `jpeg-xl-recompress` keeps every bit of a JPEG stream, but pixels
        that are not JPEG yet become so first."""
        return syntaxes.lossy_method(self.transfer_syntax) is None


_SYNTAXES = {
    Compression.NONE: syntaxes.EXPLICIT_VR_LITTLE_ENDIAN,
    Compression.JPEG: syntaxes.JPEG_BASELINE,
    Compression.JPEG2000: syntaxes.JPEG_2000_LOSSLESS,
    Compression.JPEG2000_LOSSY: syntaxes.JPEG_2000,
    Compression.HTJ2K: syntaxes.HTJ2K_LOSSLESS,
    Compression.HTJ2K_LOSSY: syntaxes.HTJ2K,
    Compression.JPEG_LS: syntaxes.JPEG_LS_LOSSLESS,
    Compression.JPEG_XL: syntaxes.JPEG_XL_LOSSLESS,
    Compression.JPEG_XL_RECOMPRESS: syntaxes.JPEG_XL_RECOMPRESSION,
    Compression.RLE: syntaxes.RLE,
    Compression.DEFLATED: syntaxes.DEFLATED_IMAGE_FRAME,
    Compression.LZW: syntaxes.TIFF_LZW,
    Compression.DEFLATE: syntaxes.TIFF_DEFLATE,
    Compression.ZSTD: syntaxes.TIFF_ZSTD,
    Compression.WEBP: syntaxes.TIFF_WEBP,
}
