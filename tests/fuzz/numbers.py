"""Numbers in a file, and what to make of them."""

from __future__ import annotations

import random
import struct
from typing import NamedTuple

NUMBERS = (0, 1, 2, 3, 8, 127, 128, 255, 256, 4096, 65535, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 63)
"""Where programs go wrong."""
TEXTS = (b"0", b"1", b"-1", b"9", b"99999", b"1e9", b"1e999", b"nan", b"inf", b".", b"x", b"\0", b"\xff", b"<", b"")
"""The same, written out."""


class Number(NamedTuple):
    """A number in a file, in the struct code of its type and byte order."""

    offset: int
    code: str


def with_number(data: bytes, number: Number, dice: random.Random) -> bytes:
    """The number changed; `data` as it is where the number is cut off."""
    size = struct.calcsize(number.code)
    if number.offset + size > len(data):
        return data
    (old,) = struct.unpack_from(number.code, data, number.offset)
    new = dice.choice((dice.choice(NUMBERS), old + 1, old - 1, old * 2, old // 2, old ^ 1 << dice.randrange(8 * size)))
    return written(data, number, new)


def added(data: bytes, number: Number, difference: int) -> bytes:
    (old,) = struct.unpack_from(number.code, data, number.offset)
    return written(data, number, old + difference)


def written(data: bytes, number: Number, value: int) -> bytes:
    """`value` in the place of the number, as many of its bits as fit there."""
    size = struct.calcsize(number.code)
    stored = struct.pack(number.code, value % (1 << 8 * size))
    return data[: number.offset] + stored + data[number.offset + size :]
