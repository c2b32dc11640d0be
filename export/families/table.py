"""The families that can be exported: one row each."""

from collections.abc import Mapping

from export.families.family import ExportFamily
from export.families.flux import Flux
from export.families.sd15 import Sd15
from export.families.sdxl import Sdxl

FAMILIES: Mapping[str, ExportFamily] = {family.name: family for family in (Sd15(), Sdxl(), Flux())}
"""Name in cards -> family."""
