"""The options of an export, and the type of its progress reports."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from export.made_for import Wished
from export.place import Rename


@dataclass(frozen=True, slots=True)
class Options:
    """The options of an export. `tolerance`, `external_over`, `resident` and `rename` are changed only by tests."""

    repository: Path
    name: str
    target: str = "cpu"
    force: bool = False
    threads: int = 1
    """Threads inside one operator while verifying; more help a large model on an idle machine."""
    wished: Wished = Wished()
    """What the model is made for, where the source does not say it."""
    tolerance: float | None = None
    external_over: int | None = None
    resident: int | None = None
    rename: Rename = os.rename


# Called with a description of the step that begins, the steps done and the steps in total.
Progress = Callable[[str, int, int], None]


def quiet(doing: str, done: int, total: int) -> None:
    """A Progress that reports nothing."""
