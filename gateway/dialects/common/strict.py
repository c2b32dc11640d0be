"""Strict field reader: JSON types within their limits. Keeps an echo of what was read.

Whole numbers may be written with a fraction of zero, as some JSON encoders do.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from families.limits import Range
from gateway.dialects.common.declared import Field, NoEffect, Sets, Table, Type, Undeclared
from gateway.dialects.common.reader import Phrases, Reader
from gateway.generation import numbers

_WORDS = {"true": True, "1": True, "false": False, "0": False}


class Strict(Reader):
    """A request's fields. null is the same as leaving a field out; unknown fields are ignored."""

    def __init__(self, sent: Mapping[str, Any], table: Table, phrases: Phrases) -> None:
        super().__init__(sent, table, phrases)
        self._told: dict[str, Any] = {}

    def raw(self, name: str) -> Any:
        """The value as sent; None if not set."""
        names = self.declared(name).names
        return next((self._sent[one] for one in names if self._sent.get(one) is not None), None)

    def was_sent(self, name: str) -> bool:
        """Whether the field was sent, even as null."""
        return any(one in self._sent for one in self.declared(name).names)

    def tell(self, name: str, value: Any) -> None:
        """Put `value` into the echo for the field."""
        self._told[self.declared(name).name] = value

    def echo(self) -> dict[str, Any]:
        """The fields that were read, in the order in which they were sent."""
        return {name: self._told[name] for name in self._sent if name in self._told}

    def text(self, name: str) -> str | None:
        """Text; None if not set.

        Raises:
            InvalidInput: not a string.
        """
        self.declared(name, Type.TEXT, Type.PICTURE)
        value = self.raw(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self._phrases.wrong(name, "a string", value)
        self.tell(name, value)
        return value

    def required(self, name: str) -> str:
        """Text that must be set and not be empty.

        Raises:
            InvalidInput: missing, empty or not a string.
        """
        value = self.text(name)
        if value is None:
            raise self._phrases.missing(name)
        if not value.strip():
            raise self._phrases.empty(name)
        return value

    def number(self, name: str, default: float | None = None, limits: Range | None = None) -> float:
        """A number within limits; limits and default are the arguments, else the declared ones.

        Raises:
            InvalidInput: not a number, or out of range.
        """
        field, value = self.declared(name, Type.NUMBER), self.raw(name)
        if value is None:
            return float(_known(name, "default", default, field.default))
        limits = _known(name, "limits", limits, field.limits)
        if isinstance(value, bool) or not isinstance(value, int | float) or not limits.holds(value):
            raise self._phrases.wrong(name, f"a number from {limits}", value)
        self.tell(name, value)
        return float(value)

    def whole(self, name: str, limits: Range | None = None) -> int:
        """A whole number within `limits`, else the declared ones.

        Raises:
            InvalidInput: not a whole number, or out of range.
        """
        field, value = self.declared(name, Type.WHOLE), self.raw(name)
        if value is None:
            return int(_known(name, "default", None, field.default))
        limits, number = _known(name, "limits", limits, field.limits), numbers.whole(value)
        if number is None or not limits.holds(number):
            raise self._phrases.wrong(name, f"a whole number from {limits}", value)
        self.tell(name, number)
        return number

    def flag(self, name: str) -> bool:
        """True or false; if not set, the declared default, else false.

        Raises:
            InvalidInput: neither.
        """
        field, value = self.declared(name, Type.FLAG), self.raw(name)
        if value is None:
            return bool(field.default)
        if not isinstance(value, bool):
            raise self._phrases.wrong(name, "a boolean", value)
        self.tell(name, value)
        return value

    def texts(self, name: str) -> Sequence[str]:
        """A list of strings of the declared length, which must be set.

        Raises:
            InvalidInput: missing, of another length, or not strings.
        """
        field, value = self.declared(name, Type.WORDS), self.raw(name)
        limits = _known(name, "limits", None, field.limits)
        if (
            not isinstance(value, list)
            or not limits.holds(len(value))
            or not all(isinstance(one, str) for one in value)
        ):
            raise self._phrases.wrong(name, f"an array of {limits} strings", value)
        self.tell(name, value)
        return value

    def unheard(self, fields: Iterable[Field]) -> Iterator[str]:
        """The remarks for those of `fields`, which have no effect, that request something.

        Raises:
            InvalidInput: a flag that is neither true nor false.
        """
        for field in fields:
            assert isinstance(field.effect, NoEffect)
            if self.flag(field.name) if field.type == Type.FLAG else self.raw(field.name):
                yield field.effect.remark

    def passed(self, fields: Iterable[Field]) -> dict[str, Any]:
        """Canonical name -> value as sent, of those of `fields` that were sent; the canonical request checks them. For
        fields of a control, the name within the control."""
        found: dict[str, Any] = {}
        for field in fields:
            assert isinstance(field.effect, Sets)
            if (value := self.raw(field.name)) is not None:
                found |= {name.rpartition(".")[2]: value for name in field.effect.names}
        return found


def typed(query: Mapping[str, str], table: Table, phrases: Phrases) -> dict[str, Any]:
    """Query parameters, which are text, converted to the declared JSON types.

    Raises:
        InvalidInput: not a number, or neither true nor false, where one is declared.
    """
    values: dict[str, Any] = dict(query)
    for name, field in table.items():
        if name not in query:
            continue
        text = query[name]
        try:
            if field.type in (Type.WHOLE, Type.NUMBER):
                values[name] = _number(text, field.type == Type.WHOLE)
            elif field.type == Type.FLAG:
                values[name] = _WORDS[text.lower()]
        except (ValueError, KeyError):
            expected = {Type.FLAG: "true or false", Type.WHOLE: "a whole number"}.get(field.type, "a number")
            raise phrases.wrong(name, expected, text) from None
    return values


def _number(text: str, whole: bool) -> float:
    number = numbers.written(text)
    if whole:
        number = numbers.whole(number)
    if number is None:
        raise ValueError(text)
    return number


def _known(name: str, what: str, given: Any, declared: Any) -> Any:
    if given is None and declared is None:
        raise Undeclared(f"{name} has no {what}")
    return declared if given is None else given
