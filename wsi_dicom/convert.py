"""The two flows that the project is for: a slide to a DICOM series, and a series to a TIFF."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from wsi_dicom import __version__
from wsi_dicom.errors import CorruptInput, InvalidRequest, StoreError
from wsi_dicom.frames import FrameSink, write_frames
from wsi_dicom.plan import DICOM, TIFF, ConversionPlan, PlanOptions, largest_total, make_plan
from wsi_dicom.slide import Slide
from wsi_dicom.sources import open_slide
from wsi_dicom.stores import SeriesDestination, SeriesRecord

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

logger = logging.getLogger(__name__)


def usable_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Observer(Protocol):
    """Is told how a conversion goes, in the thread that called it."""

    def planned(self, plan: ConversionPlan) -> None:
        """Once, before the first tile."""
        ...

    def advanced(self, tiles: int, pixels: int) -> None:
        """So much was done since the last call."""
        ...


class UidChoice(StrEnum):
    """Where the UIDs of a new series come from. Deterministic: from the source's bytes and the options."""

    RANDOM = "random"
    DETERMINISTIC = "deterministic"


@dataclass(frozen=True, slots=True)
class DicomizeOptions:
    """What `dicomize` may be told. `additions` are attributes of the user's own (see dicom.json_model).

    `skip_existing`: where the destination has the series already, leave it at that. Needs deterministic UIDs.
    """

    plan: PlanOptions = field(default_factory=PlanOptions)
    uids: UidChoice = UidChoice.RANDOM
    skip_existing: bool = False
    additions: Dataset | None = None
    threads: int = field(default_factory=usable_cores)


@dataclass(frozen=True, slots=True)
class Dicomized:
    """What came of `dicomize`. `plan` is None when the destination had the series already."""

    series: SeriesRecord
    plan: ConversionPlan | None = None
    warnings: tuple[str, ...] = ()


def dicomize(
    source: Path, destination: SeriesDestination, options: DicomizeOptions, observer: Observer | None = None
) -> Dicomized:
    """Converts the slide in `source` and adds it to `destination`, whole or not at all.

    Raises NotFound, UnsupportedFormat, CorruptInput, CodecError, StoreError, InvalidRequest.
    """
    from pydicom.dataset import Dataset

    from wsi_dicom.dicom.series_writer import SeriesWriter, choose_identity

    additions = Dataset() if options.additions is None else options.additions
    with ExitStack() as stack:
        slide = stack.enter_context(open_slide(source))
        plan = make_plan(slide, options.plan, DICOM)
        seed = _seed(source, plan, additions) if options.uids is UidChoice.DETERMINISTIC else None
        identity = choose_identity(seed, additions)
        existing = destination.find(identity.series_uid)
        if existing is not None:
            if options.skip_existing:
                return Dicomized(existing)
            raise StoreError(f"series {existing.series_uid} is already stored in {existing.folder}")
        logger.info("%s: %s", slide.name, plan)
        folder = stack.enter_context(destination.staging())
        writer = SeriesWriter(folder, slide, plan, identity, additions)
        with writer.level_sinks() as sinks:
            _write(slide, plan, sinks, options.threads, folder, observer)
        writer.write_associated()
        return Dicomized(destination.add(writer.files), plan, tuple(writer.warnings))


@dataclass(frozen=True, slots=True)
class TiffOptions:
    """What `dicom2tiff` may be told."""

    plan: PlanOptions = field(default_factory=PlanOptions)
    threads: int = field(default_factory=usable_cores)


def dicom_to_tiff(slide: Slide, output: Path, options: TiffOptions, observer: Observer | None = None) -> ConversionPlan:
    """Writes `slide` as a tiled, pyramidal TIFF. `output` appears, or is replaced, only when it is complete.

    Raises CorruptInput, CodecError, StoreError.
    """
    from wsi_dicom.tiff.writer import Page, TiffWriter

    plan = make_plan(slide, options.plan, TIFF)
    logger.info("%s: %s", slide.name, plan)
    pyramid = slide.pyramid
    with (
        _staged_beside(output) as staged,
        TiffWriter(
            staged,
            largest_total=sum(largest_total(slide, level) for level in plan.levels),
            software=f"wsi-dicom {__version__}",
            acquired=slide.metadata.acquired,
        ) as writer,
    ):
        finest = plan.levels[0].output
        sinks = [
            writer.add_page(
                Page(
                    level.output,
                    level.encoding,
                    plan.pixel_format,
                    spacing=pyramid.spacing
                    and pyramid.spacing.scaled(finest.width / level.output.width, finest.height / level.output.height),
                    reduced=number > 0,
                    description=_tiff_description(slide),
                    icc_profile=slide.metadata.icc_profile,
                )
            )
            for number, level in enumerate(plan.levels)
        ]
        _write(slide, plan, sinks, options.threads, staged.parent, observer)
    return plan


def _write(
    slide: Slide,
    plan: ConversionPlan,
    sinks: Sequence[FrameSink],
    threads: int,
    scratch: Path,
    observer: Observer | None,
) -> None:
    if observer is not None:
        observer.planned(plan)
    progress = _ignore if observer is None else observer.advanced
    write_frames(slide, plan, sinks, threads=threads, scratch=scratch, progress=progress)


def _ignore(tiles: int, pixels: int) -> None:
    """The progress of a conversion that nobody watches."""


def _seed(source: Path, plan: ConversionPlan, additions: Dataset) -> str:
    """The same text for the same source, plan and attributes, and for no other."""
    try:
        with source.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CorruptInput(f"{source}: cannot be read: {error.strerror}") from error
    return "|".join((content, str(plan), f"quality {plan.quality} smooth {plan.smooth}", additions.to_json()))


@contextmanager
def _staged_beside(output: Path) -> Iterator[Path]:
    """A path in a private folder beside `output`, whose place the file there takes when the context ends well.

    Of a symbolic link it takes the target's place. Raises InvalidRequest (a folder, a device, a pipe), StoreError.
    """
    target = Path(os.path.realpath(output))  # Path.resolve raises RuntimeError in a loop of links
    if target.is_dir():
        raise InvalidRequest(f"{output}: is a folder; give the name of a file")
    if os.path.lexists(target) and not target.is_file():
        raise InvalidRequest(f"{output}: is not a regular file; give the name of one, or of none yet")
    try:
        folder = Path(tempfile.mkdtemp(prefix=".wsi-dicom-", dir=target.parent))
    except OSError as error:
        raise StoreError(f"{output}: cannot be written: {error.strerror}") from error
    staged = folder / target.name
    try:
        yield staged
        try:
            staged.replace(target)
        except OSError as error:
            raise StoreError(f"{output}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(folder)


def _tiff_description(slide: Slide) -> str:
    """What the tags of TIFF have no place for: optics, and the UIDs of the series. Nothing that names a patient."""
    metadata, spacing = slide.metadata, slide.pyramid.spacing
    entries = {
        "Manufacturer": metadata.manufacturer,
        "Model": metadata.model,
        "AppMag": f"{metadata.objective_power:g}" if metadata.objective_power else None,
        "MPP": f"{spacing.x_mm * 1000:.6g}" if spacing else None,
        **{name: value for name, value in metadata.identifiers.items() if name.endswith("UID")},
    }
    told = [f"{name} = {' '.join(value.replace('|', ' ').split())}" for name, value in entries.items() if value]
    return "|".join([f"wsi-dicom {__version__}", *told])
