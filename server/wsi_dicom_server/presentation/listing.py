"""What becomes a collection, whatever the version of the Presentation API: its members, a hundred at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from wsi_dicom_server.presentation.subject import Addresses, ShownImage

PAGE: Final = 100
"""Members of a collection, or of a part of a large one."""


@dataclass(frozen=True, slots=True)
class Member:
    """A manifest, which has a picture, or another collection. `path` is that of its address below `/iiif/`.

    `picture` is but the path of an image service where the index tells no size.
    """

    path: str
    label: str
    picture: ShownImage | str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """A collection, or of one with more than `PAGE` members the part `page`, counted from 1.

    `path` is that of the whole one below `/iiif/`, `holder` that of what holds it; of `total` members in all, `members`
    are those of the page.
    """

    path: str
    label: str
    total: int
    page: int | None
    members: Sequence[Member]
    facts: Sequence[tuple[str, str]] = ()
    holder: str | None = None

    @property
    def itself(self) -> Member:
        return Member(self.path, self.label) if self.page is None else self.part(self.page)

    @property
    def partly_of(self) -> str | None:
        """The path of the collection that what is listed is a part of."""
        return self.holder if self.page is None else self.path

    @property
    def parts(self) -> list[Member]:
        """What is in a large collection instead of its members."""
        return [self.part(page) for page in range(1, self._pages + 1)] if self.page is None and self._pages > 1 else []

    def part(self, page: int) -> Member:
        first, last = (page - 1) * PAGE + 1, min(page * PAGE, self.total)
        return Member(f"{self.path}?page={page}", f"{self.label}, {first}–{last}")

    @property
    def related(self) -> dict[str, str]:
        """Paths of the first and last part of a large collection, from a part those beside it too, by relation."""
        if self._pages == 1:
            return {}
        beside = {} if self.page is None else {"prev": self.page - 1, "next": self.page + 1}
        pages = {"first": 1, "last": self._pages, **beside}
        return {name: self.part(page).path for name, page in pages.items() if 1 <= page <= self._pages}

    def web_links(self, addresses: Addresses, version: int) -> list[str]:
        """To what is `related` (RFC 8288)."""
        return [f'<{addresses.iiif(path, version)}>;rel="{name}"' for name, path in self.related.items()]

    @property
    def _pages(self) -> int:
        return page_count(self.total)


def page_count(total: int) -> int:
    """An empty collection is one page, too."""
    return max(1, -(-total // PAGE))
