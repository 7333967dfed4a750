"""`wsi-dicom info`: what is known about a slide."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsi_dicom.errors import on_one_line
from wsi_dicom_cli.command import Command
from wsi_dicom_cli.options import json_option, store_option
from wsi_dicom_cli.slide_argument import existing_path, opened_slide

if TYPE_CHECKING:
    from wsi_dicom.slide import Slide
    from wsi_dicom.summary import SlideSummary
    from wsi_dicom.validation import Finding


@click.command(cls=Command)
@click.argument("slide", metavar="SERIES|PATH")
@click.option("--patient", is_flag=True, help="Name the patient too, and tell the label's text.")
@store_option
@json_option
def info(slide: str, patient: bool, store: Path | None, as_json: bool) -> None:
    """Show what a slide is: levels, tiles, spacing, optics, specimen, scanner, pictures, and what is odd about it.

    SERIES is a series of the store: its UID, its Orthanc identifier, or a unique beginning of either. PATH is a slide
    file of any kind, or a DICOM series: a file of it, its folder, a zip archive, a DICOMDIR.
    """
    from wsi_dicom.summary import summarize

    warnings: list[str] = []
    with _log_in(warnings):
        opened, kind = _opened(slide, store)
    with opened:
        summary = summarize(opened, patient=patient)
        findings = _findings(opened)
    warnings += _oddities(summary)
    if as_json:
        told = {
            "format": kind,
            **asdict(summary),
            "warnings": warnings,
            "findings": None if findings is None else [asdict(finding) for finding in findings],
        }
        click.echo(json.dumps(told, indent=2, default=str))
        return
    from wsi_dicom_cli.commands.info_text import told_in_lines

    for line in told_in_lines(summary, kind, [*warnings, *_in_a_word(findings or (), slide)]):
        click.echo(line)


def _opened(slide: str, store: Path | None) -> tuple[Slide, str]:
    """The slide, and the name of its format."""
    from wsi_dicom.sources import recognised

    opened, path = opened_slide(slide, store), existing_path(slide)
    if path is None:
        return opened, "DICOM"
    format_ = recognised(path)
    return opened, format_.name if format_ else ""


@contextmanager
def _log_in(warnings: list[str]) -> Iterator[None]:
    """What the library warns of meanwhile goes into `warnings`, not to standard error."""

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warnings.append(on_one_line(record.getMessage()))

    logger, handler = logging.getLogger("wsi_dicom"), Kept(logging.WARNING)
    logger.addHandler(handler)
    propagate, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def _findings(slide: Slide) -> list[Finding] | None:
    """What the headers of a DICOM series break; None for other slides."""
    from wsi_dicom.dicom.slide import DicomSlide
    from wsi_dicom.validation import validate_headers

    return validate_headers(slide.instances) if isinstance(slide, DicomSlide) else None


def _oddities(summary: SlideSummary) -> Iterator[str]:
    if not summary.levels[0].um_per_pixel:
        yield "no pixel spacing is told: nothing can be measured"
    if summary.dicom and summary.dicom.assumptions:
        yield summary.dicom.assumptions


def _in_a_word(findings: Sequence[Finding], slide: str) -> Iterator[str]:
    """How many errors there are, and which readers have trouble."""
    from wsi_dicom.validation import Severity

    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    readers = dict.fromkeys(finding.reader for finding in findings if finding.reader)
    told = [f"{errors} error{'s' * (errors != 1)} against the standard"] if errors else []
    told += [f"trouble for {', '.join(readers)}"] if readers else []
    if told:
        yield f"{' and '.join(told)}: run wsi-dicom validate {shlex.quote(slide)}"
