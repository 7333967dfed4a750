"""A folder of DICOM files with an index that can always be made again from them.

    <root>/series/<SeriesInstanceUID>/<SOPInstanceUID>.dcm
    <root>/index.sqlite
    <root>/cache/<SeriesInstanceUID>/   what is slow to read of a series: see dicom/position_cache.py
    <root>/staging/<name>/       what is being written, and its lock: see stores/staging.py
    <root>/lock                  shared by those who move series in or out, exclusive to who repairs or rebuilds

A series is moved into its place by renaming one folder, which a file system does wholly or not at all. The index is
told before and after, so the next one to open the store can finish what a killed process began.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wsi_dicom.errors import CorruptInput, InvalidRequest, NotFound, StoreError, WsiError
from wsi_dicom.stores import EVERYTHING, Entity, InstanceRecord, PatientRecord, SeriesQuery, SeriesRecord, StudyRecord
from wsi_dicom.stores.staging import locked, remove_abandoned, staging_folder, sync

if TYPE_CHECKING:
    from wsi_dicom.dicom.header import Instance
    from wsi_dicom.dicom.slide import DicomSlide
    from wsi_dicom.stores.catalogue import Catalogue

logger = logging.getLogger(__name__)

_UID: Final = re.compile(r"(?=.{1,64}\Z)(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")  # PS3.5 9.1; safe as a file name
_IDENTIFIER: Final = re.compile(r"[0-9.]{1,64}|[0-9a-fA-F-]{1,44}")
_SHORTEST_BEGINNING: Final = 4
_CANDIDATES: Final = 5


def is_identifier(word: str) -> bool:
    """Whether it could be a SeriesInstanceUID, an Orthanc identifier, or the beginning of one."""
    return _IDENTIFIER.fullmatch(word) is not None


def default_store_root() -> Path:
    """Where series go when nobody says otherwise."""
    from platformdirs import user_data_path

    return user_data_path("wsi-dicom")


def require_outside(path: Path, root: Path) -> None:
    """Raises InvalidRequest for a path among the files of the store at `root`: they go away with their series."""
    folders, own = Path(os.path.realpath(path)).parents, Path(os.path.realpath(root))
    if any(own / name in folders for name in ("series", "staging", "cache")):
        raise InvalidRequest(f"{path}: lies among the files of the store {root}; choose another folder")


class LocalStore:
    """A SeriesStore on a local disk. Safe to use from many threads and processes at once."""

    def __init__(self, root: Path, *, create: bool = True, replace_damaged: bool = False) -> None:
        """Opens the store, after finishing or undoing what killed processes left.

        Where there is none and `create`, it is empty, and made by the first `staging` or `add`. `replace_damaged`
        keeps a damaged index beside, and makes it again from the files. A root that cannot be written is opened for
        reading only. Raises StoreError.
        """
        self.root = root
        self._series = root / "series"
        self._staging = root / "staging"
        self._cache = root / "cache"
        self._lock = root / "lock"
        self._index = root / "index.sqlite"
        self._replace_damaged = replace_damaged
        self._opening = threading.Lock()
        self._opened: Catalogue | None = None
        self._read_only = root.is_dir() and not os.access(root, os.W_OK)
        if not self._index.is_file() and (self._read_only or not (create or self._series.is_dir())):
            raise StoreError(
                f"there is no store at {self.root}: convert a slide into it first, or choose another with --store"
            )
        if root.is_file() or not self._is_new():
            self._catalogue()

    def _is_new(self) -> bool:
        """Nobody has stored anything yet, so there is nothing to find; another process may begin at any time."""
        return self._opened is None and not self._index.is_file() and not self._series.is_dir()

    def _catalogue(self) -> Catalogue:
        """The index, opened when it is needed first, and made when there is none."""
        with self._opening:
            if self._opened is None:
                self._opened = self._open_catalogue()
            return self._opened

    def _open_catalogue(self) -> Catalogue:
        from wsi_dicom.stores.catalogue import Catalogue, DamagedIndex, set_aside

        if self._read_only:
            return Catalogue(self._index, self._series, read_only=True)
        try:
            self._series.mkdir(parents=True, exist_ok=True)
            self._staging.mkdir(exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"no store can be made at {self.root}: {error.strerror}; choose another with --store"
            ) from error
        with locked(self._lock, exclusive=True):
            try:
                return self._sound_catalogue()
            except DamagedIndex as error:
                if not self._replace_damaged:
                    raise
                logger.warning("%s; it is kept as %s", error, set_aside(self._index))
                return self._sound_catalogue()

    def _sound_catalogue(self) -> Catalogue:
        """The index, complete and agreeing with the files. The caller holds the exclusive lock."""
        from wsi_dicom.stores.catalogue import Catalogue

        catalogue = Catalogue(self._index, self._series, read_only=False)
        try:
            if self._replace_damaged:
                catalogue.check()
            if not catalogue.complete:
                if any(self._series.iterdir()):
                    logger.warning("%s has series but no index: making it again", self.root)
                catalogue.replace_all(self._found())
            self._repair(catalogue)
        except StoreError:
            catalogue.close()
            raise
        return catalogue

    def staging(self) -> AbstractContextManager[Path]:
        self._require_writable()
        self._catalogue()
        return staging_folder(self._staging)

    def add(self, files: Sequence[Path]) -> SeriesRecord:
        from wsi_dicom.dicom.header import read_instance

        self._require_writable()
        if not files:
            raise InvalidRequest("there are no files to store")
        instances = [read_instance(path) for path in files]
        for uid in (instances[0].series_uid, *(instance.sop_instance_uid for instance in instances)):
            if not _UID.fullmatch(uid):
                raise CorruptInput(f"{files[0]} has, or belongs to a series that has, the invalid UID {uid!r}")
        if self.find(instances[0].series_uid) is not None:
            raise StoreError(f"series {instances[0].series_uid} is already stored in {self.root}")
        if (staging := self._staging_of(files)) is not None:
            return self._move_in(instances, staging, copy=False)
        with self.staging() as staging:
            return self._move_in(instances, staging, copy=True)

    def find(self, series_uid: str) -> SeriesRecord | None:
        return None if self._is_new() else self._catalogue().exact(series_uid)

    def search(
        self, query: SeriesQuery = EVERYTHING, *, limit: int | None = None, offset: int = 0
    ) -> Iterator[SeriesRecord]:
        return iter(()) if self._is_new() else self._catalogue().search(query, limit, offset)

    def count(self, query: SeriesQuery = EVERYTHING, entity: Entity = Entity.SERIES) -> int:
        return 0 if self._is_new() else self._catalogue().count(query, entity)

    def patients(
        self, query: SeriesQuery = EVERYTHING, *, limit: int | None = None, offset: int = 0
    ) -> list[PatientRecord]:
        return [] if self._is_new() else self._catalogue().patients(query, limit, offset)

    def studies(
        self, query: SeriesQuery = EVERYTHING, *, limit: int | None = None, offset: int = 0
    ) -> list[StudyRecord]:
        return [] if self._is_new() else self._catalogue().studies(query, limit, offset)

    def resolve(self, identifier: str) -> SeriesRecord:
        if not is_identifier(identifier):
            raise InvalidRequest(
                f"{identifier[:80]!r} is neither a SeriesInstanceUID nor an Orthanc identifier, "
                "nor the beginning of one"
            )
        if (record := self.find(identifier)) is not None:
            return record
        if len(identifier) < _SHORTEST_BEGINNING:
            raise InvalidRequest(f"{identifier!r} is too short: give at least {_SHORTEST_BEGINNING} characters")
        candidates = [] if self._is_new() else self._catalogue().beginning(identifier, _CANDIDATES + 1)
        if not candidates:
            raise NotFound(f"no series {identifier} in {self.root}")
        if len(candidates) > 1:
            names = [record.series_uid for record in candidates[:_CANDIDATES]]
            more = ", ..." if len(candidates) > _CANDIDATES else ""
            raise InvalidRequest(f"{identifier} is ambiguous: {', '.join(names)}{more}")
        return candidates[0]

    def open(self, identifier: str, background: tuple[int, int, int] | None = None) -> DicomSlide:
        from wsi_dicom.dicom.position_cache import PositionCache
        from wsi_dicom.dicom.slide import open_series

        record = self.resolve(identifier)
        files = self.files(record)
        if len(files) != record.instance_count:
            raise CorruptInput(
                f"series {record.series_uid} has {len(files)} of its {record.instance_count} files in {record.folder}"
            )
        return open_series(files, background, PositionCache(self._cache / record.series_uid))

    def files(self, record: SeriesRecord) -> list[Path]:
        return sorted(record.folder.glob("*.dcm"))

    def instances(self, record: SeriesRecord) -> list[InstanceRecord]:
        return [] if self._is_new() else self._catalogue().instances(record.series_uid)

    def find_instance(self, identifier: str) -> InstanceRecord | None:
        return None if self._is_new() else self._catalogue().instance(identifier)

    def delete(self, identifier: str) -> SeriesRecord:
        from wsi_dicom.stores.schema import DELETING, STORED

        record = self.resolve(identifier)
        with self.staging() as staging, locked(self._lock, exclusive=False):
            if not self._catalogue().change(record.series_uid, STORED, DELETING):
                raise NotFound(f"series {record.series_uid} was deleted meanwhile")
            try:
                record.folder.rename(staging / record.series_uid)
            except FileNotFoundError:
                logger.warning("series %s had no files any more", record.series_uid)
            except OSError as error:
                self._catalogue().change(record.series_uid, DELETING, STORED)
                raise StoreError(f"{record.folder} cannot be removed: {error.strerror}") from error
            with _left_to_repair(record.series_uid):
                sync(self._series)
                self._catalogue().remove(record.series_uid, DELETING)
            shutil.rmtree(self._cache / record.series_uid, ignore_errors=True)
        return record

    def rebuild(self) -> int:
        """Makes the index again from the files alone; damaged series are left out, and logged. Returns its length."""
        self._require_writable()
        catalogue = self._catalogue()
        with locked(self._lock, exclusive=True):
            self._repair(catalogue)
            return catalogue.replace_all(self._found())

    def opener(self) -> partial[LocalStore]:
        return partial(LocalStore, self.root.absolute())

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()

    def _move_in(self, instances: Sequence[Instance], staging: Path, *, copy: bool) -> SeriesRecord:
        """Gives the files their names beside, puts them on the disk, then moves all of them in at once."""
        from wsi_dicom.stores.instance_record import describe_instances
        from wsi_dicom.stores.record import describe_series
        from wsi_dicom.stores.schema import PENDING, STORED

        uid = instances[0].series_uid
        ready = staging / uid
        added = datetime.now(UTC)
        record = describe_series(instances, self._series / uid, added)
        try:
            ready.mkdir()
            for instance in instances:
                target = ready / f"{instance.sop_instance_uid}.dcm"
                shutil.copyfile(instance.path, target) if copy else instance.path.rename(target)
                sync(target)
            # A rebuilt index takes the time from here. SQLite, and we, count microseconds.
            nanoseconds = round(added.timestamp() * 1_000_000) * 1000
            os.utime(ready, ns=(nanoseconds, nanoseconds))
            sync(ready)
            with locked(self._lock, exclusive=False):
                if not self._catalogue().add_pending(record, describe_instances(instances, record)):
                    raise StoreError(f"series {uid} is already stored in {self.root}, or being stored right now")
                try:
                    ready.rename(record.folder)
                except OSError:
                    self._catalogue().remove(uid, PENDING)
                    raise
                with _left_to_repair(uid):
                    sync(self._series)
                    self._catalogue().change(uid, PENDING, STORED)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise StoreError(
                    f"{record.folder} is there but not in the index: run `wsi-dicom index rebuild --store {self.root}`"
                ) from error
            raise StoreError(
                f"series {uid} cannot be stored in {self.root}: {error.strerror}; check permissions and free space"
            ) from error
        return record

    def _staging_of(self, files: Sequence[Path]) -> Path | None:
        """The staging folder that all of `files` lie in."""
        staging = self._staging.resolve()
        names = {
            path.relative_to(staging).parts[0] if path.is_relative_to(staging) else ""
            for path in (file.resolve() for file in files)
        }
        return self._staging / names.pop() if len(names) == 1 and "" not in names else None

    def _repair(self, catalogue: Catalogue) -> None:
        """Finishes or undoes what killed processes were doing; the exclusive lock tells that no other is at it."""
        from wsi_dicom.stores.schema import PENDING, STORED

        for uid, state in catalogue.unfinished():
            folder = self._series / uid
            if state == PENDING and folder.is_dir():
                sync(self._series)
                catalogue.change(uid, PENDING, STORED)
            else:
                shutil.rmtree(folder, ignore_errors=True)
                shutil.rmtree(self._cache / uid, ignore_errors=True)
                catalogue.remove(uid, state)
        remove_abandoned(self._staging)

    def _found(self) -> Iterator[tuple[SeriesRecord, list[InstanceRecord]]]:
        """Every series that the files tell of, with its instances."""
        from wsi_dicom.dicom.header import read_instance
        from wsi_dicom.stores.instance_record import describe_instances
        from wsi_dicom.stores.record import describe_series

        for folder in sorted(path for path in self._series.iterdir() if path.is_dir()):
            try:
                instances = [read_instance(path) for path in sorted(folder.glob("*.dcm"))]
                if not instances or instances[0].series_uid != folder.name:
                    raise CorruptInput(f"{folder} does not hold the series that it is named after")
                added = datetime.fromtimestamp(folder.stat().st_mtime_ns / 1e9, UTC)
                record = describe_series(instances, folder, added)
                described = describe_instances(instances, record)
            except WsiError as error:
                logger.warning("left out of the index: %s", error)
                continue
            yield record, described

    def _require_writable(self) -> None:
        if self._read_only:
            raise StoreError(f"the store {self.root} is open for reading only: you may not write there")


@contextmanager
def _left_to_repair(series_uid: str) -> Iterator[None]:
    """For what follows a renaming: that has been done, and a failure after it must not tell otherwise."""
    try:
        yield
    except (OSError, StoreError) as error:
        logger.warning("series %s: %s; whoever opens the store next finishes this", series_uid, error)
