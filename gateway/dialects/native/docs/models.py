"""Generates pydantic models from declared fields: bodies of requests and settings in records."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, Field
from types import GenericAlias
from typing import Any

import pydantic

from gateway.generation.declared import Declared, default_of, fields_of

Models = Mapping[type, type[pydantic.BaseModel]]
"""Dataclass with declared fields -> its model."""

_KEYWORDS = {
    "minimum": "ge",
    "maximum": "le",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "maxItems": "max_length",
}
"""JSON Schema keywords by pydantic's names for them."""


def request_model(name: str, *sources: type, without: Collection[str] = (), nested: Models | None = None) -> Any:
    """The model of a request: pictures are text, and optional fields have their defaults.

    Args:
        name: of the model.
        sources: dataclasses with declared fields.
        without: names of fields to leave out.
        nested: models of the dataclasses of nested fields.
    """
    return _model(
        name,
        {
            field.name: (
                str | None if declared.is_picture else _kind(field, declared, nested or {}),
                pydantic.Field(
                    **({} if default_of(field) is MISSING else {"default": _json(default_of(field))}),
                    description=declared.words,
                    examples=list(declared.examples) or None,
                    **_limits(declared),
                ),
            )
            for field, declared in _fields(sources, without)
        },
    )


def record_model(name: str, source: type, nested: Models | None = None) -> Any:
    """The model of the settings in a record: all fields except pictures, all of them required.

    Args:
        name: of the model.
        source: dataclass with declared fields.
        nested: models of the dataclasses of nested fields.
    """
    return _model(
        name,
        {
            field.name: (_kind(field, declared, nested or {}), pydantic.Field(description=declared.words))
            for field, declared in _fields((source,), ())
            if not declared.is_picture
        },
    )


def _model(name: str, fields: dict[str, Any]) -> Any:
    return pydantic.create_model(name, **fields)


def _fields(sources: Collection[type], without: Collection[str]) -> Iterator[tuple["Field[Any]", Declared]]:
    return (
        (field, declared) for source in sources for field, declared in fields_of(source) if field.name not in without
    )


def _kind(field: "Field[Any]", declared: Declared, nested: Models) -> Any:
    return field.type if declared.nested is None else GenericAlias(list, (nested[declared.nested],))


def _json(default: Any) -> Any:
    return list(default) if isinstance(default, tuple) else default


def _limits(declared: Declared) -> dict[str, Any]:
    known = dict(declared.limits)
    named = {name: known.pop(keyword) for keyword, name in _KEYWORDS.items() if keyword in known}
    return {**named, "json_schema_extra": known or None}
