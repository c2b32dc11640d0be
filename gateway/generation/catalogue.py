"""The catalogue: the models, controls and schedulers that the services offer at the moment."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from controlmesh.v1 import preprocess_pb2, unet_pb2
from families.limits import DEFAULT_REPAINTING, DEFAULT_STRENGTH, SIDE, Range
from gateway.generation.foreign import KINDS
from gateway.generation.generation import Generation, Task
from gateway.generation.refusals import Refusal, unknown
from gateway.generation.services import Services
from gateway.generation.suitable import check_limits, check_reads, check_walks
from mesh.channels import outgoing
from mesh.errors import InvalidInput, Unavailable


@dataclass(frozen=True)
class Offer:
    """A snapshot of the services' lists."""

    models: Sequence[unet_pb2.Model]
    controls: Sequence[preprocess_pb2.ControlKind]
    schedulers: Sequence[unet_pb2.Scheduler]
    styles: Sequence[preprocess_pb2.Style]

    def model(self, name: str) -> unet_pb2.Model | None:
        """The loaded model of that name, or None."""
        return next((model for model in self.models if model.name == name), None)

    def side(self, model: str) -> Range:
        """Width and height of the pictures that a model makes; those of any model if it does not say, or is unknown."""
        loaded = self.model(model)
        if loaded is None or not loaded.HasField("limits"):
            return SIDE
        return Range(loaded.limits.least_side, loaded.limits.most_side, loaded.limits.multiple or 1)

    def family(self, model: str) -> str:
        """The family of a loaded model; empty for an unknown one."""
        loaded = self.model(model)
        return loaded.family if loaded else ""

    def own_control(self, model: str) -> str:
        """The kind of the control that a loaded model reads without a ControlNet; empty if it reads none."""
        loaded = self.model(model)
        return loaded.limits.own_control if loaded else ""

    def guidance(self, model: str, vendors: float) -> float:
        """The guidance scale of requests that leave it out: the vendor's, but for models whose guidance is an input,
        where the number means something else."""
        loaded = self.model(model)
        own = loaded is not None and loaded.limits.true_guidance and loaded.defaults.HasField("guidance_scale")
        return loaded.defaults.guidance_scale if loaded is not None and own else vendors

    def scheduler(self, name: str) -> unet_pb2.Scheduler | None:
        """The scheduler of that name, in any case and with or without `Scheduler` at its end, or None."""
        return next((scheduler for scheduler in self.schedulers if _bare(scheduler.name) == _bare(name)), None)

    def algorithm_types(self) -> list[str]:
        """Solver variants that at least one scheduler accepts."""
        return sorted({variant for scheduler in self.schedulers for variant in scheduler.algorithm_types})

    def controls_of(self, model: str) -> list[preprocess_pb2.ControlKind]:
        """The control kinds for which `model` has a ControlNet.

        Raises:
            InvalidInput: the model is not loaded; the message lists the loaded ones.
        """
        loaded = self.model(model)
        if loaded is None:
            raise unknown("model", model, [known.name for known in self.models])
        return [control for control in self.controls if control.kind in loaded.controls]

    def is_kind(self, kind: str) -> bool:
        """Whether `kind` is the name of a kind of control, or of a ControlNet that was added."""
        return kind in KINDS or any(control.kind == kind for control in self.controls)

    def reads_mask(self, kind: str) -> bool:
        """Whether controls of `kind` read a mask."""
        return any(control.reads_mask for control in self.controls if control.kind == kind)

    def reads_text(self, kind: str) -> bool:
        """Whether the hint of `kind` can be made from words."""
        return any(one.reads_text for control in self.controls if control.kind == kind for one in control.extractors)

    def kinds_of(self, controlnet: str) -> list[str]:
        """The control kinds whose hints the ControlNet `controlnet`, a hub id or its last part, is known to accept.

        If there are several, the one that it is named after comes first.
        """
        known = [
            control.kind
            for control in self.controls
            if any(controlnet in (id, id.rpartition("/")[2]) for row in control.controlnets for id in row.ids)
        ]
        return sorted(known, key=lambda kind: kind not in controlnet)

    def refusal(self, model: str, kind: str, extracting: bool) -> Refusal | None:
        """Why `model` can't be steered by a control of `kind`; None if it can.

        Args:
            model: name of a loaded model.
            kind: of the control; an unknown one has only names that exist to be told.
            extracting: whether the hint must be made by the kind's usual extractor.
        """
        loaded = self.model(model)
        usable = loaded.controls if loaded else ()
        if kind not in usable and not self.is_kind(kind):
            return Refusal("there is no such kind of control", f"model {model} has", tuple(usable), is_unknown=True)
        if kind not in usable:
            command = f"python -m export control {kind} SOURCE --model {model}"
            return Refusal(f"model {model} has no ControlNet of this kind", "it has", tuple(usable), command=command)
        extractable = self.extractable(model)
        if not extracting or kind in extractable:
            return None
        extractors = [one for control in self.controls if control.kind == kind for one in control.extractors]
        return Refusal(
            "its hint can't be extracted from a picture here",
            "can be extracted",
            tuple(extractable),
            remedies=tuple(one.how_to_get for one in extractors if one.how_to_get),
            stand_ins=tuple(one.name for one in extractors if one.stand_in),
            ready_taken=True,
        )

    def extractable(self, model: str) -> list[str]:
        """Control kinds for which a hint can be extracted from a picture and `model` has a ControlNet."""
        loaded = self.model(model)
        usable = set(loaded.controls) if loaded else set()
        return [control.kind for control in self.controls if control.extractable and control.kind in usable]


