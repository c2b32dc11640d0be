"""Base of the lenient and the strict field reader."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.dialects.common.declared import Field, NoEffect, Table, Type, Undeclared
from mesh.errors import InvalidInput


@dataclass(frozen=True)
class Phrases:
    """A dialect's error messages about fields.

    Attributes:
        wrong: for a field's name, what it must be ("a number") and what was sent.
        missing: for the name of a required field that was not sent.
        empty: for the name of a required field that is empty.
    """

    wrong: Callable[[str, str, object], InvalidInput]
    missing: Callable[[str], InvalidInput]
    empty: Callable[[str], InvalidInput]


class Reader:
    """A request's fields.

    Args:
        sent: the fields as sent.
        table: the declared fields.
        phrases: error messages.

    Attributes:
        remarks: sentences for the caller about what was not used as sent.
    """

    def __init__(self, sent: Mapping[str, Any], table: Table, phrases: Phrases) -> None:
        self._sent = sent
        self._table = table
        self._phrases = phrases
        self.remarks: list[str] = []

    def declared(self, name: str, *types: Type) -> Field:
        """The declaration of a field.

        Raises:
            Undeclared: it is not declared, or has none of the `types`, if any are given.
        """
        field = self._table[name]
        if types and field.type not in types:
            raise Undeclared(f"{name} is declared as {field.type} and read as {types[0]}")
        return field

    def remark(self, name: str) -> None:
        """Add the declared remark of a field that has no effect."""
        effect = self.declared(name).effect
        if not isinstance(effect, NoEffect):
            raise Undeclared(f"{name} is declared to have an effect")
        self.remarks.append(effect.remark)

    def verbatim(self, name: str) -> Any:
        """The field's value as sent: the first non-empty one of its name and aliases; None if there is none."""
        names = self.declared(name).names
        return next((self._sent[one] for one in names if self._sent.get(one)), self._sent.get(name))
