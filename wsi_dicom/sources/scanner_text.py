"""Values as scanners write them into descriptions: magnifications, `key = value` pairs, Base64, colours."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Sequence
from xml.etree.ElementTree import Element

from wsi_dicom.errors import CorruptInput


def number(text: str | None) -> float | None:
    """A number that is written in a description; None when it is absent, or none. Some locales have a decimal comma."""
    try:
        value = float(text.replace(",", ".")) if text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def magnification(text: str | None) -> float | None:
    """Nominal, from "20", "20x" or "20X [Plan Apo]"; None outside 0 to 200."""
    found = re.match(r"\s*([\d.]+)", text or "")
    power = number(found[1]) if found else None
    return power if power and 0 < power <= 200 else None


def key_values(text: str, separator: str) -> dict[str, str]:
    """The `key = value` pairs between separators; what has no equals sign is left out."""
    pairs = (part.partition("=") for part in text.split(separator))
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def base64_bytes(text: str) -> bytes | None:
    """None for what is not Base64, white space aside."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):  # ValueError: letters outside ASCII
        return None


def base64_text(text: str | None) -> str | None:
    """Text that, by its vendor's schema, is in Base64; what is none is left as it is. None when it is empty.

    Not for text that may be plain: every tenth number of four digits is Base64 of some other text.
    """
    text = (text or "").strip()
    try:
        plain = (base64_bytes(text) or b"").decode().strip("\0\r\n ")
    except UnicodeDecodeError:
        return text
    return (plain if plain.isprintable() else text) or text or None


def colour(parts: Sequence[str], base: int = 10) -> tuple[int, int, int] | None:
    """Red, green and blue of 0 to 255, written in a number system; None for what is none."""
    try:
        red, green, blue = (int(part, base) for part in parts)
    except ValueError:
        return None
    return (red, green, blue) if all(0 <= value <= 255 for value in (red, green, blue)) else None


def whole(element: Element, name: str, where: str, default: int | None = None) -> int:
    """An attribute of XML as a whole number, of either sign. Raises CorruptInput."""
    text = element.get(name)
    if text is None and default is not None:
        return default
    if text is None or not re.fullmatch(r"-?[0-9]{1,15}", text):
        raise CorruptInput(f"{where}: {name} of {element.tag} is {text!r}, not a whole number")
    return int(text)
