"""One broken slide, read: all that can be asked of it, and what the commands that only read say of it."""

from __future__ import annotations

import json
import logging
import random
import traceback
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from tests.fuzz.trial import REFUSALS, Outcome, Verdict, judged
from wsi_dicom.geometry import Plane
from wsi_dicom.slide import Pixels, Slide
from wsi_dicom.sources import open_slide
from wsi_dicom_cli.main import main

_TILES = 40
"""Of a plane of a level: an absurd one may have millions, all absent."""
_PLANES = 8
_COMMANDS = (("info", 0), ("info --json", 0), ("validate --json", 1))
"""One of which is tried; and the largest exit code of what ends well."""


def read(slide: Path, seed: int | None, _output: Path) -> Outcome:
    """Refused where it does not open, or no tile of it decodes. Writes nothing."""
    try:
        words, worst = random.Random(seed).choice(_COMMANDS)
        _run(words.split(), slide, worst)
        with open_slide(slide) as opened:
            refusals = [_refusal(opened, *place) for place in _places(opened)]
            refusals += _refusals_of_pictures(opened)
    except REFUSALS as error:
        return judged(str(error), slide)
    except Exception:  # noqa: BLE001 # whatever else it is, it is what we are looking for
        return Outcome(Verdict.WRONG, traceback.format_exc())
    outcomes = [judged(refusal, slide) for refusal in refusals if refusal is not None]
    wrong = [outcome for outcome in outcomes if outcome.verdict is Verdict.WRONG]
    return wrong[0] if wrong else outcomes[0] if len(outcomes) == len(refusals) else Outcome(Verdict.DONE)


def _run(words: list[str], slide: Path, worst: int) -> None:
    """It prints lines that a terminal can show, JSON where asked for; or one line of what is wrong."""
    told = CliRunner().invoke(main, [*words, str(slide)], prog_name="wsi-dicom")
    logging.getLogger().handlers.clear()  # each run has its own
    if told.exc_info is not None and not issubclass(told.exc_info[0], SystemExit):
        raise RuntimeError(f"{words} ends with a traceback") from told.exception
    assert all(line.isprintable() for line in told.output.split("\n")), f"{words}: {told.output!r}"
    if told.exit_code > worst:
        assert told.exit_code == 2, f"{words}: exit code {told.exit_code}: {told.output}"
        assert told.stderr.splitlines()[-1].startswith("wsi-dicom"), f"{words}: {told.stderr}"
        assert not told.stdout, f"{words}: {told.stdout}"
    elif "--json" in words:
        json.loads(told.stdout)


def _places(slide: Slide) -> Iterator[tuple[int, int, int, Plane]]:
    """Level, column, row and plane of the first tiles of each plane, and of the last."""
    pyramid = slide.pyramid
    planes = islice(product(range(pyramid.optical_paths), range(pyramid.focal_planes)), _PLANES)
    some_planes = {*planes, (pyramid.optical_paths - 1, pyramid.focal_planes - 1)}
    for number, level in enumerate(pyramid.levels):
        for plane in sorted(some_planes):
            for column, row in sorted({*islice(level.tiles(), _TILES), (level.columns - 1, level.rows - 1)}):
                yield number, column, row, Plane(*plane)


def _refusal(slide: Slide, level: int, column: int, row: int, plane: Plane) -> str | None:
    """Why a tile cannot be read; None when it can."""
    grid = slide.pyramid.level(level)
    try:
        encoded = slide.encoded_tile(level, column, row, plane)
        assert encoded is None or (encoded.data and encoded.encoding == slide.encoding(level))
        pixels = slide.tile(level, column, row, plane)
        _check(pixels, slide, grid.tile_width, grid.tile_height)
        if slide.absent(level, column, row, plane):
            assert slide.sparse
            assert (pixels == pixels[0, 0]).all()
        if column == 0:
            assert next(iter(slide.encoded_row(level, row, plane))) == encoded
    except REFUSALS as error:
        return str(error)
    assert slide.stored_bytes(level) >= 0
    assert (slide.losses(level) == ()) is (slide.lossy_method(level) is None)
    return None


def _refusals_of_pictures(slide: Slide) -> Iterator[str | None]:
    for image in slide.associated.values():
        try:
            image.encoded()
            pixels = image.pixels()
            assert pixels.shape == (image.height, image.width, image.pixel_format.samples)
        except REFUSALS as error:
            yield str(error)


def _check(pixels: Pixels, slide: Slide, width: int, height: int) -> None:
    form = slide.pyramid.pixel_format
    assert pixels.shape == (height, width, form.samples), f"{pixels.shape} {form}"
    assert pixels.dtype == (np.uint8 if form.bits == 8 else np.uint16), pixels.dtype
