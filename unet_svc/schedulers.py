"""The schedulers: diffusers' own classes, one row each."""

from dataclasses import dataclass
from typing import Any

import diffusers

from mesh.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class SchedulerKind:
    """One scheduler: its diffusers class, a sentence for people, and whether it adds noise during the loop."""

    cls: Any
    description: str
    stochastic: bool = False

    @property
    def name(self) -> str:
        """Name in requests: that of the diffusers class."""
        return str(self.cls.__name__)


SCHEDULERS: dict[str, SchedulerKind] = {
    kind.name: kind
    for kind in (
        SchedulerKind(diffusers.DDIMScheduler, "DDIM without noise (eta 0): the plain baseline, 20 to 50 steps."),
        SchedulerKind(
            diffusers.DDPMScheduler, "The original ancestral sampler: fresh noise at every step.", stochastic=True
        ),
        SchedulerKind(diffusers.DEISMultistepScheduler, "DEIS of second order: an exponential integrator."),
        SchedulerKind(
            diffusers.DPMSolverMultistepScheduler, "DPM-Solver++ of second order: good pictures in 15 to 25 steps."
        ),
        SchedulerKind(diffusers.DPMSolverSinglestepScheduler, "DPM-Solver++ whose steps do not share model calls."),
        SchedulerKind(
            diffusers.EulerAncestralDiscreteScheduler,
            "Euler with fresh noise at every step: varied pictures that keep changing with more steps.",
            stochastic=True,
        ),
        SchedulerKind(diffusers.EulerDiscreteScheduler, "Euler's method on the sigmas of Karras et al. (2022)."),
        SchedulerKind(
            diffusers.HeunDiscreteScheduler, "Heun's method, second order: two model calls a step but the last."
        ),
        SchedulerKind(
            diffusers.KDPM2AncestralDiscreteScheduler,
            "KDPM2 with fresh noise at every step: two model calls a step but the last.",
            stochastic=True,
        ),
        SchedulerKind(diffusers.KDPM2DiscreteScheduler, "DPM2 of k-diffusion: two model calls a step but the last."),
        SchedulerKind(diffusers.LMSDiscreteScheduler, "Linear multistep of fourth order on the sigmas."),
        SchedulerKind(diffusers.PNDMScheduler, "Pseudo linear multistep: one model call more than steps."),
        SchedulerKind(diffusers.UniPCMultistepScheduler, "UniPC of second order: good pictures in 10 to 20 steps."),
    )
}


def make_scheduler(name: str, model_config: dict[str, Any]) -> Any:
    """A fresh scheduler of kind `name` under the model's own configuration.

    Args:
        name: a key of SCHEDULERS; empty takes the model's own class.
        model_config: the model's scheduler_config.json. Betas, prediction type and timestep spacing are taken from it
            whatever the class, as diffusers' `from_config` does.

    Raises:
        InvalidInput: unknown name.
    """
    wanted = name or default_scheduler(model_config)
    kind = SCHEDULERS.get(wanted)
    if kind is None:
        known = ", ".join(SCHEDULERS)
        raise InvalidInput(f"scheduler {wanted!r} is unknown; known: {known}", field="scheduler")
    return kind.cls.from_config(model_config)


def default_scheduler(model_config: dict[str, Any]) -> str:
    """The scheduler taken when a request names none: the model's own, or UniPC where that one isn't offered."""
    own = str(model_config.get("_class_name", ""))
    return own if own in SCHEDULERS else diffusers.UniPCMultistepScheduler.__name__
