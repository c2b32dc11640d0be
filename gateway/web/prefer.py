"""The Prefer header (RFC 7240): how long a client wants to wait. What can't be parsed in it is ignored."""

import re
from dataclasses import dataclass

_PREFERENCE = re.compile(r"\s*(respond-async|wait\s*=\s*\"?(\d{1,9})\"?)\s*(?:;.*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Waiting:
    """How long the answer may be held back in seconds, and the value of Preference-Applied."""

    seconds: float
    applied: str


def read_prefer(header: str | None, longest_s: float) -> Waiting | None:
    """Parse the preference; None if there is none.

    `respond-async` alone means not to wait, `wait=N` to wait N seconds, with or without it (section 4.3). `longest_s`
    is the maximum.
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
