"""Derive `ModelFacts` from the source's configuration files, without weights."""

from __future__ import annotations

from export.errors import SourceRefused
from export.families.table import FAMILIES
from export.hostile import refusing, shown
from export.parts import Source
from families.annotators import folder_name
from families.facts import ModelFacts, is_name

ANNOTATORS = folder_name("")
"""Prefix of annotators' folders; a model with such a name would write its graphs among them."""


def facts_of(source: Source, name: str) -> ModelFacts:
    """The facts of the model `name`. Raises SourceRefused for an unusable name or tokenizer."""
    with refusing("source"):
        return _facts(source, name)


def _facts(source: Source, name: str) -> ModelFacts:
    if not is_name(name):
        raise SourceRefused(
            f"{shown(name)} is not a valid name: use at most 64 lower-case letters, digits and single '-' or '_'"
        )
    if f"{name}_".startswith(ANNOTATORS):
        raise SourceRefused(
            f"{name!r} is not available: names that begin with {ANNOTATORS!r} are for annotators; give another --name"
        )
    try:
        facts = FAMILIES[source.family].facts(source, name)
    except ValueError as error:
        raise SourceRefused(str(error)) from error
    if source.control is not None and facts.own_control is None:
        raise SourceRefused(
            "--control-kind is for a model that reads a control picture beside the latents, such as FLUX.1-Canny-dev; "
            "this one reads none"
        )
    return facts
