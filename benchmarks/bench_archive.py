"""Pages, searches and counts of an archive of 100,000 series, and its collections through the server.

The index alone is made, of invented series: no page and no collection opens a file. Limit: 0.15 s of processor time for
each question to the index; the wall clock of so short a time tells more of what else the machine does. The first run of
each does not count.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median

import httpx
from build_slide import FOLDER
from measure import print_table, verdict
from servers import wsi_dicom

from wsi_dicom.dicom.uids import orthanc_identifier
from wsi_dicom.stores import Entity, SeriesOrder, SeriesQuery, SeriesRecord
from wsi_dicom.stores.catalogue import Catalogue
from wsi_dicom.stores.local import LocalStore

LIMIT_MS = 150
PAGE = 100
STAINS = ["Hematoxylin stain, Water soluble eosin stain"] * 8 + ["Ki-67", "CD3"]
SCANNERS = ["Leica Biosystems GT450 DX", "Hamamatsu NanoZoomer S360", "3DHISTECH PANNORAMIC 1000"]


def invented(count: int) -> Iterator[SeriesRecord]:
    """Two series to a study, two studies to a patient."""
    chance, begun = random.Random(1), datetime(2020, 1, 1, tzinfo=UTC)  # noqa: S311 - the same ones every time
    for number in range(count):
        patient, study, case = f"P{number // 4:06d}", f"2.25.{number // 2 + 1}", f"S{number // 4:06d}"
        series, added = f"2.25.{chance.getrandbits(122)}", begun + timedelta(minutes=number)
        yield SeriesRecord(
            series_uid=series,
            study_uid=study,
            orthanc_id=orthanc_identifier(patient, study, series),
            patient_orthanc_id=orthanc_identifier(patient),
            study_orthanc_id=orthanc_identifier(patient, study),
            patient_id=patient,
            patient_name=f"Doe{chance.randrange(50_000)}^Jane",
            study_date=f"{added:%Y%m%d}",
            accession_number=f"A-{number // 2}",
            study_description="Surgical pathology",
            description=f"Slide {number % 4 + 1}",
            container_identifier=f"{case}-A-{number % 4 + 1}",
            specimen=f"{case}-A-{number % 4 + 1}",
            anatomy=chance.choice(["Liver", "Breast", "Prostate", "Colon"]),
            stain=chance.choice(STAINS),
            scanner=chance.choice(SCANNERS),
            modality="SM",
            width=80_000,
            height=60_000,
            instance_count=9,
            frame_count=40_000,
            size=1_200_000_000,
            added=added,
            folder=Path("none"),
        )


def questions(store: LocalStore, count: int) -> dict[str, Callable[[], object]]:
    last = count - PAGE

    def page(query: SeriesQuery, offset: int = 0) -> Callable[[], object]:
        return lambda: list(store.search(query, limit=PAGE, offset=offset))

    def counted(query: SeriesQuery, entity: Entity = Entity.SERIES) -> Callable[[], object]:
        return lambda: store.count(query, entity)

    one_patient = SeriesQuery({"patient_orthanc_id": orthanc_identifier("P001234")})
    found: dict[str, Callable[[], object]] = {}
    for order in SeriesOrder:
        found[f"first page by {order}"] = page(SeriesQuery(order=order))
        found[f"last page by {order}"] = page(SeriesQuery(order=order), last)
    for name, query in {
        "all": SeriesQuery(),
        "a common stain": SeriesQuery(stain="eosin"),
        "a rare stain and a year": SeriesQuery(stain="ki-67", first_date=date(2020, 1, 1), last_date=date(2020, 2, 1)),
        "one case": SeriesQuery(words="s001234", naming=True),
        "one patient by name, by stain": SeriesQuery(patient="doe1234 jane", order=SeriesOrder.STAIN),
        "nothing": SeriesQuery(words="nowhere to be found", naming=True),
        "nothing, by scanner": SeriesQuery(specimen="nowhere", order=SeriesOrder.SCANNER),
        "one patient's series": one_patient,
    }.items():
        found[f"page of {name}"] = page(query)
        found[f"count of {name}"] = counted(query)
    found["count of patients"] = counted(SeriesQuery(), Entity.PATIENT)
    found["count of studies"] = counted(SeriesQuery(), Entity.STUDY)
    found["first patients"] = lambda: store.patients(limit=PAGE)
    found["last patients"] = lambda: store.patients(limit=PAGE, offset=count // 4 - PAGE)
    found["one patient's studies"] = lambda: store.studies(one_patient)
    return found


def collections(client: httpx.Client) -> dict[str, Callable[[], object]]:
    def fetch(path: str) -> Callable[[], object]:
        return lambda: client.get(path).raise_for_status()

    return {
        "`/`": fetch("/"),
        "`/iiif/collection.json`": fetch("/iiif/collection.json"),
        "`/iiif/collection.json?page=200`": fetch("/iiif/collection.json?page=200"),
        "`/iiif/patients/...`": fetch(f"/iiif/patients/{orthanc_identifier('P001234')}/collection.json"),
    }


def measured(ask: Callable[[], object], runs: int) -> tuple[float, float]:
    """Medians of wall clock and of our own processor time, in ms."""
    walls, cpus = [], []
    for _ in range(runs + 1):
        begun, used = time.perf_counter(), time.process_time()
        ask()
        walls.append((time.perf_counter() - begun) * 1e3)
        cpus.append((time.process_time() - used) * 1e3)
    return median(walls[1:]), median(cpus[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=100_000, help="how many (default: 100000)")
    parser.add_argument("--runs", type=int, default=5, help="of each question (default: 5)")
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="archive-") as name:
        root = Path(name)
        (root / "series").mkdir()
        index = Catalogue(root / "index.sqlite", root / "series", read_only=False)
        index.replace_all((record, ()) for record in invented(options.series))
        index.close()
        store = LocalStore(root)
        asked = {title: measured(ask, options.runs) for title, ask in questions(store, options.series).items()}
        store.close()
        with wsi_dicom(root) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            fetched = {title: measured(ask, options.runs) for title, ask in collections(client).items()}
        size_mb = (root / "index.sqlite").stat().st_size / 1e6
    rows = [[title, f"{wall:.1f}", f"{cpu:.1f}", verdict(cpu < LIMIT_MS)] for title, (wall, cpu) in asked.items()]
    rows += [[title, f"{wall:.1f}", "", ""] for title, (wall, _) in fetched.items()]
    print_table(
        f"{options.series:,} series, {PAGE} a page; an index of {size_mb:.0f} MB",
        ["", "wall ms", "CPU ms", f"below {LIMIT_MS} ms"],
        rows,
    )


if __name__ == "__main__":
    main()
