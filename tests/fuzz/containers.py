"""Breaking what is packed: the members of a zip archive, and a deflated stream."""

from __future__ import annotations

import io
import random
import zipfile
import zlib
from collections.abc import Callable, Sequence

from tests.fuzz.numbers import Number

_DATE = (2024, 2, 29, 12, 30, 0)


def zipped(members: Sequence[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive that is the same whenever it is made."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", method) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name, _DATE), content, method)
    return whole.getvalue()


def with_member_broken(
    data: bytes, dice: random.Random, mutated: Callable[[bytes, Sequence[Number], random.Random], bytes]
) -> bytes:
    """One file of an archive broken and packed again; or left out, or put in twice. What is no archive stays."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError):
        return data
    if not members:
        return data
    index = dice.randrange(len(members))
    name, content = members[index]
    match dice.randrange(10):
        case 0:
            del members[index]
        case 1:
            members.append((f"copy of {name}", content))
        case _:
            members[index] = name, mutated(content, (), dice)
    return zipped(members, dice.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def deflated(data: bytes) -> bytes:
    """A raw stream."""
    packer = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def inflated(data: bytes) -> bytes:
    """Of a raw stream, broken or not: as far as it goes."""
    stream, whole = zlib.decompressobj(-zlib.MAX_WBITS), b""
    try:
        for begin in range(0, len(data), 64):
            whole += stream.decompress(data[begin : begin + 64])
    except zlib.error:
        pass  # the rest is lost
    return whole
