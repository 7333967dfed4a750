"""One broken slide, taken into a store: it can be found and opened there, or nothing of it stays."""

from __future__ import annotations

import traceback
from pathlib import Path

from tests.fuzz.trial import REFUSALS, Outcome, Verdict, files_of, judged
from wsi_dicom.errors import StoreError
from wsi_dicom.stores.local import LocalStore


def store(slide: Path, output: Path) -> Outcome:
    """What lies beside the slide is stored with it."""
    root = output.with_name("store")
    try:
        return _stored(slide, LocalStore(root))
    except Exception:  # noqa: BLE001 # whatever else it is, it is what we are looking for
        return Outcome(Verdict.WRONG, traceback.format_exc())


def _stored(slide: Path, store: LocalStore) -> Outcome:
    try:
        record = store.add(files_of(slide))
    except (*REFUSALS, StoreError) as error:
        assert not list(store.search())
        assert not any(path.is_file() and path.suffix == ".dcm" for path in store.root.rglob("*"))
        return judged(str(error), slide)
    assert [found.series_uid for found in store.search()] == [record.series_uid]
    assert store.rebuild() == 1
    try:
        for _ in range(2):  # the second time with what was kept of the first
            store.open(record.orthanc_id).close()
    except REFUSALS as error:
        outcome = judged(str(error), slide)
        if outcome.verdict is Verdict.WRONG and str(store.root) not in str(error):
            return outcome
    finally:
        assert store.delete(record.series_uid) == record
        store.close()
    return Outcome(Verdict.DONE)
