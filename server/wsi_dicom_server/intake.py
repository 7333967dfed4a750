"""What was uploaded, into the store. Runs in a process of its own: others chose these files."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from wsi_dicom.convert import DicomizeOptions, Observer, dicomize
from wsi_dicom.dicom.header import Instance, read_instance
from wsi_dicom.errors import CorruptInput, StoreError, UnsupportedFormat, WsiError, on_one_line
from wsi_dicom.sources import open_slide, recognised
from wsi_dicom.sources.dicomdir import is_dicomdir
from wsi_dicom.sources.found import slides_among
from wsi_dicom.sources.zipped import is_zip, unpack_all
from wsi_dicom.stores import SeriesStore
from wsi_dicom_server.disk_room import disk_is_full, disk_room
from wsi_dicom_server.upload_names import safe_place

logger = logging.getLogger(__name__)

UPLOADED: Final = "uploaded"
"""The folder of the files, in one of the store's staging folders: what the store takes from there it only moves."""

_UNPACKED: Final = "unpacked"
_STEPS: Final = 1_000_000
_FULL: Final = "the server's disk has no room for this"


@dataclass(frozen=True, slots=True)
class Upload:
    """Files in `folder` / UPLOADED, and what is to become of them.

    Archives may unpack to `largest` bytes, and leave `keep_free` of the disk to others.
    """

    folder: Path
    store: Callable[[], SeriesStore]
    options: DicomizeOptions
    largest: int
    keep_free: int


@dataclass(frozen=True, slots=True)
class TakenIn:
    """SeriesInstanceUIDs that are in the store now, and what could not be stored, in words that name no path here."""

    series: tuple[str, ...]
    failures: tuple[str, ...]


def take_in(upload: Upload, observer: Observer) -> TakenIn:
    """Stores DICOM files as they are, and converts all else; what fails does not stop the others."""
    series: list[str] = []
    failures = _Failures(upload.folder)
    with failures.noted():
        store = upload.store()
        works = _works(upload, store, failures)
        observer.planned(_STEPS * len(works))
        for work in works:
            share = _Share(observer)
            with failures.noted():
                series.append(work(share))
            share.finish()
    return TakenIn(tuple(dict.fromkeys(series)), tuple(failures.words))


_Work = Callable[[Observer], str]


class _Failures:
    """What could not be stored, for who uploaded it: names the files as they were called."""

    def __init__(self, folder: Path) -> None:
        self._own = (folder / UPLOADED, folder / _UNPACKED, folder, folder.parent.parent, Path(tempfile.gettempdir()))
        self.words: list[str] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """What is wrong with the store, or with this program, goes to the log."""
        try:
            yield
        except (StoreError, OSError) as error:
            logger.error("an upload could not be stored: %s", error)  # noqa: TRY400 - its line says all
            full = disk_is_full(error)
            self.words.append(_FULL if full else "the server cannot store this now; its log has the details")
        except WsiError as error:
            words = str(error)
            for own in self._own:
                words = words.replace(f"{own}/", "").replace(str(own), "the upload")
            self.words.append(on_one_line(words))
        except Exception:  # a bug is told, not its details
            logger.exception("an upload met an error of this program; please report it")
            self.words.append("internal error; the server's log has the details")


def _works(upload: Upload, store: SeriesStore, failures: _Failures) -> list[_Work]:
    """What there is to do, one for each series; each gives its UID. Raises UnsupportedFormat, OSError."""
    files = _files(upload, failures)
    dicom = {file for file in files if (kind := recognised(file)) is not None and kind.key == "dicom"}
    works: list[_Work] = []
    with failures.noted():
        series = _by_series([file for file in files if file in dicom and not is_dicomdir(file)])
        works += [partial(_store, instances, store) for instances in series]
    slides = slides_among([file for file in files if file not in dicom])
    works += [partial(_convert, slide, store, upload.options) for slide in slides]
    if works or failures.words:
        return works
    if len(files) == 1:
        open_slide(files[0]).close()  # says best why it is none
    raise UnsupportedFormat(f"there is no slide and no DICOM file among these {len(files)} files")


def _files(upload: Upload, failures: _Failures) -> list[Path]:
    """Every file by name, those higher up first: a slide's own file before the folder with its parts."""
    root = upload.folder / UPLOADED
    for number, archive in enumerate(filter(_is_zip, sorted(_below(root)))):
        place = upload.folder / _UNPACKED / str(number)
        before = len(failures.words)
        with failures.noted():
            room = disk_room(upload.folder, upload.keep_free)
            unpack_all(archive, place, safe_place, min(upload.largest, room))
        archive.unlink()
        if len(failures.words) > before:  # half of an archive is none
            shutil.rmtree(place, ignore_errors=True)
    return sorted([*_below(root), *_below(upload.folder / _UNPACKED)], key=lambda path: (len(path.parts), path))


def _below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return is_zip(file.read(4))


def _by_series(files: Sequence[Path]) -> list[list[Instance]]:
    """Raises CorruptInput: a file that cannot be read may be of any series, and none is stored without it."""
    series: dict[str, list[Instance]] = {}
    for file in files:
        instance = read_instance(file)
        series.setdefault(instance.series_uid, []).append(instance)
    return list(series.values())


def _convert(slide: Path, store: SeriesStore, options: DicomizeOptions, observer: Observer) -> str:
    return dicomize(slide, store, options, observer).series.series_uid


def _store(instances: Sequence[Instance], store: SeriesStore, _observer: Observer) -> str:
    """Adds a series; one that is there already stays as it is. Raises CorruptInput, StoreError."""
    uid = instances[0].series_uid
    if not _is_there(instances, store):
        try:
            store.add([instance.path for instance in instances])
        except StoreError:
            if not _is_there(instances, store):  # else somebody else was faster
                raise
    return uid


def _is_there(instances: Sequence[Instance], store: SeriesStore) -> bool:
    """Raises CorruptInput for a series that is there without some of these files."""
    uid = instances[0].series_uid
    record = store.find(uid)
    if record is None:
        return False
    there = {instance.sop_instance_uid for instance in store.instances(record)}
    missing = {instance.sop_instance_uid for instance in instances} - there
    if missing:
        raise CorruptInput(
            f"series {uid} is in the store already, without {len(missing)} of these files; delete it there first"
        )
    return True


class _Share:
    """Of an upload's progress: all of its slides count the same."""

    def __init__(self, whole: Observer) -> None:
        self._whole = whole
        self._total, self._pixels, self._told = 1, 0, 0

    def planned(self, pixels: int) -> None:
        self._total = max(1, pixels)

    def advanced(self, tiles: int, pixels: int) -> None:
        self._pixels += pixels
        self._tell(tiles, _STEPS * min(self._pixels, self._total) // self._total)

    def finish(self) -> None:
        self._tell(0, _STEPS)

    def _tell(self, tiles: int, steps: int) -> None:
        self._whole.advanced(tiles, steps - self._told)
        self._told = steps
