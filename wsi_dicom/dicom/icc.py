"""ICC profiles of the kind DICOM asks for: those of an input device (PS3.3 C.11.15.1.1)."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Final

from wsi_dicom.errors import InvalidRequest
from wsi_dicom.given_file import read_given_file

LARGEST_PROFILE: Final = 64 << 20
_HEADER_SIZE: Final = 128
_KNOWS_DEVICE_TO_PCS: Final = (b"scnr", b"mntr", b"spac", b"prtr")
_BUILT_ON: Final = bytes.fromhex("07e8000100010000 00000000")  # 2024-01-01: lcms would write the present time

log = logging.getLogger(__name__)


def input_device_profile(profile: bytes | None) -> tuple[bytes, str | None]:
    """A profile of class 'scnr' for red, green, blue pixels, and the Color Space term it stands for.

    Scanners and libraries store display profiles, which hold the same tables; their class is rewritten and the
    checksum, no longer true, is zeroed. Without a usable profile the answer is a built-in sRGB, and 'SRGB'.
    """
    if profile is not None and _usable(profile):
        return _as_input_device(profile), None
    if profile is not None:
        log.warning("the ICC profile of the slide is not one for RGB input and is replaced by sRGB")
    return _srgb(), "SRGB"


def read_profile(path: Path) -> bytes:
    """A profile that the user gives. Raises NotFound, InvalidRequest."""
    profile = read_given_file(path, LARGEST_PROFILE)
    check_profile(profile, str(path))
    return profile


def check_profile(profile: bytes, name: str) -> None:
    """Raises InvalidRequest when a profile that the user gives is none for RGB pixels; `name` is what to call it."""
    if not _usable(profile):
        raise InvalidRequest(f"{name} is not an ICC profile of an RGB scanner, display or colour space")


def _usable(profile: bytes) -> bool:
    return (
        len(profile) > _HEADER_SIZE
        and int.from_bytes(profile[:4], "big") <= len(profile)
        and profile[12:16] in _KNOWS_DEVICE_TO_PCS
        and profile[16:20] == b"RGB "
        and profile[20:24] in (b"XYZ ", b"Lab ")
        and profile[36:40] == b"acsp"
    )


def _as_input_device(profile: bytes) -> bytes:
    if profile[12:16] == b"scnr":
        return profile
    return profile[:12] + b"scnr" + profile[16:84] + bytes(16) + profile[100:]


@cache
def _srgb() -> bytes:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return _as_input_device(profile[:24] + _BUILT_ON + profile[36:])
