"""One broken slide, made into a TIFF: another reader reads what comes of it."""

from __future__ import annotations

import random
import traceback
from collections.abc import Iterator
from pathlib import Path

import tifffile

from tests.fuzz.trial import REFUSALS, Outcome, Verdict, judged
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.convert import TiffOptions, dicom_to_tiff
from wsi_dicom.errors import InvalidRequest, NotFound, OutOfBounds
from wsi_dicom.geometry import Region
from wsi_dicom.part import PartOptions
from wsi_dicom.plan import PlanOptions
from wsi_dicom.sources import open_slide
from wsi_dicom.tiff.flavors import Flavor
from wsi_dicom_cli.commands.dicom2tiff_options import COMPRESSIONS

_UNFIT = (InvalidRequest, NotFound, OutOfBounds)
"""What may be said of options that ask for what the slide, or the kind of TIFF, has not."""


def write_tiff(slide: Path, seed: int | None, output: Path) -> Outcome:
    """`seed` is that of the options; None for those that any slide can be written with."""
    written, options = output / "slide.tif", _options(seed)
    try:
        with open_slide(slide) as opened:
            output.mkdir()
            try:
                dicom_to_tiff(opened, written, options)
            except (*REFUSALS, *_UNFIT) as error:
                output.rmdir()  # which raises when there is anything
                return Outcome(Verdict.REFUSED) if isinstance(error, _UNFIT) else judged(str(error), slide)
            assert list(output.iterdir()) == [written]
            for page in _pages(written):
                if options.plan.verify:  # else what is copied may be as broken as before
                    page.asarray()
    except REFUSALS as error:
        return judged(str(error), slide)
    except Exception:  # noqa: BLE001 # whatever else it is, it is what we are looking for
        return Outcome(Verdict.WRONG, traceback.format_exc())
    return Outcome(Verdict.DONE)


def _pages(path: Path) -> Iterator[tifffile.TiffPage | tifffile.TiffFrame]:
    with tifffile.TiffFile(path) as file:
        for page in file.pages:
            yield page
            yield from page.pages or ()


def _options(seed: int | None) -> TiffOptions:
    if seed is None:
        return TiffOptions(PlanOptions(verify=True), Flavor.OME, threads=2)
    dice = random.Random(seed)
    region = Region(dice.randrange(20), dice.randrange(20), dice.randint(1, 40), dice.randint(1, 40))
    some, every = (None, None, None), [Compression(name) for name in COMPRESSIONS]
    plan = PlanOptions(
        pyramid=dice.random() < 0.3,
        compression=dice.choice((*some, *every)),
        reencode=dice.random() < 0.2,
        verify=dice.random() < 0.5,
    )
    part = PartOptions(
        level=dice.choice((0, 0, 1)),
        region=dice.choice((*some, region)),
        optical_path=dice.choice((None, "1", "A")),
        focal_plane=dice.choice((None, 1)),
    )
    return TiffOptions(
        plan=plan,
        flavor=dice.choice(tuple(Flavor)),
        part=dice.choice((PartOptions(), part)),
        deidentify=dice.random() < 0.3,
        blank_bad_tiles=dice.random() < 0.4,
        threads=2,
    )
