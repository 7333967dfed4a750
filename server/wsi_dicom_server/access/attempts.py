"""How often a password may be tried."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

_REMEMBERED: Final = 10_000


class AttemptLimit:
    """So many attempts at once for each key, and one more every `interval_s` seconds (a leaky bucket).

    All that is kept of a key is when it will have paid for its attempts; of the 10,000 keys that were seen last.
    """

    def __init__(self, at_once: int, interval_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowance = (at_once - 1) * interval_s
        self._interval = interval_s
        self._clock = clock
        self._paid: OrderedDict[str, float] = OrderedDict()

    def wait_s(self, key: str) -> float:
        """Seconds until another attempt is allowed; 0 when it is now."""
        return max(0.0, self._paid.get(key, 0.0) - self._allowance - self._clock())

    def count(self, key: str) -> None:
        self._paid[key] = max(self._clock(), self._paid.get(key, 0.0)) + self._interval
        self._paid.move_to_end(key)
        while len(self._paid) > _REMEMBERED:
            self._paid.popitem(last=False)

    def give_back(self, key: str) -> None:
        """The last attempt was a good one."""
        if key in self._paid:
            self._paid[key] -= self._interval


def address_key(address: str) -> str:
    """One household or company has a whole /64 of IPv6 addresses, but one or a few of IPv4."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
