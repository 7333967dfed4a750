"""Whole slides between scanner files, DICOM (Supplement 145) and IIIF."""

__version__ = "0.1.0"
