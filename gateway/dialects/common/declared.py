"""Fields of requests as a dialect declares them, once: their names, what they may hold, and what they do here.

The readers read nothing that is not declared, and what is told of a field elsewhere is made from its declaration.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from families.limits import MOST_CONTROLS, Range


class Type(StrEnum):
    """What a field holds."""

    TEXT = "text"
    WORDS = "words"
    """A list of words: with commas between, or in JSON."""
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
    """The field sets these of the canonical request, of an order, or of what else is asked for; `controls.weight` is
    that of every control."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Decides:
    """The field acts in its own dialect alone; `what` ends the sentence "It decides ..."."""

    what: str


@dataclass(frozen=True)
class NoEffect:
    """The field is known and nothing comes of it.

    Attributes:
        remark: what a caller is told who asks for something by it; "" for nothing.
        unless: values, beside those that say no, that ask for nothing.
    """

    remark: str = ""
    unless: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """A request in which the field says something is refused."""

    error: str


Effect = Sets | Decides | NoEffect | Refused


@dataclass(frozen=True)
class Field:
    """One field of a body.

    Attributes:
        name: as it is documented and named in errors.
        type: what it holds.
        effect: what it does here.
        limits: of its number, or of how many a list holds; None: there are none, or they depend on the model.
        default: what counts where nothing is sent; None: there is none, or `note` has it.
        required: whether a request without it is refused, at least unless `note` says otherwise.
        spellings: other names for it, that count where it says nothing itself.
        note: on what its default, its limits or its being required depends, for people.
    """

    name: str
    type: Type
    effect: Effect
    limits: Range | None = None
    default: Any = None
    required: bool = False
    spellings: tuple[str, ...] = ()
    note: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """All of its names, its own first."""
        return (self.name, *self.spellings)


class Undeclared(LookupError):
    """A mistake of the code: it reads a field that its table has not, or as what it is not."""


class Table(Mapping[str, Field]):
    """The fields of one body by name.

    Args:
        fields: in the order in which they are documented; no name, and no spelling, twice.
    """

    def __init__(self, *fields: Field) -> None:
        self._fields = {field.name: field for field in fields}
        names = [name for field in fields for name in field.names]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"declared twice: {', '.join(sorted(twice))}")

    def __getitem__(self, name: str) -> Field:
        """The field of that name; Undeclared."""
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
    """The effect of setting `names`."""
    return Sets(names)


def spoken(fields: Sequence[Field]) -> dict[str, str]:
    """Canonical name -> the field that sets it, the first of several, for errors that come from further on.

    Which field a control's picture came in depends on the request; it is left out.
    """
    found: dict[str, str] = {}
    for field in fields:
        for name in field.effect.names if isinstance(field.effect, Sets) else ():
            start, dot, end = name.partition(".")
            canonical = [f"{start}[{index}].{end}" for index in range(MOST_CONTROLS)] if dot else [name]
            if name != "controls.image":
                found |= {one: field.name for one in canonical if one not in found}
    return found
