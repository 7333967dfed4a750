"""What a check has to say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """`error`: the standard forbids it. `warning`: allowed, but a named reader fails or misleads on it."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of one file. `clause` is that of the standard, or the name of the reader that trips over it.

    `instance` is a file name. `message` is one line; it holds no patient data, only the names of such attributes.
    """

    severity: Severity
    clause: str
    instance: str
    message: str

    @property
    def reader(self) -> str | None:
        """The reader that has trouble; None where the standard is broken, or we do not look into something."""
        return None if self.clause.startswith("PS3.") or self.clause == "wsi-dicom" else self.clause

    def __str__(self) -> str:
        return f"{self.severity:<7}  {self.clause}  {self.instance}: {self.message}"
