"""Where a series comes from: inputs, parameters, versions, outputs, as one JSON file beside it.

It names the inputs as they are called, which may name patients: it is to be kept with the originals, not published
with a de-identified series.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from wsi_dicom import __version__
from wsi_dicom.errors import NotFound, StoreError

FORMAT: Final = "wsi-dicom provenance 1"
_LIBRARIES: Final = ("imagecodecs", "numpy", "opencv-python-headless", "openslide-bin", "openslide-python", "pydicom")


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file: `sha256` in hex, `size` in bytes, `modified` in local time with its offset from UTC."""

    name: str
    size: int
    sha256: str
    modified: str
    sop_instance_uid: str | None = None


def describe_file(path: Path, sop_instance_uid: str | None = None) -> FileRecord:
    """Raises NotFound, StoreError."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise NotFound(f"{path}: no such file") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    return FileRecord(
        path.name, status.st_size, digest, _local(datetime.fromtimestamp(status.st_mtime)), sop_instance_uid
    )


def software_versions() -> dict[str, str]:
    """This program, Python, the system, and the libraries that pixels or headers pass through, as far as installed."""
    found = {"wsi-dicom": __version__, "python": platform.python_version(), "system": platform.platform()}
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


@dataclass(frozen=True, slots=True)
class Provenance:
    """Everything that a conversion was made from, with and into.

    `parameters` are what the user chose, by the names of the options; no keys or passwords. What JSON does not know, a
    path for instance, is written as text. `plan` has a
    line for each picture. `started` and `finished` are local time, or aware.
    """

    inputs: Sequence[FileRecord]
    outputs: Sequence[FileRecord]
    parameters: Mapping[str, Any]
    plan: Sequence[str]
    started: datetime
    finished: datetime
    warnings: Sequence[str] = ()
    study_uid: str | None = None
    series_uid: str | None = None
    versions: Mapping[str, str] = field(default_factory=software_versions)

    def as_json(self) -> str:
        content = asdict(self) | {"started": _local(self.started), "finished": _local(self.finished)}
        return json.dumps({"format": FORMAT, **content}, indent=2, ensure_ascii=False, default=str) + "\n"

    def write(self, path: Path) -> None:
        """Puts the file in its place, over an older one, when it is complete. Raises StoreError."""
        # names that are no Unicode become escapes of JSON
        content = self.as_json().encode("utf-8", "backslashreplace")
        try:
            handle, name = tempfile.mkstemp(prefix=".provenance-", dir=path.parent)
        except OSError as error:
            raise StoreError(f"{path}: cannot be written: {error.strerror}") from error
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(name).replace(path)
        except OSError as error:
            with suppress(OSError):
                Path(name).unlink()
            raise StoreError(f"{path}: cannot be written: {error.strerror}") from error


def _local(moment: datetime) -> str:
    return (moment if moment.tzinfo else moment.astimezone()).isoformat(timespec="seconds")
