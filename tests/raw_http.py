"""A client of HTTP/1.1 that does what libraries do not: asks ahead, stops reading, sends half of a request."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

Answer = tuple[int, dict[str, str], bytes]


def asked(target: str, *, method: str = "GET", version: str = "1.1", **headers: str) -> bytes:
    """A request, but for its body."""
    lines = [f"{method} {target} HTTP/{version}", "Host: 127.0.0.1", *(f"{k}: {v}" for k, v in headers.items())]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


class Connection:
    """To the server at an address. `small`: the system takes next to nothing for who does not read."""

    def __init__(self, address: str, *, small: bool = False) -> None:
        self.socket = socket.socket()
        if small:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(30)
        url = urlsplit(address)
        self.socket.connect((url.hostname, url.port))
        self._incoming = self.socket.makefile("rb")

    def send(self, *requests: bytes) -> None:
        for request in requests:
            self.socket.sendall(request)

    def send_until_refused(self, request: bytes) -> None:
        with suppress(OSError):
            self.socket.sendall(request)

    def start(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the next answer. Raises EOFError, OSError."""
        line = self._incoming.readline()
        if not line:
            raise EOFError
        headers = {}
        while pair := self._incoming.readline().strip():
            name, _, value = pair.decode().partition(": ")
            headers[name.lower()] = value
        return int(line.split()[1]), headers

    def answer(self, method: str = "GET") -> Answer:
        """The next one, whole; it tells its length."""
        status, headers = self.start()
        length = 0 if method == "HEAD" else int(headers.get("content-length", 0))
        return status, headers, self._incoming.read(length)

    def read(self, size: int) -> bytes:
        """So much of a body. Raises EOFError, OSError."""
        piece = self._incoming.read(size)
        if len(piece) < size:
            raise EOFError
        return piece

    def count_answers(self) -> int:
        """Until the server ends the connection."""
        count = 0
        with suppress(EOFError, ConnectionError):
            while True:
                self.answer()
                count += 1
        return count

    def ended(self) -> bool:
        """Whether the server sends nothing more, and ends the connection."""
        return self._incoming.read() == b""

    def close(self) -> None:
        self._incoming.close()
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
