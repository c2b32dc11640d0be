"""What the mesh offers at the moment: models, controls, schedulers, as the services list them."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from controlmesh.v1 import preprocess_pb2, unet_pb2
from families.limits import DEFAULT_STRENGTH
from gateway.generation.generation import Generation, Task
from gateway.generation.services import Services
from mesh.channels import call, outgoing
from mesh.errors import InvalidInput, Unavailable


@dataclass(frozen=True)
class Refusal:
    """Why a model can't be steered by one kind of control; each dialect says it with its own names of the kinds.

    Attributes:
        reason: half a sentence.
        remedies: what would change it, as preprocess_svc says it, such as the command that exports an annotator.
        stand_ins: names of crude extractors, which are used only when a request asks for them.
        offered: what `kinds` are to the model: those that "it has", or that "can be extracted".
        kinds: those that can be asked for instead.
        ready_taken: whether a ready hint of the kind is taken.
    """

    reason: str
    offered: str
    kinds: tuple[str, ...]
    remedies: tuple[str, ...] = ()
    stand_ins: tuple[str, ...] = ()
    ready_taken: bool = False

    def sentence(self, names: Sequence[str], *ways: str) -> str:
        """All of it.

        Args:
            names: the dialect's names of `kinds`.
            ways: what else the dialect lets its clients do.
        """
        reasons = "; or ".join((*self.remedies, *ways))
        why = f"{self.reason}: {reasons}" if reasons else self.reason
        return f"{why}; {self.offered}: {', '.join(names) or 'none'}"


@dataclass(frozen=True)
class Offer:
    """One look at the lists of the services."""

    models: Sequence[unet_pb2.Model]
    controls: Sequence[preprocess_pb2.ControlKind]
    schedulers: Sequence[unet_pb2.Scheduler]
    styles: Sequence[preprocess_pb2.Style]

    def model(self, name: str) -> unet_pb2.Model | None:
        """The loaded model of that name, if there is one."""
        return next((model for model in self.models if model.name == name), None)

    def scheduler(self, name: str) -> unet_pb2.Scheduler | None:
        """The scheduler of that name, if there is one."""
        return next((scheduler for scheduler in self.schedulers if scheduler.name == name), None)

    def algorithm_types(self) -> list[str]:
        """Variants of solvers that some scheduler takes."""
        return sorted({variant for scheduler in self.schedulers for variant in scheduler.algorithm_types})

    def controls_of(self, model: str) -> list[preprocess_pb2.ControlKind]:
        """The control kinds for which `model` has a ControlNet.

        Raises:
            InvalidInput: no such model is loaded; names those that are.
        """
        loaded = self.model(model)
        if loaded is None:
            raise _unknown("model", model, [known.name for known in self.models])
        return [control for control in self.controls if control.kind in loaded.controls]

    def reads_mask(self, kind: str) -> bool:
        """Whether controls of `kind` read a mask."""
        return any(control.reads_mask for control in self.controls if control.kind == kind)

    def reads_text(self, kind: str) -> bool:
        """Whether the hint of `kind` can be made from words."""
        return any(one.reads_text for control in self.controls if control.kind == kind for one in control.extractors)

    def kinds_of(self, controlnet: str) -> list[str]:
        """The control kinds whose hints the ControlNet `controlnet` is known to take; a hub id, or its last part.

        Where there are several, the one that it is named after comes first.
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
            kind: of the control; an unknown one is refused like one that the model has no ControlNet for.
            extracting: whether the hint is to be made by the kind's usual extractor.
        """
        loaded = self.model(model)
        usable = loaded.controls if loaded else ()
        if kind not in usable:
            return Refusal(f"model {model} has no ControlNet of this kind", "it has", tuple(usable))
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
    """Lists of the services, asked for again after `fresh_s` seconds.

    Args:
        rooms: the three services.
        default_model: model of requests that name none; empty takes the first loaded one.
        fresh_s: seconds for which an answer is used; a model is loaded or dropped far less often.
        timeout_s: seconds that a service gets to answer.
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
        """What can be asked for now.

        Raises:
            MeshError: a service does not answer.
        """
        async with self._asking:
            if self._offer is None or time.monotonic() >= self._until:
                self._offer = await self._ask()
                self._until = time.monotonic() + self._fresh_s
            return self._offer

    def forget(self) -> None:
        """Ask the services again at the next look."""
        self._until = 0.0

    async def default_model(self) -> str:
        """Name of the model that requests get which name none.

        Raises:
            Unavailable: no model is loaded.
        """
        if self._default_model:
            return self._default_model
        models = (await self.offer()).models
        if not models:
            raise Unavailable("no model is loaded; load one, then try again", retry_after_s=5)
        return models[0].name

    async def resolve(self, generation: Generation, task: Task = Task.PICTURES) -> Generation:
        """`generation` with model, scheduler, strength and seed filled in, so that `task` can be repeated exactly.

        Raises:
            InvalidInput: a model, scheduler, variant or control that does not exist here; names those that do. Also a
                scheduler that needs a picture and gets none, a control that needs a mask and lacks it, and the reverse.
        """
        offer = await self.offer()
        name = generation.model or await self.default_model()
        model = offer.model(name)
        if model is None:
            raise _unknown("model", name, [known.name for known in offer.models])
        if task == Task.HINT:
            # No ControlNet is asked, so any kind will do; what it needs is preprocess_svc's to say.
            return replace(generation, model=name).with_seed()
        _check_controls(generation, offer, model.name)
        scheduler = offer.scheduler(generation.scheduler or model.default_scheduler)
        if scheduler is None:
            sent = generation.scheduler or model.default_scheduler
            raise _unknown("scheduler", sent, [known.name for known in offer.schedulers])
        if scheduler.inverts and generation.image is None:
            raise InvalidInput(
                f"scheduler {scheduler.name!r} needs an initial picture (`image`) to invert, and none was sent",
                field="scheduler",
            )
        variant = generation.algorithm_type
        if variant is not None and variant not in offer.algorithm_types():
            # One that another scheduler takes is no error: the loop leaves it out and says so.
            raise _unknown("algorithm_type", variant, offer.algorithm_types(), "no scheduler takes it")
        strength = generation.strength
        if strength is None and generation.image is not None and not scheduler.inverts:
            strength = DEFAULT_STRENGTH
        return replace(generation, model=name, scheduler=scheduler.name, strength=strength).with_seed()

    async def _ask(self) -> Offer:
        unet, preprocess = self._services.unet, self._services.preprocess
        t, m = self._timeout_s, outgoing()
        models, controls, schedulers, styles = await asyncio.gather(
            call(unet.ListModels(unet_pb2.ListModelsRequest(), timeout=t, metadata=m)),
            call(preprocess.ListControls(preprocess_pb2.ListControlsRequest(), timeout=t, metadata=m)),
            call(unet.ListSchedulers(unet_pb2.ListSchedulersRequest(), timeout=t, metadata=m)),
            call(preprocess.ListStyles(preprocess_pb2.ListStylesRequest(), timeout=t, metadata=m)),
        )
        return Offer(models.models, controls.controls, schedulers.schedulers, styles.styles)


