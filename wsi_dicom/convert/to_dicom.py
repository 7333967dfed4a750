"""From a slide to a DICOM series."""

from __future__ import annotations

import hashlib
import logging
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from wsi_dicom import __version__
from wsi_dicom.checked import BadTile, CheckedSlide
from wsi_dicom.convert.observer import Observer, carry_out, usable_cores
from wsi_dicom.dicom.scale import ScaleOptions
from wsi_dicom.dicom.settings import DEFAULT_SETTINGS, SeriesSettings
from wsi_dicom.errors import CorruptInput, StoreError
from wsi_dicom.plan import DICOM, Action, ConversionPlan, PlanOptions, expected_bytes, make_plan
from wsi_dicom.slide import AS_FOUND, LABEL_IMAGES, Slide, SourceOptions
from wsi_dicom.sources import open_slide
from wsi_dicom.stores import SeriesDestination, SeriesRecord

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from wsi_dicom.dicom.deidentify import DeidentifyOptions

logger = logging.getLogger(__name__)


class UidChoice(StrEnum):
    """Where the UIDs of a new series come from. Deterministic: from the source's bytes and the options."""

    RANDOM = "random"
    DETERMINISTIC = "deterministic"


@dataclass(frozen=True, slots=True)
class DicomizeOptions:
    """What `dicomize` may be told. `additions` are attributes of the user's own (see dicom.json_model).

    `source` is the key of the format to read a file as; None: whatever it looks like. `skip_existing`: where the
    destination has the series already, leave it at that; needs deterministic UIDs. `blank_bad_tiles`: a tile that
    cannot be read becomes background, and is told in the result; else it ends the conversion. `largest_instance` is in
    bytes, 0 for no limit: larger levels are split. With a `pseudonym_key` the patient is called by a pseudonym of
    the name that the attributes, else the slide, give.
    """

    plan: PlanOptions = field(default_factory=PlanOptions)
    source: str | None = None
    reading: SourceOptions = AS_FOUND
    scale: ScaleOptions = field(default_factory=ScaleOptions)
    settings: SeriesSettings = DEFAULT_SETTINGS
    uids: UidChoice = UidChoice.RANDOM
    skip_existing: bool = False
    additions: Dataset | None = None
    deidentify: DeidentifyOptions | None = None
    pseudonym_key: bytes | None = field(default=None, repr=False)
    blank_bad_tiles: bool = False
    largest_instance: int = 0
    threads: int = field(default_factory=usable_cores)


@dataclass(frozen=True, slots=True)
class Dicomized:
    """What came of `dicomize`: files made from files. `plan` is None when the destination had the series already."""

    series: SeriesRecord
    plan: ConversionPlan | None = None
    inputs: tuple[Path, ...] = ()
    outputs: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
    bad_tiles: tuple[BadTile, ...] = ()


def dicomize(
    source: Path | Slide, destination: SeriesDestination, options: DicomizeOptions, observer: Observer | None = None
) -> Dicomized:
    """Converts a slide, a file's or one that is open, and adds it to `destination`, whole or not at all.

    Raises NotFound, UnsupportedFormat, CorruptInput, CodecError, StoreError, InvalidRequest.
    """
    from wsi_dicom.dicom.scale import choose_scale
    from wsi_dicom.dicom.series_writer import SeriesWriter, choose_identity

    with ExitStack() as stack:
        slide = stack.enter_context(_opened(source, options))
        plan = make_plan(slide, _plan_options(options), DICOM)
        scale = choose_scale(slide, options.scale)
        additions = _attributes(slide, options)
        seed = _seed(slide, plan, options, additions) if options.uids is UidChoice.DETERMINISTIC else None
        identity = choose_identity(seed, additions)
        additions, deidentify = _pseudonymous(slide, options, additions, identity.created)
        series_uid = identity.series_uid if deidentify is None else deidentify.uid(identity.series_uid)
        existing = destination.find(series_uid)
        if existing is not None:
            if options.skip_existing:
                return Dicomized(existing)
            raise StoreError(f"series {existing.series_uid} is already stored in {existing.folder}")
        folder = stack.enter_context(destination.staging())
        logger.info("%s: %s", slide.name, plan)
        # libjxl takes no broken stream: whether it is broken must be known before
        verify = plan.verify or any(level.action is Action.RECOMPRESS for level in plan.levels)
        checked = CheckedSlide(slide, verify=verify, blank=options.blank_bad_tiles, anonymous=plan.anonymous)
        writer = SeriesWriter(
            folder,
            checked,
            plan,
            identity,
            additions,
            scale,
            options.settings,
            deidentify,
            largest_part=options.largest_instance,
        )
        with writer.level_sinks() as sinks:
            carry_out(checked, plan, sinks, options.threads, folder, observer)
        writer.write_associated()
        warnings = (*((scale.warning,) if scale.warning else ()), *writer.warnings)
        try:
            series = destination.add(writer.files)
        except StoreError:
            stored_meanwhile = destination.find(series_uid)
            if options.skip_existing and stored_meanwhile is not None:
                return Dicomized(stored_meanwhile)
            raise
        outputs = tuple(destination.files(series))
        return Dicomized(series, plan, slide.files, outputs, warnings, checked.bad_tiles)


