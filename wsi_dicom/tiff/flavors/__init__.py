"""The kinds of TIFF that are written: what each can hold, and how it arranges and describes its pages.

To add one: write `flavors/x.py` with a TiffFlavor called FLAVOR, and name it in `flavor_of`.
"""

from __future__ import annotations

from enum import StrEnum

from wsi_dicom.tiff.flavors.pages import TiffFlavor


class Flavor(StrEnum):
    """The kinds of TIFF, by the names that users type."""

    TIFF = "tiff"
    OME = "ome"
    SVS = "svs"


def flavor_of(flavor: Flavor) -> TiffFlavor:
    """How a kind of TIFF is written."""
    if flavor is Flavor.OME:
        from wsi_dicom.tiff.flavors.ome import FLAVOR
    elif flavor is Flavor.SVS:
        from wsi_dicom.tiff.flavors.svs import FLAVOR
    else:
        from wsi_dicom.tiff.flavors.generic import FLAVOR
    return FLAVOR
