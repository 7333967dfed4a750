"""Private folders to write into before the result is moved to its place, and what makes that durable.

Beside a staging folder lies a file that its owner keeps locked. It is there before the folder and goes after it, and
the lock goes with the process, however that ends: whoever comes later can tell an abandoned folder from one in use.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from wsi_dicom.errors import InvalidRequest, StoreError

logger = logging.getLogger(__name__)

_LOCK: Final = ".lock"

BESIDE: Final = ".wsi-dicom-"
"""What the names of staging folders begin with that lie in folders of the user's."""


@contextmanager
def staging_folder(parent: Path, prefix: str = "") -> Iterator[Path]:
    """A new folder in `parent`, in use until it is removed at the end, whenever it ends. Raises StoreError."""
    folder = parent / f"{prefix}{uuid.uuid4().hex}"
    with ExitStack() as lock:
        try:
            try:
                _make_locked(folder, lock)
            except OSError as error:
                raise StoreError(
                    f"{parent} cannot be written: {error.strerror}; check its permissions and free space"
                ) from error
            yield folder
        finally:
            try:
                _remove(folder)
            except BaseException:  # a signal said stop, in the middle of this
                _remove(folder)
                raise


@contextmanager
def staged_file(output: Path, sources: Iterable[Path] = ()) -> Iterator[Path]:
    """A path in a private folder beside `output`, whose place the file there takes when the context ends well.

    Of a symbolic link it takes the target's place. Raises InvalidRequest (a folder, a device, a pipe, one of the
    `sources` that are still read), StoreError.
    """
    target = Path(os.path.realpath(output))  # Path.resolve raises RuntimeError in a loop of links
    if str(target) in {os.path.realpath(source) for source in sources}:
        raise InvalidRequest(f"{output}: is what the slide is read from; choose another name")
    if target.is_dir():
        raise InvalidRequest(f"{output}: is a folder; give the name of a file")
    if os.path.lexists(target) and not target.is_file():
        raise InvalidRequest(f"{output}: is not a regular file; give the name of one, or of none yet")
    if not target.parent.is_dir():
        raise StoreError(f"{output}: cannot be written: there is no folder {target.parent}")
    remove_abandoned(target.parent, BESIDE)
    with staging_folder(target.parent, BESIDE) as folder:
        staged = folder / target.name
        yield staged
        try:
            staged.replace(target)
            sync(target.parent)
        except OSError as error:
            raise StoreError(f"{output}: cannot be written: {error.strerror}") from error


def remove_abandoned(parent: Path, prefix: str = "") -> None:
    """Removes what killed processes left in `parent`. Raises StoreError."""
    for path in parent.glob(f"{prefix}*{_LOCK}"):
        try:
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # its owner is just done with it
        except PermissionError:
            continue  # another user's
        except OSError as error:
            raise StoreError(f"{path} cannot be opened: {error.strerror}; check its permissions") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            logger.info("removing what an interrupted run left: %s", path)
            _remove(path.with_name(path.name.removesuffix(_LOCK)))
        except BlockingIOError:
            continue  # its owner lives
        finally:
            os.close(lock)


def _make_locked(folder: Path, lock: ExitStack) -> None:
    """Makes the folder beside its lock file, whose descriptor `lock` closes. Raises OSError."""
    while True:
        descriptor = os.open(f"{folder}{_LOCK}", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        lock.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            folder.mkdir()
            return
        lock.close()  # somebody cleaned up between the two calls above, and took it for abandoned


def _remove(folder: Path) -> None:
    lock = folder.with_name(folder.name + _LOCK)
    shutil.rmtree(folder, ignore_errors=True)
    if os.path.exists(folder):  # noqa: PTH110  # Path.exists raises where the parent cannot be read
        logger.warning("%s could not be removed", folder)
    elif os.path.exists(lock):  # noqa: PTH110  # as above
        lock.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, *, exclusive: bool) -> Iterator[None]:
    """Holds a lock between processes and threads, by a file that stays. Raises StoreError."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreError(f"{path.parent} cannot be written: {error.strerror}; check its permissions") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
