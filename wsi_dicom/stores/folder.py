"""Plain DICOM files in a folder of the user's choice: no index, no other order than the file names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from wsi_dicom.errors import InvalidRequest, StoreError
from wsi_dicom.stores import SeriesRecord
from wsi_dicom.stores.staging import BESIDE, remove_abandoned, staging_folder, sync


class FolderStore:
    """A SeriesDestination for `--folder`. An existing file is never overwritten."""

    def __init__(self, folder: Path, pattern: str = "wsi-%06d.dcm") -> None:
        """`pattern` makes the file names, from 0 on; the folder is made with the first `staging`.

        Raises InvalidRequest for a bad pattern, StoreError.
        """
        try:
            names = {pattern % 0, pattern % 1}
        except (TypeError, ValueError):
            names = set()
        if len(names) < 2 or any(Path(name).name != name or "\0" in name for name in names):
            raise InvalidRequest(
                f"{pattern!r} is no pattern for file names: it needs one number, as in wsi-%06d.dcm, and no folder"
            )
        remove_abandoned(folder, BESIDE)
        self._folder = folder
        self._pattern = pattern

    @contextmanager
    def staging(self) -> Iterator[Path]:
        is_new = not self._folder.exists()
        self._require_free(self._folder / (self._pattern % 0))  # before all the work is done
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self._folder} cannot be made a folder: {error.strerror}") from error
        try:
            with staging_folder(self._folder, BESIDE) as staging:
                yield staging
        finally:
            if is_new:
                with suppress(OSError):  # it is not empty, as it should be
                    self._folder.rmdir()

    def find(self, series_uid: str) -> SeriesRecord | None:
        return None

    def files(self, record: SeriesRecord) -> list[Path]:
        return [self._folder / (self._pattern % number) for number in range(record.instance_count)]

    def add(self, files: Sequence[Path]) -> SeriesRecord:
        from wsi_dicom.dicom.header import read_instance
        from wsi_dicom.stores.record import describe_series

        if not files:
            raise InvalidRequest("there are no files to store")
        record = describe_series([read_instance(file) for file in files], self._folder, datetime.now(UTC))
        if all(self._is_staging(file.resolve().parent) for file in files):
            self._place(files)
            return record
        with self.staging() as staging:
            try:
                copies = [shutil.copyfile(file, staging / str(number)) for number, file in enumerate(files)]
            except OSError as error:
                raise StoreError(f"{self._folder} cannot be written: {error.strerror}") from error
            self._place(copies)
        return record

    def _is_staging(self, folder: Path) -> bool:
        return folder.parent == self._folder.resolve() and folder.name.startswith(BESIDE)

    def _require_free(self, target: Path) -> None:
        if os.path.lexists(target):
            raise StoreError(f"{target} exists already; choose another folder or file name pattern")

    def _place(self, files: Sequence[Path]) -> None:
        """Moves files to their final names, in their order; when that fails, none of them is there."""
        targets = [self._folder / (self._pattern % number) for number in range(len(files))]
        claimed: list[Path] = []
        try:
            for target in targets:
                target.touch(exist_ok=False)  # reserves the name, also against another run
                claimed.append(target)
            for file, target in zip(files, targets, strict=True):
                sync(file)
                file.replace(target)
            sync(self._folder)
        except OSError as error:
            for target in claimed:
                target.unlink(missing_ok=True)
            if isinstance(error, FileExistsError):
                raise StoreError(
                    f"{error.filename} exists already; choose another folder or file name pattern"
                ) from None
            raise StoreError(f"{self._folder} cannot be written: {error.strerror}") from error
