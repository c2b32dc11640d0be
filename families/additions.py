"""ControlNets that come to an exported model later and go again: what its card says with and without them."""

from __future__ import annotations

from msgspec.structs import replace

from families import graphs
from families.manifest import Added, GraphFacts, Manifest


def with_control(card: Manifest, control: str, added: Added, graph: GraphFacts, pooled: bool) -> Manifest:
    """The card with the ControlNet `control`, in place of one of that name which was added before.

    Args:
        card: the model's.
        control: name, by which requests ask for it.
        added: what it is.
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
    gone = graphs.controlnet(card.name, control)
    return replace(
        card,
        controls=tuple(kind for kind in card.controls if kind != control),
        pooled_controls=tuple(kind for kind in card.pooled_controls if kind != control),
        graphs={name: graph for name, graph in card.graphs.items() if name != gone},
        added={kind: one for kind, one in card.added.items() if kind != control},
    )


def as_exported(card: Manifest) -> Manifest:
    """The card without anything that came later."""
    for control in card.added:
        card = without(card, control)
    return card


def folders(before: Manifest, after: Manifest) -> frozenset[str]:
    """What Triton can load of `before` and is no part of `after`: a graph, and the ensembles over it."""
    return frozenset(graphs.repository_names(before)) - frozenset(graphs.repository_names(after))
