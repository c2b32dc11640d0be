"""The families that can be exported: one row each."""

from collections.abc import Mapping

from export.families.family import ExportFamily
from export.families.sd15 import Sd15

FAMILIES: Mapping[str, ExportFamily] = {family.name: family for family in (Sd15(),)}
"""Name in cards -> family."""
