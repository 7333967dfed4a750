"""The users, tokens and sessions of a store, in a file of their own beside its index.

Not in the index: that is made again from the DICOM files whenever it is lost or damaged, and these cannot be. And
whoever may read slides may read the index, while this file is its owner's alone (mode 0600).

Passwords are kept as argon2id hashes. Tokens and sessions are 256 random bits, of which a plain SHA-256 is kept: there
is nothing to guess, and so nothing that a slow hash would slow down.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from wsi_dicom.errors import InvalidRequest, NotFound, StoreError
from wsi_dicom_server.access.passwords import hash_password
from wsi_dicom_server.access.principal import Principal, Scope
from wsi_dicom_server.private_database import PrivateDatabase

ACCESS_FILE: Final = "access.sqlite"
TOKEN_PREFIX: Final = "wsi_"  # noqa: S105 - what tells a token from other strings, not one
_VERSION: Final = 1
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,62}[A-Za-z0-9])?", re.ASCII)
_SESSIONS_EACH: Final = 50

_schema = MetaData()
_key = Table(
    "access_key",
    _schema,
    Column("version", Integer, primary_key=True),
    Column("key", LargeBinary, nullable=False),
)
_users = Table(
    "users",
    _schema,
    Column("name", String(64), primary_key=True),
    Column("password_hash", String, nullable=False),
    Column("scope", String(8), nullable=False),
    Column("created", BigInteger, nullable=False),  # seconds since 1970, as all times here
)
_tokens = Table(
    "tokens",
    _schema,
    Column("name", String(64), primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("scope", String(8), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger),
)
_sessions = Table(
    "sessions",
    _schema,
    Column("digest", LargeBinary, primary_key=True),
    Column("user", ForeignKey("users.name"), nullable=False, index=True),
    Column("expires", BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with a password. `created` is in seconds since 1970."""

    name: str
    scope: Scope
    created: int


@dataclass(frozen=True, slots=True)
class Token:
    """What a program shows instead of a password. `expires` is None for one that is good until it is revoked."""

    name: str
    scope: Scope
    created: int
    expires: int | None


