"""GenerationService: the same generations over gRPC, for callers inside the cluster."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from controlmesh.v1 import generation_pb2, generation_pb2_grpc, types_pb2
from gateway.auth import bearer
from gateway.generation import FORMATS, Control, Generation
from gateway.jobs import Job, Order
from gateway.parts import Parts
from gateway.pipeline import Preview
from mesh.errors import Cancelled, InvalidInput
from mesh.pictures import check

NAME = "controlmesh.v1.GenerationService"
_FORMAT_NAMES = {number: name for name, number in FORMATS.items()}
# Absent means the default, which is another than the type's zero.
_OPTIONAL = (
    "width",
    "height",
    "steps",
    "guidance_scale",
    "seed",
    "samples",
    "clip_skip",
    "strength",
    "use_karras_sigmas",
    "prompt_weighting",
)
# Empty means none.
_NAMES = ("model", "scheduler", "algorithm_type", "enhance_style")
_PLAIN = ("prompt", "negative_prompt", "guess_mode", "enhance_prompt", "preview_every")
_PICTURES = ("image", "mask")
_OPTIONAL_OF_CONTROL = ("auto_hint", "weight", "end")
_NAMES_OF_CONTROL = ("extractor", "text")


class Generations(generation_pb2_grpc.GenerationServiceServicer):
    """Takes generations from the same parts as the HTTP dialects do.

    Args:
        parts: of the gateway.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def Generate(
        self, request: generation_pb2.GenerateRequest, context: Any
    ) -> AsyncIterator[generation_pb2.GenerateResponse]:
        owner = self._parts.keys.owner(bearer(dict(context.invocation_metadata() or ()).get("authorization")))
        generation = await self._parts.catalogue.resolve(_parse(request))
        job = await self._parts.jobs.submit(
            self._parts.keys.bounded(Order(generation, owner, dialect="grpc", at_once=True))
        )
        shown: Preview | None = None
        try:
            async for now in self._parts.jobs.watch(job.id, owner):
                job = now
                if not job.is_finished:
                    yield generation_pb2.GenerateResponse(progress=_progress(job, shown))
                    shown = job.preview
        finally:
            if not job.is_finished:
                # Shielded: this runs because the caller cancelled, and the cancelling must not be cancelled itself.
                await asyncio.shield(self._parts.jobs.cancel(job.id, owner))
        if job.error is not None:
            raise job.error
        if not job.pictures:
            raise Cancelled("the generation was cancelled")
        yield generation_pb2.GenerateResponse(result=await self._result(job))

    async def _result(self, job: Job) -> generation_pb2.GenerateResult:
        assets = await asyncio.gather(*(self._parts.assets.get(picture.asset) for picture in job.pictures))
        images = [
            generation_pb2.GeneratedImage(
                seed=picture.seed,
                image=types_pb2.Image(
                    content=asset.content,
                    format=FORMATS[job.generation.format],
                    width=picture.width,
                    height=picture.height,
                ),
            )
            for picture, asset in zip(job.pictures, assets, strict=True)
        ]
        return generation_pb2.GenerateResult(
            id=job.id,
            images=images,
            notes=job.notes,
            prompt=job.prompt or "",
            negative_prompt=job.negative_prompt or "",
        )


def _progress(job: Job, shown: Preview | None) -> generation_pb2.GenerateProgress:
    """How far `job` is, with its preview if that is another than the one `shown` last."""
    progress = generation_pb2.GenerateProgress(step=job.step, steps=job.steps)
    if job.preview is not None and job.preview is not shown:
        _, width, height = check(job.preview.content)
        progress.preview_of = job.preview.picture
        progress.preview.CopyFrom(
            types_pb2.Image(content=job.preview.content, format=types_pb2.IMAGE_FORMAT_PNG, width=width, height=height)
        )
    return progress


def _parse(request: generation_pb2.GenerateRequest) -> Generation:
    given = {name: getattr(request, name) for name in _OPTIONAL if request.HasField(name)}  # type: ignore[arg-type]
    if request.format:
        given["format"] = _format(request.format)
    return Generation(
        controls=tuple(_control(index, control) for index, control in enumerate(request.controls)),
        **{name: getattr(request, name) for name in _PLAIN},
        **{name: getattr(request, name) for name in _NAMES if getattr(request, name)},
        **_pictures(request),
        **given,
    )


def _format(number: int) -> str:
    if number not in _FORMAT_NAMES:
        raise InvalidInput(f"format {number} is unknown", field="format")
    return _FORMAT_NAMES[number]  # type: ignore[index]


def _control(index: int, control: types_pb2.Control) -> Control:
    given = {name: getattr(control, name) for name in _OPTIONAL_OF_CONTROL if control.HasField(name)}  # type: ignore[arg-type]
    return Control(
        kind=control.kind,
        start=control.start,
        parameters=dict(control.parameters),
        **{name: getattr(control, name) for name in _NAMES_OF_CONTROL if getattr(control, name)},
        **_pictures(control, f"controls[{index}]."),
        **given,
    )


def _pictures(message: generation_pb2.GenerateRequest | types_pb2.Control, at: str = "") -> dict[str, Any]:
    """The pictures that `message` has, their headers checked."""
    found = {}
    for name in _PICTURES:
        if message.HasField(name):  # type: ignore[arg-type]
            found[name] = getattr(message, name).content
            check(found[name], field=f"{at}{name}")
    return found
