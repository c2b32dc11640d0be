"""Which graphs of a repository folder are to be loaded."""

from pathlib import Path

from families.annotators import list_annotators
from families.graphs import repository_names
from families.manifest import list_manifests


class RepositoryError(Exception):
    """A repository without what was asked of it; the message says how to fill it."""


def models_to_load(repository: Path, wanted: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Names for --load-model.

    Args:
        repository: folder with one sub-folder a graph.
        wanted: names asked for; none: all that the cards of models and annotators in the repository speak of.
            Annotators alone are no repository to start with: nothing would make pictures.

    Raises:
        RepositoryError: no such folder, no card, or a name without a folder.
        families.manifest.ManifestError: an unreadable card.
    """
    if not repository.is_dir():
        raise RepositoryError(f"model repository {repository.name!r} does not exist; make it with `make models`")
    names = wanted or tuple(name for card in list_manifests(repository) for name in repository_names(card))
    if not wanted and names:
        names += tuple(graph for annotator in list_annotators(repository) for graph in annotator.graphs)
    if not names:
        raise RepositoryError(
            f"model repository {repository.name!r} holds no model card; export a model with "
            "`make models` or `python -m export SOURCE --name NAME`"
        )
    missing = [name for name in names if not (repository / name / "config.pbtxt").is_file()]
    if missing:
        raise RepositoryError(f"{repository.name}/{missing[0]}/config.pbtxt is missing; export the model again")
    return tuple(dict.fromkeys(names))
