"""A dataset for `--dataset` to start from."""

from __future__ import annotations

from typing import Final


def sample_dataset() -> str:
    """JSON by keyword, with comments, accepted by `read_dataset`."""
    return _SAMPLE


_SAMPLE: Final = """\
// Attributes for every image of a slide. An empty value leaves to the program what it finds in the slide.
// Any other attribute of DICOM may be added, by its keyword. What is written here is an example: replace it.
{
  // Patient and study
  "PatientID": "12345678",
  "PatientName": "Doe^Jane",
  "PatientBirthDate": "19700131",  // year, month, day
  "PatientSex": "F",  // F, M or O
  "StudyID": "1",
  "SeriesNumber": "1",
  "ReferringPhysicianName": "",
  "AccessionNumber": "",
  "StudyDescription": "",
  "SeriesDescription": "",

  // Scan
  "FocusMethod": "AUTO",  // AUTO or MANUAL
  "ExtendedDepthOfField": "NO",
  "AcquisitionContextSequence": [],
  "AcquisitionDuration": "",  // seconds

  // The glass slide
  "ContainerIdentifier": "S26-0001-A-1",
  "IssuerOfTheContainerIdentifierSequence": [],
  "ContainerTypeCodeSequence": [
    {
      "CodeValue": "433466003",
      "CodingSchemeDesignator": "SCT",
      "CodeMeaning": "Microscope slide"
    }
  ],

  // The tissue on it, in the words of the laboratory. Names are those of the standard's context groups; any code may be
  // given as "(value, scheme, meaning)". It becomes SpecimenDescriptionSequence, which may be written out instead.
  "Specimen": {
    "Identifier": "S26-0001-A-1",
    "UID": "",  // a new one for each slide
    "Description": "Liver, needle biopsy",
    "Type": "Tissue section",
    "AnatomicStructure": "(10200004, SCT, Liver)",
    "Collection": "Biopsy",
    "Fixative": "Formalin",
    "Embedding": "Paraffin",
    "Sampling": "Block sectioning",
    "ParentIdentifier": "S26-0001-A",
    "ParentType": "tissue specimen",
    "Stains": ["hematoxylin", "eosin"]
  },

  "DimensionOrganizationSequence": [
    {
      "DimensionOrganizationUID": ""  // a new one for each slide
    }
  ],

  // True of the scan; label and overview are always marked as showing the label
  "SpecimenLabelInImage": "NO",
  "BurnedInAnnotation": "NO"
}
"""
