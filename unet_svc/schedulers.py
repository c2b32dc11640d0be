"""The schedulers: diffusers' own classes, one row each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import diffusers

from families.facts import ModelFacts
from families.table import family_of
from mesh.errors import InvalidInput
from unet_svc.loops.common import CommonLoop
from unet_svc.loops.contract import Loop, Plan
from unet_svc.loops.flow import AncestralFlowLoop, FlowLoop
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
    on_flow: name of what walks a flow (FLUX) in its place, a key of FLOW; empty if nothing does.
    flow_options: of a row of FLOW: arguments of its constructor in addition to the model's configuration.
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
    on_flow: str = ""
    flow_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name in requests: that of the diffusers class."""
        return str(self.cls.__name__)


EULER, ANCESTRAL, HEUN = "FlowMatchEulerDiscreteScheduler", "ancestral", "FlowMatchHeunDiscreteScheduler"
_IN_FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}

FLOW: Mapping[str, SchedulerKind] = {
    EULER: SchedulerKind(
        diffusers.FlowMatchEulerDiscreteScheduler,
        "Euler's method along a flow, for models such as FLUX: 20 to 30 steps, 4 with distilled ones.",
        loop=FlowLoop,
    ),
    ANCESTRAL: SchedulerKind(
        diffusers.FlowMatchEulerDiscreteScheduler,
        "Euler's method along a flow with fresh noise at every step.",
        stochastic=True,
        loop=AncestralFlowLoop,
    ),
    HEUN: SchedulerKind(
        diffusers.FlowMatchHeunDiscreteScheduler,
        "Heun's method along a flow: two model calls per step except the last.",
        model_calls="2n - 1",
        loop=FlowLoop,
    ),
    **{
        cls.__name__: SchedulerKind(cls, description, algorithm_types=variants, loop=FlowLoop, flow_options=_IN_FLOW)
        for cls, description, variants in (
            (diffusers.UniPCMultistepScheduler, "UniPC of second order along a flow.", ()),
            (diffusers.DPMSolverMultistepScheduler, "DPM-Solver++ along a flow.", ("dpmsolver++", "sde-dpmsolver++")),
            (diffusers.DPMSolverSinglestepScheduler, "DPM-Solver++ along a flow, single steps.", ("dpmsolver++",)),
        )
    },
}
"""What walks a flow: names in requests, and what stands in for others."""
FLOW_ONLY: tuple[str, ...] = (EULER, HEUN)
"""Those of FLOW that requests may name and that walk nothing else."""

