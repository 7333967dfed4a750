"""Many series open at once: tiles of 1,000 series in random order, ten times as many as series, from 64 connections.

The series are copies of one small slide under identifiers of their own. One answer that is not a success ends the
benchmark. Memory and open files are those of the one worker, at their highest.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

import httpx
import pydicom
from bench_serve import store_slide
from build_slide import FOLDER
from measure import print_table
from pydicom.uid import generate_uid
from servers import wsi_dicom

from wsi_dicom.stores.local import LocalStore

CONNECTIONS, SIZE = 64, 1024


def copies(folder: Path, count: int) -> Path:
    """A store with that many series."""
    told = store_slide(SIZE, folder / "one")
    (finest, *_) = sorted(
        (folder / "one" / "series" / told["series"]).glob("*.dcm"), key=lambda path: -path.stat().st_size
    )
    data = pydicom.dcmread(finest)
    store = LocalStore(folder / "store")
    for _ in range(count):
        data.SeriesInstanceUID, data.SOPInstanceUID = generate_uid(), generate_uid()
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        copy = folder / "copy.dcm"
        data.save_as(copy)
        store.add([copy])
    store.close()
    return store.root


async def ask(port: int, paths: list[str]) -> list[float]:
    """Seconds of each request."""
    taken: list[float] = []
    left = iter(paths)
    limits = httpx.Limits(max_connections=CONNECTIONS)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=60) as client:

        async def one_after_the_other() -> None:
            for path in left:
                began = time.perf_counter()
                (await client.get(path)).raise_for_status()
                taken.append(time.perf_counter() - began)

        await asyncio.gather(*(one_after_the_other() for _ in range(CONNECTIONS)))
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=1000, help="how many (default: 1000)")
    series = parser.parse_args().series
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="many-") as name:
        root = copies(Path(name), series)
        store = LocalStore(root)
        names = [record.series_uid for record in store.search()]
        store.close()
        chooser = random.Random(1)  # noqa: S311 - the same in each run
        paths = [
            f"/tiles/{chooser.choice(names)}/0/{chooser.randrange(4)}/{chooser.randrange(4)}"
            for _ in range(10 * series)
        ]
        rows = []
        for held in (series, 64):
            with wsi_dicom(root, "--open-slides", str(held)) as port:
                process = process_of(port)
                taken = asyncio.run(ask(port, paths))
                memory = next(
                    line for line in (process / "status").read_text().splitlines() if line.startswith("VmHWM")
                )
                files = len(list((process / "fd").iterdir()))
            middle, last = median(taken) * 1e3, quantiles(taken, n=100)[98] * 1e3
            megabytes = int(memory.split()[1]) * 1024 / 1e6
            rows.append([f"`--open-slides {held}`", f"{middle:.0f}", f"{last:.0f}", f"{megabytes:.0f}", str(files)])
    print_table(
        f"{10 * series} tiles of {series} series from {CONNECTIONS} connections, no error",
        ["", "median ms", "p99 ms", "peak MB", "open files"],
        rows,
    )


def process_of(port: int) -> Path:
    """In /proc: the one that was started with this port."""
    word = f"\0--port\0{port}\0".encode()
    return next(path.parent for path in Path("/proc").glob("[0-9]*/cmdline") if word in path.read_bytes())


if __name__ == "__main__":
    main()
