"""Breaks real streams and decodes them: `python -m tests.codec_fuzz ROUNDS [SEED]`.

In a process of its own, since it is native code that is tried: whatever is not pixels or a CodecError, a crash and a
loop without end included, ends it with another code than 0, and the last line printed names the stream.
"""

from __future__ import annotations

import faulthandler
import random
import resource
import sys
from collections.abc import Iterator

import numpy as np
from skimage.data import immunohistochemistry

from wsi_dicom.codecs import codec_for
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.codecs.transfer_syntaxes import JPEG_EXTENDED, JPEG_LOSSLESS_SV1
from wsi_dicom.errors import CodecError
from wsi_dicom.geometry import PixelFormat
from wsi_dicom.slide import EncodedTile, Encoding, Pixels

WIDTH, HEIGHT = 96, 64
MEMORY = 3 << 30
_OF_8_BITS = (Compression.JPEG, Compression.JPEG_XL_RECOMPRESS, Compression.WEBP)
PER_STREAM = 10
"""Seconds, of which a stream needs a few thousandths."""


def streams() -> Iterator[tuple[Encoding, PixelFormat, bytes]]:
    """One of every encoding that we write, of 8 and where possible of 16 bits."""
    tissue = immunohistochemistry()[:HEIGHT, :WIDTH]
    for pixels in (tissue, tissue.astype(np.uint16) * 257):
        pixel_format = PixelFormat(3, 8 * pixels.itemsize)
        encodings = [Encoding(JPEG_LOSSLESS_SV1, "RGB")]
        if pixels.itemsize == 1:
            encodings.append(Encoding(JPEG_EXTENDED, "YBR_FULL_422"))
        for compression in Compression:
            codec = codec_for(compression.transfer_syntax)
            if pixels.itemsize == 1 or compression not in _OF_8_BITS:
                encodings.append(codec.encoding(pixel_format, compression.lossless))
        for encoding in encodings:
            yield encoding, pixel_format, codec_for(encoding.transfer_syntax).encode(pixels, encoding, 80)


def broken(stream: bytes, seed: int) -> bytes:
    """Bytes changed, a bit turned, cut off, some left out or put in; half of the time near the beginning."""
    dice, data = random.Random(seed), bytearray(stream)
    reach = len(data) if dice.random() < 0.5 else min(len(data), 200)
    place, count = dice.randrange(reach), dice.randrange(1, 9)
    match dice.randrange(5):
        case 0:
            for _ in range(count):
                data[dice.randrange(reach)] = dice.randrange(256)
        case 1:
            data[place] ^= 1 << dice.randrange(8)
        case 2:
            del data[dice.randrange(len(data)) :]
        case 3:
            del data[place : place + count]
        case _:
            data[place:place] = dice.randbytes(count)
    return bytes(data)


def outcome(data: bytes, encoding: Encoding, pixel_format: PixelFormat) -> str:
    try:
        pixels: Pixels = codec_for(encoding.transfer_syntax).decode(
            EncodedTile(data, encoding), WIDTH, HEIGHT, pixel_format
        )
    except CodecError as error:
        if not str(error) or "\n" in str(error):
            raise ValueError(f"not one line: {error!r}") from error
        return "refused"
    if pixels.shape != (HEIGHT, WIDTH, 3) or pixels.dtype.itemsize != pixel_format.bits // 8:
        raise ValueError(f"pixels of {pixels.shape} {pixels.dtype}")
    return "decoded"


def main(rounds: int, first: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for encoding, pixel_format, stream in streams():
        counts = {"decoded": 0, "refused": 0}
        for seed in range(first, first + rounds):
            print(f"{encoding.transfer_syntax} {pixel_format.bits} bits, seed {seed}", end="\r", flush=True)
            faulthandler.dump_traceback_later(PER_STREAM, exit=True)
            counts[outcome(broken(stream, seed), encoding, pixel_format)] += 1
        faulthandler.cancel_dump_traceback_later()
        print(f"{encoding.transfer_syntax} {pixel_format.bits} bits:", counts)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
