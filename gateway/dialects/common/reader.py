"""Base of the lenient and the strict field reader."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.dialects.common.declared import Field, NoEffect, Table, Type, Undeclared, spoken
from gateway.dialects.common.strangers import not_used
from gateway.generation.foreign import is_elsewhere, meant
from mesh.errors import InvalidInput
from mesh.suggestions import closest, words_of


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
        others: the fields of the dialect's other requests, by what those are called.

    Attributes:
        remarks: sentences for the caller about what was not used as sent.
    """

    def __init__(
        self, sent: Mapping[str, Any], table: Table, phrases: Phrases, others: Mapping[str, Table] | None = None
    ) -> None:
        self._sent = sent
        self._table = table
        self._phrases = phrases
        self._others = others or {}
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

    def unknown(self) -> Iterator[str]:
        """The remarks for what was sent and is no field of this body, with what may have been meant."""
        known = {one for field in self._table.values() for one in field.names}
        # null asks for nothing, as everywhere.
        strange = [name for name, value in self._sent.items() if name not in known and value not in (None, "")]
        return not_used(strange, self._advice, "fields")

    def _advice(self, name: str) -> str:
        if elsewhere := [other for other, table in self._others.items() if name in table and _used(table[name])]:
            *most, last = elsewhere
            where = f"{', '.join(most)} and {last} have" if most else f"{last} has"
            return f"this request has no such field; {where} it."
        found = self._meant(name)
        # What was sent is no news, and what has no effect no help.
        if found and _used(self._table[found]) and not self._is_sent(found):
            return f"did you mean {found}?"
        return "this request has no such field."

    def _is_sent(self, name: str) -> bool:
        return any(self._sent.get(one) not in (None, "") for one in self._table[name].names)

    def _meant(self, name: str) -> str | None:
        """The field that `name` most likely means, by its letters or in another program's words."""
        here = spoken(tuple(self._table.values()))
        plain = {canonical.rpartition(".")[2]: one for canonical, one in here.items()}
        found = closest(name, self._table)
        if found and set(words_of(found)) < set(words_of(name)) and is_elsewhere("field", name, plain):
            # A word within another program's name for what is not here, as `prompt` in num_images_per_prompt.
            return None
        return found or plain.get(meant("field", name, plain) or "")

    def verbatim(self, name: str) -> Any:
        """The field's value as sent: the first non-empty one of its name and aliases; None if there is none."""
        names = self.declared(name).names
        return next((self._sent[one] for one in names if self._sent.get(one)), self._sent.get(name))


def _used(field: Field) -> bool:
    return not isinstance(field.effect, NoEffect)
