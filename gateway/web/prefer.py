"""What a client prefers about waiting: the Prefer header (RFC 7240). What can't be read in it is passed over."""

import re
from dataclasses import dataclass

_PREFERENCE = re.compile(r"\s*(respond-async|wait\s*=\s*\"?(\d{1,9})\"?)\s*(?:;.*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Waiting:
    """How long the answer may be held back, and how Preference-Applied says so."""

    seconds: float
    applied: str


def read_prefer(header: str | None, longest_s: float) -> Waiting | None:
    """The preference; None without one.

    `respond-async` alone is not to wait, `wait=N` to wait N seconds, both together too (section 4.3). More than
    `longest_s` seconds are `longest_s`.
    """
    seconds: float | None = None
    is_async = False
    for entry in (header or "").split(","):
        match = _PREFERENCE.fullmatch(entry)
        if match and match[2] is None:
            is_async = True
        elif match and seconds is None:
            seconds = min(float(match[2]), longest_s)
    if seconds is None:
        return Waiting(0.0, "respond-async") if is_async else None
    return Waiting(seconds, f"respond-async, wait={seconds:.0f}" if is_async else f"wait={seconds:.0f}")
