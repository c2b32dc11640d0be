"""Fields of a tolerant dialect: numbers that are text, text that is null, yes and no in six spellings."""

import math
import re
from collections.abc import Mapping
from typing import Any

from families.limits import Range
from mesh.errors import InvalidInput

_YES = frozenset({"yes", "true", "1"})
_NO = frozenset({"no", "false", "0"})
_NOTHING = frozenset({"", "null"})
# What clients write where they have no picture.
_NO_PICTURE = _NOTHING | {"none", "no", "false"}
# A comma ends a picture's address only where another begins: addresses and data URLs have commas of their own.
_BETWEEN = re.compile(r",\s*(?=https?://|data:)", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://|data:", re.IGNORECASE)


class Fields:
    """A request's fields, read leniently: what is missing, null, "" or "null" is the default; too much is clamped.

    Args:
        sent: the fields as they came.

    Attributes:
        remarks: what was changed, one sentence each, for the caller.
    """

    def __init__(self, sent: Mapping[str, Any]) -> None:
        self._sent = sent
        self.remarks: list[str] = []

    def raw(self, *names: str) -> Any:
        """The first of `names` that says something, as it came; of a list its first element; None if none does."""
        for name in names:
            value = self._sent.get(name)
            if isinstance(value, list):
                value = value[0] if value else None
            if value is not None and not (isinstance(value, str) and value.strip().lower() in _NOTHING):
                return value
        return None

    def text(self, *names: str, default: str = "") -> str:
        """Text as it came, a number or flag as it is written in JSON.

        Raises:
            InvalidInput: an object.
        """
        value = self.raw(*names)
        if value is None:
            return default
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, str | int | float):
            return str(value)
        raise InvalidInput(f"The {_spoken(names[0])} must be a string.", field=names[0])

    def words(self, *names: str) -> list[str]:
        """The parts of a comma list, or of a JSON list, without blanks."""
        for name in names:
            value = self._sent.get(name)
            if isinstance(value, list):
                value = ",".join(str(part) for part in value)
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                parts = [part.strip() for part in str(value).split(",")]
                if kept := [part for part in parts if part.lower() not in _NOTHING]:
                    return kept
        return []

    def pictures(self, name: str) -> list[Any]:
        """What stands for pictures in a comma list or a JSON list, as it came, without what stands for none."""
        value = self._sent.get(name)
        if isinstance(value, str):
            parts = [part.strip() for part in _BETWEEN.split(value.strip())]
            value = [one for part in parts for one in ([part] if _ADDRESS.match(part) else part.split(","))]
        listed = value if isinstance(value, list) else [value]
        return [one for one in listed if not _no_picture(one)]

    def picture(self, name: str) -> Any:
        """The first of them; None if there is none."""
        return next(iter(self.pictures(name)), None)

    def flag(self, name: str, default: bool) -> bool:
        """Yes or no.

        Raises:
            InvalidInput: neither.
        """
        value = self.raw(name)
        word = str(value).strip().lower()
        if value is None:
            return default
        if word in _YES | _NO:
            return word in _YES
        raise InvalidInput(f"The {_spoken(name)} must be yes or no.", field=name)

    def number(self, *names: str, default: float, limits: Range) -> float:
        """A number, clamped to `limits`.

        Raises:
            InvalidInput: not a number.
        """
        value = self.raw(*names)
        return default if value is None else self.clamped(names[0], value, limits)

    def whole(self, *names: str, default: int, limits: Range) -> int:
        """A whole number, rounded down and clamped to `limits`.

        Raises:
            InvalidInput: not a number.
        """
        return int(self.number(*names, default=default, limits=limits))

    def clamped(self, name: str, value: Any, limits: Range) -> float:
        """`value` as a number within `limits`, with a remark where that changed it."""
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise InvalidInput(f"The {_spoken(name)} must be a number.", field=name)
        kept = float(limits.clamp(number))
        if kept != number:
            self.remarks.append(f"{name} was set to {kept:g}; it may be {limits.minimum:g} to {limits.maximum:g}.")
        return kept


def missing(name: str) -> InvalidInput:
    """The error for a required field that says nothing."""
    return InvalidInput(f"The {_spoken(name)} field is required.", field=name)


def _no_picture(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, str) and value.strip().lower() in _NO_PICTURE)


def _spoken(name: str) -> str:
    return name.replace("_", " ")
