"""`wsi-dicom validate`: what is wrong with a series."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from wsi_dicom.errors import NotFound, UnsupportedFormat, on_one_line
from wsi_dicom_cli.command import Command
from wsi_dicom_cli.options import json_option, open_store, store_option
from wsi_dicom_cli.slide_argument import existing_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsi_dicom.validation import Finding

_HEAD_BYTES: Final = 132


@click.command(cls=Command)
@click.argument("series", metavar="SERIES|PATH")
@store_option
@json_option
def validate(series: str, store: Path | None, as_json: bool) -> int:
    """Check a DICOM series against the standard and against known readers.

    SERIES is a series of the store. PATH is a DICOM file, a folder of them, a zip archive, or a DICOMDIR.

    Prints a line for each finding: "error" and the clause of the standard that is broken, or "warning" and the reader
    that has trouble, the file, the fault. The exit code is 1 when there is an error, 0 when there are only warnings, 2
    when nothing could be checked.
    """
    from wsi_dicom.validation import Severity, validate_series

    with _files(series, store) as files:
        findings = validate_series(files)
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    if as_json:
        told = {
            "instances": len(files),
            "errors": errors,
            "warnings": len(findings) - errors,
            "findings": [dataclasses.asdict(each) for each in findings],
        }
        click.echo(json.dumps(told, indent=2))
    else:
        _print(findings, errors, len(files))
    return 1 if errors else 0


def _print(findings: Sequence[Finding], errors: int, instances: int) -> None:
    """What several files have in common is told once."""
    alike: dict[Finding, list[str]] = {}
    for finding in findings:
        alike.setdefault(dataclasses.replace(finding, instance=""), []).append(finding.instance)
    for finding, files in alike.items():
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        click.echo(on_one_line(str(dataclasses.replace(finding, instance=f"{files[0]}{more}"))))
    warned = f", {_count(len(findings) - errors, 'warning')}" if len(findings) > errors else ""
    click.echo(f"{_count(errors, 'error')}{warned} in {_count(instances, 'instance')}")


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


@contextmanager
def _files(series: str, store: Path | None) -> Iterator[list[Path]]:
    """Those of a folder, an archive or a DICOMDIR, or the one file, when there is one of that name; else of the store.

    Hidden files of a folder, and a DICOMDIR beside them, are passed over.
    """
    from wsi_dicom.sources.dicom_series import is_dicom
    from wsi_dicom.sources.dicomdir import is_dicomdir, referenced_files
    from wsi_dicom.sources.zipped import is_zip, unpacked

    path = existing_path(series)
    if path is None:
        opened = open_store(store)
        yield opened.files(opened.resolve(series))
    elif path.is_dir():
        yield _of_folder(path)
    elif is_dicomdir(path):
        yield referenced_files(path)
    elif is_zip(_head(path)):
        with unpacked(path, is_dicom) as files:
            if not (instances := [file for file in files if not is_dicomdir(file)]):
                raise UnsupportedFormat(f"{path} holds no DICOM file")
            yield instances
    else:
        yield [path]


def _of_folder(folder: Path) -> list[Path]:
    from wsi_dicom.sources.dicomdir import is_dicomdir, referenced_files

    visible = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    lists = [file for file in visible if is_dicomdir(file)]
    if files := [file for file in visible if file not in lists]:
        return files
    if not lists:
        raise NotFound(f"{folder} has no files")
    return referenced_files(lists[0])


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)
