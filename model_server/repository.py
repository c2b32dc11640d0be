"""Select the graphs of a repository to load."""

from pathlib import Path

from families.annotators import list_annotators
from families.graphs import repository_names
from families.manifest import list_manifests


class RepositoryError(Exception):
    """The repository lacks what was requested; the message says how to create it."""


def models_to_load(repository: Path, wanted: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The names for --load-model.

    Args:
        repository: folder with one sub-folder per graph.
        wanted: requested names; empty: all graphs of the cards of models and annotators in the repository. Annotators
            alone are not enough to start: nothing could generate pictures.

    Raises:
        RepositoryError: the folder does not exist, has no card, or lacks a graph.
        families.manifest.ManifestError: a card is unreadable.
    """
    if not repository.is_dir():
        raise RepositoryError(f"model repository {repository.name!r} does not exist; create it with `make models`")
    names = wanted or tuple(name for card in list_manifests(repository) for name in repository_names(card))
    if not wanted and names:
        names += tuple(graph for annotator in list_annotators(repository) for graph in annotator.graphs)
    if not names:
        raise RepositoryError(
            f"model repository {repository.name!r} has no model card; export a model with "
            "`make models` or `python -m export SOURCE --name NAME`"
        )
    missing = [name for name in names if not (repository / name / "config.pbtxt").is_file()]
    if missing:
        raise RepositoryError(f"{repository.name}/{missing[0]}/config.pbtxt is missing; export the model again")
    return tuple(dict.fromkeys(names))
