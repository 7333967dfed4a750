"""The few fields of Exif (CIPA DC-008) that say how a flat picture is held and how large its pixels are."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from wsi_dicom.geometry import Spacing
from wsi_dicom.tiff.layout import printed_spacing

_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 274, 282, 283, 296
_SHORT, _RATIONAL = 3, 5
_MICROMETRES: Final = {2: 25400.0, 3: 10000.0}
"""Of one resolution unit: inch, centimetre."""


class Exif(NamedTuple):
    """`orientation` 1 to 8 as in TIFF. `spacing` is None when it is not told, or cannot be that of a slide."""

    orientation: int = 1
    spacing: Spacing | None = None


def read_exif(data: bytes) -> Exif:
    """Reads the TIFF structure that Exif consists of, from its byte order on; what is broken counts for not told."""
    try:
        fields = _fields(data)
    except struct.error:
        return Exif()
    orientation = int(fields.get(_ORIENTATION, 1))
    x, y = fields.get(_X_RESOLUTION, 0.0), fields.get(_Y_RESOLUTION, 0.0)
    micrometres = _MICROMETRES.get(int(fields.get(_RESOLUTION_UNIT, 2)))
    spacing = printed_spacing(micrometres / x, micrometres / y) if micrometres and x and y else None
    return Exif(orientation if 1 <= orientation <= 8 else 1, spacing)


def _fields(data: bytes) -> dict[int, float]:
    """The first SHORT, or RATIONAL, of each field of the first directory. Raises struct.error."""
    order = "<" if data.startswith(b"II") else ">"
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    fields: dict[int, float] = {}
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(f"{order}HH", data, entry)
        if kind == _SHORT:
            (fields[tag],) = struct.unpack_from(f"{order}H", data, entry + 8)
        elif kind == _RATIONAL:
            (offset,) = struct.unpack_from(f"{order}I", data, entry + 8)
            numerator, denominator = struct.unpack_from(f"{order}II", data, offset)
            fields[tag] = numerator / denominator if denominator else 0.0
    return fields
