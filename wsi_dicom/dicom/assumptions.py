"""What was assumed of a slide, in the words that Image Comments tell it with (PS3.3 C.7.6.1).

They are the same for all slides and name nobody: they stay whatever else is said there, or removed from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

ASSUMED_WIDTH_MM: Final = 15.0
"""Width of a slide that tells no spacing: what Orthanc's tool assumes."""

WIDTH_ASSUMED: Final = f"Pixel spacing unknown: an imaged width of {ASSUMED_WIDTH_MM:g} mm was assumed."
SPACING_NOMINAL: Final = "Spacing and position are nominal: the short side is taken for the 25 mm that a slide is wide."

_LONGEST: Final = 10240  # characters of an LT


def tell_assumption(dataset: Dataset, assumption: str) -> None:
    """Appends it to what Image Comments say; of comments that are too long the end makes room."""
    said = str(dataset.get("ImageComments") or "")
    if assumption not in said:
        dataset.ImageComments = f"{said[: _LONGEST - 1 - len(assumption)]} {assumption}".lstrip()


def assumptions_in(comments: str) -> str:
    """Of Image Comments what says an assumption, and nothing else; may be empty."""
    return " ".join(assumption for assumption in (WIDTH_ASSUMED, SPACING_NOMINAL) if assumption in comments)
