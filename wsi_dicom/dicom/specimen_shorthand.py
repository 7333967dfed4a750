"""Specimen and container in the words of a laboratory, turned into the attributes of DICOM (PS3.3 C.7.6.22).

    "Specimen": {"Identifier": "S26-1-A-1", "Fixative": "formalin", "Embedding": "paraffin", "Stains": ["hematoxylin"]}

becomes Specimen Description Sequence with a Specimen Preparation Sequence (PS3.16 TID 8001 to 8004). Codes are written
as `specimen_terms` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from wsi_dicom.dicom.specimen_terms import Code, Terms, term

Json = Any
"""What json.loads gives."""

SPECIMEN: Final = "Specimen"
CONTAINER: Final = "Container"

_CONTAINER_TEXTS: Final = {"Identifier": "ContainerIdentifier", "Description": "ContainerDescription"}
_SPECIMEN_TEXTS: Final = {
    "Identifier": "SpecimenIdentifier",
    "UID": "SpecimenUID",
    "Description": "SpecimenShortDescription",
    "DetailedDescription": "SpecimenDetailedDescription",
}
_SPECIMEN_CODES: Final = {
    "Type": ("SpecimenTypeCodeSequence", Terms.SPECIMEN_TYPE),
    "AnatomicStructure": ("PrimaryAnatomicStructureSequence", Terms.ANATOMIC_STRUCTURE),
}
_PREPARATION: Final = (
    "Collection", "Fixative", "Embedding", "Sampling", "ParentIdentifier", "ParentType", "Stains",
)  # fmt: skip
CONTAINER_FIELDS: Final = (*_CONTAINER_TEXTS, "Type")
SPECIMEN_FIELDS: Final = (*_SPECIMEN_TEXTS, *_SPECIMEN_CODES, "Location", *_PREPARATION)

_IDENTIFIER: Final = ("121041", "DCM", "Specimen Identifier")
_PROCESSING_TYPE: Final = ("111701", "DCM", "Processing type")
_STEP_DESCRIPTION: Final = ("111703", "DCM", "Processing step description")
_SAMPLING_METHOD: Final = ("111704", "DCM", "Sampling Method")
_PARENT_IDENTIFIER: Final = ("111705", "DCM", "Parent Specimen Identifier")
_PARENT_TYPE: Final = ("111707", "DCM", "Parent specimen type")
_LOCATION: Final = ("111718", "DCM", "Location of Specimen")
_COLLECTION: Final = ("17636008", "SCT", "Specimen collection")
_PROCESSING: Final = ("9265001", "SCT", "Specimen processing")
_SAMPLING: Final = ("433465004", "SCT", "Sampling of tissue specimen")
_STAINING: Final = ("127790008", "SCT", "Staining")
_SUBSTANCE: Final = ("424361007", "SCT", "Using substance")
_FIXATIVE: Final = ("430864009", "SCT", "Tissue fixative")
_EMBEDDING: Final = ("430863003", "SCT", "Tissue embedding medium")


def without_shorthand(content: Mapping[str, Json]) -> dict[str, Json]:
    """`content` by keyword, with what stands for several attributes written out.

    Raises ValueError or TypeError that names the field. Attributes given both ways are an error.
    """
    plain = {key: value for key, value in content.items() if key not in (SPECIMEN, CONTAINER)}
    told: dict[str, Json] = {}
    if CONTAINER in content:
        told |= _container(content[CONTAINER])
    if SPECIMEN in content:
        given = content[SPECIMEN]
        specimens = given if isinstance(given, list) else [given]
        told["SpecimenDescriptionSequence"] = [_specimen(specimen) for specimen in specimens]
    if twice := sorted(told.keys() & plain.keys()):
        raise ValueError(f"{twice[0]} is given twice: by keyword, and in {SPECIMEN} or {CONTAINER}")
    return plain | told


def _container(fields: Json) -> dict[str, Json]:
    _check(fields, CONTAINER, CONTAINER_FIELDS)
    told: dict[str, Json] = {_CONTAINER_TEXTS[key]: fields[key] for key in fields if key in _CONTAINER_TEXTS}
    if code := _code(fields, "Type", Terms.CONTAINER_TYPE, CONTAINER):
        told["ContainerTypeCodeSequence"] = [code]
    return told


def _specimen(fields: Json) -> dict[str, Json]:
    _check(fields, SPECIMEN, SPECIMEN_FIELDS)
    told: dict[str, Json] = {_SPECIMEN_TEXTS[key]: fields[key] for key in fields if key in _SPECIMEN_TEXTS}
    for key, (keyword, terms) in _SPECIMEN_CODES.items():
        if code := _code(fields, key, terms):
            told[keyword] = [code]
    if location := fields.get("Location"):
        told["SpecimenLocalizationContentItemSequence"] = [_text(_LOCATION, location)]
    if steps := _preparation(fields):
        if not fields.get("Identifier"):
            raise ValueError(f"{SPECIMEN}: Identifier is needed with {' or '.join(_PREPARATION)}")
        told["SpecimenPreparationSequence"] = [
            {"SpecimenPreparationStepContentItemSequence": [_text(_IDENTIFIER, fields["Identifier"]), *step]}
            for step in steps
        ]
    return told


def _preparation(fields: Mapping[str, Json]) -> list[list[Json]]:
    """The steps in the order of the laboratory: collected, fixed, embedded, sampled, stained."""
    makers: tuple[Callable[[Mapping[str, Json]], list[Json]], ...] = (
        _collecting, _fixing, _embedding, _sampling, _staining,
    )  # fmt: skip
    return [step for make in makers if (step := make(fields))]


def _collecting(fields: Mapping[str, Json]) -> list[Json]:
    code = _code(fields, "Collection", Terms.COLLECTION)
    return [_concept(_PROCESSING_TYPE, _coded(_COLLECTION)), _concept(_COLLECTION, code)] if code else []


def _fixing(fields: Mapping[str, Json]) -> list[Json]:
    code = _code(fields, "Fixative", Terms.FIXATIVE)
    return _processing("Fixation", _concept(_FIXATIVE, code)) if code else []


def _embedding(fields: Mapping[str, Json]) -> list[Json]:
    code = _code(fields, "Embedding", Terms.EMBEDDING)
    return _processing("Embedding", _concept(_EMBEDDING, code)) if code else []


def _processing(description: str, item: Json) -> list[Json]:
    return [_concept(_PROCESSING_TYPE, _coded(_PROCESSING)), _text(_STEP_DESCRIPTION, description), item]


def _sampling(fields: Mapping[str, Json]) -> list[Json]:
    """TID 8002: method, parent and its type go together."""
    told = [key for key in ("Sampling", "ParentIdentifier", "ParentType") if fields.get(key)]
    if not told:
        return []
    if len(told) < 3:
        raise ValueError(f"{SPECIMEN}: Sampling, ParentIdentifier and ParentType go together; only {told[0]} is given")
    return [
        _concept(_PROCESSING_TYPE, _coded(_SAMPLING)),
        _concept(_SAMPLING_METHOD, _code(fields, "Sampling", Terms.SAMPLING)),
        _text(_PARENT_IDENTIFIER, fields["ParentIdentifier"]),
        _concept(_PARENT_TYPE, _code(fields, "ParentType", Terms.SPECIMEN_TYPE)),
    ]


def _staining(fields: Mapping[str, Json]) -> list[Json]:
    given = fields.get("Stains")
    if not given:
        return []
    stains = given if isinstance(given, list) else [given]
    substances = [_code({"Stains": stain}, "Stains", Terms.STAIN) for stain in stains]
    return [
        _concept(_PROCESSING_TYPE, _coded(_STAINING)),
        *(_concept(_SUBSTANCE, code) for code in substances if code),
    ]


def _check(fields: Json, name: str, known: tuple[str, ...]) -> None:
    if not isinstance(fields, Mapping):
        raise TypeError(f"{name} must be an object of {', '.join(known)}")
    if unknown := [key for key in fields if key not in known]:
        raise ValueError(f"{name}: {unknown[0]} is none of {', '.join(known)}")


def _code(fields: Mapping[str, Json], key: str, terms: Terms, name: str = SPECIMEN) -> Code:
    """Empty when nothing is said."""
    if not fields.get(key):
        return {}
    try:
        return term(fields[key], terms)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}.{key}: {error}") from error


def _coded(code: tuple[str, str, str]) -> Code:
    return dict(zip(("CodeValue", "CodingSchemeDesignator", "CodeMeaning"), code, strict=True))


def _concept(name: tuple[str, str, str], code: Code) -> Json:
    return {"ValueType": "CODE", "ConceptNameCodeSequence": [_coded(name)], "ConceptCodeSequence": [code]}


def _text(name: tuple[str, str, str], text: Json) -> Json:
    return {"ValueType": "TEXT", "ConceptNameCodeSequence": [_coded(name)], "TextValue": text}
