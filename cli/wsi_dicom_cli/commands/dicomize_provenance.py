"""Writing what `--provenance` asks for."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wsi_dicom_cli.commands.dicomize_options import Given

if TYPE_CHECKING:
    from wsi_dicom.convert import Dicomized

_SECRETS: Final = frozenset({"key", "key_file", "cytomine_public_key", "cytomine_private_key"})


def check(given: Given, slides: int) -> None:
    """Before any work: of several slides it is a folder, which is made. Raises StoreError."""
    from wsi_dicom.errors import StoreError

    target: Path | None = given["provenance"]
    if target is None:
        return
    try:
        if slides > 1:
            target.mkdir(exist_ok=True)
        elif target.is_dir() or not target.absolute().parent.is_dir():
            raise StoreError(f"{target}: --provenance takes the name of a file in a folder that is there")
    except OSError as error:
        raise StoreError(f"{target}: --provenance cannot be written there: {error.strerror}") from error


def write(done: Dicomized, given: Given, seconds: float, slides: int) -> None:
    """Raises NotFound, StoreError."""
    from wsi_dicom.dicom.header import read_instance
    from wsi_dicom.provenance import Provenance, describe_file

    target: Path | None = given["provenance"]
    if target is None or done.plan is None:
        return
    finished = datetime.now()
    Provenance(
        inputs=[describe_file(path) for path in done.inputs],
        outputs=[describe_file(path, read_instance(path).sop_instance_uid) for path in done.outputs],
        parameters={name: value for name, value in given.items() if name not in _SECRETS},
        plan=str(done.plan).splitlines(),
        started=finished - timedelta(seconds=seconds),
        finished=finished,
        warnings=[*done.warnings, *(f"blank: {bad.reason}" for bad in done.bad_tiles)],
        study_uid=done.series.study_uid,
        series_uid=done.series.series_uid,
    ).write(target if slides == 1 else target / f"{done.series.series_uid}.json")
