"""Ways of breaking a file: bytes, numbers in binary and in text, pieces put elsewhere, and the fields of TIFF."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import tifffile

from tests.codec_fuzz import broken

NUMBERS = (0, 1, 2, 3, 8, 127, 128, 255, 256, 4096, 65535, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 63)
"""Where programs go wrong."""
TEXTS = (b"0", b"1", b"-1", b"9", b"99999", b"1e9", b"1e999", b"nan", b"inf", b".", b"x", b"\0", b"\xff", b"<", b"")
_RUN = 2048  # bytes, at most


class Number(NamedTuple):
    """A number in a file, in the struct code of its type and byte order."""

    offset: int
    code: str


def tiff_numbers(path: Path) -> list[Number]:
    """Tag, type, count and first values of every field of a TIFF; nothing for other files."""
    try:
        with tifffile.TiffFile(path) as file:
            big = file.is_bigtiff
            found = []
            for page in cast("Sequence[tifffile.TiffPage]", file.pages):
                for tag in page.tags.values():
                    found += [Number(tag.offset, "H"), Number(tag.offset + 2, "H")]
                    found.append(Number(tag.offset + 4, "Q" if big else "I"))
                    code = {3: "H", 4: "I", 16: "Q"}.get(int(tag.dtype), "B")
                    size = struct.calcsize(code)
                    found += [Number(tag.valueoffset + size * index, code) for index in range(min(tag.count, 6))]
            return [Number(offset, file.byteorder + code) for offset, code in found]
    except tifffile.TiffFileError:
        return []


def mutated(data: bytes, fields: Sequence[Number], dice: random.Random) -> bytes:
    """`data` broken once, or a few times; half of the time in one of its `fields`, where it has any."""
    for _ in range(dice.choice((1, 1, 1, 2, 5))):
        if fields and dice.random() < 0.5:
            data = _with_number(data, *dice.choice(fields), dice)
        elif data:
            data = dice.choice((_by_bytes, _with_run, _with_piece, _with_some_number, _with_text))(data, dice)
    return data


def _by_bytes(data: bytes, dice: random.Random) -> bytes:
    return broken(data, dice.getrandbits(32))


def _with_run(data: bytes, dice: random.Random) -> bytes:
    """Some of it overwritten by one value, or by noise."""
    begin, size = dice.randrange(len(data)), dice.randint(1, _RUN)
    run = dice.choice((bytes(size), b"\xff" * size, dice.randbytes(size)))
    return data[:begin] + run[: len(data) - begin] + data[begin + size :]


def _with_piece(data: bytes, dice: random.Random) -> bytes:
    """A piece of it put, or copied, elsewhere."""
    begin, to = dice.randrange(len(data)), dice.randrange(len(data))
    piece = data[begin : begin + dice.randint(1, _RUN)]
    return data[:to] + piece + data[to + dice.choice((0, len(piece))) :]


def _with_some_number(data: bytes, dice: random.Random) -> bytes:
    """A number, as there may be one anywhere, more often near the beginning."""
    offset = int(len(data) * dice.random() ** dice.choice((1, 4)))
    return _with_number(data, offset, dice.choice("<>") + dice.choice("BHIQ"), dice)


def _with_number(data: bytes, offset: int, code: str, dice: random.Random) -> bytes:
    size = struct.calcsize(code)
    if offset + size > len(data):  # what was there is cut off
        return data
    (old,) = struct.unpack_from(code, data, offset)
    new = dice.choice((dice.choice(NUMBERS), old + 1, old - 1, old * 2, old // 2, old ^ 1 << dice.randrange(8 * size)))
    return data[:offset] + struct.pack(code, new % (1 << 8 * size)) + data[offset + size :]


def _with_text(data: bytes, dice: random.Random) -> bytes:
    """A number that is written out, changed; of the same length as a rule, so that all else stays in its place."""
    written = [match.span() for match in re.finditer(rb"(?<![\w.])-?\d[\d.]*(?![\w.])", data[: 1 << 20])]
    if not written:
        return data
    begin, end = dice.choice(written)
    text = dice.choice(TEXTS)
    if dice.random() < 0.8:
        text = text[: end - begin].rjust(end - begin, b"0" if text.isdigit() else b" ")
    return data[:begin] + text + data[end:]
