"""Run one export of an annotator, from the first check to the last rename; torch is imported only if needed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from export.annotators.source import Source
from export.configs import CONFIG_FILE
from export.errors import SourceRefused
from export.fingerprint import graph_files, sha256
from export.options import Options, Progress, quiet
from export.place import Placement
from families import annotators
from families.annotators import AnnotatorCard
from families.graphs import to_pbtxt
from families.manifest import ManifestError
from families.profiles import RUNTIMES

PACKAGES = ("torch", "transformers", "onnx", "onnxruntime")

_HERE = Path(__file__).parent
# These determine whether and where to export, not the contents of the graphs.
_AROUND = frozenset({"command.py", "exporter.py", "source.py", "table.py"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an export: the card, and whether the graphs were up to date already."""

    card: AnnotatorCard
    skipped: bool


def export(source: Source, options: Options, progress: Progress = quiet) -> Outcome:
    """Export a recognised source into `options.repository` as the annotator `options.name`.

    Raises SourceRefused, Mismatch or Busy; the repository is then unchanged.
    """
    heads = heads_of(source, options.name)
    _free(options.repository, options.name, heads)
    placement = Placement(options.repository, annotators.folder_name(options.name), options.rename)
    with placement.exclusive():
        made_of = fingerprint(source, heads)
        card = None if options.force else up_to_date(options.repository, options.name, heads, made_of)
        if card is not None:
            write_configs(options.repository, heads, options.target)
            if card.target != options.target:
                card = msgspec.structs.replace(card, target=options.target)
                annotators.write_annotator(options.repository / annotators.folder_name(options.name), card)
            return Outcome(card, skipped=True)
        retired = _retired(options.repository, options.name, heads)
        stage = placement.new_stage()
        # The only import of torch: a run that has nothing to do does not wait for it.
        from export.annotators.graph_writer import make_graphs

        loaded, graphs = make_graphs(source, heads, options, stage, progress)
        card = AnnotatorCard(
            name=options.name,
            architecture=source.architecture.name,
            description=loaded.description,
            heads=dict(heads),
            side=loaded.side,
            multiple=loaded.multiple,
            square=loaded.square,
            palette=loaded.palette,
            labels=loaded.labels,
            graphs=graphs,
            source=source.label,
            versions=versions(source),
            fingerprint=made_of,
            target=options.target,
        )
        write_configs(stage, heads, options.target)
        own = stage / annotators.folder_name(options.name)
        own.mkdir(exist_ok=True)
        annotators.write_annotator(own, card)
        placement.swap(retired)
    return Outcome(card, skipped=False)


def heads_of(source: Source, name: str) -> dict[str, str]:
    """Head -> graph. A single graph has the annotator's name. Raises SourceRefused for an invalid name."""
    if not annotators.is_name(name):
        raise SourceRefused(f"{name!r} is not a valid name: use lower-case letters, digits and single '_'")
    if len(source.heads) == 1:
        return dict.fromkeys(source.heads[0], annotators.graph_name(name))
    return {head: annotators.graph_name(name, group[0]) for group in source.heads for head in group}


def versions(source: Source) -> dict[str, str]:
    """The installed versions of every package whose code shapes the graphs."""
    optional = source.architecture.requires.partition("==")[0]
    found = {package: version(package) for package in PACKAGES}
    if optional:
        try:
            found[optional] = version(optional)
        except PackageNotFoundError:
            raise SourceRefused(
                f"{source.label} needs a library that is not installed: pip install '{source.architecture.requires}'"
            ) from None
    return found


def fingerprint(source: Source, heads: Mapping[str, str]) -> str:
    """One hash of everything that determines the graphs: files, heads, versions and this code."""
    code = sorted(path for path in (*_HERE.glob("*.py"), _HERE.parent / "trace.py") if path.name not in _AROUND)
    described = repr((source.architecture.name, sorted(heads.items()), sorted(versions(source).items())))
    signatures = repr(annotators.parts(heads))
    return hashlib.sha256(f"{sha256(source.files)} {sha256(code)} {described} {signatures}".encode()).hexdigest()


def up_to_date(repository: Path, name: str, heads: Mapping[str, str], made_of: str) -> AnnotatorCard | None:
    """The card of an export with this fingerprint if all its graphs still match the card, else None."""
    try:
        card = annotators.read_card(repository, name)
    except ManifestError:
        return None
    if card.fingerprint != made_of or card.heads != heads:
        return None
    for graph, made in card.graphs.items():
        files = graph_files(repository / graph)
        if sum(path.stat().st_size for path in files) != made.bytes or sha256(files) != made.sha256:
            return None
    return card


def config_texts(heads: Mapping[str, str], target: str) -> dict[str, str]:
    """Folder name -> text of its config.pbtxt."""
    return {graph: to_pbtxt(config) for graph, config in annotators.configs(heads, RUNTIMES[target]).items()}


def stale_configs(repository: Path, heads: Mapping[str, str], target: str) -> list[str]:
    """Names of the graphs whose config.pbtxt is missing or differs, sorted."""
    texts = config_texts(heads, target)
    paths = {graph: repository / graph / CONFIG_FILE for graph in texts}
    return sorted(
        graph for graph, path in paths.items() if not path.is_file() or path.read_text("utf-8") != texts[graph]
    )


def write_configs(repository: Path, heads: Mapping[str, str], target: str) -> list[str]:
    """Write every config.pbtxt whose text differs; returns the graphs that changed, sorted."""
    texts, changed = config_texts(heads, target), stale_configs(repository, heads, target)
    for graph in changed:
        (repository / graph).mkdir(parents=True, exist_ok=True)
        (repository / graph / CONFIG_FILE).write_text(texts[graph], "utf-8")
    return changed


def _free(repository: Path, name: str, heads: Mapping[str, str]) -> None:
    """Raise SourceRefused if the export would write a folder that belongs to another annotator."""
    mine = {annotators.folder_name(name), *heads.values()}
    prefix = annotators.folder_name("")
    others = {path.parent.name.removeprefix(prefix) for path in repository.glob(f"{prefix}*/{annotators.CARD_FILE}")}
    for other in sorted(others - {name}):
        try:
            card = annotators.read_card(repository, other)
        except ManifestError:
            continue  # An unreadable card is replaced by its own next export.
        if taken := mine & {annotators.folder_name(other), *card.graphs}:
            raise SourceRefused(
                f"{sorted(taken)[0]} belongs to the annotator {other!r}; give another --name than {name!r}"
            )


def _retired(repository: Path, name: str, heads: Mapping[str, str]) -> frozenset[str]:
    """Folders of the annotator's previous export that the new one does not have."""
    try:
        last = annotators.read_card(repository, name)
    except ManifestError:
        return frozenset()
    old = set(last.graphs) - set(heads.values()) - {annotators.folder_name(name)}
    return frozenset(graph for graph in old if (repository / graph).is_dir())
