"""Specific Character Set (PS3.3 C.12.1.1.2): which texts a data set can hold."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from wsi_dicom.errors import InvalidRequest

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_TEXTS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})


class CharacterSet(StrEnum):
    """The names that Orthanc gives them, for sets of one repertoire without escape sequences."""

    ASCII = "ascii"
    UTF8 = "utf8"
    LATIN1 = "latin1"
    LATIN2 = "latin2"
    LATIN3 = "latin3"
    LATIN4 = "latin4"
    LATIN5 = "latin5"
    CYRILLIC = "cyrillic"
    ARABIC = "arabic"
    GREEK = "greek"
    HEBREW = "hebrew"
    THAI = "thai"
    CHINESE = "chinese"

    @property
    def defined_term(self) -> str:
        """What Specific Character Set says; "" for the default repertoire."""
        return _DEFINED_TERMS[self]

    @classmethod
    def _missing_(cls, value: object) -> CharacterSet | None:
        """Names in any case: Orthanc writes `Latin1`."""
        folded = str(value).casefold().replace("-", "")
        return next((member for member in cls if member.value == folded), None)


_DEFINED_TERMS: Final = {
    CharacterSet.ASCII: "",
    CharacterSet.UTF8: "ISO_IR 192",
    CharacterSet.LATIN1: "ISO_IR 100",
    CharacterSet.LATIN2: "ISO_IR 101",
    CharacterSet.LATIN3: "ISO_IR 109",
    CharacterSet.LATIN4: "ISO_IR 110",
    CharacterSet.LATIN5: "ISO_IR 148",
    CharacterSet.CYRILLIC: "ISO_IR 144",
    CharacterSet.ARABIC: "ISO_IR 127",
    CharacterSet.GREEK: "ISO_IR 126",
    CharacterSet.HEBREW: "ISO_IR 138",
    CharacterSet.THAI: "ISO_IR 166",
    CharacterSet.CHINESE: "GB18030",
}


def set_character_set(dataset: Dataset, chosen: CharacterSet) -> None:
    """Writes the set's name. Raises InvalidRequest naming the first attribute whose text the set cannot hold."""
    from pydicom.charset import python_encoding

    codec = "ascii" if chosen is CharacterSet.ASCII else python_encoding[chosen.defined_term]
    for keyword, text in _texts(dataset):
        try:
            text.encode(codec)
        except UnicodeEncodeError as error:
            raise InvalidRequest(
                f"{keyword} has a character (U+{ord(text[error.start]):04X}) that the encoding {chosen} does not know; "
                "choose another, utf8 for instance"
            ) from error
    if chosen is CharacterSet.ASCII:
        dataset.pop("SpecificCharacterSet", None)
    else:
        dataset.SpecificCharacterSet = chosen.defined_term


def _texts(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """(keyword or tag, value) of every text, also in sequences."""
    from pydicom.multival import MultiValue

    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _texts(item)
        elif element.VR in _TEXTS and not element.is_empty:
            values = element.value if isinstance(element.value, MultiValue) else [element.value]
            for value in values:
                yield element.keyword or str(element.tag), str(value)
