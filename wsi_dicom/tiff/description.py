"""Descriptions of the form `a line of text|key = value|key = value`: Aperio's, and those that `dicom2tiff` writes."""

from __future__ import annotations

from collections.abc import Mapping

from wsi_dicom.sources.scanner_text import key_values, magnification


def parse_description(description: str) -> tuple[str, dict[str, str]]:
    """The text before the first `|`, and the `key = value` pairs after it, of which the last of a name counts."""
    header, _, pairs = description.partition("|")
    return header.strip(), key_values(pairs, "|")


def objective_power(properties: Mapping[str, str]) -> float | None:
    """AppMag, None when it is absent or absurd."""
    return magnification(properties.get("AppMag"))
