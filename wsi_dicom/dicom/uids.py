"""Unique identifiers: ours, those that all images of a slide share, and Orthanc's."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Self

from wsi_dicom import __version__
from wsi_dicom.codecs.transfer_syntaxes import transfer_syntax_name

if TYPE_CHECKING:
    from pydicom.uid import UID

VL_WHOLE_SLIDE: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""SOP class VL Whole Slide Microscopy Image Storage."""

IMPLEMENTATION_CLASS_UID: Final = "2.25.57810746415846080832717079548638786378"
IMPLEMENTATION_VERSION_NAME: Final = f"WSI-DICOM {__version__}"[:16]

_NAMESPACE: Final = uuid.UUID("f3b410e9-e899-4462-9ad0-3822a4726cc0")


def transfer_syntax_uid(transfer_syntax: str) -> UID:
    """The UID of one of our transfer syntaxes for pydicom, which refuses to write files with those it does not know.

    pydicom 3.0 lacks the JPEG XL syntaxes and Deflated Image Frame.
    """
    # there is no other way to tell pydicom a UID, and it lists the table under no public name
    from pydicom.uid import UID, UID_dictionary  # type: ignore[attr-defined]

    UID_dictionary.setdefault(transfer_syntax, (transfer_syntax_name(transfer_syntax), "Transfer Syntax", "", "", ""))
    return UID(transfer_syntax)


def _derived(*names: str) -> str:
    """A UID made from a name-based UUID (RFC 9562 5.5) under the root 2.25 (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, '|'.join(names)).int}"


@dataclass(frozen=True, slots=True)
class SeriesIdentity:
    """What all images of one slide have in common. `created` is when the content was made, local time or aware."""

    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    dimension_organization_uid: str
    pyramid_uid: str
    specimen_uid: str
    instance_root: str
    created: datetime

    @classmethod
    def random(cls) -> Self:
        """A new slide that nobody has seen before."""
        return cls.deterministic(str(uuid.uuid4()))

    @classmethod
    def deterministic(cls, seed: str, created: datetime | None = None) -> Self:
        """The same UIDs for the same seed, so that a repeated conversion is recognised.

        Give `created` too (the source's modification time, say) to get the same files byte by byte.
        """
        return cls(
            study_uid=_derived(seed, "study"),
            series_uid=_derived(seed, "series"),
            frame_of_reference_uid=_derived(seed, "frame of reference"),
            dimension_organization_uid=_derived(seed, "dimension organization"),
            pyramid_uid=_derived(seed, "pyramid"),
            specimen_uid=_derived(seed, "specimen"),
            instance_root=_derived(seed, "instances"),
            created=created or datetime.now(),
        )

    def instance_uid(self, key: str) -> str:
        """The SOP instance UID of the image called `key`.

        It does not come from the SeriesInstanceUID: users may give the same one to several slides.
        """
        return _derived(self.instance_root, key)


def orthanc_identifier(*parts: str) -> str:
    """Orthanc's identifier of a resource: five groups of eight hexadecimal digits.

    `parts` are PatientID, then StudyInstanceUID, SeriesInstanceUID and SOPInstanceUID as far down as the resource lies:
    one part names a patient, two a study, three a series, four an instance.
    """
    digest = hashlib.sha1("|".join(parts).encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[start : start + 8] for start in range(0, 40, 8))
