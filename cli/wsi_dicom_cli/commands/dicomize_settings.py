"""What the options of `dicomize` say, as the library takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsi_dicom_cli.commands.dicomize_options import SAMPLINGS, Given

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from wsi_dicom.convert import DicomizeOptions
    from wsi_dicom.dicom.character_sets import CharacterSet
    from wsi_dicom.dicom.deidentify import DeidentifyOptions
    from wsi_dicom.dicom.metadata_csv import MetadataTable
    from wsi_dicom.dicom.scale import ScaleOptions
    from wsi_dicom.dicom.settings import SeriesSettings
    from wsi_dicom.plan import PlanOptions
    from wsi_dicom.slide import SourceOptions


def source_key(given: Given) -> str | None:
    """The kind of input that the user insists on."""
    if given["force_openslide"]:
        if given["source"] not in (None, "openslide"):
            raise click.UsageError("--force-openslide and --source contradict each other")
        return "openslide"
    source: str | None = given["source"]
    return source


def reading(given: Given) -> SourceOptions:
    from wsi_dicom.slide import SourceOptions

    return SourceOptions(color=given["color"], padding=given["padding"])


def plan(given: Given) -> PlanOptions:
    """Raises InvalidRequest, click.UsageError."""
    from wsi_dicom.codecs.compression import Compression
    from wsi_dicom.plan import PlanOptions
    from wsi_dicom.slide import ImageFlavor

    if given["smooth"] and not given["pyramid"]:
        raise click.UsageError("--smooth is for the levels of --pyramid; give both")
    left_out = {flavor for flavor in ImageFlavor if flavor.lower() in given and not given[flavor.lower()]}
    return PlanOptions(
        pyramid=given["pyramid"],
        smooth=given["smooth"],
        compression=None if given["compression"] is None else Compression(given["compression"]),
        quality=given["quality"],
        sampling=None if given["subsampling"] is None else SAMPLINGS[given["subsampling"]],
        reencode=given["reencode"],
        tile_width=given["tile_width"],
        tile_height=given["tile_height"],
        levels=given["levels"],
        repaint=given["repaint"] or given["color"] is not None,
        verify=given["safety"],
        left_out=frozenset(left_out),
    )


def scale(given: Given) -> ScaleOptions:
    """Raises InvalidRequest."""
    from wsi_dicom.dicom.scale import ScaleOptions
    from wsi_dicom.geometry import Spacing

    return ScaleOptions(
        spacing=None if given["spacing"] is None else Spacing(*given["spacing"]),
        imaged_width_mm=given["imaged_width"],
        imaged_height_mm=given["imaged_height"],
        required=given["require_spacing"],
    )


def settings(given: Given) -> SeriesSettings:
    """Raises InvalidRequest, NotFound."""
    from wsi_dicom.dicom.icc import read_profile
    from wsi_dicom.dicom.settings import OpticalPathChoice, SeriesSettings

    return SeriesSettings(
        offset_x_mm=given["offset_x"],
        offset_y_mm=given["offset_y"],
        imaged_depth_mm=given["imaged_depth"],
        objective_power=given["objective_power"],
        optical_path=OpticalPathChoice(given["optical_path"]),
        icc_profile=None if given["icc_profile"] is None else read_profile(given["icc_profile"]),
        character_set=_character_set(given["encoding"]),
    )


def _character_set(name: str) -> CharacterSet:
    from wsi_dicom.dicom.character_sets import CharacterSet

    try:
        return CharacterSet(name)
    except ValueError:
        known = ", ".join(CharacterSet)
        raise click.BadParameter(f"{name!r} is none of {known}", param_hint="--encoding") from None


def conversion(given: Given, *, slides: int) -> DicomizeOptions:
    """Everything but the attributes that a table gives to single slides. Raises InvalidRequest, click.UsageError.

    Several slides are converted side by side, and share the threads.
    """
    from wsi_dicom import convert

    if given["skip_existing"] and (given["uids"] != "deterministic" or given["folder"] is not None):
        raise click.UsageError("--skip-existing needs --uids deterministic and a store")
    secret = given["key"] is not None or given["key_file"] is not None
    if given["skip_existing"] and given["deidentify"] and not secret:
        raise click.UsageError("--skip-existing with --deidentify takes a --key: without one no two runs are alike")
    key, additions = _key(given), _additions(given)
    threads = given["threads"] or convert.usable_cores()
    if given["skip_existing"] and additions.get("SeriesInstanceUID"):
        raise click.UsageError("--skip-existing cannot tell slides apart whose SeriesInstanceUID is given")
    return convert.DicomizeOptions(
        plan=plan(given),
        source=source_key(given),
        reading=reading(given),
        scale=scale(given),
        settings=settings(given),
        uids=convert.UidChoice(given["uids"]),
        skip_existing=given["skip_existing"],
        additions=additions,
        deidentify=_deidentification(given, key),
        pseudonym_key=key if given["pseudonym"] else None,
        blank_bad_tiles=given["on_bad_tile"] == "blank",
        largest_instance=given["max_size"] * 1_000_000,
        threads=max(1, threads // min(threads, slides)),
    )


def _additions(given: Given) -> Dataset:
    """What --dataset says, and the UIDs that have options of their own."""
    from pydicom.dataset import Dataset

    from wsi_dicom.dicom.json_model import dataset_of, read_dataset

    additions = Dataset() if given["dataset"] is None else read_dataset(given["dataset"])
    uids = {"StudyInstanceUID": given["study_uid"], "SeriesInstanceUID": given["series_uid"]}
    additions.update(dataset_of({keyword: uid for keyword, uid in uids.items() if uid is not None}, "command line"))
    return additions


def metadata_table(given: Given) -> MetadataTable | None:
    """What --metadata-csv says of each slide. Raises InvalidRequest, NotFound."""
    if given["metadata_csv"] is None:
        return None
    from wsi_dicom.dicom.metadata_csv import read_metadata_csv

    return read_metadata_csv(given["metadata_csv"])


def with_rows(options: DicomizeOptions, table: MetadataTable | None, slides: Sequence[Path]) -> list[DicomizeOptions]:
    """The options of each slide: what the table says of it goes over what is said of all. Raises InvalidRequest."""
    if table is None:
        return [options] * len(slides)
    from pydicom.dataset import Dataset

    from wsi_dicom.dicom.additions import merged

    common = options.additions or Dataset()
    return [replace(options, additions=merged(common, row)) for row in table.of_slides(slides)]


def _deidentification(given: Given, key: bytes) -> DeidentifyOptions | None:
    from wsi_dicom.dicom.deidentify import DatePolicy, DeidentifyOptions

    return DeidentifyOptions(key, DatePolicy(given["dates"])) if given["deidentify"] else None


def _key(given: Given) -> bytes:
    """Raises InvalidRequest, NotFound."""
    from wsi_dicom.dicom.deidentify import random_key, read_key, secret_key

    if given["key_file"] is not None:
        return read_key(given["key_file"])
    return random_key() if given["key"] is None else secret_key(given["key"])
