"""Palettes of indexed colours (PS3.3 C.7.6.3.1.5 to C.7.6.3.1.6, and C.7.9.2 for those in segments)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wsi_dicom.dicom.header import Instance
from wsi_dicom.errors import CorruptInput

_MOST_ENTRIES: Final = 1 << 16
_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2
_COLOURS: Final = ("Red", "Green", "Blue")


def read_palette(instance: Instance) -> tuple[int, NDArray[np.uint8]]:
    """The number of the first entry, and all of them: shape (entries, 3), red, green and blue of 8 bits.

    Smaller numbers have the colour of the first entry, larger ones that of the last. Raises CorruptInput.
    """
    first, bits = 0, 0
    tables = []
    for colour in _COLOURS:
        entries, first, bits = _descriptor(instance, colour)
        tables.append(_table(instance, colour, entries, bits))
    if len({len(table) for table in tables}) > 1:
        raise CorruptInput(f"{instance.path} has a palette whose red, green and blue differ in length")
    colours = np.stack(tables, axis=1)
    # Some programs put values of 8 bits into tables of 16.
    return first, (colours >> 8 if bits > 8 and colours.max() > 255 else colours).astype(np.uint8)


def _descriptor(instance: Instance, colour: str) -> tuple[int, int, int]:
    """The number of entries, the number that the first of them is for, and their bits."""
    value: Any = instance.header.get(f"{colour}PaletteColorLookupTableDescriptor")
    if isinstance(value, bytes):  # of implicit VR, where the data dictionary leaves open whether it is signed
        value = np.frombuffer(value[: len(value) // 2 * 2], "<i2").tolist()
    if value is None or isinstance(value, str | int) or len(value) != 3:
        raise CorruptInput(
            f"{instance.path} has PALETTE COLOR pixels, and no {colour}PaletteColorLookupTableDescriptor"
        )
    entries, first, bits = (int(number) & 0xFFFF for number in value)
    if bits not in (8, 16):
        raise CorruptInput(f"{instance.path} has a palette of {bits} bits an entry; there are those of 8 and of 16")
    signed = instance.header.get("PixelRepresentation") == 1 and first >= 1 << 15
    return entries or _MOST_ENTRIES, first - (1 << 16) if signed else first, bits


def _table(instance: Instance, colour: str, entries: int, bits: int) -> NDArray[np.uint16]:
    data = instance.header.get(f"{colour}PaletteColorLookupTableData")
    segments = instance.header.get(f"Segmented{colour}PaletteColorLookupTableData")
    stored = data or segments
    if not isinstance(stored, bytes):
        raise CorruptInput(f"{instance.path} has PALETTE COLOR pixels, and no {colour}PaletteColorLookupTableData")
    if instance.big_endian:  # words of 16 bits, even where two entries share one
        stored = np.frombuffer(stored[: len(stored) // 2 * 2], ">u2").astype("<u2").tobytes()
    # Entries of 8 bits lie two in a word, or one.
    packed = bits == 8 and (not data or len(stored) < 2 * entries)
    words = np.frombuffer(stored, "u1" if packed else "<u2", len(stored) // (1 if packed else 2))
    table = words.astype(np.uint16) if data else np.array(_expanded(words, instance), np.uint16)
    if len(table) < entries:
        raise CorruptInput(
            f"{instance.path} has a {colour.lower()} palette of {len(table)} entries where {entries} are due"
        )
    return table[:entries]


def _expanded(words: NDArray[Any], instance: Instance) -> list[int]:
    """The entries that segments stand for, 65536 at most. Raises CorruptInput."""
    table: list[int] = []
    numbers: list[int] = words.tolist()
    wide = 2 if words.itemsize == 2 else 4  # numbers that an offset in bytes is written in, the low ones first

    def segment(position: int, *, direct: bool) -> int:
        """Adds one, and tells where the next begins."""
        opcode, length = numbers[position], numbers[position + 1]
        position += 2
        if len(table) + length > _MOST_ENTRIES:
            raise CorruptInput(f"{instance.path} has a palette of more than {_MOST_ENTRIES} entries")
        if opcode == _DISCRETE and length:
            table.extend(numbers[position : position + length])
            return position + length
        if opcode == _LINEAR and length and table:
            steps = np.linspace(table[-1], numbers[position], length + 1)[1:]
            table.extend(np.rint(steps).astype(int).tolist())
            return position + 1
        if (
            opcode == _INDIRECT and length and direct
        ):  # segments that were there before, which are direct ones themselves
            parts = numbers[position : position + wide]
            offset = sum(part << 8 * words.itemsize * index for index, part in enumerate(parts))
            there = offset // words.itemsize
            for _ in range(length):
                there = segment(there, direct=False)
            return position + wide
        raise CorruptInput(f"{instance.path} has a palette with a segment that cannot be read")

    position = 0
    try:
        while position + 2 < len(numbers):
            position = segment(position, direct=True)
    except IndexError:
        raise CorruptInput(f"{instance.path} has a palette that breaks off in a segment") from None
    return table
