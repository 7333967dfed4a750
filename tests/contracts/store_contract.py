"""What every SeriesStore must do. To test a new one, subclass StoreContract and give it a `store` fixture."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha1
from pathlib import Path

import numpy as np
import pytest
from pydicom.filereader import dcmread
from pydicom.uid import generate_uid

from tests.foreign_series import TILE, Picture, native_frames, save_native
from wsi_dicom.errors import CorruptInput, InvalidRequest, NotFound, StoreError, WsiError
from wsi_dicom.stores import Entity, SeriesQuery, SeriesStore
from wsi_dicom.stores.local import LocalStore

FRAMES = native_frames(6)


def write_series(folder: Path, series_uid: str | None = None, **attributes: object) -> list[Path]:
    """A level, a coarser one and a label."""
    uid, study = series_uid or generate_uid(), generate_uid()
    folder.mkdir(parents=True, exist_ok=True)
    base = Picture(series_uid=uid, study_uid=study, attributes=dict(attributes))
    small = Picture(22, 15, frames=2, series_uid=uid, study_uid=study, attributes=dict(attributes))
    label = Picture(TILE, TILE, frames=1, flavor="LABEL", series_uid=uid, study_uid=study, attributes=dict(attributes))
    return [
        save_native(folder / "label.dcm", label, FRAMES[:1]),
        save_native(folder / "base.dcm", base, FRAMES),
        save_native(folder / "small.dcm", small, FRAMES[:2]),
    ]


class StoreContract:
    def test_another_process_can_open_it(self, store: SeriesStore, tmp_path: Path) -> None:
        record = store.add(write_series(tmp_path / "in"))
        again = pickle.loads(pickle.dumps(store.opener()))()  # noqa: S301 - our own
        assert again.find(record.series_uid) == record
        again.close()

    def test_add_describes_the_series(self, store: SeriesStore, tmp_path: Path) -> None:
        before = datetime.now(UTC)
        files = write_series(
            tmp_path / "in",
            PatientName="Doe^Jane",
            StudyDate="20240229",
            AccessionNumber="A-1",
            SeriesDescription="HE",
            ContainerIdentifier="S24-1",
        )
        header = dcmread(files[0])
        record = store.add(files)
        assert (record.series_uid, record.study_uid) == (header.SeriesInstanceUID, header.StudyInstanceUID)
        digest = sha1(f"P1|{record.study_uid}|{record.series_uid}".encode()).hexdigest()  # noqa: S324 - Orthanc's choice
        assert record.orthanc_id == "-".join(digest[i : i + 8] for i in range(0, 40, 8))
        assert (record.patient_id, record.patient_name, record.study_date) == ("P1", "Doe^Jane", "20240229")
        assert (record.accession_number, record.description, record.modality) == ("A-1", "HE", "SM")
        assert record.container_identifier == "S24-1"
        assert (record.width, record.height, record.instance_count) == (43, 29, 3)
        assert record.size == sum(file.stat().st_size for file in files)
        assert before <= record.added <= datetime.now(UTC)
        assert list(store.search()) == [record]
        assert store.find(record.series_uid) == record

    def test_open_gives_back_what_was_stored(self, store: SeriesStore, tmp_path: Path) -> None:
        record = store.add(write_series(tmp_path / "in"))
        for identifier in (record.series_uid, record.orthanc_id):
            with store.open(identifier) as slide:
                assert [level.width for level in slide.pyramid.levels] == [43, 22]
                assert np.array_equal(slide.tile(0, 2, 1), FRAMES[5])
                assert np.array_equal(slide.tile(1, 1, 0), FRAMES[1])
                assert len(slide.associated) == 1

    def test_files_are_copied_from_elsewhere(self, store: SeriesStore, tmp_path: Path) -> None:
        files = write_series(tmp_path / "in")
        store.add(files)
        assert all(file.exists() for file in files)

    def test_files_are_moved_out_of_staging(self, store: SeriesStore) -> None:
        with store.staging() as staging:
            files = write_series(staging)
            record = store.add(files)
            assert not any(file.exists() for file in files)
        assert not staging.exists()
        with store.open(record.series_uid) as slide:
            assert np.array_equal(slide.tile(0, 0, 1), FRAMES[3])

    def test_staging_goes_with_an_error(self, store: SeriesStore) -> None:
        with suppress(KeyError), store.staging() as staging:
            write_series(staging / "deeper")
            raise KeyError
        assert not staging.exists()
        assert not list(store.search())

    def test_stored_already(self, store: SeriesStore, tmp_path: Path) -> None:
        files = write_series(tmp_path / "in")
        record = store.add(files)
        with pytest.raises(StoreError, match=f"{record.series_uid} is already stored"):
            store.add(files)
        with store.open(record.series_uid) as slide:
            assert np.array_equal(slide.tile(0, 0, 0), FRAMES[0])

    @pytest.mark.filterwarnings("ignore:Invalid value for VR UI", "ignore:The value length")  # pydicom, of the bad UIDs
    def test_bad_files_leave_nothing(self, store: SeriesStore, tmp_path: Path) -> None:
        files = write_series(tmp_path / "in")
        other = write_series(tmp_path / "other")
        text = tmp_path / "text.dcm"
        text.write_text("not DICOM")
        for bad, error in (
            ([*files, other[0]], CorruptInput),
            ([*files, files[0]], CorruptInput),
            ([*files, text], CorruptInput),
            ([*files, tmp_path / "absent.dcm"], NotFound),
            ([], InvalidRequest),
            (write_series(tmp_path / "uid", "../../escape"), CorruptInput),
            (write_series(tmp_path / "uid", "1.2..3"), CorruptInput),
            (write_series(tmp_path / "uid", "1." * 32 + "1"), CorruptInput),
        ):
            with pytest.raises(error):
                store.add(bad)
        assert not list(store.search())
        store.add(files)

    def test_search(self, store: SeriesStore, tmp_path: Path) -> None:
        records = [
            store.add(write_series(tmp_path / str(n), PatientID=f"P{n % 2}", AccessionNumber=str(n))) for n in range(5)
        ]
        newest_first = records[::-1]
        assert list(store.search()) == newest_first
        assert list(store.search(limit=2)) == newest_first[:2]
        assert list(store.search(limit=2, offset=3)) == newest_first[3:]
        assert list(store.search(SeriesQuery({"patient_id": "P1"}))) == [records[3], records[1]]
        assert list(store.search(SeriesQuery({"patient_id": "P1", "accession_number": "1"}))) == [records[1]]
        assert list(store.search(SeriesQuery({"patient_id": "%"}))) == []
        assert store.count() == 5
        assert store.count(SeriesQuery({"patient_id": "P1"})) == 2
        assert store.count(entity=Entity.PATIENT) == 2
        patients = {patient.patient_id: (patient.studies, patient.series) for patient in store.patients()}
        assert patients == {"P0": (3, 3), "P1": (2, 2)}
        study = records[1].study_orthanc_id
        assert [s.study_uid for s in store.studies(SeriesQuery({"study_orthanc_id": study}))] == [records[1].study_uid]
        with pytest.raises(InvalidRequest, match="shoe_size"):
            SeriesQuery({"shoe_size": "44"})

    def test_resolve(self, store: SeriesStore, tmp_path: Path) -> None:
        uids = ["2.25.111122223333", "2.25.1111222233334444", "2.25.999", "1.2.840.5"]
        short, long, other, last = (store.add(write_series(tmp_path / uid, uid)) for uid in uids)
        for identifier, expected in (
            (short.series_uid, short),  # whole, although another begins with it
            ("2.25.11112222333344", long),
            ("2.25.9", other),
            ("1.2.", last),
            (other.orthanc_id, other),
            (other.orthanc_id.upper(), other),
            (other.orthanc_id[:20].upper(), other),
        ):
            assert store.resolve(identifier) == expected
        with pytest.raises(InvalidRequest, match=r"2\.25\.1111 is ambiguous") as raised:
            store.resolve("2.25.1111")
        assert all(uid in str(raised.value) for uid in uids[:2])
        with pytest.raises(InvalidRequest, match=r"2\.25\. is ambiguous"):
            store.resolve("2.25.")
        with pytest.raises(InvalidRequest, match="at least 4 characters"):
            store.resolve("1.2")
        for absent in ("1.2.840.5.6", "2.25.98", "0000-0000"):
            with pytest.raises(NotFound, match=absent):
                store.resolve(absent)
        for nonsense in ("", "%", "2.25.%", "____", "../series", "x" * 500, "2.25.9\n", "2,25", "١.٢.٣.٤"):
            with pytest.raises(InvalidRequest):
                store.resolve(nonsense)

    def test_many_candidates_are_not_all_listed(self, store: SeriesStore, tmp_path: Path) -> None:
        for number in range(8):
            store.add(write_series(tmp_path / str(number), f"1.2.3.{number}"))
        with pytest.raises(InvalidRequest) as raised:
            store.resolve("1.2.3.")
        assert str(raised.value).count("1.2.3.") < 8
        assert str(raised.value).endswith("...")

    def test_delete(self, store: SeriesStore, tmp_path: Path) -> None:
        files = write_series(tmp_path / "in")
        kept, record = store.add(write_series(tmp_path / "kept")), store.add(files)
        with store.open(record.series_uid) as slide:
            assert store.delete(record.orthanc_id) == record
            assert np.array_equal(slide.tile(0, 0, 0), FRAMES[0]), "whoever reads a series goes on reading it"
        for use in (store.open, store.resolve, store.delete):
            with pytest.raises(NotFound):
                use(record.series_uid)
        assert store.find(record.series_uid) is None
        assert list(store.search()) == [kept]
        store.add(files)

    def test_threads_add_the_same_series(self, store: SeriesStore, tmp_path: Path) -> None:
        files = write_series(tmp_path / "in")

        def add(_: int) -> str:
            try:
                return store.add(files).series_uid
            except WsiError as error:
                return str(error)

        with ThreadPoolExecutor(8) as threads:
            results = list(threads.map(add, range(8)))
        record = next(store.search())
        assert sorted(result == record.series_uid for result in results) == [False] * 7 + [True]
        assert sum("already stored" in result for result in results) == 7
        with store.open(record.series_uid) as slide:
            assert np.array_equal(slide.tile(0, 2, 1), FRAMES[5])


def start(code: str, *arguments: Path | str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent.parent,
    )


def check_whole(root: Path) -> LocalStore:
    """The store is sound: exactly the series that the index lists, every tile readable, nothing left over."""
    store = LocalStore(root)
    records = list(store.search())
    assert {folder.name for folder in (root / "series").iterdir()} == {record.series_uid for record in records}
    assert not list((root / "staging").iterdir())
    for record in records:
        assert sum(file.stat().st_size for file in record.folder.iterdir()) == record.size
        with store.open(record.series_uid) as slide:
            for number, (column, row) in enumerate(slide.pyramid.base.tiles()):
                assert np.array_equal(slide.tile(0, column, row), FRAMES[number])
            assert len(slide.instances) == record.instance_count == 3
    return store
