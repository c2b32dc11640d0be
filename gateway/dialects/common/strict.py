"""Reads fields strictly: JSON's own types, within their limits; and keeps an echo of what was read.

Whole numbers may have a fraction of zero, which some JSON writers give them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from families.limits import Range
from gateway.dialects.common.declared import Field, NoEffect, Sets, Table, Type, Undeclared
from gateway.dialects.common.reader import Phrases, Reader

_WORDS = {"true": True, "1": True, "false": False, "0": False}


class Strict(Reader):
    """A request's fields. null is as good as leaving a field out; fields that nobody asks for are ignored."""

    def __init__(self, sent: Mapping[str, Any], table: Table, phrases: Phrases) -> None:
        super().__init__(sent, table, phrases)
        self._told: dict[str, Any] = {}

    def raw(self, name: str) -> Any:
        """The value as it came; None if there is none."""
        names = self.declared(name).names
        return next((self._sent[one] for one in names if self._sent.get(one) is not None), None)

    def was_sent(self, name: str) -> bool:
        """Whether the field is there, and be it as null."""
        return any(one in self._sent for one in self.declared(name).names)

    def tell(self, name: str, value: Any) -> None:
        """Echo `value` for the field."""
        self._told[self.declared(name).name] = value

    def echo(self) -> dict[str, Any]:
        """What was sent and counted, in the order of sending."""
        return {name: self._told[name] for name in self._sent if name in self._told}

    def text(self, name: str) -> str | None:
        """Text; None if there is none.

        Raises:
            InvalidInput: no text.
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
        """Text that must be there and not be empty.

        Raises:
            InvalidInput: it is not.
        """
        value = self.text(name)
        if value is None:
            raise self._phrases.missing(name)
        if not value.strip():
            raise self._phrases.empty(name)
        return value

    def number(self, name: str, default: float | None = None, limits: Range | None = None) -> float:
        """A number within limits; those and the default are the call's, else the declared ones.

        Raises:
            InvalidInput: no number, or one outside.
        """
        field, value = self.declared(name, Type.NUMBER), self.raw(name)
        if value is None:
            return float(_known(name, "default", default, field.default))
        limits = _known(name, "limits", limits, field.limits)
        if isinstance(value, bool) or not isinstance(value, int | float) or not limits.holds(value):
            raise self._phrases.wrong(name, f"a number from {limits}", value)
        self.tell(name, value)
        return float(value)

    def whole(self, name: str) -> int:
        """A whole number within the declared limits.

        Raises:
            InvalidInput: no whole number, or one outside.
        """
        field, value = self.declared(name, Type.WHOLE), self.raw(name)
        if value is None:
            return int(_known(name, "default", None, field.default))
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        limits = _known(name, "limits", None, field.limits)
        if isinstance(value, bool) or not isinstance(value, int) or not limits.holds(value):
            raise self._phrases.wrong(name, f"a whole number from {limits}", self.raw(name))
        self.tell(name, value)
        return value

    def flag(self, name: str) -> bool:
        """True or false; the declared default, else false, if there is none.

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
        """A list of strings, as many as are declared, that must be there.

        Raises:
            InvalidInput: it is not, or holds anything else.
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
        """The remarks on those of `fields`, which have no effect, that ask for something.

        Raises:
            InvalidInput: a flag that is none.
        """
        for field in fields:
            assert isinstance(field.effect, NoEffect)
            if self.flag(field.name) if field.type == Type.FLAG else self.raw(field.name):
                yield field.effect.remark

    def passed(self, fields: Iterable[Field]) -> dict[str, Any]:
        """Of those of `fields` that were sent, the canonical name and the value as it came, for the canonical request
        to check; of a control's fields the name in the control."""
        found: dict[str, Any] = {}
        for field in fields:
            assert isinstance(field.effect, Sets)
            if (value := self.raw(field.name)) is not None:
                found |= {name.rpartition(".")[2]: value for name in field.effect.names}
        return found


def typed(query: Mapping[str, str], table: Table, phrases: Phrases) -> dict[str, Any]:
    """Parameters of a URL, which are text, as the values that JSON would have had.

    Raises:
        InvalidInput: no number, or neither true nor false, where the table wants that.
    """
    values: dict[str, Any] = dict(query)
    for name, field in table.items():
        if name not in query:
            continue
        text = query[name]
        try:
            if field.type == Type.WHOLE:
                values[name] = int(text)
            elif field.type == Type.NUMBER:
                values[name] = float(text)
            elif field.type == Type.FLAG:
                values[name] = _WORDS[text.lower()]
        except (ValueError, KeyError):
            raise phrases.wrong(name, "true or false" if field.type == Type.FLAG else "a number", text) from None
    return values


def _known(name: str, what: str, given: Any, declared: Any) -> Any:
    if given is None and declared is None:
        raise Undeclared(f"{name} has no {what}")
    return declared if given is None else given
