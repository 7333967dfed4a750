"""`dicomize`: slides become DICOM series."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from wsi_dicom_cli.command import Command
from wsi_dicom_cli.commands import dicomize_inputs, dicomize_provenance
from wsi_dicom_cli.commands import dicomize_options as grouped
from wsi_dicom_cli.commands import dicomize_report as report
from wsi_dicom_cli.options import (
    json_option,
    store_option,
    threads_option,
    verbose_option,
    version_option,
)
from wsi_dicom_cli.progress import shown_batch, shown_progress

if TYPE_CHECKING:
    from wsi_dicom.batch import Job, Outcome


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("slides", nargs=-1, metavar="[SLIDE|FOLDER|SERIES]...")
@grouped.source_options
@grouped.tile_options
@grouped.scale_options
@grouped.metadata_options
@grouped.privacy_options
@grouped.destination_options
@store_option
@threads_option
@json_option
@verbose_option
@version_option
def dicomize(slides: tuple[str, ...], **given: Any) -> int:
    """Convert slides to DICOM whole-slide series in the local store.

    SLIDE is a file; FOLDER holds slides, or the files of one DICOM series; SERIES is in the store already and is made
    anew. Compressed tiles are copied as they are where DICOM allows it.
    """
    jobs = dicomize_inputs.jobs(slides, given)
    if given["dry_run"]:
        return _dry_run(jobs, as_json=given["as_json"])
    dicomize_provenance.check(given, len(jobs))
    if len(jobs) == 1:
        return _convert_one(jobs[0], given)
    return _convert_all(jobs, given)


def _convert_one(job: Job, given: grouped.Given) -> int:
    from wsi_dicom import convert

    begun = time.monotonic()
    with shown_progress(job.name, quiet=given["as_json"]) as observer:
        done = convert.dicomize(job.opened(), job.destination(), job.options, observer)
    seconds = time.monotonic() - begun
    dicomize_provenance.write(done, given, seconds, 1)
    report.one(done, seconds, as_json=given["as_json"])
    return 0


def _convert_all(jobs: list[Job], given: grouped.Given) -> int:
    """Exits with 1 when a slide failed; what was converted stays."""
    from wsi_dicom.batch import dicomize_all
    from wsi_dicom.convert import usable_cores

    outcomes = []
    with (
        shown_batch(len(jobs), quiet=given["as_json"]) as display,
        closing(dicomize_all(jobs, given["threads"] or usable_cores(), display.advanced)) as running,
    ):
        for outcome in running:
            told = _with_provenance(outcome, given, len(jobs))
            outcomes.append(told)
            display.finished(told)
    report.batch(sorted(outcomes, key=lambda outcome: jobs.index(outcome.job)), as_json=given["as_json"])
    return 1 if any(outcome.failure for outcome in outcomes) else 0


def _with_provenance(outcome: Outcome, given: grouped.Given, slides: int) -> Outcome:
    """The outcome, with its provenance written; a failure when that cannot be."""
    from wsi_dicom.errors import WsiError

    if outcome.done is None:
        return outcome
    try:
        dicomize_provenance.write(outcome.done, given, outcome.seconds, slides)
    except WsiError as error:
        told = f"series {outcome.done.series.series_uid} is stored, but not where it comes from: {error}"
        return replace(outcome, done=None, failure=told)
    return outcome


def _dry_run(jobs: list[Job], *, as_json: bool) -> int:
    """Exits with 1 when one of several slides cannot be converted."""
    from wsi_dicom.convert import plan_dicomize
    from wsi_dicom.errors import WsiError

    failed = False
    for job in jobs:
        try:
            planned = plan_dicomize(job.opened(), job.options)
        except WsiError as error:
            if len(jobs) == 1:
                raise
            report.no_plan(job.name, error, as_json=as_json)
            failed = True
        else:
            report.dry_run(job.name, planned, as_json=as_json)
    return 1 if failed else 0