class Catalogue:
    """The services' lists, cached for `fresh_s` seconds.

    Args:
        services: the three services.
        default_model: model of requests that name none; empty: the first loaded one by name.
        fresh_s: seconds for which a list is cached; models are loaded or removed far less often.
        timeout_s: timeout in seconds of a service's answer.
    """

    def __init__(
        self, services: Services, default_model: str = "", fresh_s: float = 5.0, timeout_s: float = 5.0
    ) -> None:
        self._services = services
        self._default_model = default_model
        self._fresh_s = fresh_s
        self._timeout_s = timeout_s
        self._offer: Offer | None = None
        self._until = 0.0
        self._asking = asyncio.Lock()

    async def offer(self) -> Offer:
        """What can be requested now.

        Raises:
            MeshError: a service did not answer.
        """
        async with self._asking:
            if self._offer is None or time.monotonic() >= self._until:
                self._offer = await self._ask()
                self._until = time.monotonic() + self._fresh_s
            return self._offer

    def forget(self) -> None:
        """Invalidate the cached lists."""
        self._until = 0.0

    async def default_model(self) -> str:
        """Name of the model for requests that name none.

        Raises:
            Unavailable: no model is loaded.
        """
        if self._default_model:
            return self._default_model
        models = (await self.offer()).models
        if not models:
            raise Unavailable("no model is loaded; load one and try again", retry_after_s=5)
        return models[0].name

    async def resolve(self, generation: Generation, task: Task = Task.PICTURES) -> Generation:
        """`generation` with everything filled in that a reproducible `task` needs: model, scheduler, steps, seed...

        Raises:
            InvalidInput: an unknown model, scheduler, variant or control; the message lists the known ones. Also a
                scheduler or a model without the pictures that it needs, a control without the mask that it needs, or a
                mask for one that reads none.
        """
        offer = await self.offer()
        name = generation.model or await self.default_model()
        model = offer.model(name)
        if model is None:
            raise unknown("model", name, [known.name for known in offer.models])
        if task == Task.HINT:
            # No ControlNet is used, so any kind is fine; preprocess_svc checks what the kind needs.
            return replace(generation, model=name).settled().with_seed()
        _check_controls(generation, offer, model.name)
        check_limits(generation, offer.side(model.name), model.limits if model.HasField("limits") else None)
        scheduler = offer.scheduler(generation.scheduler or model.default_scheduler)
        if scheduler is None:
            sent = generation.scheduler or model.default_scheduler
            raise unknown("scheduler", sent, [known.name for known in offer.schedulers])
        check_walks(scheduler, model)
        check_reads(generation, model, scheduler)
        if scheduler.inverts and generation.image is None:
            raise InvalidInput(
                f"scheduler {scheduler.name!r} needs an initial picture (`image`) to invert, and none was sent",
                field="scheduler",
            )
        variant = generation.algorithm_type
        if variant is not None and variant not in offer.algorithm_types():
            # A variant that only other schedulers accept is not an error: the loop leaves it out with a note.
            raise unknown("algorithm_type", variant, offer.algorithm_types(), "no scheduler accepts it")
        strength = generation.strength
        if strength is None and generation.image is not None and not scheduler.inverts:
            strength = DEFAULT_REPAINTING if model.limits.needs_mask else DEFAULT_STRENGTH
        own = model.defaults
        return (
            replace(generation, model=name, scheduler=scheduler.name, strength=strength)
            .settled(
                own.steps if own.HasField("steps") else None,
                own.guidance_scale if own.HasField("guidance_scale") else None,
            )
            .with_seed()
        )

    async def _ask(self) -> Offer:
        unet, preprocess, again = self._services.unet, self._services.preprocess, self._services.retries.call
        t, m = self._timeout_s, outgoing()
        models, controls, schedulers, styles = await asyncio.gather(
            again(lambda: unet.ListModels(unet_pb2.ListModelsRequest(), timeout=t, metadata=m)),
            again(lambda: preprocess.ListControls(preprocess_pb2.ListControlsRequest(), timeout=t, metadata=m)),
            again(lambda: unet.ListSchedulers(unet_pb2.ListSchedulersRequest(), timeout=t, metadata=m)),
            again(lambda: preprocess.ListStyles(preprocess_pb2.ListStylesRequest(), timeout=t, metadata=m)),
        )
        return Offer(models.models, controls.controls, schedulers.schedulers, styles.styles)


def _bare(scheduler: str) -> str:
    return scheduler.strip().lower().removesuffix("scheduler")


def _check_controls(generation: Generation, offer: Offer, model: str) -> None:
    for index, control in enumerate(generation.controls):
        at = f"controls[{index}].kind"
        # preprocess_svc checks whether text, or an extractor that was named, can make the hint.
        extracting = control.auto_hint and control.extractor is None and control.text is None
        if refusal := offer.refusal(model, control.kind, extracting):
            ways = ["send a ready hint with auto_hint false"] if refusal.ready_taken else []
            ways += [f"ask for the crude stand-in with extractor {name!r}" for name in refusal.stand_ins]
            why = refusal.sentence(refusal.kinds, *ways, sent=control.kind)
            raise refusal.error(f"{at} {control.kind!r} can't be used: {why}", at)
        at, reads_mask = f"controls[{index}].mask", offer.reads_mask(control.kind)
        if control.mask is not None and not reads_mask:
            raise InvalidInput(f"{at} can't be used: controls of kind {control.kind!r} read no mask", field=at)
        if reads_mask and control.mask is None and generation.mask is None:
            raise InvalidInput(f"{at} is missing; send a picture whose white marks what to repaint", field=at)
