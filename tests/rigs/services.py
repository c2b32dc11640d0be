"""The three services in small: a real gRPC server whose answers are tiny, exact and observable."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from controlmesh.v1 import (
    preprocess_pb2,
    preprocess_pb2_grpc,
    types_pb2,
    unet_pb2,
    unet_pb2_grpc,
    vae_pb2,
    vae_pb2_grpc,
)
from gateway.generation.services import SERVICES
from mesh.channels import MESSAGE_OPTIONS
from mesh.errors import InvalidInput, MeshError
from mesh.interceptors import CallInterceptor
from mesh.pictures import check, encode
from mesh.tensors import to_array, to_message
from preprocess_svc.fitting import converted
from tests.rigs.offer import CONTROLNETS, EXPORTED_AT, HINT_SECONDS, KINDS, QUALITY, SCHEDULERS, STYLES

FORMATS = {0: "PNG", 1: "PNG", 2: "JPEG", 3: "WEBP"}


@dataclass
class Seen:
    """What reached the rooms."""

    prepared: list[preprocess_pb2.PrepareRequest] = field(default_factory=list)
    encoded: list[vae_pb2.EncodeRequest] = field(default_factory=list)
    denoised: list[unet_pb2.DenoiseRequest] = field(default_factory=list)
    decoded: list[vae_pb2.DecodeRequest] = field(default_factory=list)
    extracted: list[preprocess_pb2.ExtractHintRequest] = field(default_factory=list)
    converted: list[preprocess_pb2.ConvertPictureRequest] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    encoding: asyncio.Event = field(default_factory=asyncio.Event)
    metadata: list[dict[str, str]] = field(default_factory=list)


class FakeRooms(
    preprocess_pb2_grpc.PreprocessServiceServicer, unet_pb2_grpc.UnetServiceServicer, vae_pb2_grpc.VaeServiceServicer
):
    """All three services on one port, as the mesh's Envoy listener shows them.

    Use as an async context manager; `address` is known inside.

    Attributes:
        seen: what reached them.
        pace: set to let the denoising loops go on; a loop waits for it after its first step.
        failure: raised by Denoise after its first step, if set.
        prepare_pace: set to let Prepare go on.
        encode_failure: raised by Encode, if set.
        refuses: whether a call of that method (/package.Service/Method) is refused as by a proxy: unseen.
        hints_at_once: calls of ExtractHint that must be there at the same time for each of them to go on.
        hint_pace: set to let ExtractHint answer what it does not refuse.
        hint_failure: raised by ExtractHint, if set.
        models: names of those on offer, alike but for that.
        family: of all of them.
        added: ControlNets that came to all of them later, and the kinds whose hints they take.
        defaults: of all of them; empty: their cards say nothing.
        notes: with which every loop ends.
        needs_mask, own_control: as in Limits, of all models.
    """

    def __init__(self) -> None:
        self.seen = Seen()
        self.refuses: Callable[[str], bool] = lambda method: False
        self.pace = asyncio.Event()
        self.pace.set()
        self.failure: MeshError | None = None
        self.prepare_pace = asyncio.Event()
        self.prepare_pace.set()
        self.encode_failure: MeshError | None = None
        self.hints_at_once = asyncio.Barrier(1)
        self.hint_pace = asyncio.Event()
        self.hint_pace.set()
        self.hint_failure: Exception | None = None
        self.models = ["demo"]
        self.family = "sd15"
        self.added: dict[str, str] = {}
        self.defaults = unet_pb2.Defaults()
        self.notes: list[str] = []
        self.needs_mask = False
        self.own_control = ""
        self.address = ""

    async def __aenter__(self) -> "FakeRooms":
        # Envoy, in whose place this stands, lets its clients ping as often as they like.
        patient = [("grpc.http2.max_ping_strikes", 0)]
        self._server = grpc.aio.server(
            interceptors=[_Refusing(self), CallInterceptor()], options=[*MESSAGE_OPTIONS, *patient]
        )
        preprocess_pb2_grpc.add_PreprocessServiceServicer_to_server(self, self._server)
        unet_pb2_grpc.add_UnetServiceServicer_to_server(self, self._server)
        vae_pb2_grpc.add_VaeServiceServicer_to_server(self, self._server)
        self.health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        for name in SERVICES:
            await self.health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Go away at once, as a killed process does."""
        await self._server.stop(None)

    async def Prepare(self, request: preprocess_pb2.PrepareRequest, context: Any) -> preprocess_pb2.PrepareResponse:
        self.seen.prepared.append(request)
        self.seen.metadata.append(dict(context.invocation_metadata()))
        await self.prepare_pace.wait()
        sizes = [(request.picture_width, request.picture_height)] if request.picture_width else []
        sizes += [check(control.image.content)[1:] for control in request.controls if not control.text]
        width, height = sizes[0] if sizes else (128, 128)
        width, height = request.width or width // 8 * 8, request.height or height // 8 * 8
        rows = 2 if request.guidance else 1
        conditioning = types_pb2.Conditioning(
            model=request.model,
            text=to_message(np.zeros((rows, 77, 4), np.float32)),
            # What the mask is made of does not matter here; that there is one does.
            mask=to_message(np.zeros((height, width), np.uint8)) if request.HasField("mask") else None,
            hints=[types_pb2.Hint(kind=control.kind, weight=control.weight) for control in request.controls],
            width=width,
            height=height,
        )
        style = STYLES.get(request.enhance_style, preprocess_pb2.Style(prompt="{prompt}"))
        notes = ["the prompt was cut"] if len(request.prompt) > 1000 else []
        if request.enhance_style and request.enhance_style not in STYLES:
            notes.append(f"enhance_style {request.enhance_style!r} is unknown and was left out")
        return preprocess_pb2.PrepareResponse(
            conditioning=conditioning,
            notes=notes,
            prompt=style.prompt.replace("{prompt}", request.prompt) + (QUALITY if request.enhance_prompt else ""),
            negative_prompt=", ".join(filter(None, (request.negative_prompt, style.negative_prompt))),
            reads_masked=self.needs_mask and request.HasField("mask"),
        )

    async def ConvertPicture(
        self, request: preprocess_pb2.ConvertPictureRequest, context: Any
    ) -> preprocess_pb2.ConvertPictureResponse:
        self.seen.converted.append(request)
        format = types_pb2.ImageFormat.Name(request.format or types_pb2.IMAGE_FORMAT_PNG).removeprefix("IMAGE_FORMAT_")
        content, width, height = converted(request.image.content, request.square, format, field="image")
        return preprocess_pb2.ConvertPictureResponse(
            image=types_pb2.Image(content=content, format=request.format, width=width, height=height)
        )

    async def ExtractHint(
        self, request: preprocess_pb2.ExtractHintRequest, context: Any
    ) -> preprocess_pb2.ExtractHintResponse:
        self.seen.extracted.append(request)
        self.seen.metadata.append(dict(context.invocation_metadata()))
        control = request.control
        try:
            await self.hints_at_once.wait()
            self._refuse(control)
            self.seen.started.set()
            await self.hint_pace.wait()
        except asyncio.CancelledError:
            self.seen.cancelled.set()
            raise
        picture = ("", 64, 64) if control.text else check(control.image.content, field="control.image")
        _, width, height = picture
        factor = (request.short_side or 128) / min(width, height)
        width, height = request.width or int(width * factor), request.height or int(height * factor)
        # The grey says of which call it is.
        content = encode(np.full((height, width, 3), len(self.seen.extracted), np.uint8))
        extractor = _used(control)
        notes = [] if control.auto_hint or control.text else [f"control: fitted to {width} × {height}"]
        if extractor.stand_in:
            notes.append(f"control: made by the stand-in {extractor.name!r}")
        return preprocess_pb2.ExtractHintResponse(
            hint=types_pb2.Image(content=content, format=types_pb2.IMAGE_FORMAT_PNG, width=width, height=height),
            extractor=extractor.name,
            annotator=extractor.annotator,
            notes=notes,
            seconds=HINT_SECONDS,
        )

    async def ExtractHints(
        self, request: preprocess_pb2.ExtractHintsRequest, context: Any
    ) -> preprocess_pb2.ExtractHintsResponse:
        hints = [await self.ExtractHint(one, context) for one in request.requests]
        return preprocess_pb2.ExtractHintsResponse(hints=hints)

    def _refuse(self, control: types_pb2.Control) -> None:
        """Raise what preprocess_svc says of a control that it can't make a hint of."""
        if self.hint_failure:
            raise self.hint_failure
        kind = control.kind
        if kind not in KINDS:
            raise InvalidInput(f"control {kind!r} is unknown; known: {', '.join(KINDS)}", field="control.kind")
        if "hue" in control.parameters:
            raise InvalidInput(f"control {kind!r} has no parameter 'hue'; it has: none", field="control.parameters.hue")
        known = {one.name: one for one in KINDS[kind].extractors}
        if control.text and not any(one.reads_text for one in known.values()):
            raise InvalidInput(f"{kind} can't be made from text: send a picture", field="control.text")
        if control.extractor and control.extractor not in known:
            has = ", ".join(known)
            raise InvalidInput(
                f"control {kind!r} has no extractor {control.extractor!r}; it has: {has}", field="control.extractor"
            )
        if control.auto_hint and not (KINDS[kind].extractable or control.extractor):
            how = "; or ".join(one.how_to_get for one in known.values() if one.how_to_get)
            raise InvalidInput(f"{kind} can't be extracted from a picture here: {how}", field="control.auto_hint")
        if control.HasField("mask") != KINDS[kind].reads_mask:
            raise InvalidInput("control.mask is missing or not read", field="control.mask")

    async def ListStyles(self, request: Any, context: Any) -> preprocess_pb2.ListStylesResponse:
        return preprocess_pb2.ListStylesResponse(styles=STYLES.values())

    async def ListControls(self, request: Any, context: Any) -> preprocess_pb2.ListControlsResponse:
        added = []
        for name, kind in self.added.items():
            copy = preprocess_pb2.ControlKind()
            copy.CopyFrom(KINDS[kind])
            copy.kind, copy.models[:] = name, self.models
            copy.ClearField("controlnets")
            added.append(copy)
        return preprocess_pb2.ListControlsResponse(controls=[*KINDS.values(), *added])

    async def Denoise(self, request: unet_pb2.DenoiseRequest, context: Any) -> AsyncIterator[unet_pb2.DenoiseResponse]:
        self.seen.denoised.append(request)
        asked, known = request.conditioning, SCHEDULERS[request.scheduler]
        steps = max(1, int(request.steps * request.strength)) if request.HasField("strength") else request.steps
        try:
            for step in range(1, steps + 1):
                progress = unet_pb2.DenoiseProgress(step=step, steps=steps)
                if request.preview_every and step % request.preview_every == 0:
                    # The colour says of which seed and step it is.
                    pixels = np.full((asked.height // 8, asked.width // 8, 3), (request.seed % 251, step, 0), np.uint8)
                    progress.preview.content = encode(pixels)
                yield unet_pb2.DenoiseResponse(progress=progress)
                self.seen.started.set()
                if self.failure:
                    raise self.failure
                await self.pace.wait()
        except asyncio.CancelledError:
            self.seen.cancelled.set()
            raise
        latents = np.full((1, 4, asked.height // 8, asked.width // 8), request.seed % 251, np.float32)
        notes = list(self.notes)
        if request.use_karras_sigmas and not known.karras_sigmas:
            notes.append(f"use_karras_sigmas was not applied: {known.name} does not take it")
        if request.algorithm_type and request.algorithm_type not in known.algorithm_types:
            notes.append(f"algorithm_type was not applied: {known.name} does not take it")
        yield unet_pb2.DenoiseResponse(
            latents=types_pb2.Latents(model=asked.model, samples=to_message(latents)), notes=notes
        )

    async def ListSchedulers(self, request: Any, context: Any) -> unet_pb2.ListSchedulersResponse:
        return unet_pb2.ListSchedulersResponse(schedulers=SCHEDULERS.values())

    async def ListModels(self, request: Any, context: Any) -> unet_pb2.ListModelsResponse:
        return unet_pb2.ListModelsResponse(
            models=[
                unet_pb2.Model(
                    name=name,
                    family=self.family,
                    native_size=128,
                    controls=sorted((*CONTROLNETS, *self.added)),
                    prediction_type="v_prediction",
                    default_scheduler=self.defaults.scheduler or "DDIMScheduler",
                    latent_channels=4,
                    exported_at=EXPORTED_AT,
                    limits=unet_pb2.Limits(
                        least_side=64,
                        most_side=1024,
                        multiple=8,
                        most_controls=5,
                        reads_clip_skip=self.family != "flux",
                        true_guidance=self.family == "flux",
                        reads_sizes=self.family == "sdxl",
                        needs_mask=self.needs_mask,
                        own_control=self.own_control,
                    ),
                    noise="flow" if self.family == "flux" else "diffusion",
                    defaults=self.defaults if self.defaults.ByteSize() else None,
                    trained_sizes=[self.defaults.size] if self.defaults.HasField("size") else [],
                )
                for name in self.models
            ]
        )

    async def Encode(self, request: vae_pb2.EncodeRequest, context: Any) -> vae_pb2.EncodeResponse:
        self.seen.encoded.append(request)
        self.seen.encoding.set()
        check(request.image.content)
        if self.encode_failure:
            raise self.encode_failure
        shape = (1, 4, request.height // 8, request.width // 8)
        posterior = types_pb2.Posterior(
            model=request.model,
            mean=to_message(np.zeros(shape, np.float32)),
            deviation=to_message(np.ones(shape, np.float32)),
        )
        return vae_pb2.EncodeResponse(posterior=posterior)

    async def Decode(self, request: vae_pb2.DecodeRequest, context: Any) -> vae_pb2.DecodeResponse:
        self.seen.decoded.append(request)
        latents = to_array(request.latents.samples, field="latents", ndim=4)
        images = []
        for row in latents:
            height, width = row.shape[1] * 8, row.shape[2] * 8
            pixels = np.full((height, width, 3), int(row[0, 0, 0]), np.uint8)
            format = request.format or types_pb2.IMAGE_FORMAT_PNG
            content = encode(pixels, FORMATS[format])
            images.append(types_pb2.Image(content=content, format=format, width=width, height=height))
        return vae_pb2.DecodeResponse(images=images)


def _used(control: types_pb2.Control) -> preprocess_pb2.Extractor:
    """The extractor that a control asks for, by name, by its words or by saying nothing; none for a ready hint."""
    if not control.auto_hint and not control.text:
        return preprocess_pb2.Extractor()
    named = control.extractor
    return next(
        one
        for one in KINDS[control.kind].extractors
        if (one.name == named if named else one.available and one.reads_text == bool(control.text))
    )


class _Refusing(grpc.aio.ServerInterceptor):
    """Refuses calls before they reach their service, as Envoy's fault filter does."""

    def __init__(self, rooms: FakeRooms) -> None:
        self._rooms = rooms

    async def intercept_service(self, continuation: Any, details: grpc.HandlerCallDetails) -> Any:
        handler = await continuation(details)
        if not self._rooms.refuses(details.method):
            return handler

        async def refuse(request: Any, context: Any) -> Any:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "fault filter abort")

        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                refuse, handler.request_deserializer, handler.response_serializer
            )
        return grpc.unary_stream_rpc_method_handler(refuse, handler.request_deserializer, handler.response_serializer)
