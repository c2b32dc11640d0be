"""Numbers as clients spell them: 20, 20.0 and 2e1 are one whole number; true is none."""

import math
import re

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?P<point>\.[0-9]*)?|(?P<bare>\.[0-9]+))(?P<exponent>[eE][+-]?[0-9]{1,4})?")
_LONGEST = 400
"""Characters of a number as text; Python's limit for whole numbers is beyond."""


def whole(value: object) -> int | None:
    """`value` as a whole number, if it is one: an integer, or a float without a fraction. Booleans are none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, float) and value.is_integer() else None


def written(text: str) -> int | float | None:
    """The finite number that `text` is, blanks around it aside; None if it is none.

    Digits alone become an integer with every digit, whatever its length; a point or an exponent makes a float.
    """
    found = _NUMBER.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    if found is None:
        return None
    if not any(found.group("point", "bare", "exponent")):
        return int(found[0])
    number = float(found[0])
    return number if math.isfinite(number) else None