SCHEDULERS: dict[str, SchedulerKind] = {
    kind.name: kind
    for kind in (
        SchedulerKind(
            diffusers.DDIMInverseScheduler,
            "DDIM in reverse: from a picture to the noise from which DDIMScheduler remakes it, to edit or repeat it.",
            inverts=True,
            loop=InversionLoop,
        ),
        SchedulerKind(
            diffusers.DDIMScheduler, "DDIM without noise (eta 0): the plain baseline, 20 to 50 steps.", on_flow=EULER
        ),
        SchedulerKind(
            diffusers.DDPMScheduler,
            "The original ancestral sampler: fresh noise at every step.",
            stochastic=True,
            on_flow=ANCESTRAL,
        ),
        SchedulerKind(
            diffusers.DEISMultistepScheduler,
            "DEIS of second order: an exponential integrator.",
            karras_sigmas=True,
            algorithm_types=("deis",),
            on_flow=EULER,
        ),
        SchedulerKind(
            diffusers.DPMSolverMultistepScheduler,
            "DPM-Solver++ of second order: good pictures in 15 to 25 steps.",
            karras_sigmas=True,
            algorithm_types=("dpmsolver++", "sde-dpmsolver++", "dpmsolver", "sde-dpmsolver"),
            on_flow="DPMSolverMultistepScheduler",
        ),
        SchedulerKind(
            diffusers.DPMSolverSinglestepScheduler,
            "DPM-Solver++ in its single-step form, whose steps do not reuse earlier model calls.",
            karras_sigmas=True,
            algorithm_types=("dpmsolver++", "sde-dpmsolver++", "dpmsolver"),
            on_flow="DPMSolverSinglestepScheduler",
        ),
        SchedulerKind(
            diffusers.EulerAncestralDiscreteScheduler,
            "Euler with fresh noise at every step: varied pictures that keep changing with more steps.",
            stochastic=True,
            on_flow=ANCESTRAL,
        ),
        SchedulerKind(
            diffusers.EulerDiscreteScheduler,
            "Euler's method on the sigmas of Karras et al. (2022).",
            karras_sigmas=True,
            on_flow=EULER,
        ),
        SchedulerKind(
            diffusers.HeunDiscreteScheduler,
            "Heun's method, second order: two model calls per step except the last.",
            karras_sigmas=True,
            model_calls="2n - 1",
            on_flow=HEUN,
        ),
        SchedulerKind(
            diffusers.IPNDMScheduler,
            "Improved pseudo linear multistep of fourth order, one model call per step: 20 to 50 steps.",
            loop=IpndmLoop,
            on_flow=EULER,
        ),
        SchedulerKind(
            diffusers.KDPM2AncestralDiscreteScheduler,
            "KDPM2 with fresh noise at every step: two model calls per step except the last.",
            stochastic=True,
            karras_sigmas=True,
            model_calls="2n - 1",
            on_flow=ANCESTRAL,
        ),
        SchedulerKind(
            diffusers.KDPM2DiscreteScheduler,
            "DPM2 of k-diffusion: two model calls per step except the last.",
            karras_sigmas=True,
            model_calls="2n - 1",
            on_flow=HEUN,
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
            on_flow=EULER,
        ),
        SchedulerKind(
            diffusers.LMSDiscreteScheduler,
            "Linear multistep of fourth order on the sigmas.",
            karras_sigmas=True,
            on_flow=EULER,
        ),
        SchedulerKind(
            diffusers.PNDMScheduler,
            "Pseudo linear multistep: one model call more than steps, or nine more with a Runge-Kutta start.",
            model_calls="n + 1, or n + 9 if the model's configuration keeps the Runge-Kutta start",
            on_flow=EULER,
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
            on_flow="UniPCMultistepScheduler",
        ),
    )
}

ALGORITHM_TYPES = tuple(sorted({variant for kind in SCHEDULERS.values() for variant in kind.algorithm_types}))
"""Values of algorithm_type that at least one scheduler supports."""


def find_scheduler(name: str, facts: ModelFacts) -> tuple[SchedulerKind, tuple[str, ...]]:
    """What runs for the scheduler `name` on a model, "" for the model's default; and notes if it is another one.

    Raises:
        InvalidInput: the name is unknown, or nothing walks the model's kind of noise in its place.
    """
    wanted = name or default_scheduler(facts)
    if wanted not in SCHEDULERS and wanted not in FLOW_ONLY:
        known = ", ".join((*SCHEDULERS, *FLOW_ONLY))
        raise InvalidInput(f"scheduler {name!r} is unknown; known: {known}", field="scheduler")
    if family_of(facts).noise != "flow":
        if wanted in FLOW_ONLY:
            raise InvalidInput(
                f"scheduler {wanted} walks flows, and model {facts.name!r} is none: name another one", field="scheduler"
            )
        return SCHEDULERS[wanted], ()
    if wanted in FLOW_ONLY:
        return FLOW[wanted], ()
    stands_in = SCHEDULERS[wanted].on_flow
    if not stands_in:
        takers = ", ".join((*FLOW_ONLY, *(kind.name for kind in SCHEDULERS.values() if kind.on_flow == kind.name)))
        raise InvalidInput(
            f"scheduler {wanted} can't walk a flow, and model {facts.name!r} is one: name one of {takers}",
            field="scheduler",
        )
    kind = FLOW[stands_in]
    if stands_in == wanted:
        return kind, ()
    how = " with fresh noise at every step" if kind.stochastic else ""
    return kind, (f"{wanted} walks no flow, which model {facts.name} is: {kind.name}{how} was used in its place.",)


def default_scheduler(facts: ModelFacts) -> str:
    """The scheduler for requests that name none: the model's own, or UniPC if that one isn't available.

    A scheduler with its own loop was made for another kind of model, whatever the configuration says.
    """
    named = str(facts.scheduler.get("_class_name", ""))
    if family_of(facts).noise == "flow":
        return named if named in FLOW else EULER
    own = SCHEDULERS.get(named)
    return own.name if own and own.loop is CommonLoop else diffusers.UniPCMultistepScheduler.__name__
