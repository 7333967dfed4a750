"""The local store: the contract of all stores, several processes, SIGKILL, and an index that comes back from files."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pydicom.filereader import dcmread

from tests.contracts.store_contract import StoreContract, check_whole, start, write_series
from wsi_dicom.convert import DicomizeOptions, UidChoice, dicomize
from wsi_dicom.errors import CorruptInput, NotFound, StoreError, UnsupportedFormat
from wsi_dicom.stores.local import LocalStore
from wsi_dicom.stores.staging import staging_folder

# Adds series after series, deletes every third, and says so; `sys.argv` is the store, a work folder, and how many.
WORKER = """
import sys
from pathlib import Path
from tests.contracts.store_contract import write_series
from wsi_dicom.stores.local import LocalStore
store, work, count = LocalStore(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
for number in range(count):
    with store.staging() as staging:
        record = store.add(write_series(staging) if number % 2 else write_series(work / "in"))
    print("stored", record.series_uid, flush=True)
    if number % 3 == 2:
        print("deleting", record.series_uid, flush=True)
        store.delete(record.series_uid)
        print("deleted", record.series_uid, flush=True)
"""


def told(output: str, event: str) -> set[str]:
    return {line.split()[1] for line in output.splitlines() if line.split()[0] == event}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    store = LocalStore(tmp_path / "store")
    yield store
    store.close()


class TestLocalStore(StoreContract):
    pass


def test_layout(store: LocalStore, tmp_path: Path) -> None:
    files = write_series(tmp_path / "in")
    record = store.add(files)
    for file in files:
        stored = tmp_path / "store" / "series" / record.series_uid / f"{dcmread(file).SOPInstanceUID}.dcm"
        assert stored.read_bytes() == file.read_bytes()


def test_real_series(store: LocalStore, slides: Path) -> None:
    files = sorted((slides / "dicom_wsi" / "cytomine_cmu1").glob("*.dcm"))
    record = store.add(files)
    assert (record.width, record.height) == (2220, 2967)
    with store.open(record.orthanc_id[:8]) as slide:
        assert slide.tile(0, 9, 12).shape == (240, 240, 3)


def test_other_series_are_indexed_too(store: LocalStore, slides: Path) -> None:
    record = store.add([slides / "dicom_wsi" / "highdicom" / "sm_annotations.dcm"])
    assert (record.width, record.height, record.modality) == (None, None, "ANN")
    with pytest.raises(UnsupportedFormat):
        store.open(record.series_uid)


def test_another_process_sees_it_at_once(store: LocalStore, tmp_path: Path) -> None:
    second = LocalStore(tmp_path / "store")
    record = store.add(write_series(tmp_path / "in"))
    assert second.resolve(record.series_uid) == record
    second.delete(record.series_uid)
    assert not list(store.search())
    second.close()


def test_processes_add_and_delete_together(tmp_path: Path) -> None:
    root = tmp_path / "store"
    workers = [start(WORKER, root, tmp_path / str(number), "9") for number in range(3)]
    kept = set()
    for worker in workers:
        output, _ = worker.communicate(timeout=240)
        assert worker.returncode == 0
        assert len(told(output, "stored")) == 9
        assert len(told(output, "deleted")) == 3
        kept |= told(output, "stored") - told(output, "deleted")
    store = check_whole(root)
    assert {record.series_uid for record in store.search()} == kept
    store.close()


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """Twenty SIGKILLs while series come and go; what was reported as stored is there, and whole.

    Every second round waits for the first series, so that a slow machine too gets to what it is to be killed in.
    """
    root = tmp_path / "store"
    seed = random.SystemRandom().randrange(1 << 30)
    moments = random.Random(seed)
    stored: set[str] = set()
    deleted: set[str] = set()
    for number_of_round in range(10):
        workers = [start(WORKER, root, tmp_path / str(number), "1000") for number in range(2)]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
            if number_of_round % 2:
                stored |= told(worker.stdout.readline(), "stored")
        for worker in workers:
            with suppress(subprocess.TimeoutExpired):
                worker.wait(timeout=moments.random() / 8)
            worker.send_signal(signal.SIGKILL)
        for worker in workers:
            assert worker.stdout is not None
            output = worker.stdout.read()  # not communicate(), which forgets what readline() has buffered
            worker.communicate()
            assert worker.returncode == -signal.SIGKILL
            stored |= told(output, "stored") - told(output, "deleting")
            deleted |= told(output, "deleted")
    store = check_whole(root)
    records = list(store.search())
    there = {record.series_uid for record in records}
    assert stored, f"seed {seed}: no worker got to store anything"
    assert stored <= there, f"seed {seed}: lost after it was reported"
    assert not deleted & there, f"seed {seed}: back after it was deleted"
    assert store.rebuild() == len(records)
    assert list(store.search()) == records
    store.close()


def test_staging_of_the_living_is_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "store"
    holder = start(
        "import sys; from pathlib import Path; from wsi_dicom.stores.local import LocalStore\n"
        "with LocalStore(Path(sys.argv[1])).staging() as staging:\n"
        "    (staging / 'frames').write_bytes(b'x'); (staging / 'more').mkdir()\n"
        "    print(staging, flush=True)\n"
        "    sys.stdin.read()",
        root,
    )
    assert holder.stdout is not None
    staging = Path(holder.stdout.readline().strip())
    LocalStore(root).close()
    assert (staging / "frames").exists()
    holder.kill()
    holder.communicate()
    assert (staging / "frames").exists()
    LocalStore(root).close()
    assert not staging.exists()


@pytest.mark.parametrize(
    ("state", "files_there", "listed"),
    [
        ("pending", True, True),  # killed after the rename
        ("pending", False, False),  # killed before it
        ("deleting", True, False),
        ("deleting", False, False),
    ],
)
def test_repair(store: LocalStore, tmp_path: Path, state: str, files_there: bool, listed: bool) -> None:
    files = write_series(tmp_path / "in")
    record = store.add(files)
    store.close()
    with sqlite3.connect(tmp_path / "store" / "index.sqlite") as index:
        index.execute("UPDATE series SET state = ?", [state])
    index.close()
    if not files_there:
        shutil.rmtree(record.folder)
    repaired = check_whole(tmp_path / "store")
    assert list(repaired.search()) == ([record] if listed else [])
    if not listed:
        repaired.add(files)
    repaired.close()


def refuse(root: Path, event: str) -> None:
    """Makes the index refuse one kind of change, as a full disk would."""
    with sqlite3.connect(root / "index.sqlite") as index:
        index.execute(f"CREATE TRIGGER full BEFORE {event} BEGIN SELECT RAISE(FAIL, 'no space'); END")
    index.close()


def allow(root: Path) -> None:
    with sqlite3.connect(root / "index.sqlite") as index:
        index.execute("DROP TRIGGER full")
    index.close()


def test_stored_is_stored_whatever_fails_later(
    store: LocalStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "store"
    store.add(write_series(tmp_path / "first"))
    refuse(root, "UPDATE ON series WHEN NEW.state = 'stored'")
    record = store.add(write_series(tmp_path / "in"))
    assert record.series_uid in caplog.text
    allow(root)
    again = check_whole(root)
    assert again.find(record.series_uid) == record
    again.close()


def test_deleted_is_deleted_whatever_fails_later(store: LocalStore, tmp_path: Path) -> None:
    root = tmp_path / "store"
    record = store.add(write_series(tmp_path / "in"))
    refuse(root, "DELETE ON series")
    assert store.delete(record.series_uid) == record
    assert store.find(record.series_uid) is None
    allow(root)
    again = check_whole(root)
    assert not list(again.search())
    again.add(write_series(tmp_path / "in", record.series_uid))
    again.close()


def test_a_disk_that_fails_after_the_renaming(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No real disk fails on demand, hence the false `fsync`."""
    record = store.add(write_series(tmp_path / "in"))

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        store.delete(record.series_uid)
    assert store.find(record.series_uid) is None
    check_whole(tmp_path / "store").close()


def test_no_space_for_a_staging_folder(store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock file still found its place, the folder does not."""
    store.add(write_series(tmp_path / "in"))
    before = len(list(Path("/proc/self/fd").iterdir()))

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", fail)
        with pytest.raises(StoreError, match="cannot be written"), staging_folder(tmp_path / "store" / "staging"):
            pass
    assert not list((tmp_path / "store" / "staging").iterdir())
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_new_store_is_made_by_the_first_series(tmp_path: Path) -> None:
    root = tmp_path / "new"
    store = LocalStore(root)
    assert not list(store.search())
    assert store.find("1.2.3.4") is None
    with pytest.raises(NotFound):
        store.resolve("1.2.3.4")
    assert not root.exists()
    other = LocalStore(root)
    record = other.add(write_series(tmp_path / "in"))
    assert list(store.search()) == [record]
    store.close()
    other.close()


@pytest.mark.parametrize("option", ["--store", "--folder"])
def test_failing_dicomize_makes_nothing(tmp_path: Path, option: str) -> None:
    bad = tmp_path / "bad.svs"
    bad.write_bytes(b"no slide")
    command: list[Path | str] = [Path(sys.executable).with_name("dicomize"), bad, option, tmp_path / "new"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2
    assert not (tmp_path / "new").exists()


def test_stored_already_is_told_before_the_conversion(store: LocalStore, slides: Path) -> None:
    class Watch:
        def planned(self, pixels: int) -> None:
            pytest.fail("the conversion began")

        def advanced(self, tiles: int, pixels: int) -> None:
            pytest.fail("the conversion went on")

    source = slides / "aperio" / "CMU-1-Small-Region.svs"
    options = DicomizeOptions(uids=UidChoice.DETERMINISTIC)
    done = dicomize(source, store, options)
    with pytest.raises(StoreError, match=f"{done.series.series_uid} is already stored"):
        dicomize(source, store, options, Watch())


def test_index_of_another_version(store: LocalStore, tmp_path: Path) -> None:
    store.add(write_series(tmp_path / "in"))
    store.close()
    with sqlite3.connect(tmp_path / "store" / "index.sqlite") as index:
        index.execute("UPDATE schema_version SET version = 99")
    index.close()
    with pytest.raises(StoreError, match="version 99"):
        LocalStore(tmp_path / "store")


def test_missing_file_is_told(store: LocalStore, tmp_path: Path) -> None:
    record = store.add(write_series(tmp_path / "in"))
    next(record.folder.iterdir()).unlink()
    with pytest.raises(CorruptInput, match="2 of its 3 files"):
        store.open(record.series_uid)


def test_files_without_a_row_are_not_overwritten(store: LocalStore, tmp_path: Path) -> None:
    files = write_series(tmp_path / "in")
    record = store.add(files)
    store.close()
    with sqlite3.connect(tmp_path / "store" / "index.sqlite") as index:
        index.execute("DELETE FROM series")
    index.close()
    again = LocalStore(tmp_path / "store")
    with pytest.raises(StoreError, match="index rebuild"):
        again.add(files)
    assert not list(again.search())
    assert again.rebuild() == 1
    assert list(again.search()) == [record]
    again.close()


def test_roots_that_will_not_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store at"):
        LocalStore(tmp_path / "absent", create=False)
    assert not (tmp_path / "absent").exists()
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="no store can be made"):
        LocalStore(tmp_path / "file")


READER = """
import os, sys
from pathlib import Path
from tests.contracts.store_contract import write_series
from wsi_dicom.errors import StoreError
from wsi_dicom.stores.local import LocalStore
elsewhere = LocalStore(Path(sys.argv[2]))  # imports what another user may not be able to
elsewhere.open(elsewhere.add(write_series(Path(sys.argv[2]) / "in")).series_uid).tile(0, 0, 0)
if os.geteuid() == 0:
    os.setuid(65534)
store = LocalStore(Path(sys.argv[1]))
record = next(store.search())
with store.open(record.series_uid) as slide:
    print(record.series_uid, slide.tile(0, 2, 1).shape)
add, delete = lambda: store.add([Path("x")]), lambda: store.delete(record.series_uid)
for use in (add, delete, store.rebuild, store.staging):
    try:
        use()
    except StoreError as error:
        print("reading only" in str(error))
"""


@pytest.mark.parametrize("writer_open", [False, True])
def test_store_that_may_only_be_read(tmp_path: Path, writer_open: bool) -> None:
    """As another user where the tests run as root, whom permissions do not stop."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "store"
        store = LocalStore(root)
        record = store.add(write_series(tmp_path / "in"))
        if not writer_open:
            store.close()
        Path(name).chmod(0o755)
        root.chmod(0o555)
        reader = start(READER, root, tmp_path / "elsewhere")
        output, _ = reader.communicate(timeout=240)
        root.chmod(0o755)
        store.close()
    assert reader.returncode == 0
    assert output.splitlines() == [f"{record.series_uid} (16, 16, 3)", "True", "True", "True", "True"]
