"""Choosing a media type, and a content coding (RFC 9110, 12.5.1 and 12.5.3)."""

from __future__ import annotations

import math
from functools import lru_cache


@lru_cache(maxsize=512)
def preferred(accept: str, offers: tuple[str, ...]) -> str | None:
    """The offer that the value of an Accept header likes best, earlier ones first when equal; None when it likes none.

    An empty value accepts everything. Parameters other than q are ignored.
    """
    if not accept.strip(" \t,"):
        return offers[0]
    weights = _weights(accept)

    def weight(offer: str) -> float:
        for name in (offer, f"{offer.partition('/')[0]}/*", "*/*"):  # the most specific one counts
            if name in weights:
                return weights[name]
        return 0.0

    best = max(offers, key=weight)
    return best if weight(best) > 0 else None


@lru_cache(maxsize=512)
def preferred_coding(accept_encoding: str, offers: tuple[str, ...]) -> str:
    """The content coding that the value of an Accept-Encoding header likes best, earlier ones first when equal.

    "identity" when it likes none of the offers or tells nothing: that is what every client takes.
    """
    weights = _weights(accept_encoding)
    weighed = {offer: weights.get(offer, weights.get("*", 0.0)) for offer in offers}
    best = max(weighed, key=weighed.__getitem__, default="identity")
    return best if weighed.get(best) else "identity"


def _weights(accept: str) -> dict[str, float]:
    """Media range or coding to weight, 0 to 1; a weight that is no number counts as 1, as if it were not there."""
    weights: dict[str, float] = {}
    for part in accept.lower().split(","):
        media_range, *parameters = (item.strip() for item in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    told = float(value)
                except ValueError:
                    continue
                weight = min(max(told, 0.0), 1.0) if math.isfinite(told) else 1.0
        weights[media_range] = max(weight, weights.get(media_range, 0.0))
    return weights
