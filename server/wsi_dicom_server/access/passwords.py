"""Passwords as argon2id hashes, with the library's defaults: the second choice of RFC 9106 (64 MiB, 3 passes)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from wsi_dicom.errors import InvalidRequest

if TYPE_CHECKING:
    from argon2 import PasswordHasher

_SHORTEST: Final = 10
LONGEST_PASSWORD: Final = 1024


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def _nobody() -> str:
    """A hash of no password, which costs as much to check as any other."""
    return _hasher().hash("")


def hash_password(password: str) -> str:
    """Raises InvalidRequest for one that is too short or long, or cannot be typed. Takes some 50 ms and 64 MiB."""
    if not _SHORTEST <= len(password) <= LONGEST_PASSWORD or not password.isprintable():
        raise InvalidRequest(f"a password has {_SHORTEST} to {LONGEST_PASSWORD} printable characters")
    return _hasher().hash(password)


def is_password(hashed: str | None, password: str) -> bool:
    """Takes as long for a user that does not exist (None) as for one that does."""
    from argon2.exceptions import VerifyMismatchError

    if len(password) > LONGEST_PASSWORD:
        return False
    try:
        _hasher().verify(hashed or _nobody(), password)
    except VerifyMismatchError:
        return False
    return hashed is not None
