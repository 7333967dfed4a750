"""`wsi-dicom validate`: what is wrong with a series."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsi_dicom.errors import NotFound
from wsi_dicom_cli.command import Command
from wsi_dicom_cli.options import json_option, open_store, store_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsi_dicom.validation import Finding


@click.command(cls=Command)
@click.argument("series", metavar="SERIES|PATH")
@store_option
@json_option
def validate(series: str, store: Path | None, as_json: bool) -> int:
    """Check a series of the store, a DICOM file, or a folder of them, against the standard and against known readers.

    Prints a line for each finding: error or warning, the clause of the standard or the reader, the file, the fault.
    Exit code 1 when there is an error.
    """
    from wsi_dicom.validation import Severity, validate_series

    files = _files(series, store)
    findings = validate_series(files)
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    if as_json:
        told = {"instances": len(files), "errors": errors, "findings": [dataclasses.asdict(each) for each in findings]}
        click.echo(json.dumps(told, indent=2))
    else:
        _print(findings, errors, len(files))
    return 1 if errors else 0


def _print(findings: Sequence[Finding], errors: int, instances: int) -> None:
    for finding in findings:
        click.echo(str(finding))
    warned = f", {_count(len(findings) - errors, 'warning')}" if len(findings) > errors else ""
    click.echo(f"{_count(errors, 'error')}{warned} in {_count(instances, 'instance')}")


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _files(series: str, store: Path | None) -> list[Path]:
    """The files of a folder, hidden ones aside, or the one file, when there is one of that name; else of the store."""
    path = Path(series)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        if not files:
            raise NotFound(f"{path} has no files")
        return files
    if path.exists():
        return [path]
    return sorted(open_store(store).resolve(series).folder.glob("*.dcm"))
