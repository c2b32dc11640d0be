"""What a model is made for: from `controlmesh.json` in its source, changed by options of the command."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from export.errors import SourceRefused
from export.hostile import read_object, shown
from families.defaults import Defaults, Size, check_sizes

FILE = "controlmesh.json"
_SIZE = re.compile(r"([1-9][0-9]{0,4})(?:x([1-9][0-9]{0,4}))?")
_SCHEDULER = re.compile(r"[A-Z][A-Za-z0-9]{0,60}Scheduler")


_SILENT = Defaults()


@dataclass(frozen=True, slots=True)
class MadeFor:
    """For a model's card: see `families.manifest.Manifest`."""

    defaults: Defaults = _SILENT
    trained_sizes: tuple[Size, ...] = ()


@dataclass(frozen=True, slots=True)
class Wished:
    """Options of the command, each taking the place of what the source says; empty or None: not given."""

    size: str = ""
    steps: int | None = None
    guidance: float | None = None
    scheduler: str = ""
    trained_sizes: Sequence[str] = ()


def made_for(root: Path | None, wished: Wished, suited: Defaults = _SILENT) -> MadeFor:
    """What a model is made for.

    Args:
        root: its folder, which may have FILE; None: a model in a single file.
        wished: options of the command, which take precedence.
        suited: what its family sees in its configurations, which counts least.

    Raises SourceRefused for a value that is out of range or of another type, in the file or in an option.
    """
    try:
        found = read_object(root / FILE, FILE) if root is not None else {}
    except FileNotFoundError:
        found = {}
    given: dict[str, Any] = {
        "size": size_of(wished.size) if wished.size else None,
        "steps": wished.steps,
        "guidance_scale": wished.guidance,
        "scheduler": wished.scheduler or None,
        "trained_sizes": [size_of(text) for text in wished.trained_sizes] or None,
    }
    seen = {name: getattr(suited, name) for name in Defaults.__struct_fields__}
    merged = {name: value for name, value in seen.items() if value is not None} | found
    merged |= {name: value for name, value in given.items() if value is not None}
    sizes = merged.pop("trained_sizes", ())
    if unknown := sorted(merged.keys() - set(Defaults.__struct_fields__)):
        known = ", ".join((*Defaults.__struct_fields__, "trained_sizes"))
        raise SourceRefused(f"{FILE}: {shown(unknown[0])} is unknown; it may have {known}")
    try:
        made = MadeFor(msgspec.convert(merged, Defaults), msgspec.convert(sizes, tuple[Size, ...]))
        check_sizes(made.trained_sizes)
    except (msgspec.ValidationError, ValueError) as error:
        raise SourceRefused(f"defaults: {error}") from error
    scheduler = made.defaults.scheduler
    if scheduler is not None and not _SCHEDULER.fullmatch(scheduler):
        raise SourceRefused(f"defaults: {scheduler[:80]!r} is no name of a scheduler, such as UniPCMultistepScheduler")
    return made


def size_of(text: str) -> Size:
    """`text`, a side or WIDTHxHEIGHT in pixels, as a size. Raises SourceRefused."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise SourceRefused(f"{text[:40]!r} is no size: write a side such as 512, or WIDTHxHEIGHT")
    width = int(match[1])
    return width, int(match[2] or width)
