"""An SQLite file of the server's own, which nobody else may read, and which all processes of a server share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from wsi_dicom.errors import StoreError

_WAIT_S = 10


class PrivateDatabase:
    """Of mode 0600; made by whoever first writes into it. `content` is what error messages call what it holds.

    Safe to use from many threads and processes at once. Every method raises StoreError when the file cannot do it.
    """

    def __init__(self, path: Path, content: str) -> None:
        self.path = path
        self._content = content
        # A connection for each use: one that is kept would go on reading a file that has been removed or restored.
        url = URL.create("sqlite", database=str(path))
        self._engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": _WAIT_S})

    def exists(self) -> bool:
        return self.path.is_file()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Of a file that exists."""
        with self._reported(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is alone: others wait, so that what it read still holds when it writes."""
        with self._reported():
            self._make_file()
            with self._engine.begin() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")  # sqlite3 begins by itself only before rows
                yield connection

    def _make_file(self) -> None:
        """With its mode from the first moment on; SQLite gives its journals the same."""
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            reason = getattr(error, "orig", None) or error
            raise StoreError(
                f"{self._content} in {self.path} cannot be used ({reason}): they belong to the user of the server"
            ) from error
