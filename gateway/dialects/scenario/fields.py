"""Fields of the Scenario dialect: strict JSON, errors that begin with the field's name in quotes, an echo of what was
read. Whole numbers may have a fraction of zero, which some JSON writers give them.

Source: the vendor's reference and its SDKs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from families.limits import Range
from mesh.errors import InvalidInput

_LONGEST_SHOWN = 80


class Fields:
    """A request's fields. null is as good as leaving a field out; fields that nobody asks for are ignored.

    Args:
        sent: the body.

    Attributes:
        remarks: sentences for the caller about what was not taken as sent.
    """

    def __init__(self, sent: Mapping[str, Any]) -> None:
        self._sent = sent
        self._told: dict[str, Any] = {}
        self.remarks: list[str] = []

    def raw(self, name: str) -> Any:
        """The value as it came; None if there is none."""
        return self._sent.get(name)

    def tell(self, name: str, value: Any) -> None:
        """Echo `value` for the field."""
        self._told[name] = value

    def echo(self) -> dict[str, Any]:
        """What was sent and counted, in the order of sending."""
        return {name: self._told[name] for name in self._sent if name in self._told}

    def text(self, name: str) -> str | None:
        """Text; None if there is none."""
        value = self.raw(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise wrong(name, "a string", value)
        self.tell(name, value)
        return value

    def required(self, name: str) -> str:
        """Text that must be there and not be empty.

        Raises:
            InvalidInput: it is not.
        """
        value = self.text(name)
        if value is None:
            raise InvalidInput(f'"{name}" must be a string', field=name)
        if not value.strip():
            raise InvalidInput(f'"{name}" is not allowed to be empty', field=name)
        return value

    def number(self, name: str, default: float, limits: Range) -> float:
        """A number within `limits`."""
        value = self.raw(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not limits.holds(value):
            raise wrong(name, f"a number from {limits}", value)
        self.tell(name, value)
        return float(value)

    def whole(self, name: str, default: int, limits: Range) -> int:
        """A whole number within `limits`."""
        value = self.raw(name)
        if value is None:
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not limits.holds(value):
            raise wrong(name, f"a whole number from {limits}", self.raw(name))
        self.tell(name, value)
        return value

    def flag(self, name: str) -> bool:
        """True or false; false if there is none."""
        value = self.raw(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise wrong(name, "a boolean", value)
        self.tell(name, value)
        return value

    def texts(self, name: str, most: int) -> Sequence[str]:
        """A list of 1 to `most` strings that must be there."""
        value = self.raw(name)
        if not isinstance(value, list) or not 0 < len(value) <= most or not all(isinstance(one, str) for one in value):
            raise wrong(name, f"an array of 1 to {most} strings", value)
        self.tell(name, value)
        return value


def wrong(name: str, expected: str, value: object) -> InvalidInput:
    """The error that says what `name` must be and what was sent."""
    sent = repr(value)
    shown = sent if len(sent) <= _LONGEST_SHOWN else sent[: _LONGEST_SHOWN - 3] + "..."
    return InvalidInput(f'"{name}" must be {expected}, not {shown}', field=name)