class Accounts:
    """Safe to use from many threads and processes at once. Every method raises StoreError when the file cannot do it.

    The file is made by whoever first has something to write into it; before that there is nobody, and without a
    `path` there never is. `now` tells the time in seconds since 1970.
    """

    def __init__(self, path: Path | None, now: Callable[[], float] = time.time) -> None:
        self._file = PrivateDatabase(path, "the accounts") if path is not None else None
        self._now = now
        self._checked = False

    def any(self) -> bool:
        """Whether anybody could prove to be somebody."""
        return next(self._rows(select(_users.c.name).union_all(select(_tokens.c.name)).limit(1)), None) is not None

    def users(self) -> list[User]:
        query = select(_users.c.name, _users.c.scope, _users.c.created).order_by(_users.c.name)
        return [User(row.name, Scope.named(row.scope), row.created) for row in self._rows(query)]

    def password_hash(self, name: str) -> str | None:
        row = next(self._rows(select(_users.c.password_hash).where(_users.c.name == name)), None)
        return row.password_hash if row is not None else None

    def user(self, name: str) -> Principal | None:
        row = next(self._rows(select(_users.c.scope).where(_users.c.name == name)), None)
        return Principal(name, Scope.named(row.scope)) if row is not None else None

    def add_user(self, name: str, password: str, scope: Scope) -> None:
        """Raises InvalidRequest: no possible name or password, or there is a user of this name."""
        values = {"name": _checked_name(name), "password_hash": hash_password(password), "scope": scope.word}
        with self._writing() as connection:
            try:
                connection.execute(insert(_users).values(**values, created=int(self._now())))
            except IntegrityError:
                raise InvalidRequest(f"there is a user {name} already") from None

    def set_password(self, name: str, password: str) -> None:
        """Ends the user's sessions. Raises InvalidRequest, NotFound."""
        hashed = hash_password(password)
        with self._writing() as connection:
            query = update(_users).where(_users.c.name == name).values(password_hash=hashed)
            _require_one(connection.execute(query).rowcount, f"no user {name}")
            connection.execute(delete(_sessions).where(_sessions.c.user == name))

    def remove_user(self, name: str) -> None:
        """Ends the user's sessions. Raises NotFound."""
        self._require_file(f"no user {name}")
        with self._writing() as connection:
            connection.execute(delete(_sessions).where(_sessions.c.user == name))
            _require_one(connection.execute(delete(_users).where(_users.c.name == name)).rowcount, f"no user {name}")

    def tokens(self) -> list[Token]:
        query = select(_tokens.c.name, _tokens.c.scope, _tokens.c.created, _tokens.c.expires).order_by(_tokens.c.name)
        return [Token(row.name, Scope.named(row.scope), row.created, row.expires) for row in self._rows(query)]

    def token(self, digest: bytes) -> Principal | None:
        """Whose it is, unless it has expired."""
        row = next(self._rows(select(_tokens).where(_tokens.c.digest == digest)), None)
        if row is None or (row.expires is not None and row.expires <= self._now()):
            return None
        return Principal(row.name, Scope.named(row.scope))

    def create_token(self, name: str, scope: Scope, lifetime_s: int | None) -> str:
        """The token itself, which is not kept. Raises InvalidRequest: no possible name, or there is one of it."""
        secret, now = TOKEN_PREFIX + secrets.token_urlsafe(32), int(self._now())
        values = {"name": _checked_name(name), "digest": digest_of(secret), "scope": scope.word, "created": now}
        with self._writing() as connection:
            try:
                expires = now + lifetime_s if lifetime_s is not None else None
                connection.execute(insert(_tokens).values(**values, expires=expires))
            except IntegrityError:
                raise InvalidRequest(f"there is a token {name} already: revoke it, or choose another name") from None
        return secret

    def revoke_token(self, name: str) -> None:
        """Raises NotFound."""
        self._require_file(f"no token {name}")
        with self._writing() as connection:
            _require_one(connection.execute(delete(_tokens).where(_tokens.c.name == name)).rowcount, f"no token {name}")

    def begin_session(self, user: str, lifetime_s: int) -> str:
        """The secret of a new session, which is not kept. Raises NotFound."""
        secret, now = secrets.token_urlsafe(32), int(self._now())
        newest = select(_sessions.c.digest).where(_sessions.c.user == user).order_by(_sessions.c.expires.desc())
        with self._writing() as connection:
            if connection.scalar(select(_users.c.name).where(_users.c.name == user)) is None:
                raise NotFound(f"no user {user}")
            connection.execute(delete(_sessions).where(_sessions.c.expires <= now))
            others = _sessions.c.digest.not_in(newest.limit(_SESSIONS_EACH - 1))
            connection.execute(delete(_sessions).where(_sessions.c.user == user, others))
            values = {"digest": digest_of(secret), "user": user, "expires": now + lifetime_s}
            connection.execute(insert(_sessions).values(values))
        return secret

    def session(self, digest: bytes) -> Principal | None:
        """Whose it is, with what that user may by now, unless it has expired."""
        query = select(_users.c.name, _users.c.scope).join(_sessions).where(_sessions.c.digest == digest)
        row = next(self._rows(query.where(_sessions.c.expires > self._now())), None)
        return Principal(row.name, Scope.named(row.scope)) if row is not None else None

    def end_session(self, digest: bytes) -> None:
        with self._writing() as connection:
            connection.execute(delete(_sessions).where(_sessions.c.digest == digest))

    def signing_key(self) -> bytes:
        """The same for all processes over this store, and for its whole life."""
        row = next(self._rows(select(_key.c.key)), None)
        if row is None:
            with self._writing():
                pass
            row = next(self._rows(select(_key.c.key)))
        key: bytes = row.key
        return key

    def _rows(self, query: Any) -> Iterator[Any]:
        """Nothing while there is no file."""
        if self._file is None or not self._file.exists():
            return iter(())
        with self._file.reading() as connection:
            if not self._ready(connection):
                return iter(())
            return iter(connection.execute(query).fetchall())

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        if self._file is None:
            raise StoreError("this server has no file to keep accounts in")
        with self._file.writing() as connection:
            if not self._ready(connection):
                _schema.create_all(connection)
                connection.execute(insert(_key).values(version=_VERSION, key=secrets.token_bytes(32)))
            yield connection

    def _ready(self, connection: Connection) -> bool:
        """False for a file that nothing has been written into yet."""
        if not self._checked:
            if not inspect(connection).has_table(_key.name):
                return False
            found = connection.scalar(select(_key.c.version))
            if found != _VERSION:
                path = connection.engine.url.database
                raise StoreError(f"{path} is of version {found}, this program needs {_VERSION}")
            self._checked = True
        return True

    def _require_file(self, otherwise: str) -> None:
        """Lest removing what is not there makes a file."""
        if self._file is None or not self._file.exists():
            raise NotFound(otherwise)


def digest_of(secret: str) -> bytes:
    """What is kept of a token or session, and found by."""
    return hashlib.sha256(secret.encode()).digest()


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"name {name[:64]!r}: expected up to 64 letters and digits, with . _ @ + - between them")
    return name


def _require_one(count: int, otherwise: str) -> None:
    if count != 1:
        raise NotFound(otherwise)
