"""The families of models: one row each."""

from collections.abc import Mapping

from families.family import Family
from families.sd15 import SD15

FAMILIES: Mapping[str, Family] = {family.name: family for family in (SD15,)}
"""Name in cards -> family."""
