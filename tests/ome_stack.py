"""A fluorescence stack as other people's software writes it: OME-TIFF by tifffile, its document by ome-types."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tifffile
from numpy.typing import NDArray
from ome_types.model import (
    OME,
    Channel,
    Image,
    Instrument,
    InstrumentRef,
    Microscope,
    Objective,
    ObjectiveSettings,
    Pixels,
    TiffData,
)

STAINED = 'Cy5 <far & "red"> \N{GREEK SMALL LETTER ALPHA}-\N{MICRO SIGN}染色'
CHANNELS: tuple[dict[str, Any], ...] = (
    {"name": "DAPI", "color": "#0000ff", "excitation_wavelength": 358, "emission_wavelength": 461},
    {"name": STAINED, "color": "#ff7f00", "emission_wavelength": 670},
    {},
)
SCANNED = datetime(2021, 3, 4, 5, 6, 7, 250000, UTC)


def write_stack(path: Path, pixels: NDArray[Any], channels: tuple[dict[str, Any], ...]) -> Path:
    """`pixels` has the axes C, Z, Y, X; each of three levels has every other pixel of the finer one."""
    size_c, size_z, size_y, size_x = pixels.shape
    told = [{"id": f"Channel:0:{n}", "samples_per_pixel": 1, **channel} for n, channel in enumerate(channels)]
    image = Pixels(
        id="Pixels:0", dimension_order="XYZCT", type=pixels.dtype.name, tiff_data_blocks=[TiffData()],
        size_x=size_x, size_y=size_y, size_z=size_z, size_c=size_c, size_t=1,
        physical_size_x=0.325, physical_size_y=0.65, physical_size_z=1.5, channels=[Channel(**one) for one in told],
    )  # fmt: skip
    microscope = Microscope(manufacturer="Zeta", model="Axis 7", serial_number="77-12")
    document = OME(
        instruments=[
            Instrument(
                id="Instrument:0",
                microscope=microscope,
                objectives=[Objective(id="Objective:0", nominal_magnification=40)],
            )
        ],
        images=[
            Image(
                id="Image:0",
                acquisition_date=SCANNED,
                instrument_ref=InstrumentRef(id="Instrument:0"),
                objective_settings=ObjectiveSettings(id="Objective:0"),
                pixels=image,
            )
        ],
    ).to_xml()
    with tifffile.TiffWriter(path) as out:
        for number, plane in enumerate(pixels.reshape(-1, size_y, size_x)):
            same: dict[str, Any] = {"tile": (64, 64), "photometric": "minisblack", "metadata": None}
            described = {"description": document.encode()} if number == 0 else {}
            out.write(plane, subifds=2, **described, **same)
            for level in (1, 2):
                out.write(plane[:: 1 << level, :: 1 << level], subfiletype=1, **same)
    return path
