"""What `dicom2tiff` is told when a picture is wanted, not a TIFF."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from wsi_dicom_cli.commands.dicomize_options import Given
from wsi_dicom_cli.options import asked_for

if TYPE_CHECKING:
    from wsi_dicom.convert import PictureOptions
    from wsi_dicom.part import PartOptions

PICTURES: Final = ("png", "jpeg", "webp")
_SUFFIXES: Final = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
_OF_TIFF: Final = frozenset(
    {
        *("pyramid", "smooth", "levels", "reencode", "tile_size", "compression", "subsampling", "flavor", "bigtiff"),
        *("label", "overview", "thumbnail"),
    }
)
"""Parameters that say nothing of a picture."""


def picture_options(output: Path, given: Given, part: PartOptions) -> PictureOptions | None:
    """None when a TIFF is wanted. Raises click.UsageError for options that make no sense with a picture."""
    kind = given["to"] or _SUFFIXES.get(output.suffix.lower())
    if kind is None:
        return None
    from wsi_dicom import convert
    from wsi_dicom.picture_file import PictureFormat

    _refuse_others(output, kind, given)
    return convert.PictureOptions(
        PictureFormat.JPG if kind == "jpeg" else PictureFormat(kind),
        part,
        given["quality"],
        verify=given["safety"],
        blank_bad_tiles=given["on_bad_tile"] == "blank",
        threads=given["threads"] or convert.usable_cores(),
    )


def _refuse_others(output: Path, kind: str, given: Given) -> None:
    for name, option in asked_for(given).items():
        if name in _OF_TIFF:
            raise click.UsageError(f"{option} is for TIFF, but {output.name} becomes a picture ({kind})")
        if name == "quality" and kind == "png":
            raise click.UsageError(f"{option} is for jpeg and webp: PNG is lossless")
