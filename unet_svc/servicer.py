"""UnetService: decode, call, encode."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Gauge

from controlmesh.v1 import types_pb2, unet_pb2, unet_pb2_grpc
from families.defaults import far_outside
from families.loaded import LoadedModels
from families.manifest import Manifest
from families.table import family_of
from mesh.admission import Admission
from mesh.errors import MeshError
from mesh.telemetry import log
from mesh.tensors import to_message
from unet_svc.denoiser import Denoiser
from unet_svc.denoising import Denoising
from unet_svc.preview import make_preview
from unet_svc.schedulers import FLOW, FLOW_ONLY, SCHEDULERS, default_scheduler
from unet_svc.task import read_task

STEPS = Counter("cn_denoise_steps_total", "Model calls made by denoising loops.", ["model"])
LOOPS = Gauge("cn_denoise_loops", "Denoising loops running or waiting.")
WAITING = Gauge("cn_denoise_steps_waiting", "Steps that wait for their owner's turn at the model server.")


class UnetServicer(unet_pb2_grpc.UnetServiceServicer):
    """Serves UnetService.

    Args:
        models: the loaded models.
        denoiser: their graphs.
        admission: limit on concurrent loops.
        repository: folder to watch for added and removed models; None for a fixed set.
    """

    def __init__(
        self, models: list[Manifest], denoiser: Denoiser, admission: Admission, repository: Path | None = None
    ) -> None:
        self._models = LoadedModels(models, repository)
        self._denoiser = denoiser
        self._admission = admission
        self._turns = itertools.count()
        self._renewing: asyncio.Task[None] | None = None
        LOOPS.set_function(lambda: admission.inside)
        WAITING.set_function(lambda: denoiser.turns.waiting)

    async def Denoise(self, request: unet_pb2.DenoiseRequest, context: Any) -> AsyncIterator[unet_pb2.DenoiseResponse]:
        """Run one loop; see the .proto."""
        model = self._models.find(request.conditioning.model)
        task = read_task(request, model)
        denoising = Denoising(task)
        size = (request.conditioning.width, request.conditioning.height)
        notes = [*denoising.notes, *far_outside(model.name, model.sizes, model.defaults, size, task.guidance_scale)]
        async with (
            self._admission,
            self._denoiser.open(task, denoising.hints, denoising.concat) as predict,
            aclosing(denoising.run(predict)) as steps,
        ):
            async for step in steps:
                STEPS.labels(model.name).inc()
                progress = unet_pb2.DenoiseProgress(step=step.done, steps=step.total)
                if step.picture is not None:
                    progress.preview.CopyFrom(await asyncio.to_thread(make_preview, step.picture, model.preview))
                yield unet_pb2.DenoiseResponse(progress=progress)
        latents = types_pb2.Latents(model=model.name, samples=to_message(step.latents))
        yield unet_pb2.DenoiseResponse(latents=latents, notes=notes)

    async def ListSchedulers(
        self, request: unet_pb2.ListSchedulersRequest, context: Any
    ) -> unet_pb2.ListSchedulersResponse:
        """List the schedulers."""
        return unet_pb2.ListSchedulersResponse(
            schedulers=[
                unet_pb2.Scheduler(
                    name=kind.name,
                    description=kind.description,
                    stochastic=kind.stochastic,
                    karras_sigmas=kind.karras_sigmas,
                    algorithm_types=kind.algorithm_types,
                    model_calls=kind.model_calls,
                    inverts=kind.inverts,
                    flow_only=name in FLOW_ONLY,
                    on_flow=name if name in FLOW_ONLY else FLOW[kind.on_flow].name if kind.on_flow else "",
                )
                for name, kind in {**SCHEDULERS, **{name: FLOW[name] for name in FLOW_ONLY}}.items()
            ]
        )

    async def ListModels(self, request: unet_pb2.ListModelsRequest, context: Any) -> unet_pb2.ListModelsResponse:
        """List the loaded models."""
        return unet_pb2.ListModelsResponse(
            models=[
                unet_pb2.Model(
                    name=model.name,
                    family=model.family,
                    native_size=model.native_size,
                    controls=model.controls,
                    prediction_type=model.scheduler.get("prediction_type", "epsilon"),
                    default_scheduler=_scheduler_of(model),
                    latent_channels=model.latent_channels,
                    exported_at=self._models.exported_at(model.name),
                    defaults=_defaults(model),
                    limits=_limits(model),
                    noise=family_of(model).noise,
                    trained_sizes=[unet_pb2.Size(width=width, height=height) for width, height in model.sizes],
                )
                for model in self._models.values()
            ]
        )

    async def probe(self) -> None:
        """Raise MeshError while a step would fail; each call tries the next model and ControlNet, round robin.

        Each call also looks for added and removed models; loading them runs in the background.
        """
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._renew())
        model = self._models.in_turn()
        # One more than there are ControlNets, for a step without any.
        place = next(self._turns) // len(self._models) % (len(model.nets) + 1)
        await self._denoiser.probe(model, [net.name for net in model.nets[place - 1 : place]] if place else ())

    async def _renew(self) -> None:
        """Load added models and unload removed ones; only this service asks the model server to do so."""
        await self._models.renew(self._load, self._unload)

    async def _load(self, card: Manifest) -> bool:
        return await self._tried(self._denoiser.load(card, self._models.get(card.name)), card)

    async def _unload(self, card: Manifest) -> bool:
        return await self._tried(self._denoiser.unload(card), card)

    async def _tried(self, change: Coroutine[Any, Any, None], card: Manifest) -> bool:
        try:
            await change
        except MeshError as error:
            # Retried by the next probe.
            log.warning("model can't be loaded or unloaded", model=card.name, reason=error.message)
            return False
        return True


def _scheduler_of(model: Manifest) -> str:
    own = model.defaults.scheduler
    known = (*SCHEDULERS, *FLOW_ONLY)
    return own if own in known else default_scheduler(model)


def _limits(model: Manifest) -> unet_pb2.Limits:
    family = family_of(model)
    return unet_pb2.Limits(
        least_side=int(family.side.minimum),
        most_side=int(family.side.maximum),
        multiple=family.side.multiple,
        most_pixels=family.most_pixels,
        most_controls=family.most_controls,
        reads_sizes=model.vector is not None and model.vector.sizes,
        true_guidance=family.true_guidance,
        reads_clip_skip=family.skips != "none",
        needs_mask=model.repaints,
        own_control=model.own_control or "",
    )


def _defaults(model: Manifest) -> unet_pb2.Defaults:
    """The model's defaults, those of its family where its card says nothing."""
    own, family = model.defaults, family_of(model)
    width, height = own.size or (model.native_size, model.native_size)
    return unet_pb2.Defaults(
        size=unet_pb2.Size(width=width, height=height),
        steps=family.steps if own.steps is None else own.steps,
        guidance_scale=family.guidance if own.guidance_scale is None else own.guidance_scale,
        scheduler=_scheduler_of(model),
    )
