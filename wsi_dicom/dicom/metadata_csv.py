"""Attributes of many slides in one table: a row for each slide, a column for each attribute (`--metadata-csv`).

    file,PatientID,PatientName,Specimen.Identifier,Specimen.Stains
    a.svs,1,Doe^Jane,S26-1-A-1,hematoxylin|eosin

Columns are keywords of DICOM, or fields of `specimen_shorthand` after `Specimen.` or `Container.`. An empty cell says
nothing.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pydicom.datadict import dictionary_VR, keyword_dict, tag_for_keyword
from pydicom.dataset import Dataset

from wsi_dicom.dicom.json_model import dataset_of
from wsi_dicom.dicom.specimen_shorthand import CONTAINER, CONTAINER_FIELDS, SPECIMEN, SPECIMEN_FIELDS
from wsi_dicom.errors import InvalidRequest
from wsi_dicom.given_file import read_given_text

LARGEST_TABLE: Final = 64 << 20
FILE_COLUMN: Final = "file"
SHORTHAND_COLUMNS: Final = (
    *(f"{CONTAINER}.{name}" for name in CONTAINER_FIELDS),
    *(f"{SPECIMEN}.{name}" for name in SPECIMEN_FIELDS),
)

_DELIMITERS: Final = ",;\t"
_SEVERAL: Final = "|"


class MetadataTable(Mapping[str, Dataset]):
    """Attributes by file name, as the table has it; in the order of its rows."""

    def __init__(self, path: Path, rows: Mapping[str, Dataset]) -> None:
        self._path, self._rows = path, rows

    def __getitem__(self, name: str) -> Dataset:
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def of_slides(self, slides: Sequence[Path]) -> list[Dataset]:
        """The row of each slide, called by its name or by the end of its path.

        Raises InvalidRequest when there is none, or when two slides have the same one: a slide must not get the
        metadata of nobody, still less of somebody else.
        """
        names = [self._name(slide) for slide in slides]
        repeated = next((name for name, count in Counter(names).items() if count > 1), None)
        if repeated is not None:
            raise InvalidRequest(
                f"{self._path}: the row of {repeated} fits several slides; tell them apart by their folders, as in "
                f"batch-1/{repeated}"
            )
        return [self._rows[name] for name in names]

    def _name(self, slide: Path) -> str:
        parts = slide.absolute().parts
        for start in range(len(parts)):
            name = PurePosixPath(*parts[start:]).as_posix()
            if name in self._rows:
                return name
        raise InvalidRequest(f"{self._path}: has no row for {slide.name}; add one, or leave the slide out")


def read_metadata_csv(path: Path) -> MetadataTable:
    """Reads a table in UTF-8, its cells parted by comma, semicolon or tab.

    Raises NotFound, InvalidRequest (unreadable, unknown column, two rows of one file, value that does not fit its
    attribute); the message names file, line and column.
    """
    rows = _rows(path, read_given_text(path, LARGEST_TABLE))
    header = next(rows, None)
    if header is None:
        raise InvalidRequest(f"{path}: is empty; its first line names the columns")
    columns = _columns(path, header[1])
    found: dict[str, Dataset] = {}
    for line, cells in rows:
        where = f"{path}, line {line}"
        if not any(cells):
            continue
        if len(cells) != len(columns):
            raise InvalidRequest(f"{where}: has {len(cells)} cells, where there are {len(columns)} columns")
        told = dict(zip(columns, cells, strict=True))
        name = told.pop(FILE_COLUMN).replace("\\", "/")
        if not name:
            raise InvalidRequest(f"{where}: names no file")
        if name in found:
            raise InvalidRequest(f"{where}: {name} has a row already")
        found[name] = dataset_of(_content(told), where)
    return MetadataTable(path, found)


def _rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells without blanks around them). The delimiter is the one that the first line has most of."""
    delimiter = max(_DELIMITERS, key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise InvalidRequest(f"{path}, line {reader.line_num}: is not CSV: {error}") from error


def _columns(path: Path, names: list[str]) -> list[str]:
    columns = [FILE_COLUMN if name.casefold() == FILE_COLUMN else name for name in names]
    for name in columns:
        if columns.count(name) > 1:
            raise InvalidRequest(f"{path}: the column {name or '(without a name)'} is there twice")
        if name not in (FILE_COLUMN, *SHORTHAND_COLUMNS) and not _is_plain(name):
            close = get_close_matches(name, (FILE_COLUMN, *SHORTHAND_COLUMNS, *keyword_dict), n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise InvalidRequest(
                f"{path}: the column {name or '(without a name)'} is not known.{hint} A column is {FILE_COLUMN}, a "
                f"DICOM keyword that is no sequence, or one of {', '.join(SHORTHAND_COLUMNS)}"
            )
    if FILE_COLUMN not in columns:
        raise InvalidRequest(f"{path}: has no column {FILE_COLUMN}, which names the slide of each row")
    return columns


def _is_plain(keyword: str) -> bool:
    tag = tag_for_keyword(keyword) if keyword else None
    return tag is not None and dictionary_VR(tag) != "SQ"


def _content(cells: Mapping[str, str]) -> dict[str, Any]:
    """A row as the JSON of `--dataset` would say it."""
    content: dict[str, Any] = {}
    for column, cell in cells.items():
        if not cell:
            continue
        group, _, name = column.partition(".")
        if not name:
            content[column] = cell
        elif name == "Stains":
            content.setdefault(group, {})[name] = [stain.strip() for stain in cell.split(_SEVERAL) if stain.strip()]
        else:
            content.setdefault(group, {})[name] = cell
    return content
