"""Files in a zip archive, unpacked for as long as it takes to open them."""

from __future__ import annotations

import errno
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final

from wsi_dicom.errors import CorruptInput, StoreError, UnsupportedFormat

_SIGNATURE: Final = b"PK\x03\x04"
_MOST_MEMBERS: Final = 1 << 16
_HEAD_BYTES: Final = 1024
_LARGEST_RATIO: Final = 200
"""Of unpacked bytes to those of the archive. Uncompressed glass comes near it; bombs go beyond."""


def is_zip(head: bytes) -> bool:
    return head.startswith(_SIGNATURE)


@contextmanager
def unpacked(path: Path, wanted: Callable[[bytes], bool]) -> Iterator[list[Path]]:
    """The files of an archive whose beginning is `wanted`, in a temporary folder, under the last part of their names.

    The folder goes at the end; who holds a file open then keeps it for as long. Within it they lie in one that has the
    archive's name, so that whatever is said of them names the archive.

    Raises StoreError, CorruptInput (damaged, or swells without measure), UnsupportedFormat (encrypted).
    """
    with _opened(path) as archive, tempfile.TemporaryDirectory(prefix="wsi-dicom-") as folder:
        members = [member for member in archive.infolist() if not member.is_dir()]
        _check_sizes(path, members, Path(folder))
        yield [
            _unpack(archive, member, Path(folder) / path.name / str(number))
            for number, member in enumerate(members)
            if wanted(_head(archive, member, path))
        ]


def unpack_all(path: Path, folder: Path, place: Callable[[str], PurePosixPath | None], largest: int) -> None:
    """Every file of an archive below `folder`, where `place` puts its name: nowhere if that is None.

    `largest` is what all of them may have together, in bytes. Raises as `unpacked`, and what `place` raises.
    """
    with _opened(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if sum(member.file_size for member in members) > largest:
            raise CorruptInput(f"{path} would swell to more than {largest} bytes, which is the limit here")
        folder.mkdir(parents=True, exist_ok=True)
        _check_sizes(path, members, folder)
        for member in members:
            _require_open(member, path)
            if (name := place(member.filename)) is not None:
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy(archive, member, target)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise CorruptInput(f"{path} is a zip archive that cannot be read: {error}") from error
    except (FileExistsError, NotADirectoryError) as error:
        raise CorruptInput(f"{path} is a zip archive that has two files of one name") from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # its directory tells of places before its beginning
            raise CorruptInput(f"{path} is a zip archive that cannot be read: its directory is wrong") from error
        raise StoreError(f"{path} cannot be unpacked: {error.strerror or error}") from error


def _check_sizes(path: Path, members: list[zipfile.ZipInfo], folder: Path) -> None:
    """No member gives more than the bytes that the archive's directory says, which zipfile sees to."""
    if len(members) > _MOST_MEMBERS:
        raise CorruptInput(f"{path} holds {len(members)} files; {_MOST_MEMBERS} is the limit")
    total = sum(member.file_size for member in members)
    if total > _LARGEST_RATIO * path.stat().st_size:
        raise CorruptInput(
            f"{path} would swell to {total} bytes, more than {_LARGEST_RATIO} times its own; unpack it yourself if "
            "that is right"
        )
    if total > (free := shutil.disk_usage(folder).free):
        raise StoreError(
            f"{path} needs {total} bytes unpacked, and {folder.parent} has {free}; set TMPDIR to a folder with more"
        )


def _require_open(member: zipfile.ZipInfo, path: Path) -> None:
    if member.flag_bits & 1:
        raise UnsupportedFormat(f"{path} is an encrypted zip archive; unpack it first")


def _head(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> bytes:
    _require_open(member, path)
    with archive.open(member) as file:
        return file.read(_HEAD_BYTES)


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> Path:
    """In a folder of its own, since names are used again in other folders, and nothing of a name is trusted."""
    folder.mkdir(parents=True)
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in Path(member.filename).name)
    target = folder / (name[-64:].lstrip(".") or "file")
    _copy(archive, member, target)
    return target


def _copy(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    with archive.open(member) as source, target.open("xb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
