"""Parses the enterprise dialect's fields about the scheduler."""

from dataclasses import dataclass

from controlmesh.v1 import unet_pb2
from gateway.dialects.common.lenient import Lenient
from gateway.generation.catalogue import Offer
from gateway.generation.foreign import meant

SCHEDULER_DEFAULT = "UniPCMultistepScheduler"
_OWN = frozenset({"none", "no", "false"})


@dataclass(frozen=True)
class Solver:
    """The scheduler and its options for the canonical request.

    Attributes:
        scheduler: name of an available scheduler; None for the model's own.
        use_karras_sigmas, algorithm_type: as in the canonical request.
        inverts: whether the scheduler inverts a picture to its noise.
        karras_shown, algorithm_shown: these options as `meta` reports them: as used, without those that the scheduler
            does not support.
    """

    scheduler: str | None
    use_karras_sigmas: bool | None
    algorithm_type: str | None
    inverts: bool
    karras_shown: str
    algorithm_shown: str


def read(fields: Lenient, offer: Offer, model: str, invertible: bool, to_start_from: str) -> Solver:
    """Scheduler, spacing of the noise levels and solver variant. Unavailable ones are added to the remarks; an option
    that only this scheduler does not support is passed on, and the answer's notes say that it was left out.

    Args:
        fields: fields of the request.
        offer: has the schedulers and the model.
        model: name of a model on offer.
        invertible: whether there is an initial picture without a mask.
        to_start_from: what to send for one, for the remark.

    Raises:
        InvalidInput: a field of the wrong type.
    """
    entry = _scheduler(fields, offer, model, invertible, to_start_from)
    takes_karras = entry is not None and entry.karras_sigmas
    asked = fields.raw("use_karras_sigmas") is not None
    karras = fields.flag("use_karras_sigmas")
    algorithm = _algorithm(fields, offer)
    takes_algorithm = entry is not None and algorithm in entry.algorithm_types
    return Solver(
        scheduler=entry.name if entry is not None else None,
        # No remark if a mere default of the vendor's does not apply.
        use_karras_sigmas=karras if takes_karras or (asked and karras) else None,
        algorithm_type=algorithm,
        inverts=entry is not None and entry.inverts,
        karras_shown="yes" if karras and takes_karras else "no",
        algorithm_shown=fields.text("algorithm_type").strip() if takes_algorithm else "no",
    )


def _scheduler(
    fields: Lenient, offer: Offer, model: str, invertible: bool, to_start_from: str
) -> unet_pb2.Scheduler | None:
    loaded = offer.model(model)
    default = offer.scheduler(SCHEDULER_DEFAULT)
    if default is None and loaded is not None:
        default = offer.scheduler(loaded.default_scheduler)
    asked = fields.text("scheduler").strip()
    if not asked:
        return default
    entry = offer.scheduler(asked)
    name = default.name if default is not None else "the default one"
    if entry is None:
        found = meant("scheduler", asked, [one.name for one in offer.schedulers])
        question = f"did you mean {found}? " if found else ""
        fields.remarks.append(
            f"scheduler {asked[:80]!r} is not available; {question}{name} was used; schedulers_list has the others."
        )
        return default
    if entry.inverts and not invertible:
        fields.remarks.append(
            f"scheduler {entry.name} inverts a whole picture and needs an initial one: {to_start_from}; "
            f"{name} was used."
        )
        return default
    return entry


def _algorithm(fields: Lenient, offer: Offer) -> str | None:
    asked = fields.text("algorithm_type").strip()
    # The vendor's spelling has a superfluous plus sign.
    name = asked.lower().replace("+++", "++")
    if not name or name in _OWN:
        return None
    if name in offer.algorithm_types():
        return name
    fields.remarks.append(f"algorithm_type {asked[:80]!r} is unknown; the scheduler's own was used.")
    return None
