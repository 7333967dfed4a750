"""What `dicomize` is given to convert, and where each of it goes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsi_dicom_cli.commands import dicomize_options as grouped
from wsi_dicom_cli.options import open_store

if TYPE_CHECKING:
    from wsi_dicom.batch import Destination, Job
    from wsi_dicom.slide import Slide
    from wsi_dicom.stores import SeriesDestination

Opener = Callable[[], "Slide"]

logger = logging.getLogger(__name__)


def jobs(words: Sequence[str], given: grouped.Given) -> list[Job]:
    """A job for each slide that the words name. Raises click.UsageError, WsiError."""
    from wsi_dicom.batch import Job

    cytomine = _cytomine(given)
    if bool(words) == (cytomine is not None):
        raise click.UsageError("name a slide, a folder or a series to convert, or an image with the --cytomine options")
    named: list[tuple[str, Path | Opener]] = []
    for word in words:
        named += [
            (source.name, source) if isinstance(source, Path) else (word, source) for source in _sources(word, given)
        ]
    if cytomine is not None:
        named.append((f"Cytomine image {given['cytomine_image']}", cytomine))
    destinations = _destinations([name for name, _ in named], given)
    options, table = grouped.conversion(given), grouped.metadata_table(given)
    return [
        Job(
            name,
            source,
            destination,
            grouped.with_row(options, table, source if isinstance(source, Path) else Path(name)),
        )
        for (name, source), destination in zip(named, destinations, strict=True)
    ]


def _sources(word: str, given: grouped.Given) -> list[Path | Opener]:
    """A file, the slides of a folder, or a series of the store."""
    path = Path(word)
    if path.is_dir():
        return [path] if _is_slide(path) else _slides_in(path)
    if not path.exists() and _looks_like_series(word):
        return [partial(_open_stored, given["store"], word)]
    return [path]


def _looks_like_series(word: str) -> bool:
    return len(word) >= 4 and all(character in "0123456789abcdefABCDEF.-" for character in word)


def _open_stored(store: Path | None, series: str) -> Slide:
    return open_store(store).open(series)


def _is_slide(path: Path) -> bool:
    from wsi_dicom.sources import recognised

    return recognised(path) is not None


def _slides_in(folder: Path) -> list[Path | Opener]:
    """The files right in a folder that look like slides, by name."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    slides: list[Path | Opener] = []
    for path in files:
        if _is_slide(path):
            slides.append(path)
        else:
            logger.info("%s: left out, it does not look like a slide", path)
    if not slides:
        raise click.UsageError(f"{folder}: no slide among its {len(files)} files")
    return slides


def _destinations(names: Sequence[str], given: grouped.Given) -> list[Destination]:
    """One for each slide; with --folder and several slides, a folder of its own for each."""
    folder: Path | None = given["folder"]
    if folder is None:
        return [partial(open_store, given["store"], create=True)] * len(names)
    if len(names) == 1:
        return [partial(_open_folder, folder, given["folder_pattern"])]
    stems = [Path(name).stem for name in names]
    repeated = [stem for stem, count in Counter(stems).items() if count > 1]
    if repeated:
        raise click.UsageError(f"--folder: several slides are called {repeated[0]}; convert them one by one")
    return [partial(_open_folder, folder / stem, given["folder_pattern"]) for stem in stems]


def _open_folder(folder: Path, pattern: str) -> SeriesDestination:
    from wsi_dicom.stores.folder import FolderStore

    return FolderStore(folder, pattern)


def _cytomine(given: grouped.Given) -> Opener | None:
    words = ["cytomine_url", "cytomine_public_key", "cytomine_private_key", "cytomine_image"]
    told = [given[word] for word in words]
    if not any(given[word] for word in ("cytomine_url", "cytomine_image")):
        return None
    missing = [f"--{word.replace('_', '-')}" for word, value in zip(words, told, strict=True) if not value]
    if missing:
        raise click.UsageError(f"Cytomine takes {', '.join(missing)} too")
    from wsi_dicom.sources.cytomine import open_cytomine
    from wsi_dicom.sources.cytomine_server import CytomineImage, WindowFormat

    image = CytomineImage(
        given["cytomine_url"],
        given["cytomine_image"],
        given["cytomine_public_key"],
        given["cytomine_private_key"],
        WindowFormat(given["cytomine_compression"]),
    )
    return partial(open_cytomine, image, grouped.reading(given))
