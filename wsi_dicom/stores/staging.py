"""Private folders to write into before the result is moved to its place, and what makes that durable.

A staging folder holds a file that its owner keeps locked. The lock goes with the process, however it ends, so that
whoever comes later can tell an abandoned folder from one in use.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from wsi_dicom.errors import StoreError

logger = logging.getLogger(__name__)

_LOCK: Final = ".lock"
_BEING_MADE_S: Final = 600


@contextmanager
def staging_folder(parent: Path, prefix: str = "") -> Iterator[Path]:
    """A new folder in `parent`, locked while in use and removed afterwards. Raises StoreError."""
    folder = parent / f"{prefix}{uuid.uuid4().hex}"
    try:
        folder.mkdir()
        # Locked before it gets its name: nobody ever sees the lock of a living owner unlocked.
        unnamed = folder / f"{_LOCK}.new"
        lock = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(lock, fcntl.LOCK_EX)
        unnamed.rename(folder / _LOCK)
    except OSError as error:
        raise StoreError(
            f"{parent} cannot be written: {error.strerror}; check its permissions and free space"
        ) from error
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(lock)


def _is_abandoned(folder: Path) -> bool:
    """Whether the owner of a staging folder is gone. A young folder without a lock is one that is being made."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return folder.stat().st_mtime < time.time() - _BEING_MADE_S if folder.exists() else True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def remove_abandoned(parent: Path, prefix: str = "") -> None:
    """Removes what killed processes left in `parent`."""
    for folder in parent.glob(f"{prefix}*"):
        if folder.is_dir() and _is_abandoned(folder):
            logger.info("removing what an interrupted run left in %s", folder)
            _remove(folder)


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


def _remove(folder: Path) -> None:
    # The lock goes last: until then the rest still counts as a staging folder that can be cleaned up.
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.name != _LOCK:
            entry.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        logger.warning("%s could not be removed", folder)
