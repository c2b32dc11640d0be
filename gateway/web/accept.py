"""Content negotiation: the offered media type that a client's Accept header prefers (RFC 9110, section 12.5.1)."""

import math
from collections.abc import Sequence


def parse_accept(header: str) -> list[tuple[str, float]]:
    """Media ranges with their quality, in the header's order; malformed ranges and other parameters are dropped."""
    ranges = []
    for entry in header.split(","):
        media_range, *parameters = (part.strip().lower() for part in entry.split(";"))
        kind, slash, subtype = media_range.partition("/")
        if not (kind and slash and subtype):
            continue
        ranges.append((media_range, _quality(parameters)))
    return ranges


def negotiate(header: str | None, offered: Sequence[str], anything: str) -> str | None:
    """The media type to answer with.

    Args:
        header: the Accept header; None or blank takes `anything`.
        offered: media types that can be sent, the preferred first where the client leaves the choice within `type/*`.
        anything: the type for `*/*`.

    Returns:
        The type of the highest quality; among equals the most specific range, then the first in the header; None if
        nothing fits.
    """
    if not (header or "").strip():
        return anything
    ranges = parse_accept(header or "")
    refused = {media_range for media_range, quality in ranges if quality == 0}
    wanted = [entry for entry in ranges if entry[1] > 0]
    # sorted() is stable: equals stay in the header's order.
    for media_range, _ in sorted(wanted, key=lambda entry: (-entry[1], entry[0].count("*"))):
        if media_range == "*/*":
            candidates = [anything, *offered]
        elif media_range.endswith("/*"):
            candidates = [name for name in offered if name.startswith(media_range[:-1])]
        else:
            candidates = [name for name in offered if name == media_range]
        for candidate in candidates:
            if candidate not in refused:
                return candidate
    return None


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 1.0
            return min(max(quality, 0.0), 1.0) if math.isfinite(quality) else 1.0
    return 1.0
