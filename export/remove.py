"""`python -m export remove NAME`: remove a model, or a ControlNet that was added to one, from the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from export.errors import SourceRefused
from export.place import Placement
from export.terminal import REPOSITORY, InRepository, telling
from families.additions import folders, without
from families.facts import is_name
from families.graphs import repository_names
from families.manifest import ManifestError, list_manifests, manifest_path, read_manifest, write_manifest

PROGRAM = "python -m export remove"
app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command()
def main(
    name: Annotated[str, typer.Argument(help="Name of the model, or of the added ControlNet.")],
    repository: InRepository = REPOSITORY,
) -> None:
    """Remove a model from the repository: its card, its tokenizer, its graphs and their configurations; or only a
    ControlNet that `python -m export control` added to a model.

    All of it is removed, or nothing. A running mesh stops offering it within seconds.

    Exit status: 0 done, 2 wrong usage, 3 unknown name, 7 an export of this model is running.
    """
    console = Console(stderr=True)
    with telling(console, "removed"):
        removed = remove(repository, name)
    console.print(f"{name}: removed ({len(removed)} folders)")


def remove(repository: Path, name: str) -> frozenset[str]:
    """Remove the model, or the ControlNet that was added to one; returns the folders removed.

    Raises SourceRefused if the name is unknown and Busy while the model is being exported; nothing is changed then.
    """
    if not is_name(name):
        raise SourceRefused(f"{name!r} is not a valid name: use lower-case letters, digits and single '-' or '_'")
    model = _steered(repository, name) or name
    placement = Placement(repository, model)
    with placement.exclusive():
        try:
            card = read_manifest(repository, model)
        except ManifestError as error:
            raise SourceRefused(str(error)) from None
        removed = frozenset((*repository_names(card), card.name))
        if name in card.added:
            removed = folders(card, without(card, name))
            write_manifest(repository / model, without(card, name))
        placement.new_stage()
        present = frozenset(folder for folder in removed if (repository / folder).is_dir())
        placement.swap(present)
    return present


def _steered(repository: Path, name: str) -> str | None:
    """The model to which the ControlNet `name` was added."""
    if manifest_path(repository, name).exists():
        return None
    try:
        return next((card.name for card in list_manifests(repository) if name in card.added), None)
    except ManifestError as error:
        raise SourceRefused(str(error)) from None
