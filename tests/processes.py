"""Processes of this machine, found by what they have open."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def having_open(wanted: Callable[[str], bool]) -> set[int]:
    """Those with an open file, or a socket (`socket:[inode]`), whose name is wanted."""
    holders = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):  # it ended
            if wanted(str(link.readlink())):
                holders.add(int(link.parts[2]))
    return holders


def listening(address: str) -> set[int]:
    """Those that hold the socket of this address."""
    port = f"{int(address.rstrip('/').rpartition(':')[2]):04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{line[9]}]" for line in lines if line[1].endswith(f":{port}") and line[3] == "0A"}
    return having_open(inodes.__contains__)
