"""Adding ControlNets to the card of an exported model, and removing them again."""

from __future__ import annotations

from msgspec.structs import replace

from families import graphs
from families.facts import Net
from families.manifest import Added, GraphFacts, Manifest


def with_control(card: Manifest, net: Net, added: Added, graph: GraphFacts) -> Manifest:
    """The card with the ControlNet `net`, which replaces an added one of the same name.

    Args:
        card: the model's card.
        net: its facts.
        added: its kind and source.
        graph: facts of its graph.
    """
    card = without(card, net.name)
    return replace(
        card,
        nets=tuple(sorted((*card.nets, net), key=lambda one: one.name)),
        graphs=dict(sorted({**card.graphs, graphs.controlnet(card.name, net.name): graph}.items())),
        added={**card.added, net.name: added},
    )


def without(card: Manifest, name: str) -> Manifest:
    """The card without the ControlNet `name`."""
    removed = graphs.controlnet(card.name, name)
    return replace(
        card,
        nets=tuple(net for net in card.nets if net.name != name),
        graphs={graph: facts for graph, facts in card.graphs.items() if graph != removed},
        added={other: one for other, one in card.added.items() if other != name},
    )


def as_exported(card: Manifest) -> Manifest:
    """The card without any added ControlNet."""
    for name in card.added:
        card = without(card, name)
    return card


def folders(before: Manifest, after: Manifest) -> frozenset[str]:
    """The folders that Triton can load for `before` but not for `after`: graphs and the ensembles that use them."""
    return frozenset(graphs.repository_names(before)) - frozenset(graphs.repository_names(after))
