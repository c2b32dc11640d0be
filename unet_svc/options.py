"""A request's options of a scheduler: arguments of its constructor, and notes on what it can't take."""

from dataclasses import dataclass
from typing import Any

import diffusers

from mesh.errors import InvalidInput
from unet_svc.schedulers import ALGORITHM_TYPES, SCHEDULERS, SchedulerKind, default_scheduler
from unet_svc.task import Task

# Of these a scheduler takes one at most.
_OTHER_SPACINGS = ("use_exponential_sigmas", "use_beta_sigmas")
# The last sigma can't be zero for these: they divide by it.
_NEEDS_A_LEAST_SIGMA = frozenset({"dpmsolver", "sde-dpmsolver"})
# Of PNDM's own first steps, each of several model calls.
_WARM_UP_STEPS = 4
_INVERTED_SPACINGS = frozenset({"leading", "trailing"})


@dataclass(frozen=True, slots=True)
class Options:
    """Arguments of the scheduler's constructor beside the model's configuration, and remarks for the caller."""

    arguments: dict[str, Any]
    notes: tuple[str, ...] = ()


def read_options(kind: SchedulerKind, task: Task) -> Options:
    """What `kind` makes of the options of `task`.

    Raises:
        InvalidInput: an algorithm_type that no scheduler takes.
    """
    config, algorithm_type = task.facts.scheduler, task.algorithm_type
    if algorithm_type and algorithm_type not in ALGORITHM_TYPES:
        known = ", ".join(ALGORITHM_TYPES)
        raise InvalidInput(
            f"algorithm_type {algorithm_type!r} is taken by no scheduler; known: {known}", field="algorithm_type"
        )
    parts = (
        _spacing(kind, config, task.use_karras_sigmas),
        _solver(kind, config, algorithm_type),
        _warm_up(kind, config, task),
        _inversion(kind, config, task.strength),
        _distilled(kind, config),
    )
    arguments = {name: value for part in parts for name, value in part.arguments.items()}
    return Options(arguments, tuple(note for part in parts for note in part.notes))


def _spacing(kind: SchedulerKind, config: dict[str, Any], wanted: bool | None) -> Options:
    if not kind.karras_sigmas:
        note = f"{kind.name} can't space its noise levels as use_karras_sigmas asks; it was left out."
        return Options({}, (note,) if wanted else ())
    if wanted is None:
        return Options({})
    others = {name: False for name in _OTHER_SPACINGS if wanted and config.get(name)}
    return Options({"use_karras_sigmas": wanted, **others})


def _solver(kind: SchedulerKind, config: dict[str, Any], wanted: str) -> Options:
    if wanted and wanted not in kind.algorithm_types:
        takers = ", ".join(other.name for other in SCHEDULERS.values() if wanted in other.algorithm_types)
        note = f"{kind.name} does not take algorithm_type {wanted!r}, which was left out; taken by {takers}."
        return Options(_solver(kind, config, "").arguments, (note,))
    if not kind.algorithm_types:
        return Options({})
    # The configuration may be another scheduler's, with a variant that this one would refuse.
    own = config.get("algorithm_type")
    chosen = wanted or (own if own in kind.algorithm_types else kind.algorithm_types[0])
    least = {"final_sigmas_type": "sigma_min"} if chosen in _NEEDS_A_LEAST_SIGMA else {}
    return Options({"algorithm_type": chosen, **least})


def _warm_up(kind: SchedulerKind, config: dict[str, Any], task: Task) -> Options:
    if kind.cls is not diffusers.PNDMScheduler or config.get("skip_prk_steps"):
        return Options({})
    if task.mask is not None and not task.hints:
        # Of diffusers' pipelines this one's, StableDiffusionInpaintPipeline, leaves it out at any number of steps.
        return Options({"skip_prk_steps": True})
    if task.steps >= _WARM_UP_STEPS:
        return Options({})
    note = f"{kind.name} left out its Runge-Kutta start, which takes {_WARM_UP_STEPS} steps or more."
    return Options({"skip_prk_steps": True}, (note,))


def _inversion(kind: SchedulerKind, config: dict[str, Any], strength: float | None) -> Options:
    if not kind.inverts:
        return Options({})
    notes = () if strength is None else (f"{kind.name} runs all its steps; strength was left out.",)
    spacing = config.get("timestep_spacing", "leading")
    if spacing in _INVERTED_SPACINGS:
        return Options({}, notes)
    note = f"{kind.name} can't space its timesteps as the model's configuration does ({spacing}); they are leading."
    return Options({"timestep_spacing": "leading"}, (*notes, note))


def _distilled(kind: SchedulerKind, config: dict[str, Any]) -> Options:
    """A distilled model is known by its own scheduler."""
    if kind.cls is not diffusers.LCMScheduler or default_scheduler(config) == kind.name:
        return Options({})
    note = "LCMScheduler expects a model that was distilled for it, which this one is not: pictures come out flat."
    return Options({}, (note,))
