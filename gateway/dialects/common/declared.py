"""Declarations of a dialect's request fields: names, types, limits and effects.

The readers read only declared fields, and everything else about a field is derived from its declaration.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from families.limits import MOST_CONTROLS, Range


class Type(StrEnum):
    """The type of a field."""

    TEXT = "text"
    WORDS = "words"
    """A list of words, comma-separated or as a JSON array."""
    FLAG = "flag"
    WHOLE = "whole"
    NUMBER = "number"
    NUMBERS = "numbers"
    PICTURE = "picture"
    PICTURES = "pictures"
    OBJECT = "object"
    ANY = "any"


@dataclass(frozen=True)
class Sets:
    """The field sets these fields of the canonical request, of the order or of another request; `controls.weight` is
    the weight of every control."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Decides:
    """The field has an effect only within its dialect; `what` completes the sentence "It decides ..."."""

    what: str


@dataclass(frozen=True)
class NoEffect:
    """The field is known but has no effect.

    Attributes:
        remark: the remark for callers who request something with it; "" for none.
        unless: values, other than negative ones, that request nothing.
    """

    remark: str = ""
    unless: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """A request in which the field is set is refused."""

    error: str


Effect = Sets | Decides | NoEffect | Refused


@dataclass(frozen=True)
class Field:
    """A field of a request body.

    Attributes:
        name: its name in the documentation and in errors.
        type: its type.
        effect: its effect.
        limits: range of a number, or of the length of a list; None: unlimited, or dependent on the model.
        default: its default; None: there is none, or `note` explains it.
        required: whether a request without it is refused; `note` may name exceptions.
        spellings: aliases, which count if it is not set itself.
        note: for people: what its default, its limits or its being required depend on.
        counted_from: the vendor's number for what is 0 in the canonical request.
    """

    name: str
    type: Type
    effect: Effect
    limits: Range | None = None
    default: Any = None
    required: bool = False
    spellings: tuple[str, ...] = ()
    note: str = ""
    counted_from: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Its name and its aliases."""
        return (self.name, *self.spellings)


class Undeclared(LookupError):
    """A bug: the code reads an undeclared field, or reads it as another type."""


class Table(Mapping[str, Field]):
    """The declared fields of a body, by name.

    Args:
        fields: in the order of the documentation; names and aliases must be unique.
    """

    def __init__(self, *fields: Field) -> None:
        self._fields = {field.name: field for field in fields}
        names = [name for field in fields for name in field.names]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"declared twice: {', '.join(sorted(twice))}")

    def __getitem__(self, name: str) -> Field:
        """The field of this name; Undeclared."""
        if name not in self._fields:
            raise Undeclared(f"{name} is read and not declared")
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __contains__(self, name: object) -> bool:
        return name in self._fields


def sets(*names: str) -> Sets:
    """The effect of setting these fields."""
    return Sets(names)


def counts(fields: Iterable[Field]) -> dict[str, int]:
    """Field -> the vendor's number for what is 0 in the canonical request, where that is not 0; for errors."""
    return {field.name: field.counted_from for field in fields if field.counted_from}


def spoken(fields: Sequence[Field]) -> dict[str, str]:
    """Canonical name -> the first field that sets it, to rename errors of the canonical request.

    The field with a control's picture depends on the request, so it is left out.
    """
    found: dict[str, str] = {}
    for field in fields:
        for name in field.effect.names if isinstance(field.effect, Sets) else ():
            start, dot, end = name.partition(".")
            canonical = [f"{start}[{index}].{end}" for index in range(MOST_CONTROLS)] if dot else [name]
            if name != "controls.image":
                found |= {one: field.name for one in canonical if one not in found}
    return found
