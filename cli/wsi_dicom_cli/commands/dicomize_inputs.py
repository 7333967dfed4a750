"""What `dicomize` is given to convert, and where each of it goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsi_dicom_cli.commands import dicomize_settings as settings
from wsi_dicom_cli.commands.dicomize_options import Given
from wsi_dicom_cli.options import open_store

if TYPE_CHECKING:
    from wsi_dicom.batch import Destination, Job
    from wsi_dicom.slide import Slide
    from wsi_dicom.stores import SeriesDestination

Opener = Callable[[], "Slide"]


def jobs(words: Sequence[str], given: Given) -> list[Job]:
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
    count = Counter(name for name, _ in named)
    named = [(str(source) if isinstance(source, Path) and count[name] > 1 else name, source) for name, source in named]
    destinations = _destinations([name for name, _ in named], given)
    options = settings.conversion(given, slides=len(named))
    paths = [source if isinstance(source, Path) else Path(name) for name, source in named]
    of_each = settings.with_rows(options, settings.metadata_table(given), paths)
    return [
        Job(name, source, destination, told)
        for (name, source), destination, told in zip(named, destinations, of_each, strict=True)
    ]


def _sources(word: str, given: Given) -> list[Path | Opener]:
    """A file, the slides of a folder, or a series of the store."""
    path = Path(word)
    if path.is_dir():
        return _slides_in(path, given)
    if not path.exists() and _looks_like_series(word):
        return [partial(_open_stored, given["store"], word, given["color"])]
    return [path]


def _looks_like_series(word: str) -> bool:
    return len(word) >= 4 and all(character in "0123456789abcdefABCDEF.-" for character in word)


def _open_stored(store: Path | None, series: str, background: tuple[int, int, int] | None) -> Slide:
    return open_store(store).open(series, background)


def _slides_in(folder: Path, given: Given) -> list[Path | Opener]:
    """The slides right in a folder, by name."""
    from wsi_dicom.sources import recognised
    from wsi_dicom.sources.found import slides_among

    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    slides: list[Path | Opener] = [*slides_among(files, settings.source_key(given))]
    if not slides:
        raise click.UsageError(f"{folder}: no slide among its {len(files)} files")
    # the files of one DICOM series are called by their folder
    return [folder] if len(slides) == 1 and recognised(folder) is not None else slides


def _destinations(names: Sequence[str], given: Given) -> list[Destination]:
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
    return [partial(_open_folder_below, folder, stem, given["folder_pattern"]) for stem in stems]


def _open_folder(folder: Path, pattern: str) -> SeriesDestination:
    from wsi_dicom.stores.folder import FolderStore

    return FolderStore(folder, pattern)


def _open_folder_below(folder: Path, name: str, pattern: str) -> SeriesDestination:
    folder.mkdir(exist_ok=True)
    return _open_folder(folder / name, pattern)


def _cytomine(given: Given) -> Opener | None:
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
    return partial(open_cytomine, image, settings.reading(given))
