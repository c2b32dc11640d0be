"""Adding ControlNets to the card of an exported model, and removing them again."""

from __future__ import annotations

from msgspec.structs import replace

from families import graphs
from families.manifest import Added, GraphFacts, Manifest


def with_control(card: Manifest, control: str, added: Added, graph: GraphFacts, pooled: bool) -> Manifest:
    """The card with the ControlNet `control`, which replaces an added one of the same name.

    Args:
        card: the model's card.
        control: its name in requests.
        added: its kind and source.
        graph: facts of its graph.
        pooled: whether its residuals are averaged over the picture.
    """
    card = without(card, control)
    return replace(
        card,
        controls=tuple(sorted((*card.controls, control))),
        pooled_controls=tuple(sorted((*card.pooled_controls, *([control] if pooled else [])))),
        graphs=dict(sorted({**card.graphs, graphs.controlnet(card.name, control): graph}.items())),
        added={**card.added, control: added},
    )


def without(card: Manifest, control: str) -> Manifest:
    """The card without the ControlNet `control`."""
    removed = graphs.controlnet(card.name, control)
    return replace(
        card,
        controls=tuple(kind for kind in card.controls if kind != control),
        pooled_controls=tuple(kind for kind in card.pooled_controls if kind != control),
        graphs={name: graph for name, graph in card.graphs.items() if name != removed},
        added={kind: one for kind, one in card.added.items() if kind != control},
    )


def as_exported(card: Manifest) -> Manifest:
    """The card without any added ControlNet."""
    for control in card.added:
        card = without(card, control)
    return card


def folders(before: Manifest, after: Manifest) -> frozenset[str]:
    """The folders that Triton can load for `before` but not for `after`: graphs and the ensembles that use them."""
    return frozenset(graphs.repository_names(before)) - frozenset(graphs.repository_names(after))
