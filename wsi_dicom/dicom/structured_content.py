"""Codes and content items without what may name a patient (PS3.15 E.3.4, PS3.3 8.8 and 10.2).

Items are made anew from the few attributes that make them what they are: whatever else lies in them stays behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

STEP_ITEMS: Final = "SpecimenPreparationStepContentItemSequence"
LOCALIZATION: Final = "SpecimenLocalizationContentItemSequence"

_MODIFIERS: Final = "PrimaryAnatomicStructureModifierSequence"
_CODE: Final = (
    "CodeValue", "LongCodeValue", "URNCodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "CodeMeaning",
)  # fmt: skip
_VALUES: Final = {"CODE": ("ConceptCodeSequence",), "NUMERIC": ("NumericValue", "MeasurementUnitsCodeSequence")}
_IDENTIFIERS: Final = ("121041", "111705")  # DCM: of a specimen and of its parent


def holds_codes(keyword: str) -> bool:
    """Whether the items of a sequence are codes."""
    return keyword.endswith("CodeSequence") or keyword in ("PrimaryAnatomicStructureSequence", _MODIFIERS)


def cleaned_codes(items: Iterable[Dataset]) -> list[Dataset]:
    """The codes, and those that modify them, alone."""
    return [_only(item, (*_CODE, _MODIFIERS)) for item in items]


def cleaned_content(items: Iterable[Dataset], identifier: Callable[[str], str]) -> list[Dataset]:
    """Codes and numbers stay; of texts only identifiers, as `identifier` changes them."""
    cleaned = (_cleaned(item, identifier) for item in items)
    return [item for item in cleaned if item is not None]


def cleaned_steps(steps: Iterable[Dataset], identifier: Callable[[str], str]) -> list[Dataset]:
    """Steps of preparation, of content items alone; one without any is left out."""
    from pydicom.dataset import Dataset

    cleaned = []
    for step in steps:
        if items := cleaned_content(step.get(STEP_ITEMS) or (), identifier):
            cleaned.append(Dataset())
            setattr(cleaned[-1], STEP_ITEMS, items)
    return cleaned


def complete_localization(specimens: list[Dataset]) -> None:
    """One specimen of several must say where it lies (PS3.3 C.7.6.22, type 1C): it says that this was removed."""
    from pydicom.dataset import Dataset

    from wsi_dicom.dicom.values import code

    for specimen in specimens if len(specimens) > 1 else ():
        if not specimen.get(LOCALIZATION):
            item = Dataset()
            item.ValueType = "TEXT"
            item.ConceptNameCodeSequence = code("111718", "DCM", "Location of Specimen")
            item.TextValue = "removed"
            setattr(specimen, LOCALIZATION, [item])


def _cleaned(item: Dataset, identifier: Callable[[str], str]) -> Dataset | None:
    """None for an item that has no name, no value, or one of another type."""
    kind = str(item.get("ValueType"))
    names = cleaned_codes(item.get("ConceptNameCodeSequence") or ())
    text = item.get("TextValue") if names and names[0].get("CodeValue") in _IDENTIFIERS else None
    cleaned = _only(item, _VALUES.get(kind, ()))
    if kind == "TEXT" and text:
        cleaned.TextValue = identifier(str(text))
    if not names or not cleaned:
        return None
    cleaned.ValueType = kind
    cleaned.ConceptNameCodeSequence = names
    return cleaned


def _only(item: Dataset, keywords: tuple[str, ...]) -> Dataset:
    """A new item of those attributes that have a value; of sequences, which are of codes, the codes alone."""
    from pydicom.dataset import Dataset

    found = Dataset()
    for keyword in keywords:
        if keyword in item and not item[keyword].is_empty:
            element = item[keyword]
            found.add_new(keyword, element.VR, cleaned_codes(element.value) if element.VR == "SQ" else element.value)
    return found
