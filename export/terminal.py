"""What both commands of `python -m export` show and take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from export.exporter import Progress

REPOSITORY = Path(__file__).parents[1] / "model_repository"


class Target(StrEnum):
    """Machines that a configuration can be written for."""

    CPU = "cpu"
    GPU = "gpu"


@contextmanager
def showing(console: Console) -> Iterator[Progress]:
    """A Progress that draws a bar within it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("checking", total=None)
        yield lambda doing, done, total: bar.update(task, description=doing, completed=done, total=total)
