"""`python -m export remove NAME`: a model's way out of the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from export.errors import ExportError, SourceRefused
from export.place import Placement
from export.terminal import REPOSITORY
from families.graphs import repository_names
from families.manifest import ManifestError, is_name, read_manifest

PROGRAM = "python -m export remove"
app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command()
def main(
    name: Annotated[str, typer.Argument(help="The model's name in the mesh.")],
    repository: Annotated[
        Path,
        typer.Option(help="Where Triton's models stand.", file_okay=False, show_default="model_repository"),
    ] = REPOSITORY,
) -> None:
    """Take a model out of the repository: its card, its tokenizer, its graphs and their configurations.

    All of it goes, or nothing. A running mesh stops offering the model within seconds.

    Exit status: 0 done, 2 wrong usage, 3 no such model, 7 an export of this model is running.
    """
    console = Console(stderr=True)
    try:
        gone = remove(repository, name)
    except ExportError as error:
        console.print(f"[bold red]not removed:[/] {error}", highlight=False, soft_wrap=True)
        raise typer.Exit(error.exit_code) from None
    console.print(f"{name}: removed ({len(gone)} folders)")


def remove(repository: Path, name: str) -> frozenset[str]:
    """Take the model out; the folders that went.

    Raises SourceRefused if there is no such model and Busy while it is exported; nothing is changed then.
    """
    if not is_name(name):
        raise SourceRefused(f"{name!r} is not a name: use lower-case letters, digits and single '-' or '_'")
    placement = Placement(repository, name)
    with placement.exclusive():
        try:
            card = read_manifest(repository, name)
        except ManifestError as error:
            raise SourceRefused(str(error)) from None
        folders = (*repository_names(card), card.name)
        there = frozenset(folder for folder in folders if (repository / folder).is_dir())
        placement.new_stage()
        placement.swap(there)
    return there
