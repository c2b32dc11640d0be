"""Schedulers as clients spell them: the class's name, or without its last word as `EulerAncestralDiscrete`, in any
case."""

from controlmesh.v1 import unet_pb2
from gateway.generation.catalogue import Offer

_SUFFIX = "scheduler"


def find(offer: Offer, asked: str) -> unet_pb2.Scheduler | None:
    """The scheduler on offer that `asked` names; None if there is none of that name."""
    by_name = {_bare(entry.name): entry for entry in offer.schedulers}
    return by_name.get(_bare(asked))


def _bare(name: str) -> str:
    return name.strip().lower().removesuffix(_SUFFIX)