@dataclass(frozen=True, slots=True)
class DryRun:
    """What `dicomize` would do: the plan, and how many bytes each level is expected to have."""

    plan: ConversionPlan
    expected_bytes: tuple[int, ...]
    warnings: tuple[str, ...]


def plan_dicomize(source: Path | Slide, options: DicomizeOptions) -> DryRun:
    """Plans a conversion without writing anything. Raises as `dicomize`."""
    from wsi_dicom.dicom.scale import choose_scale
    from wsi_dicom.dicom.series_writer import choose_identity

    with _opened(source, options) as slide:
        plan = make_plan(slide, _plan_options(options), DICOM)
        scale = choose_scale(slide, options.scale)
        choose_identity(None, _attributes(slide, options))
        return DryRun(
            plan,
            tuple(expected_bytes(slide, level) for level in plan.levels),
            (scale.warning,) if scale.warning else (),
        )


def _pseudonymous(
    slide: Slide, options: DicomizeOptions, additions: Dataset, moment: datetime
) -> tuple[Dataset, DeidentifyOptions | None]:
    """Attributes and de-identification with the patient's pseudonym in them, when one is wanted."""
    if options.pseudonym_key is None:
        return additions, options.deidentify
    from pydicom.dataset import Dataset

    from wsi_dicom.dicom.deidentify import pseudonymous

    told = slide.metadata.identifiers
    name = str(additions.get("PatientName") or told.get("PatientName") or slide.name)
    patient = str(additions.get("PatientID") or told.get("PatientID") or "")
    public, identifier = pseudonymous(name, patient, moment, options.pseudonym_key)
    if options.deidentify is not None:
        return additions, replace(options.deidentify, pseudonym=public)
    renamed = Dataset()
    renamed.update(additions)
    renamed.add_new("PatientName", "PN", public)  # not by attribute: that would change the elements of `additions`
    renamed.add_new("PatientID", "LO", identifier)
    return renamed, None


def _opened(source: Path | Slide, options: DicomizeOptions) -> Slide:
    if not isinstance(source, Path):
        return source
    return open_slide(source, options.source, replace(options.reading, tolerant=options.blank_bad_tiles))


def _plan_options(options: DicomizeOptions) -> PlanOptions:
    """A label or overview shows what is written on the glass: de-identified series go without."""
    if options.deidentify is None:
        return options.plan
    left_out = options.plan.left_out | LABEL_IMAGES
    return replace(options.plan, left_out=left_out, anonymous=True)


def _attributes(slide: Slide, options: DicomizeOptions) -> Dataset:
    """The user's attributes over those that a DICOM source has."""
    from pydicom.dataset import Dataset

    from wsi_dicom.dicom.additions import merged
    from wsi_dicom.dicom.slide import DicomSlide

    carried = slide.carried_attributes() if isinstance(slide, DicomSlide) else Dataset()
    if options.settings.moves_origin and "TotalPixelMatrixOriginSequence" in carried:
        del carried.TotalPixelMatrixOriginSequence
    return merged(carried, options.additions or Dataset())


def _seed(slide: Slide, plan: ConversionPlan, options: DicomizeOptions, additions: Dataset) -> str:
    """The same text for the same source, plan, options and attributes, and for no other."""
    told = (
        __version__,
        options.source,
        options.reading,
        options.scale,
        options.settings,
        options.blank_bad_tiles,
        options.largest_instance,
        options.deidentify and options.deidentify.dates,
        options.pseudonym_key is not None,
    )
    return "|".join(
        (
            _fingerprint(slide),
            str(plan),
            f"quality {plan.quality} smooth {plan.smooth} {options.plan.sampling}",
            repr(told),
            additions.to_json(),
        )
    )


def _fingerprint(slide: Slide) -> str:
    """Tells the content of a source from any other: the SHA-256 of its files, else the name of what lies elsewhere."""
    if not slide.files:
        return slide.name
    digest = hashlib.sha256()
    for path in slide.files:
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise CorruptInput(f"{path}: cannot be read: {error.strerror}") from error
    return digest.hexdigest()
