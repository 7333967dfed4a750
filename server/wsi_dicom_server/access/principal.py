"""Whose request it is, and what that lets it do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from starlette.requests import Request

from wsi_dicom.errors import InvalidRequest

SCOPE_KEY: Final = "wsi_dicom.principal"
"""Where an ASGI scope carries it."""


class Scope(IntEnum):
    """Each holds the ones before it."""

    READ = 1
    """Slides, and all that tells of them."""
    WRITE = 2
    """Uploads, jobs, deleting."""
    ADMIN = 3
    """Users and tokens."""

    @property
    def word(self) -> str:
        return self.name.lower()

    @classmethod
    def named(cls, word: str) -> Scope:
        """Raises InvalidRequest."""
        if word.upper() not in cls.__members__:
            raise InvalidRequest(f"{word[:20]!r} is no scope: it is one of {', '.join(s.word for s in cls)}")
        return cls[word.upper()]


@dataclass(frozen=True, slots=True)
class Principal:
    """`scope` is None for who may do nothing; `name` None for who has not said who it is.

    `series` are the identifiers of the only series that may be seen, for holders of a view token; None: all.
    """

    name: str | None
    scope: Scope | None
    series: frozenset[str] | None = None

    def may(self, scope: Scope) -> bool:
        return (self.scope or 0) >= scope

    @property
    def anonymous(self) -> bool:
        """Neither a name nor a view token."""
        return self.name is None and self.series is None

    @property
    def identified(self) -> bool:
        """Somebody with an account or a token of one's own: may be shown who the patients are."""
        return self.name is not None


NOBODY: Final = Principal(None, None)
READER: Final = Principal(None, Scope.READ)
WRITER: Final = Principal(None, Scope.WRITE)


def principal_of(request: Request) -> Principal:
    """What the access control has found out before any route is asked, or need not find out to let it pass."""
    principal: Principal = request.scope.get(SCOPE_KEY) or request.scope["app"].site.access.anonymous(request.scope)
    return principal
