"""Attributes that a user writes as JSON: by keyword, or in the DICOM JSON Model (PS3.18 Annex F).

By keyword: `{"PatientID": "7", "0010,0010": "Doe^Jane", "SpecimenDescriptionSequence": [{"SpecimenIdentifier": "A"}]}`.
Comments, `//` and `/* */`, are allowed in both.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NoReturn

from pydicom import config
from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_dict, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement, empty_value_for_VR
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import DA, DT, STANDARD_VR, TM

from wsi_dicom.dicom.additions import FIRST_DATA_GROUP, check_additions
from wsi_dicom.dicom.specimen_shorthand import without_shorthand
from wsi_dicom.errors import InvalidRequest
from wsi_dicom.given_file import read_given_text

LARGEST_FILE: Final = 16 << 20
DEEPEST_NESTING: Final = 16

_COMMENT_OR_STRING: Final = re.compile(r'"(?:\\.|[^"\\])*(?:"|\Z)|//[^\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL)
_TAG: Final = re.compile(r"([0-9A-Fa-f]{4})[,-]?([0-9A-Fa-f]{4})")

_MULTIPLICITY: Final = re.compile(r"(?P<least>\d+)(?:-(?:(?P<step>\d*)(?P<n>n)|(?P<most>\d+)))?")

_INTEGERS: Final = frozenset({"US", "SS", "UL", "SL", "UV", "SV"})
_REALS: Final = frozenset({"FL", "FD"})
_BINARY: Final = frozenset({"OB", "OW", "OL", "OV", "OF", "OD", "UN"})
_ONE_LONG_TEXT: Final = frozenset({"LT", "ST", "UT", "UR"})  # a backslash is text here, not a separator
_MOMENTS: Final = {"DA": DA, "TM": TM, "DT": DT}
_VALID: Final = {
    "AE": "at most 16 characters",
    "AS": "three digits and D, W, M or Y",
    "AT": "a tag, like 0010,0020",
    "CS": "at most 16 capital letters, digits, blanks or underscores",
    "DA": "a date, as YYYYMMDD",
    "DS": "a decimal number of at most 16 characters",
    "DT": "a date and time, as YYYYMMDDHHMMSS",
    "IS": "a whole number",
    "LO": "at most 64 characters on one line",
    "PN": "a name of at most 64 characters, as Family^Given",
    "SH": "at most 16 characters on one line",
    "TM": "a time, as HHMMSS",
    "UI": "a UID: numbers without leading zeros, joined by dots, at most 64 characters",
    "UR": "an address without blanks",
}
"""What values of a VR look like (PS3.5 table 6.2-1); for messages, which must not repeat what may name a patient."""

_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_CONTROLS_IN_TEXT: Final = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff]")

Json = Any
"""What json.loads gives."""


class _BadValue(Exception):
    """Something in the file makes no sense; carries the reason."""


def read_dataset(path: Path) -> Dataset:
    """The attributes of a JSON file, each value valid for its VR, and none that the pixels dictate.

    Raises NotFound, InvalidRequest (not readable, not JSON, unknown keyword, value that does not fit); the message
    names the file and the attribute.
    """
    try:
        content = _attributes(_loaded(read_given_text(path, LARGEST_FILE)))
    except _BadValue as error:
        raise InvalidRequest(f"{path}: {error}") from error
    return dataset_of(content, str(path))


def dataset_of(content: Mapping[str, Json], where: str) -> Dataset:
    """Attributes by keyword, or in shorthand (see specimen_shorthand), checked as those of a file are.

    Raises InvalidRequest; `where` begins its message.
    """
    try:
        dataset = _dataset(without_shorthand(content), "", 1)
    except (_BadValue, TypeError, ValueError) as error:
        raise InvalidRequest(f"{where}: {error}") from error
    check_additions(dataset, where)
    return dataset


def _loaded(text: str) -> Json:
    # comments become blanks of the same shape, so that lines and columns in messages stay right
    plain = _COMMENT_OR_STRING.sub(
        lambda found: found[0] if found[0].startswith('"') else re.sub(r"[^\n]", " ", found[0]), text
    )
    try:
        return json.loads(plain, object_pairs_hook=_without_repeats, parse_constant=_reject_constant)
    except json.JSONDecodeError as error:
        raise _BadValue(f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from error
    except RecursionError as error:
        raise _BadValue(f"is nested deeper than {DEEPEST_NESTING} sequences") from error
    except ValueError as error:  # an integer of more digits than Python converts
        raise _BadValue(f"is not JSON: {error}") from error


def _without_repeats(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise _BadValue(f"{next(key for key in found if keys.count(key) > 1)} is given twice")
    return found


def _reject_constant(name: str) -> NoReturn:
    raise _BadValue(f"is not JSON: {name} is not a number")


def _attributes(content: Json) -> dict[str, Json]:
    if isinstance(content, list) and len(content) == 1:  # web services answer with an array of datasets
        content = content[0]
    if not isinstance(content, dict):
        raise _BadValue("must be one JSON object of DICOM attributes")
    return content


def _dataset(content: Mapping[str, Json], within: str, depth: int) -> Dataset:
    if depth > DEEPEST_NESTING:
        raise _BadValue(f"{within.rstrip('.')}: nested deeper than {DEEPEST_NESTING} sequences")
    dataset = Dataset()
    for key, value in content.items():
        name = f"{within}{key}"
        try:
            element = _element(key, value, name, depth)
        except (ValueError, TypeError, OverflowError) as error:
            raise _BadValue(f"{name}: {error}") from error
        if element.tag in dataset:
            raise _BadValue(f"{name} is given twice")
        dataset.add(element)
    return dataset


def _element(key: str, value: Json, name: str, depth: int) -> DataElement:
    """One attribute of either form: the value of the JSON Model is an object, that of the keyword form never is."""
    tag = _tag(key)
    known = dictionary_VR(tag) if not tag.is_private and keyword_for_tag(tag) else None
    if isinstance(value, dict):
        vr, values = _json_model_values(value, known)
    elif known is None:
        raise ValueError("is not a standard attribute; write it in the DICOM JSON Model, with its vr")
    else:
        vr = "US" if known.startswith("US or") else known
        values = value if isinstance(value, list) else [value]
    if vr == "SQ":
        return DataElement(tag, vr, Sequence(_items(values, name, depth)))
    if isinstance(values, bytes):
        return DataElement(tag, vr, values, validation_mode=config.RAISE)
    return _plain_element(tag, vr, values)


def _tag(key: str) -> BaseTag:
    found = _TAG.fullmatch(key)
    number = int(found[1] + found[2], 16) if found else tag_for_keyword(key)
    if number is None:
        close = get_close_matches(key, keyword_dict, n=1)
        raise ValueError("is not a DICOM keyword" + (f"; did you mean {close[0]}?" if close else ""))
    tag = Tag(number)
    if tag.group < FIRST_DATA_GROUP or tag.group == 0xFFFE or tag.element == 0:
        raise ValueError("is not an attribute of a dataset")
    return tag


def _json_model_values(entry: Mapping[str, Json], known: str | None) -> tuple[str, list[Json] | bytes]:
    """(vr, values) of an attribute object (F.2.2)."""
    unknown = set(entry) - {"vr", "Value", "InlineBinary"}
    if "BulkDataURI" in unknown:
        raise ValueError("refers to bulk data elsewhere, which is not fetched; give it as InlineBinary")
    vr = entry.get("vr")
    if unknown or not isinstance(vr, str) or ("Value" in entry and "InlineBinary" in entry):
        raise ValueError("must be an object with vr, and Value or InlineBinary")
    if vr not in STANDARD_VR:
        raise ValueError(f"{vr} is not a vr")
    if known is not None and vr not in known.split(" or "):
        raise ValueError(f"has the vr {known}, not {vr}")
    if "InlineBinary" in entry:
        if vr not in _BINARY or not isinstance(entry["InlineBinary"], str):
            raise ValueError("InlineBinary must be a base64 string of a binary vr")
        return vr, base64.b64decode(entry["InlineBinary"], validate=True)
    values = entry.get("Value", [])
    if not isinstance(values, list):
        raise TypeError("Value must be an array")
    if vr == "PN":
        values = [_person_name(value) for value in values]
    return vr, values


def _person_name(value: Json) -> str:
    groups = ("Alphabetic", "Ideographic", "Phonetic")
    if not isinstance(value, dict) or set(value) - set(groups) or not all(isinstance(v, str) for v in value.values()):
        raise ValueError("a person's name must be an object with Alphabetic, Ideographic, Phonetic")
    return "=".join(value.get(group, "") for group in groups).rstrip("=")


def _items(values: Json, name: str, depth: int) -> list[Dataset]:
    if values in ([None], [""]):
        return []
    if isinstance(values, bytes) or not all(isinstance(item, dict) for item in values):
        raise ValueError("is a sequence: an array of objects")
    return [_dataset(item, f"{name}[{number}].", depth + 1) for number, item in enumerate(values)]


def _plain_element(tag: BaseTag, vr: str, values: list[Json]) -> DataElement:
    if vr in _BINARY:
        raise ValueError("is binary; give it as InlineBinary of the DICOM JSON Model")
    if len(values) == 1 and isinstance(values[0], str) and vr not in _ONE_LONG_TEXT:
        values = list(values[0].split("\\"))
    if len(values) == 1 and values[0] in (None, ""):
        values = []
    if values and keyword_for_tag(tag):
        _check_count(len(values), dictionary_VM(tag))
    try:
        converted = [_value(vr, value) for value in values]
        content = converted[0] if len(converted) == 1 else converted or empty_value_for_VR(vr)
        return DataElement(tag, vr, content, validation_mode=config.RAISE)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"must be {_VALID.get(vr, f'a valid value of vr {vr}')}") from error


def _check_count(count: int, multiplicity: str) -> None:
    """Value multiplicity (PS3.6 6): "1", "2-3", "1-n", or in pairs and triples, "2-2n"."""
    alternatives = [_MULTIPLICITY.fullmatch(part) for part in multiplicity.split(" or ")]
    for found in filter(None, alternatives):
        least, most, step = int(found["least"]), found["most"], int(found["step"] or 1)
        unbounded = found["n"] is not None
        if count >= least and (
            (unbounded and (count - least) % step == 0) or (not unbounded and count <= int(most or least))
        ):
            return
    needed = "one value" if multiplicity == "1" else f"{multiplicity} values"
    raise ValueError(f"has {needed}, not {count}")


def _value(vr: str, value: Json) -> str | int | float:
    """One value, as pydicom wants it for this VR. Raises ValueError, and TypeError for what JSON may hold but no VR."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError("its value must be a string or a number")
    if vr in _INTEGERS:
        if isinstance(value, float) and not value.is_integer():
            raise ValueError("not a whole number")
        return int(value)
    if vr in _REALS:
        number = float(value)
        if not math.isfinite(number):
            raise ValueError("not a number")
        return number
    if vr == "AT":
        return int(_tag(str(value)))
    return _text_value(vr, str(value))


def _text_value(vr: str, text: str) -> str:
    allowed = _CONTROLS_IN_TEXT if vr in _ONE_LONG_TEXT else _CONTROLS
    if allowed.search(text) or ("\\" in text and vr not in _ONE_LONG_TEXT):
        raise ValueError("a control character, or a backslash")
    if vr in _MOMENTS and text:
        _MOMENTS[vr](text)
    return text
