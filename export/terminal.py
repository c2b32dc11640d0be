"""What the commands of `python -m export` show and take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from export.errors import ExportError
from export.options import Progress

REPOSITORY = Path(__file__).parents[1] / "model_repository"


class Target(StrEnum):
    """Machines that a configuration can be written for."""

    CPU = "cpu"
    GPU = "gpu"


InRepository = Annotated[
    Path, typer.Option(help="Where Triton's models stand.", file_okay=False, show_default="model_repository")
]
ForTarget = Annotated[
    Target, typer.Option(help="The machine that config.pbtxt is written for; `gpu` asks for TensorRT.")
]
Force = Annotated[bool, typer.Option("--force", help="Export again even if nothing changed.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads for verifying; more help a large model on an idle machine.")]
Offline = Annotated[bool, typer.Option("--offline", help="Take hub ids from the local cache only; open no connection.")]
ConfigsOnly = Annotated[bool, typer.Option("--configs-only", help="Rewrite only config.pbtxt files; trace nothing.")]
CheckConfigs = Annotated[
    bool, typer.Option("--check-configs", help="Write nothing; fail if a config.pbtxt is not fresh.")
]


@contextmanager
def telling(console: Console, done: str) -> Iterator[None]:
    """Say why something was not `done`, in the words of an ExportError within, and end with its exit status."""
    try:
        yield
    except ExportError as error:
        # A name in brackets is no markup.
        console.print(f"[bold red]not {done}:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(error.exit_code) from None


@contextmanager
def showing(console: Console) -> Iterator[Progress]:
    """A Progress that draws a bar within it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("checking", total=None)
        yield lambda doing, done, total: bar.update(task, description=doing, completed=done, total=total)