def _check_controls(generation: Generation, offer: Offer, model: str) -> None:
    for index, control in enumerate(generation.controls):
        at = f"controls[{index}].kind"
        # Whether words or an extractor that was asked for by name can make the hint is preprocess_svc's to judge.
        extracting = control.auto_hint and control.extractor is None and control.text is None
        if refusal := offer.refusal(model, control.kind, extracting):
            ways = ["send a ready hint with auto_hint false"] if refusal.ready_taken else []
            ways += [f"ask for the crude stand-in with extractor {name!r}" for name in refusal.stand_ins]
            raise InvalidInput(
                f"{at} {control.kind!r} can't be used: {refusal.sentence(refusal.kinds, *ways)}", field=at
            )
        at, reads_mask = f"controls[{index}].mask", offer.reads_mask(control.kind)
        if control.mask is not None and not reads_mask:
            raise InvalidInput(f"{at} can't be used: a control of kind {control.kind!r} reads no mask", field=at)
        if reads_mask and control.mask is None and generation.mask is None:
            raise InvalidInput(f"{at} is missing; send a picture whose white marks what to repaint", field=at)


def _unknown(field: str, sent: str, known: Sequence[str], reason: str = "") -> InvalidInput:
    names = ", ".join(known) or "none"
    return InvalidInput(f"{field} {sent!r} can't be used: {reason or 'it is unknown'}; available: {names}", field=field)
