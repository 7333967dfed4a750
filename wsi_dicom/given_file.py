"""Reading the small files that a user gives beside a slide: attributes, tables, keys, colour profiles."""

from __future__ import annotations

from pathlib import Path

from wsi_dicom.errors import InvalidRequest, NotFound


def read_given_file(path: Path, largest: int) -> bytes:
    """The whole file. Raises NotFound; InvalidRequest when it cannot be read or has more than `largest` bytes."""
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except FileNotFoundError as error:
        raise NotFound(f"{path}: no such file") from error
    except OSError as error:
        raise InvalidRequest(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > largest:
        raise InvalidRequest(f"{path}: is larger than the {largest / (1 << 20):g} MiB allowed for such a file")
    return data


def read_given_text(path: Path, largest: int) -> str:
    """The same as text, in UTF-8 with or without byte order mark. Raises NotFound, InvalidRequest."""
    try:
        return read_given_file(path, largest).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{path}: is not UTF-8 text (byte {error.start})") from error
