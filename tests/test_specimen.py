"""Specimens in the words of the laboratory, read back by highdicom."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from highdicom import SpecimenPreparationStep
from highdicom.sr import ContentSequence
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from tests.test_json_model import write
from wsi_dicom.dicom.json_model import read_dataset
from wsi_dicom.dicom.sample_dataset import sample_dataset
from wsi_dicom.dicom.specimen_terms import Terms, term


def step_items(specimen: Dataset) -> list[dict[str, object]]:
    """The content of each preparation step, as highdicom reads it."""
    return [
        {
            str(item.name.meaning): item.value
            for item in ContentSequence.from_sequence(items, is_root=False, is_sr=False)
        }
        for step in specimen.SpecimenPreparationSequence
        for items in [step.SpecimenPreparationStepContentItemSequence]
    ]


def test_a_specimen_in_the_words_of_the_laboratory(tmp_path: Path) -> None:
    written = json.dumps(
        {
            "Container": {"Identifier": "C1", "Type": "slide"},
            "Specimen": {
                "Identifier": "S1",
                "Description": "Liver, needle biopsy",
                "DetailedDescription": "two lines\nof text",
                "Type": "section",
                "AnatomicStructure": '(10200004, SCT, "Liver")',
                "Location": "left",
                "Collection": "BIOPSY",
                "Fixative": {"CodeValue": "1", "CodingSchemeDesignator": "99LAB", "CodeMeaning": "Our mix"},
                "Embedding": "paraffin",
                "Sampling": "Block sectioning",
                "ParentIdentifier": "S0",
                "ParentType": "tissue specimen",
                "Stains": ["Haematoxylin", "eosin"],
            },
        }
    )
    dataset = read_dataset(write(tmp_path, written))
    assert dataset.ContainerIdentifier == "C1"
    assert dataset.ContainerTypeCodeSequence[0].CodeValue == codes.SCT.MicroscopeSlide.value
    specimen = dataset.SpecimenDescriptionSequence[0]
    assert (specimen.SpecimenIdentifier, specimen.SpecimenShortDescription) == ("S1", "Liver, needle biopsy")
    assert specimen.PrimaryAnatomicStructureSequence[0].CodeMeaning == "Liver"
    assert specimen.SpecimenTypeCodeSequence[0].CodeValue == codes.SCT.TissueSection.value
    steps = step_items(specimen)
    assert [step.pop("Specimen Identifier") for step in steps] == ["S1"] * 5
    our_mix = Code("1", "99LAB", "Our mix")
    assert steps == [
        {"Processing type": codes.SCT.SpecimenCollection, "Specimen collection": codes.SCT.Biopsy},
        {
            "Processing type": codes.SCT.SpecimenProcessing,
            "Processing step description": "Fixation",
            "Tissue fixative": our_mix,
        },
        {
            "Processing type": codes.SCT.SpecimenProcessing,
            "Processing step description": "Embedding",
            "Tissue embedding medium": codes.SCT.ParaffinWax,
        },
        {
            "Processing type": codes.SCT.SamplingOfTissueSpecimen,
            "Sampling Method": codes.SCT.BlockSectioning,
            "Parent Specimen Identifier": "S0",
            "Parent specimen type": codes.SCT.TissueSpecimen,
        },
        # both stains have the same name: the last one stays in this view
        {"Processing type": codes.SCT.Staining, "Using substance": codes.SCT.WaterSolubleEosinStain},
    ]


def test_highdicom_reads_the_steps_of_a_specimen(tmp_path: Path) -> None:
    specimen = read_dataset(write(tmp_path, sample_dataset())).SpecimenDescriptionSequence[0]
    steps = [SpecimenPreparationStep.from_dataset(step) for step in specimen.SpecimenPreparationSequence]
    assert [step.processing_type for step in steps] == [
        codes.SCT.SpecimenCollection,
        codes.SCT.SpecimenProcessing,
        codes.SCT.SpecimenProcessing,
        codes.SCT.SamplingOfTissueSpecimen,
        codes.SCT.Staining,
    ]
    assert steps[1].fixative == codes.SCT.Formalin
    assert steps[2].embedding_medium == codes.SCT.ParaffinWax
    assert steps[3].processing_procedure.parent_specimen_id == "S26-0001-A"
    assert steps[4].processing_procedure.substances == [
        codes.SCT.HematoxylinStain,
        codes.SCT.WaterSolubleEosinStain,
    ]


NAMES_OF_TWO_CODES = ("lumbo-sacral spine", "bone", "pelvis", "descending aorta", "nasopharynx")


@pytest.mark.parametrize("terms", list(Terms))
def test_every_name_of_a_context_group_is_its_code_or_asks_which(terms: Terms) -> None:
    group = getattr(codes, f"cid{terms.value}")
    for name in group.dir():
        if name in ("ArcuateFasciculus", "SuperiorLongitudinalFasciculus"):  # pydicom itself does not choose
            continue
        expected = getattr(group, name)
        if expected.meaning.casefold() in NAMES_OF_TWO_CODES:
            with pytest.raises(ValueError, match=rf"\({expected.value}, SCT, .*write the one that is meant"):
                term(expected.meaning, terms)
        else:
            found = term(expected.meaning.upper(), terms)
            assert (found["CodeValue"], found["CodingSchemeDesignator"]) == (expected.value, expected.scheme_designator)
