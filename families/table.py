"""The families of models: one row each."""

from collections.abc import Mapping

from families.facts import ModelFacts
from families.family import Family
from families.flux import FLUX
from families.sd15 import SD15
from families.sdxl import SDXL

FAMILIES: Mapping[str, Family] = {family.name: family for family in (SD15, SDXL, FLUX)}
"""Name in cards -> family."""


def family_of(facts: ModelFacts) -> Family:
    """The family of a model."""
    return FAMILIES[facts.family]
