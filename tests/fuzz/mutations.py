"""Ways of breaking a file: bytes, numbers in binary and in text, pieces put elsewhere, and what is known of formats."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import tifffile

from tests.codec_fuzz import broken
from tests.fuzz.containers import with_member_broken
from tests.fuzz.dicom_elements import is_dicom
from tests.fuzz.dicom_mutations import with_element_broken
from tests.fuzz.numbers import TEXTS, Number, with_number
from wsi_dicom.sources.zipped import is_zip

_RUN = 2048  # bytes, at most


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
    """`data` broken once, or a few times; more often than not where its format says that something lies.

    `fields`: numbers that may be broken on purpose.
    """
    for _ in range(dice.choice((1, 1, 1, 2, 5))):
        if is_dicom(data) and dice.random() < 0.75:
            data = with_element_broken(data, dice)
        elif is_zip(data) and dice.random() < 0.75:
            data = with_member_broken(data, dice, mutated)
        elif fields and dice.random() < 0.5:
            data = with_number(data, dice.choice(fields), dice)
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
    return with_number(data, Number(offset, dice.choice("<>") + dice.choice("BHIQ")), dice)


def _with_text(data: bytes, dice: random.Random) -> bytes:
    """A number that is written out, changed; of the same length as a rule, so that all else stays in its place."""
    found = [match.span() for match in re.finditer(rb"(?<![\w.])-?\d[\d.]*(?![\w.])", data[: 1 << 20])]
    if not found:
        return data
    begin, end = dice.choice(found)
    text = dice.choice(TEXTS)
    if dice.random() < 0.8:
        text = text[: end - begin].rjust(end - begin, b"0" if text.isdigit() else b" ")
    return data[:begin] + text + data[end:]
