"""Write `config.pbtxt` files into a folder, or compare them with it."""

from __future__ import annotations

from pathlib import Path

from families import additions
from families import graphs as names
from families.facts import ModelFacts
from families.manifest import ManifestError, read_manifest
from families.profiles import RUNTIMES

CONFIG_FILE = "config.pbtxt"


def texts(facts: ModelFacts, target: str) -> dict[str, str]:
    """Folder name -> text of its config.pbtxt, for every graph and ensemble of the model on disk."""
    return {name: names.to_pbtxt(config) for name, config in names.configs(facts, RUNTIMES[target]).items()}


def stale(repository: Path, facts: ModelFacts, target: str) -> list[str]:
    """Names of the folders whose config.pbtxt is missing, different or superfluous; sorted.

    ControlNets that were added later are not checked.
    """
    wanted, later = texts(facts, target), _added(repository, facts.name)
    present = {
        path.parent.name: path.read_text("utf-8")
        for path in repository.glob(f"{facts.name}_*/{CONFIG_FILE}")
        if path.parent.name not in later
    }
    return sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))


def write(repository: Path, facts: ModelFacts, target: str) -> list[str]:
    """Write every config.pbtxt whose text differs; returns the folders that changed, sorted."""
    changed = []
    for name, text in sorted(texts(facts, target).items()):
        path = repository / name / CONFIG_FILE
        if path.is_file() and path.read_text("utf-8") == text:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        changed.append(name)
    return changed


def _added(repository: Path, name: str) -> frozenset[str]:
    try:
        card = read_manifest(repository, name)
    except ManifestError:
        return frozenset()
    return additions.folders(card, additions.as_exported(card))
