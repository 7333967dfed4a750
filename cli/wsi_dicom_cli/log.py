"""The log on standard error: a line for each thing that the library warns of, with --verbose for what it does too."""

from __future__ import annotations

import logging

import click

from wsi_dicom.errors import on_one_line


class _Lines(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the name is logging's
        return on_one_line(f"{record.levelname.lower()}: {record.getMessage()}")


class _StandardError(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        click.echo(self.format(record), err=True)  # looks sys.stderr up now: a progress bar may stand in for it


def show_log() -> None:
    """Once in a process, before anything is logged."""
    handler = _StandardError()
    handler.setFormatter(_Lines())
    # pydicom tells of each odd value in other people's files, and what the value is, which may be of a patient
    handler.addFilter(lambda record: not record.name.startswith("pydicom"))
    logging.getLogger().addHandler(handler)


def show_all_of_log() -> None:
    """What is done is shown too, not only warnings."""
    logging.getLogger().setLevel(logging.INFO)
