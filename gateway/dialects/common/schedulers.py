"""Finds schedulers by the names that clients use: case-insensitive, with or without `Scheduler` at the end."""

from controlmesh.v1 import unet_pb2
from gateway.generation.catalogue import Offer

_SUFFIX = "scheduler"


def find(offer: Offer, asked: str) -> unet_pb2.Scheduler | None:
    """The available scheduler that `asked` names; None if unknown."""
    by_name = {_bare(entry.name): entry for entry in offer.schedulers}
    return by_name.get(_bare(asked))


def _bare(name: str) -> str:
    return name.strip().lower().removesuffix(_SUFFIX)
