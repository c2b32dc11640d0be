"""What the readers of fields have in common, lenient or strict."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.dialects.common.declared import Field, NoEffect, Table, Type, Undeclared
from mesh.errors import InvalidInput


@dataclass(frozen=True)
class Phrases:
    """How a dialect words its errors.

    Attributes:
        wrong: of a field's name, what it must be ("a number") and what was sent.
        missing: of the name of a required field that was not sent.
        empty: of the name of a required field that says nothing.
    """

    wrong: Callable[[str, str, object], InvalidInput]
    missing: Callable[[str], InvalidInput]
    empty: Callable[[str], InvalidInput]


class Reader:
    """A request's fields.

    Args:
        sent: the fields as they came.
        table: those that may be read.
        phrases: of the errors.

    Attributes:
        remarks: sentences for the caller about what was not taken as sent.
    """

    def __init__(self, sent: Mapping[str, Any], table: Table, phrases: Phrases) -> None:
        self._sent = sent
        self._table = table
        self._phrases = phrases
        self.remarks: list[str] = []

    def declared(self, name: str, *types: Type) -> Field:
        """The declaration of a field.

        Raises:
            Undeclared: there is none, or it is of none of the `types`, if there are any.
        """
        field = self._table[name]
        if types and field.type not in types:
            raise Undeclared(f"{name} is declared as {field.type} and read as {types[0]}")
        return field

    def remark(self, name: str) -> None:
        """Tell the caller that the field, which has no effect, has none."""
        effect = self.declared(name).effect
        if not isinstance(effect, NoEffect):
            raise Undeclared(f"{name} is declared to have an effect")
        self.remarks.append(effect.remark)

    def verbatim(self, name: str) -> Any:
        """What was sent for the field, untouched: of its spellings the first that is not empty; None if none is."""
        names = self.declared(name).names
        return next((self._sent[one] for one in names if self._sent.get(one)), self._sent.get(name))
