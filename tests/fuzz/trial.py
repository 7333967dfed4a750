"""One broken slide: what comes of it must be right, or one line that tells why not. Here of one that is converted."""

from __future__ import annotations

import random
import re
import shutil
import tempfile
import traceback
import warnings
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import pydicom

from tests.oracles import assert_conformant, dciodvfy_errors, frames
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.codecs.transfer_syntaxes import KNOWN
from wsi_dicom.convert import DicomizeOptions, UidChoice, dicomize
from wsi_dicom.errors import CodecError, CorruptInput, UnsupportedFormat
from wsi_dicom.plan import PlanOptions
from wsi_dicom.stores.folder import FolderStore

_SERIES = re.compile(r"series |.+: level \d|\d+(\.\d+)+[: ]")
"""How messages name one: by its UID, which a broken slide may tell wrong."""
_LONGEST = 1200  # characters of a message

COMPRESSIONS = tuple(compression for compression in Compression if compression.transfer_syntax in KNOWN)
"""Those of DICOM."""
REFUSALS = (UnsupportedFormat, CorruptInput, CodecError)
"""What may be said of a broken slide."""


class Verdict(StrEnum):
    DONE = "done"
    REFUSED = "refused"
    WRONG = "wrong"


class Job(StrEnum):
    """What is done with a slide."""

    CONVERT = "convert"
    READ = "read"
    STORE = "store"
    TIFF = "tiff"


class Outcome(NamedTuple):
    """`text`: why it was refused, or what is wrong."""

    verdict: Verdict
    text: str = ""


def chosen_options(dice: random.Random) -> DicomizeOptions:
    """Any of the options that change what is read, and how; but for --repaint, which writes a whole glass of white."""
    side = dice.choice((None, None, 64, 96, 256))
    plan = PlanOptions(
        pyramid=dice.random() < 0.5,
        smooth=dice.random() < 0.3,
        compression=dice.choice((None, None, None, *COMPRESSIONS)),
        reencode=dice.random() < 0.2,
        tile_width=side,
        tile_height=side,
        verify=dice.random() < 0.3,
    )
    return DicomizeOptions(
        plan=plan,
        uids=dice.choice(tuple(UidChoice)),
        blank_bad_tiles=dice.random() < 0.4,
        largest_instance=dice.choice((0, 0, 0, 50_000)),
        threads=2,
    )


def attempt(folder: Path, outcome_in: Callable[[Path], Outcome]) -> Outcome:
    """What comes of something that writes into a folder below `folder`, which is not there before and after."""
    output, temporary = folder / "series", folder / "temporary"
    shutil.rmtree(folder, ignore_errors=True)  # where the one before was ended
    temporary.mkdir(parents=True)
    tempfile.tempdir = str(temporary)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of broken values there are many to be told
            outcome = outcome_in(output)
        if outcome.verdict is Verdict.REFUSED and output.exists():
            return Outcome(Verdict.WRONG, f"{[path.name for path in output.rglob('*')]} left behind: {outcome.text}")
        if any(temporary.iterdir()):
            return Outcome(Verdict.WRONG, f"temporary files left behind: {outcome.text}")
        return outcome
    finally:
        tempfile.tempdir = None
        shutil.rmtree(folder)


def converted(slide: Path, options: DicomizeOptions, tool: Callable[[str], str], output: Path) -> Outcome:
    """`tool` finds a program by its name."""
    try:
        done = dicomize(slide, FolderStore(output), options)
    except REFUSALS as error:
        return judged(str(error), slide)
    except Exception:  # noqa: BLE001 # whatever else it is, it is what we are looking for
        return Outcome(Verdict.WRONG, traceback.format_exc())
    if sorted(output.iterdir()) != sorted(done.outputs):
        return Outcome(Verdict.WRONG, f"{sorted(output.iterdir())} instead of {sorted(done.outputs)}")
    try:
        for path in done.outputs:
            dataset = pydicom.dcmread(path)
            assert not dataset.file_meta.TransferSyntaxUID.is_encapsulated or all(frames(dataset))
        sources = [path for path in files_of(slide) if path.suffix == ".dcm"]
        if not any(dciodvfy_errors(path, tool) for path in sources):  # else what is carried over has its errors too
            assert_conformant(done.outputs, tool)
    except Exception:  # noqa: BLE001 # likewise
        return Outcome(Verdict.WRONG, traceback.format_exc())
    return Outcome(Verdict.DONE)


def judged(message: str, slide: Path) -> Outcome:
    """A message is one line that names the slide: one of its files, or its UID."""
    names = (slide.name, *(path.name for path in files_of(slide)))
    named = _SERIES.match(message) or any(name in message for name in names)
    if not (named and message.isprintable() and len(message) <= _LONGEST):
        return Outcome(Verdict.WRONG, f"message: {message!r}")
    return Outcome(Verdict.REFUSED, message)


def files_of(slide: Path) -> list[Path]:
    """All that a slide consists of; `slide` has a folder of its own, or is one."""
    return [path for path in (slide if slide.is_dir() else slide.parent).rglob("*") if path.is_file()]
