"""What `wsi-dicom info` tells people: a summary of a slide in lines of at most 80 characters."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final

from wsi_dicom.channel_names import channel_names
from wsi_dicom.errors import on_one_line

if TYPE_CHECKING:
    from wsi_dicom.metadata import LossyStep, OpticalPath
    from wsi_dicom.summary import AssociatedSummary, LevelSummary, SeriesSummary, SlideSummary
    from wsi_dicom.summary.series import Place, Specimen

_NAME, _WIDTH = 16, 80
_UNITS: Final = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_METHODS: Final = {
    "ISO_10918_1": "JPEG",
    "ISO_14495_1": "JPEG-LS",
    "ISO_15444_1": "JPEG 2000",
    "ISO_15444_15": "HTJ2K",
    "ISO_18181_1": "JPEG XL",
}
_AXES: Final[dict[tuple[float, ...], str]] = {
    (1.0, 0.0, 0.0): "+x",
    (-1.0, 0.0, 0.0): "-x",
    (0.0, 1.0, 0.0): "+y",
    (0.0, -1.0, 0.0): "-y",
}

Row = tuple[str, str]
"""A name, and what is told under it; rows with nothing to tell are left out."""


def told_in_lines(summary: SlideSummary, kind: str, warnings: Sequence[str]) -> Iterator[str]:
    """`kind` is the format's name. Nothing in the lines moves a terminal's cursor, whatever the file holds."""
    series = summary.dicom
    groups: list[Iterable[Row]] = [_source(summary, kind), _pixels(summary), _levels(summary), _scanner(summary)]
    groups += [_slide(summary), _series(series) if series else ()]
    groups.append([("warning", warning) for warning in warnings])
    between = False
    for group in groups:
        lines = [line for name, told in group for line in _lines(name, told)]
        if lines and between:
            yield ""
        yield from lines
        between = between or bool(lines)


def _lines(name: str, told: str) -> Iterator[str]:
    told = on_one_line(told).strip()
    if not told or told == "Unknown":
        return
    wrapped = textwrap.wrap(told, _WIDTH - _NAME, break_long_words=False, break_on_hyphens=False)
    for number, line in enumerate(wrapped):
        yield ("" if number else name).ljust(_NAME) + line


def _source(summary: SlideSummary, kind: str) -> Iterator[Row]:
    series = summary.dicom
    held = f"{_count(series.instances, 'instance')}, {_count(series.frames, 'frame')}, " if series else ""
    others = [_count(number, name) for name, number in series.other_objects.items()] if series else []
    yield "series" if series else "slide", summary.slide
    yield "format", kind
    yield "stored in", f"{held}{_count(summary.files, 'file')}, {_bytes(summary.bytes)}"
    yield "beside", ", ".join(others)


def _pixels(summary: SlideSummary) -> Iterator[Row]:
    base = summary.levels[0]
    size = f"{base.width} x {base.height} pixels"
    if base.um_per_pixel:
        x, y = base.um_per_pixel
        size += f", {base.width * x / 1000:.4g} x {base.height * y / 1000:.4g} mm, {_spacing(base)}"
    yield "size", size
    profile = f", ICC profile of {_bytes(summary.icc_profile_bytes)}" if summary.icc_profile_bytes else ""
    colours = "colour" if summary.samples_per_pixel == 3 else "gray"
    yield "pixels", f"{colours}, {summary.bits_per_sample} bits{profile}"
    yield from _of_levels("compression", [_compression(level) for level in summary.levels])
    yield from _of_levels("lossy", [_history(level.lossy) for level in summary.levels])
    yield "tiles", _organization(summary)
    apart = f", {summary.focal_spacing_um:g} um apart" if summary.focal_spacing_um else ""
    if summary.focal_planes > 1:
        yield "focal planes", f"{summary.focal_planes}{apart}"
    if summary.imaged_depth_um and (summary.focal_planes > 1):
        yield "depth", f"{summary.imaged_depth_um:g} um"


def _of_levels(name: str, told: Sequence[str]) -> Iterator[Row]:
    """Once when all levels are alike, else level by level."""
    runs = [(words, [number for number, _ in run]) for words, run in groupby(enumerate(told), lambda each: each[1])]
    for words, numbers in runs:
        which = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
        yield name, words if len(runs) == 1 else f"{words} (level {which})"


def _compression(level: LevelSummary) -> str:
    if level.compression is None:
        return "in a way that DICOM does not hold: its tiles are encoded again"
    return f"{level.compression}, {level.photometric}"


def _history(steps: Sequence[LossyStep]) -> str:
    words = [_METHODS.get(step.method, step.method) + (f" {step.ratio:.3g}:1" if step.ratio else "") for step in steps]
    return ", then ".join(words) or "no"


def _organization(summary: SlideSummary) -> str:
    series = summary.dicom
    told = f" ({' and '.join(kind or 'no organization told' for kind in series.organizations)})" if series else ""
    if not summary.sparse:
        return f"all there{told}"
    counts = [f"{level.frames} of {level.tiles}" for level in summary.levels if level.frames is not None]
    planes = summary.focal_planes * summary.optical_path_count
    return f"{', '.join(counts)} there{told}" if counts and planes == 1 else f"some are absent{told}"


def _levels(summary: SlideSummary) -> Iterator[Row]:
    sizes = [f"{level.width} x {level.height}" for level in summary.levels]
    spacings = [_spacing(level) for level in summary.levels]
    widths = max(map(len, sizes)) + 2, max(map(len, spacings)) + 2
    for number, level in enumerate(summary.levels):
        size, spacing = sizes[number].ljust(widths[0]), spacings[number].ljust(widths[1])
        tiles = _count(level.tiles, "tile")
        yield f"level {number}", f"{size}{spacing}{tiles} of {level.tile_width} x {level.tile_height}"
    for flavor, image in summary.associated.items():
        yield flavor, _picture(image)


def _spacing(level: LevelSummary) -> str:
    if not level.um_per_pixel:
        return ""
    x, y = level.um_per_pixel
    return f"{x:.6g} um/pixel" if x == y else f"{x:.6g} x {y:.6g} um/pixel"


def _picture(image: AssociatedSummary) -> str:
    lossy = f"lossy {_METHODS.get(image.lossy_method, image.lossy_method)}" if image.lossy_method else "lossless"
    return f"{image.width} x {image.height} pixels, {lossy}, {_bytes(image.bytes)}"


def _scanner(summary: SlideSummary) -> Iterator[Row]:
    names = [name for name in (summary.manufacturer, summary.model) if name and name != "Unknown"]
    told = (
        (_known(summary.serial_number), "serial number "),
        (_known(", ".join(summary.software_versions)), "software "),
    )
    yield "scanner", ", ".join([" ".join(names), *(words + value for value, words in told if value)]).lstrip(", ")
    aperture = summary.dicom.numerical_aperture if summary.dicom else None
    power = f"{summary.objective_power:g}x" if summary.objective_power else ""
    yield "objective", ", ".join(filter(None, (power, f"NA {aperture:g}" if aperture else "")))
    paths = summary.optical_paths
    names = channel_names(paths, len(paths)) if len(paths) > 1 else [path.description or "" for path in paths]
    for name, path in zip(names, paths, strict=True):
        yield "optical path", _light(name, path)
    if not summary.optical_paths and summary.optical_path_count > 1:
        yield "optical paths", str(summary.optical_path_count)
    yield "scanned", summary.acquired.isoformat(" ", "seconds") if summary.acquired else ""


def _known(told: str | None) -> str:
    return "" if told is None or told == "Unknown" else told


def _light(name: str, path: OpticalPath) -> str:
    named = [path.identifier] if name == path.identifier else [path.identifier, name]
    words = [*named, "fluorescence" if path.fluorescence else "brightfield"]
    words += [f"excitation {path.excitation_nm:g} nm"] if path.excitation_nm else []
    words += [f"emission {path.emission_nm:g} nm"] if path.emission_nm else []
    return ", ".join(filter(None, words))


def _slide(summary: SlideSummary) -> Iterator[Row]:
    """The glass, and what lies on it."""
    container = summary.dicom.container if summary.dicom else None
    if identifier := _known(summary.slide_identifier):
        more = (container.type, container.description) if container else ()
        yield "slide id", ", ".join(filter(None, (identifier, *more)))
    yield "barcode", summary.barcode or ""
    for specimen in summary.dicom.specimens if summary.dicom else ():
        yield from _specimen(specimen)


def _series(series: SeriesSummary) -> Iterator[Row]:
    yield from _place(series.place)
    yield "label burned in", "yes: pixels may name the patient" if series.burned_in_annotation == "YES" else ""
    yield "study", series.study_uid
    yield "study date", _date(series.study_date)
    yield "study id", series.study_id
    yield "accession", series.accession_number
    yield "described as", series.description
    yield "pyramid", series.pyramid_uid
    yield "frame of ref.", series.frame_of_reference_uid
    yield "orthanc", series.orthanc_id
    if patient := series.patient:
        yield "patient", patient.name
        yield "patient id", patient.identifier
        yield "born", _date(patient.birth_date)
        yield "sex", patient.sex
        yield "label text", patient.label_text


def _specimen(specimen: Specimen) -> Iterator[Row]:
    where = f"of {', '.join(specimen.anatomic_structures)}" if specimen.anatomic_structures else ""
    what = " ".join(filter(None, (specimen.type, where)))
    yield "specimen", ", ".join(filter(None, (_known(specimen.identifier), what, specimen.description)))
    for step in specimen.preparation:
        details = ", ".join(dict.fromkeys(step.details))
        yield "prepared by", ": ".join(filter(None, (step.processing, details)))


def _place(place: Place) -> Iterator[Row]:
    named = zip("xyz", place.origin_mm, strict=False)
    yield "origin", ", ".join(f"{axis} {value:g} mm" for axis, value in named)
    if place.orientation:
        along, down = place.orientation[:3], place.orientation[3:]
        yield "orientation", f"right is {_direction(along)}, down is {_direction(down)} on the slide"


def _direction(cosines: Sequence[float]) -> str:
    return _AXES.get(tuple(round(value, 6) + 0.0 for value in cosines)) or "({:.4g}, {:.4g}, {:.4g})".format(*cosines)


def _date(stored: str) -> str:
    """YYYYMMDD as people read it."""
    return f"{stored[:4]}-{stored[4:6]}-{stored[6:]}" if len(stored) == 8 and stored.isdigit() else stored


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _bytes(size: int) -> str:
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"
