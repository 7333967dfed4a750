"""What can be told of a slide: specimen, stain, patient."""

from __future__ import annotations

from pydicom.dataset import Dataset

from wsi_dicom.dicom.json_model import dataset_of

SECRETS = ("Doe", "Jane", "PAT-77", "ACC-88")
"""What names the patient of `described`."""


def described() -> Dataset:
    additions = dataset_of(
        {
            "PatientName": "Doe^Jane",
            "PatientID": "PAT-77",
            "AccessionNumber": "ACC-88",
            "SeriesDescription": "Needle biopsy",
            "ContainerIdentifier": "S24-1-A-1",
        },
        "test",
    )
    additions.SpecimenDescriptionSequence = [stained(substance(meaning="Hematoxylin"), substance("Ki-67"))]
    additions.SpecimenDescriptionSequence[0].SpecimenUID = "2.25.5"
    additions.SpecimenDescriptionSequence[0].IssuerOfTheSpecimenIdentifierSequence = []
    return additions


def stained(*substances: Dataset) -> Dataset:
    specimen, step = Dataset(), Dataset()
    specimen.SpecimenIdentifier = "S24-1-A"
    anatomy = Dataset()
    anatomy.CodeValue, anatomy.CodingSchemeDesignator, anatomy.CodeMeaning = "10200004", "SCT", "Liver"
    specimen.PrimaryAnatomicStructureSequence = [anatomy]
    step.SpecimenPreparationStepContentItemSequence = list(substances)
    specimen.SpecimenPreparationSequence = [step]
    return specimen


def substance(text: str = "", meaning: str = "", code: str = "424361007") -> Dataset:
    content, name = Dataset(), Dataset()
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = code, "SCT", "Using substance"
    content.ConceptNameCodeSequence = [name]
    if text:
        content.ValueType, content.TextValue = "TEXT", text
    else:
        value = Dataset()
        value.CodeValue, value.CodingSchemeDesignator, value.CodeMeaning = "1", "SCT", meaning
        content.ValueType, content.ConceptCodeSequence = "CODE", [value]
    return content
