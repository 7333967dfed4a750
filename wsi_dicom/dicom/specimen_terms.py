"""Codes of specimens and their preparation by the names that people use (PS3.16 annex B).

A term is written as a name of the context group ("formalin", "Paraffin wax"), as DICOM writes codes ("(10200004, SCT,
Liver)"), or as an object of Code Value, Coding Scheme Designator and Code Meaning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from enum import IntEnum
from functools import cache
from typing import Final

Code = dict[str, str]
"""An item of a code sequence, by keyword."""


class Terms(IntEnum):
    """Context groups, by their CID."""

    CONTAINER_TYPE = 8101
    SPECIMEN_TYPE = 8103
    COLLECTION = 8109
    SAMPLING = 8110
    STAIN = 8112
    FIXATIVE = 8114
    EMBEDDING = 8115
    ANATOMIC_STRUCTURE = 8134


_EVERYDAY: Final[Mapping[Terms, Mapping[str, str]]] = {
    Terms.CONTAINER_TYPE: {"slide": "microscope slide", "glass slide": "microscope slide"},
    Terms.SPECIMEN_TYPE: {"section": "tissue section", "smear": "smear sample", "tissue": "tissue specimen"},
    Terms.COLLECTION: {"resection": "excision", "swab": "taking of swab"},
    Terms.SAMPLING: {"sectioning": "block sectioning"},
    Terms.STAIN: {
        "eosin": "water soluble eosin",
        "haematoxylin": "hematoxylin",
        "h": "hematoxylin",
        "e": "water soluble eosin",
    },
    Terms.FIXATIVE: {"nbf": "neutral buffered formalin", "alcohol": "ethanol", "pfa": "paraformaldehyde"},
    Terms.EMBEDDING: {"paraffin": "paraffin wax", "epoxy": "epoxy resin", "oct": "tissue freezing medium"},
}
"""What laboratories say where the standard says something else."""

_WRITTEN: Final = re.compile(r"\(\s*([^\s,]+)\s*,\s*([^\s,]+)\s*,\s*(.+?)\s*\)")
_KEYS: Final = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")


def term(value: object, terms: Terms) -> Code:
    """The code that `value` stands for. Raises ValueError or TypeError, with the reason, for one that is not known."""
    if isinstance(value, Mapping):
        if set(value) != set(_KEYS) or not all(isinstance(part, str) and part for part in value.values()):
            raise ValueError(f"a code is an object of {', '.join(_KEYS)}")
        return {key: value[key] for key in _KEYS}
    if not isinstance(value, str):
        raise TypeError("must be a name, or a code")
    if written := _WRITTEN.fullmatch(value.strip().replace('"', "")):
        return dict(zip(_KEYS, written.groups(), strict=True))
    known = _known(terms)
    name = _folded(value)
    name = _EVERYDAY.get(terms, {}).get(name, name)
    if name not in known:
        close = get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(close)}?" if close else "."
        raise ValueError(
            f"is not a name of context group CID {terms.value}{hint} "
            "Any code may be written as (value, scheme, meaning)"
        )
    if len(known[name]) > 1:
        choice = " and ".join(f"({', '.join(code.values())})" for code in known[name])
        raise ValueError(f"stands for {choice}; write the one that is meant")
    return known[name][0]


@cache
def _known(terms: Terms) -> dict[str, list[Code]]:
    from pydicom.sr.codedict import codes  # half a second, for those who use names only

    group = getattr(codes, f"cid{terms.value}")
    found: dict[str, list[Code]] = {}
    for name in group.dir():
        with suppress(RuntimeError):  # pydicom's answer to names that two coding schemes share
            code = getattr(group, name)
            item = dict(zip(_KEYS, (code.value, code.scheme_designator, code.meaning), strict=True))
            found.setdefault(_folded(code.meaning), []).append(item)
    return found


def _folded(name: str) -> str:
    """Stains are called with and without the word, whatever the case."""
    return " ".join(name.casefold().split()).removesuffix(" stain").removesuffix(" (procedure)")
