"""The schedulers: diffusers' own classes, one row each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import diffusers

from mesh.errors import InvalidInput
from unet_svc.loops.common import CommonLoop
from unet_svc.loops.contract import Loop, Plan
from unet_svc.loops.inversion import InversionLoop
from unet_svc.loops.ipndm import IpndmLoop
from unet_svc.loops.karras_ve import KarrasVeLoop
from unet_svc.loops.score_sde_ve import ScoreSdeVeLoop


@dataclass(frozen=True, slots=True)
class SchedulerKind:
    """One scheduler.

    cls: its diffusers class.
    description: what it is and when to use it, for people.
    stochastic: whether it adds noise during the loop (with its own algorithm_type).
    karras_sigmas: whether it supports use_karras_sigmas.
    algorithm_types: values of algorithm_type that it supports, its default first.
    model_calls: model calls for n steps from pure noise.
    inverts: whether it goes from a picture to the noise.
    most_steps: name of its constructor's argument that limits the steps, if there is one.
    loop: the loop that runs it.
    """

    cls: Any
    description: str
    stochastic: bool = False
    karras_sigmas: bool = False
    algorithm_types: tuple[str, ...] = ()
    model_calls: str = "n"
    inverts: bool = False
    most_steps: str = ""
    loop: Callable[[Plan], Loop] = CommonLoop

    @property
    def name(self) -> str:
        """Name in requests: that of the diffusers class."""
        return str(self.cls.__name__)


SCHEDULERS: dict[str, SchedulerKind] = {
    kind.name: kind
    for kind in (
        SchedulerKind(
            diffusers.DDIMInverseScheduler,
            "DDIM in reverse: from a picture to the noise from which DDIMScheduler remakes it, to edit or repeat it.",
            inverts=True,
            loop=InversionLoop,
        ),
        SchedulerKind(diffusers.DDIMScheduler, "DDIM without noise (eta 0): the plain baseline, 20 to 50 steps."),
        SchedulerKind(
            diffusers.DDPMScheduler, "The original ancestral sampler: fresh noise at every step.", stochastic=True
        ),
        SchedulerKind(
            diffusers.DEISMultistepScheduler,
            "DEIS of second order: an exponential integrator.",
            karras_sigmas=True,
            algorithm_types=("deis",),
        ),
        SchedulerKind(
            diffusers.DPMSolverMultistepScheduler,
            "DPM-Solver++ of second order: good pictures in 15 to 25 steps.",
            karras_sigmas=True,
            algorithm_types=("dpmsolver++", "sde-dpmsolver++", "dpmsolver", "sde-dpmsolver"),
        ),
        SchedulerKind(
            diffusers.DPMSolverSinglestepScheduler,
            "DPM-Solver++ in its single-step form, whose steps do not reuse earlier model calls.",
            karras_sigmas=True,
            algorithm_types=("dpmsolver++", "sde-dpmsolver++", "dpmsolver"),
        ),
        SchedulerKind(
            diffusers.EulerAncestralDiscreteScheduler,
            "Euler with fresh noise at every step: varied pictures that keep changing with more steps.",
            stochastic=True,
        ),
        SchedulerKind(
            diffusers.EulerDiscreteScheduler,
            "Euler's method on the sigmas of Karras et al. (2022).",
            karras_sigmas=True,
        ),
        SchedulerKind(
            diffusers.HeunDiscreteScheduler,
            "Heun's method, second order: two model calls per step except the last.",
            karras_sigmas=True,
            model_calls="2n - 1",
        ),
        SchedulerKind(
            diffusers.IPNDMScheduler,
            "Improved pseudo linear multistep of fourth order, one model call per step: 20 to 50 steps.",
            loop=IpndmLoop,
        ),
        SchedulerKind(
            diffusers.KDPM2AncestralDiscreteScheduler,
            "KDPM2 with fresh noise at every step: two model calls per step except the last.",
            stochastic=True,
            karras_sigmas=True,
            model_calls="2n - 1",
        ),
        SchedulerKind(
            diffusers.KDPM2DiscreteScheduler,
            "DPM2 of k-diffusion: two model calls per step except the last.",
            karras_sigmas=True,
            model_calls="2n - 1",
        ),
        SchedulerKind(
            diffusers.KarrasVeScheduler,
            "Stochastic sampler of Karras et al. (2022): two model calls per step except the last, 30 steps or more.",
            stochastic=True,
            model_calls="2n - 1",
            loop=KarrasVeLoop,
        ),
        SchedulerKind(
            diffusers.LCMScheduler,
            "Latent consistency: 4 to 8 steps with a model that was distilled for it; with others pictures look flat.",
            stochastic=True,
            most_steps="original_inference_steps",
        ),
        SchedulerKind(
            diffusers.LMSDiscreteScheduler,
            "Linear multistep of fourth order on the sigmas.",
            karras_sigmas=True,
        ),
        SchedulerKind(
            diffusers.PNDMScheduler,
            "Pseudo linear multistep: one model call more than steps, or nine more with a Runge-Kutta start.",
            model_calls="n + 1, or n + 9 if the model's configuration keeps the Runge-Kutta start",
        ),
        SchedulerKind(
            diffusers.ScoreSdeVeScheduler,
            "Predictor-corrector sampler of Song et al. (2021): two model calls per step, 50 steps or more.",
            stochastic=True,
            model_calls="2n",
            loop=ScoreSdeVeLoop,
        ),
        SchedulerKind(
            diffusers.UniPCMultistepScheduler,
            "UniPC of second order: good pictures in 10 to 20 steps.",
            karras_sigmas=True,
        ),
    )
}

ALGORITHM_TYPES = tuple(sorted({variant for kind in SCHEDULERS.values() for variant in kind.algorithm_types}))
"""Values of algorithm_type that at least one scheduler supports."""


def find_scheduler(name: str, model_config: dict[str, Any]) -> SchedulerKind:
    """The row of `name`, a key of SCHEDULERS; empty for the model's default.

    Raises:
        InvalidInput: the name is unknown.
    """
    kind = SCHEDULERS.get(name or default_scheduler(model_config))
    if kind is None:
        known = ", ".join(SCHEDULERS)
        raise InvalidInput(f"scheduler {name!r} is unknown; known: {known}", field="scheduler")
    return kind


def default_scheduler(model_config: dict[str, Any]) -> str:
    """The scheduler for requests that name none: the model's own, or UniPC if that one isn't available.

    A scheduler with its own loop was made for another kind of model, whatever the configuration says.
    """
    own = SCHEDULERS.get(str(model_config.get("_class_name", "")))
    return own.name if own and own.loop is CommonLoop else diffusers.UniPCMultistepScheduler.__name__
