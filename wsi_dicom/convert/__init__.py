"""The two flows that the project is for: a slide to a DICOM series, and a series to a TIFF or a picture."""

from wsi_dicom.convert.observer import Observer, usable_cores
from wsi_dicom.convert.to_dicom import Dicomized, DicomizeOptions, DryRun, UidChoice, dicomize, plan_dicomize
from wsi_dicom.convert.to_picture import PictureOptions, PictureWritten, slide_to_picture
from wsi_dicom.convert.to_tiff import TiffOptions, TiffWritten, dicom_to_tiff

__all__ = [
    "DicomizeOptions",
    "Dicomized",
    "DryRun",
    "Observer",
    "PictureOptions",
    "PictureWritten",
    "TiffOptions",
    "TiffWritten",
    "UidChoice",
    "dicom_to_tiff",
    "dicomize",
    "plan_dicomize",
    "slide_to_picture",
    "usable_cores",
]
