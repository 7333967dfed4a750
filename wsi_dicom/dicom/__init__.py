"""DICOM: datasets and their modules, the streaming writer, offset tables, series as slides."""
