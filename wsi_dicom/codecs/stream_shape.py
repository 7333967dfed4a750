"""What a stream's own header says that it holds, against what is expected: before anything is allocated for it."""

from __future__ import annotations

from typing import NamedTuple

from wsi_dicom.errors import CodecError
from wsi_dicom.geometry import PixelFormat


class StreamShape(NamedTuple):
    """Pixels, samples of a pixel and significant bits of a sample, as a stream declares them."""

    width: int
    height: int
    samples: int
    bits: int


def check_shape(kind: str, stream: StreamShape, width: int, height: int, pixel_format: PixelFormat) -> None:
    """Raises CodecError when the stream is of another size, or decodes to another kind of number.

    `kind` names the compression, as in "a JPEG stream". Samples of up to 8 bits decode to 8, of up to 16 to 16.
    """
    fits = 0 < stream.bits <= 8 if pixel_format.bits == 8 else 8 < stream.bits <= 16
    if stream[:3] != (width, height, pixel_format.samples) or not fits:
        raise CodecError(
            f"a {kind} stream of {stream.width} x {stream.height} pixels with {stream.samples} samples of "
            f"{stream.bits} bits where {width} x {height} with {pixel_format.samples} of {pixel_format.bits} are "
            "expected"
        )
