"""Names of files that others chose, as places below a folder of ours."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

from wsi_dicom.errors import InvalidRequest

_DEEPEST: Final = 16
_LONGEST_PART: Final = 200  # bytes; file systems take 255
_LONGEST: Final = 1000


def safe_place(name: str) -> PurePosixPath | None:
    """Where a file of this name goes, in folders or not; None for hidden files, which systems add to folders unasked.

    Raises InvalidRequest for what is no plain relative name: it is refused, not mended, so that what belongs
    together stays so.
    """
    parts = name.split("/")
    plain = all(part not in ("", ".", "..") and part.isprintable() and "\\" not in part for part in parts)
    try:
        lengths = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        plain, lengths = False, []
    if not plain or len(parts) > _DEEPEST or max(lengths) > _LONGEST_PART or sum(lengths) > _LONGEST:
        raise InvalidRequest(f"{name[:80]!r} is no name that a file can have here")
    if any(part.startswith(".") for part in parts) or parts[0] == "__MACOSX":
        return None
    return PurePosixPath(*parts)
