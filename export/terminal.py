"""Options and output that the commands of `python -m export` share."""

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
from export.hostile import one_line
from export.options import Progress

REPOSITORY = Path(__file__).parents[1] / "model_repository"


class Target(StrEnum):
    """Machines for which configurations can be written."""

    CPU = "cpu"
    GPU = "gpu"


InRepository = Annotated[
    Path, typer.Option(help="Triton's model repository.", file_okay=False, show_default="model_repository")
]
ForTarget = Annotated[Target, typer.Option(help="The machine for which config.pbtxt is written; `gpu` uses TensorRT.")]
Force = Annotated[bool, typer.Option("--force", help="Export again even if nothing changed.")]
Threads = Annotated[
    int, typer.Option(min=1, help="Threads for verification; more help with a large model on an idle machine.")
]
Offline = Annotated[bool, typer.Option("--offline", help="Use only the local cache for hub ids; open no connection.")]
ConfigsOnly = Annotated[bool, typer.Option("--configs-only", help="Only rewrite config.pbtxt files; trace nothing.")]
CheckConfigs = Annotated[
    bool, typer.Option("--check-configs", help="Write nothing; fail if a config.pbtxt is out of date.")
]


@contextmanager
def telling(console: Console, done: str) -> Iterator[None]:
    """Print the message of an ExportError raised inside as "not `done`: ...", and exit with its status."""
    try:
        yield
    except ExportError as error:
        # Brackets in a message must not be read as markup.
        console.print(f"[bold red]not {done}:[/] {escape(one_line(str(error)))}", highlight=False, soft_wrap=True)
        raise typer.Exit(error.exit_code) from None


@contextmanager
def showing(console: Console) -> Iterator[Progress]:
    """Show a progress bar inside the context; yields its Progress."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("checking", total=None)
        yield lambda doing, done, total: bar.update(task, description=doing, completed=done, total=total)
