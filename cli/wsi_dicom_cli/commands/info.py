"""`wsi-dicom info`: what is known about a slide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsi_dicom_cli.command import Command
from wsi_dicom_cli.options import json_option, open_store, store_option

if TYPE_CHECKING:
    from wsi_dicom.metadata import OpticalPath
    from wsi_dicom.slide import Slide


@click.command(cls=Command)
@click.argument("slide", metavar="SERIES|FILE")
@store_option
@json_option
def info(slide: str, store: Path | None, as_json: bool) -> None:
    """Show levels, tiles, spacing, optics and pictures of a series of the store, or of a slide file."""
    with _opened(slide, store) as opened:
        told = _told(opened)
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    for name, value in told.items():
        if isinstance(value, list):
            for number, line in enumerate(value):
                click.echo(f"{name.rstrip('s')} {number}".ljust(24) + _in_words(line))
        elif isinstance(value, dict):
            for key, entry in value.items():
                click.echo(key.ljust(24) + _in_words(entry))
        elif value is not None:
            click.echo(name.replace("_", " ").ljust(24) + str(value))


def _opened(slide: str, store: Path | None) -> Slide:
    """A file when there is one of that name, else a series of the store."""
    path = Path(slide)
    if path.exists():
        from wsi_dicom.sources import open_slide

        return open_slide(path)
    return open_store(store).open(slide)


def _told(slide: Slide) -> dict[str, Any]:
    from wsi_dicom.codecs.transfer_syntaxes import transfer_syntax_name

    pyramid, metadata = slide.pyramid, slide.metadata

    def compression(number: int) -> str:
        encoding = slide.encoding(number)
        if encoding is None:
            return "not storable in DICOM as it is"
        return f"{transfer_syntax_name(encoding.transfer_syntax)}, {encoding.photometric}"

    levels = []
    for number, level in enumerate(pyramid.levels):
        spacing = pyramid.level_spacing(number)
        levels.append(
            {
                "width": level.width,
                "height": level.height,
                "tile_width": level.tile_width,
                "tile_height": level.tile_height,
                "tiles": level.tile_count,
                "downsample": round(pyramid.downsample(number), 4),
                "um_per_pixel": None if spacing is None else [round(side * 1000, 6) for side in spacing],
                "compression": compression(number),
            }
        )
    return {
        "slide": slide.name,
        "bits_per_sample": pyramid.pixel_format.bits,
        "samples_per_pixel": pyramid.pixel_format.samples,
        "objective_power": metadata.objective_power,
        "manufacturer": metadata.manufacturer,
        "model": metadata.model,
        "serial_number": metadata.serial_number,
        "acquired": metadata.acquired.isoformat() if metadata.acquired else None,
        "slide_identifier": metadata.slide_identifier,
        "barcode": metadata.barcode,
        "icc_profile_bytes": len(metadata.icc_profile) if metadata.icc_profile else None,
        "levels": levels,
        "focal_planes": pyramid.focal_planes,
        "focal_spacing_um": pyramid.focal_spacing_um,
        "optical_paths": [_light(path) for path in metadata.optical_paths] or pyramid.optical_paths,
        "associated": {
            flavor.lower(): {"width": image.width, "height": image.height} for flavor, image in slide.associated.items()
        },
        "identifiers": dict(metadata.identifiers),
    }


def _light(path: OpticalPath) -> dict[str, Any]:
    return {
        "identifier": path.identifier,
        "description": path.description,
        "fluorescence": path.fluorescence,
        "excitation_nm": path.excitation_nm,
        "emission_nm": path.emission_nm,
        "color": path.color,
    }


def _in_words(entry: object) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    if "identifier" in entry:
        waves = [f"{kind} {entry[f'{kind}_nm']:g} nm" for kind in ("excitation", "emission") if entry[f"{kind}_nm"]]
        kind = "fluorescence" if entry["fluorescence"] else "brightfield"
        return ", ".join([entry["identifier"], *([entry["description"]] if entry["description"] else []), kind, *waves])
    words = f"{entry['width']} x {entry['height']}"
    if "tiles" in entry:
        words += f", {entry['tiles']} tiles of {entry['tile_width']} x {entry['tile_height']}, {entry['compression']}"
        if entry["um_per_pixel"]:
            x, y = entry["um_per_pixel"]
            words += f", {x:g} um/pixel" if x == y else f", {x:g} x {y:g} um/pixel"
    return words
