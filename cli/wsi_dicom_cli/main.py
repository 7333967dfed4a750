"""`wsi-dicom`: everything about the store and the server."""

from __future__ import annotations

import click

from wsi_dicom_cli.command import Group
from wsi_dicom_cli.commands.delete import delete
from wsi_dicom_cli.commands.index import index
from wsi_dicom_cli.commands.info import info
from wsi_dicom_cli.commands.list import list_series
from wsi_dicom_cli.commands.serve import serve
from wsi_dicom_cli.commands.token import token
from wsi_dicom_cli.commands.user import user
from wsi_dicom_cli.commands.validate import validate
from wsi_dicom_cli.options import version_option


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@version_option
def main() -> None:
    """Whole slides in DICOM: the local store and its server. See also dicomize and dicom2tiff."""


for command in (serve, list_series, info, delete, index, validate, user, token):
    main.add_command(command)
