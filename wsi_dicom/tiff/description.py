"""Descriptions of the form `a line of text|key = value|key = value`: Aperio's, and those that `dicom2tiff` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wsi_dicom.slide import ImageFlavor
from wsi_dicom.sources.scanner_text import key_values, magnification

IMAGE: Final = "Image"
"""The key that tells, in the files that we write, what a page shows that is no level: label, macro or thumbnail."""

_PICTURES: Final = {
    ImageFlavor.LABEL: "label",
    ImageFlavor.OVERVIEW: "macro",
    ImageFlavor.THUMBNAIL: "thumbnail",
}


def picture_name(flavor: ImageFlavor) -> str:
    """What an associated image is called in files: macro is what most scanners call an overview."""
    return _PICTURES[flavor]


def picture_flavor(name: str) -> ImageFlavor | None:
    """The associated image of that name."""
    return next((flavor for flavor, known in _PICTURES.items() if known == name), None)


def described(header: str, properties: Mapping[str, str]) -> str:
    """A description. What would break its form becomes a space."""
    pairs = [f"{name} = {' '.join(value.replace('|', ' ').split())}" for name, value in properties.items()]
    return "|".join([header, *pairs])


def parse_description(description: str) -> tuple[str, dict[str, str]]:
    """The text before the first `|`, and the `key = value` pairs after it, of which the last of a name counts."""
    header, _, pairs = description.partition("|")
    return header.strip(), key_values(pairs, "|")


def objective_power(properties: Mapping[str, str]) -> float | None:
    """AppMag, None when it is absent or absurd."""
    return magnification(properties.get("AppMag"))
