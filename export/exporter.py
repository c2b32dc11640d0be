"""Run one export, from the first check to the last rename; torch is imported only if there is something to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from export import configs, fingerprint
from export.facts import facts_of
from export.families.table import FAMILIES
from export.made_for import MadeFor, made_for
from export.options import Options, Progress, quiet
from export.place import Placement
from export.source import Source
from families import graphs as names
from families.facts import ModelFacts
from families.manifest import Manifest, ManifestError, read_manifest, write_manifest

if TYPE_CHECKING:
    from export.graph_writer import Made


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an export: the card, and whether the graphs were up to date already."""

    manifest: Manifest
    skipped: bool


def export(source: Source, options: Options, progress: Progress = quiet) -> Outcome:
    """Export a checked source into `options.repository`.

    Raises SourceRefused, Mismatch or Busy; the repository is then unchanged.
    """
    facts = facts_of(source, options.name)
    purpose = made_for(source.root, options.wished, FAMILIES[source.family].suited(source))
    placement = Placement(options.repository, options.name, options.rename)
    with placement.exclusive():
        made_of = fingerprint.inputs_of(source, facts)
        card = None if options.force else fingerprint.up_to_date(options.repository, facts, made_of)
        if card is not None:
            # Including those of ControlNets that were added later.
            configs.write(options.repository, card, options.target)
            return Outcome(_renewed(card, options, purpose), skipped=True)
        stage = placement.new_stage()
        # The only import of torch: a run that has nothing to do does not wait for it.
        from export.graph_writer import make_graphs

        made = make_graphs(source, facts, options, stage, progress)
        _stage_rest(facts, options, stage)
        manifest = _card(source, facts, options, made_of, made, purpose)
        write_manifest(stage / facts.name, manifest)
        placement.swap(_retired(options.repository, facts))
    return Outcome(manifest, skipped=False)


def _stage_rest(facts: ModelFacts, options: Options, stage: Path) -> None:
    configs.write(stage, facts, options.target)
    for ensemble in names.ensemble_names(facts):
        # Triton accepts no model without a version folder, not even one that has no files.
        (stage / ensemble / "1").mkdir()


def _card(source: Source, facts: ModelFacts, options: Options, made_of: str, made: Made, purpose: MadeFor) -> Manifest:
    return Manifest(
        **{field: getattr(facts, field) for field in facts.__struct_fields__},
        graphs=made.graphs,
        preview=made.preview,
        source=source.label,
        versions=fingerprint.versions(),
        fingerprint=made_of,
        target=options.target,
        defaults=purpose.defaults,
        trained_sizes=purpose.trained_sizes,
    )


def _renewed(card: Manifest, options: Options, purpose: MadeFor) -> Manifest:
    """The card of graphs that are up to date with what does not change them; written if it differs."""
    changed = replace(card, target=options.target, defaults=purpose.defaults, trained_sizes=purpose.trained_sizes)
    if changed != card:
        write_manifest(options.repository / card.name, changed)
    return changed


def _retired(repository: Path, facts: ModelFacts) -> frozenset[str]:
    """Folders of the model's previous export that the new one does not have."""
    try:
        last = read_manifest(repository, facts.name)
    except ManifestError:
        return frozenset()
    old = set(names.repository_names(last)) - set(names.repository_names(facts))
    return frozenset(name for name in old if (repository / name).is_dir())
