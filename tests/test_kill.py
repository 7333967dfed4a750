"""dicomize is killed at random moments, again and again: the store stays whole."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pydicom
import pytest

from wsi_dicom.stores.local import LocalStore

SAMPLE = Path(__file__).parent.parent / "sample_data" / "ihc-small.tif"
KILLS = 50
MOST_RUNS = 200


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, int]:
    """The store after the killing; how many runs were killed, and how many were done before."""
    store = tmp_path_factory.mktemp("killed") / "store"
    command = [Path(sys.executable).parent / "dicomize", SAMPLE, "--pyramid", "--json", "--store", store]
    chance = random.Random(20261121)
    begun = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    duration = time.monotonic() - begun
    killed, finished = 0, 1
    for _ in range(MOST_RUNS):
        if killed == KILLS:
            break
        begun = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            # most of a run is the start of the interpreter, which touches no store: aim behind it
            process.wait(timeout=chance.uniform(0.5, 1.0) * duration)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
        else:
            assert process.returncode == 0
            finished += 1
            duration = time.monotonic() - begun  # the first run is the slowest: its modules are read from the disk
    return store, killed, finished


def test_no_half_series(ended: tuple[Path, int, int]) -> None:
    root, killed, finished = ended
    assert killed == KILLS
    store = LocalStore(root)
    records = list(store.search())
    assert len(records) >= finished
    assert {record.folder for record in records} == set((root / "series").iterdir())
    for record in records:
        files = list(record.folder.iterdir())
        assert len(files) == record.instance_count == 4
        for path in files:
            assert pydicom.dcmread(path).NumberOfFrames >= 1
        with store.open(record.series_uid) as slide:
            for number, level in enumerate(slide.pyramid.levels):
                for column, row in level.tiles():
                    slide.tile(number, column, row)
    assert not list((root / "staging").iterdir())


def test_the_index_tells_the_same_when_made_anew(ended: tuple[Path, int, int]) -> None:
    store = LocalStore(ended[0])
    before = {record.series_uid: (record.instance_count, record.size) for record in store.search()}
    assert store.rebuild() == len(before)
    assert {record.series_uid: (record.instance_count, record.size) for record in store.search()} == before
