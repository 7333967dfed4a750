"""The directory file of a DICOM medium, which lists the files of it (PS3.10 8, PS3.3 F)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from wsi_dicom.errors import CorruptInput

_LARGEST: Final = 64 << 20


def is_dicomdir(path: Path) -> bool:
    return path.name.upper() == "DICOMDIR"


def referenced_files(path: Path) -> list[Path]:
    """The files that a DICOMDIR refers to, in its order. Never one outside of its folder, whatever it says.

    Raises NotFound, StoreError, CorruptInput (damaged, refers to what is not there or not in its folder).
    """
    from pydicom.filereader import dcmread

    from wsi_dicom.dicom.header import reading

    with reading(path):
        if path.stat().st_size > _LARGEST:
            raise CorruptInput(f"{path} has more than {_LARGEST >> 20} MiB, which is no directory of a medium")
        records = dcmread(path).get("DirectoryRecordSequence") or ()
        identifiers = [record.get("ReferencedFileID") for record in records]
        return list(dict.fromkeys(_inside(path, list(_components(value))) for value in identifiers if value))


def _components(identifier: object) -> Iterator[str]:
    """A file ID's are the values of one attribute: folders, then the file."""
    if isinstance(identifier, str):
        yield identifier
    elif isinstance(identifier, list | tuple) or hasattr(identifier, "__iter__"):
        yield from map(str, identifier)


def _inside(dicomdir: Path, components: list[str]) -> Path:
    """The file of that name below the folder of `dicomdir`; media are often copied with their names in lower case."""
    folder = dicomdir.parent
    for names in (components, [name.lower() for name in components]):
        found = folder.joinpath(*names)
        if any(name in {"", ".", ".."} or "/" in name for name in names) or not _is_below(found, folder):
            raise CorruptInput(f"{dicomdir} refers to {'/'.join(components)!r}, which is not in its folder")
        if _is_file(found):
            return found
    raise CorruptInput(f"{dicomdir} refers to {'/'.join(components)}, which is missing")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # for one, a name that is too long
        return False


def _is_below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
