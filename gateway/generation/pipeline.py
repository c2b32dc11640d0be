"""Runs a generation on the services: prepare, encode, denoise, decode. Services never call one another."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TypeVar

from controlmesh.v1 import preprocess_pb2, types_pb2, unet_pb2
from gateway.generation import messages
from gateway.generation.generation import Generation, Task
from gateway.generation.hints import HintRequest, extract
from gateway.generation.services import Services
from mesh.channels import outgoing
from mesh.concurrency import both, together
from mesh.errors import DeadlineExceeded, InternalError, MeshError

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Preview:
    """A preview of picture number `picture`, counted from 0: a small PNG, made at model call `step`."""

    content: bytes = field(repr=False)
    picture: int
    step: int


Progress = Callable[[int, int, Preview | None], None]
"""Called with the model calls done and in total, over all pictures, and a preview if this call made one."""


@dataclass(frozen=True)
class Picture:
    """A finished picture: the encoded file, the seed that reproduces it, and its size in pixels."""

    content: bytes = field(repr=False)
    seed: int
    width: int
    height: int


@dataclass(frozen=True)
class Outcome:
    """The result of a generation.

    Attributes:
        pictures: in the order of their seeds.
        notes: remarks for the caller, without repetitions.
        prompt, negative_prompt: the text that was encoded, after enhancement.
    """

    pictures: tuple[Picture, ...]
    notes: tuple[str, ...]
    prompt: str
    negative_prompt: str


class Pipeline:
    """Runs generations on the services.

    Args:
        services: the three services.
        deadline_s: deadline of a generation in seconds; passed on to every call.
    """

    def __init__(self, services: Services, deadline_s: float) -> None:
        self._services = services
        self._deadline_s = deadline_s

    async def run(
        self, generation: Generation, progress: Progress, task: Task = Task.PICTURES, owner: str = ""
    ) -> Outcome:
        """Run `task` for `generation`, whose model and seed are set. Cancelling this stops every service.

        Args:
            generation: what to make.
            progress: called after every model call.
            task: pictures or hint.
            owner: whose it is; owners get steps alike.

        Raises:
            MeshError: the first error of any service; DeadlineExceeded after `deadline_s`.
        """
        steps, deadline = _Steps(generation, progress), time.monotonic() + self._deadline_s
        walk = _Walk(self._services, generation, deadline, steps, owner)
        try:
            async with asyncio.timeout(self._deadline_s):
                return await (walk.to_hint() if task == Task.HINT else walk.through())
        except TimeoutError:
            raise DeadlineExceeded(
                f"the pictures were not done after {self._deadline_s:g} seconds; ask for fewer steps or pictures"
            ) from None


@dataclass(frozen=True)
class _Start:
    """What all pictures share: the conditioning, the latents of the initial picture if there is one, and of what the
    mask leaves of it if the model reads that."""

    prepared: preprocess_pb2.PrepareResponse
    initial: types_pb2.Posterior | None = None
    masked: types_pb2.Posterior | None = None


class _Walk:
    """The run of one generation."""

    def __init__(
        self, services: Services, generation: Generation, deadline: float, steps: "_Steps", owner: str
    ) -> None:
        self._services = services
        self._generation = generation
        self._deadline = deadline
        self._steps = steps
        self._owner = owner

    async def through(self) -> Outcome:
        start = await self._start()
        prepared = start.prepared
        made = await together(self._picture(index, seed, start) for index, seed in enumerate(self._generation.seeds()))
        notes = [*prepared.notes, *(note for _, noted in made for note in noted)]
        pictures = tuple(picture for picture, _ in made)
        return Outcome(pictures, tuple(dict.fromkeys(notes)), prepared.prompt, prepared.negative_prompt)

    async def to_hint(self) -> Outcome:
        """Make only the hint of the first control."""
        asked, control = self._generation, self._generation.controls[0]
        wanted = HintRequest(replace(control, image=asked.picture_of(control)), asked.width, asked.height)
        try:
            made = await extract(self._services, wanted, self._left())
        except MeshError as error:
            # That request has a single control, so its fields are named without an index.
            if error.field:
                error.field = error.field.replace("control.", "controls[0].", 1)
            raise
        return Outcome((Picture(made.content, asked.seeds()[0], made.width, made.height),), made.notes, "", "")

    async def _start(self) -> "_Start":
        asked = self._generation
        if asked.image is None:
            return _Start(await self._prepare())
        if asked.width and asked.height:
            prepared, initial = await both(self._prepare(), self._encode(asked.width, asked.height))
        else:
            prepared = await self._prepare()
            initial = await self._encode(prepared.conditioning.width, prepared.conditioning.height)
        if not prepared.reads_masked:
            return _Start(prepared, initial)
        words = prepared.conditioning
        return _Start(prepared, initial, await self._encode(words.width, words.height, words.mask))

    async def _picture(self, index: int, seed: int, start: "_Start") -> tuple[Picture, list[str]]:
        conditioning = start.prepared.conditioning
        request = messages.denoise(self._generation, conditioning, start.initial, seed, start.masked, self._owner)
        latents, notes = await self._denoise(index, request)
        decoded = await self._decode(conditioning, latents)
        return Picture(decoded.content, seed, decoded.width, decoded.height), notes

    async def _prepare(self) -> preprocess_pb2.PrepareResponse:
        request = messages.prepare(self._generation)
        prepare = self._services.preprocess.Prepare
        return await self._again(lambda: prepare(request, timeout=self._left(), metadata=outgoing()))

    async def _encode(self, width: int, height: int, mask: types_pb2.Tensor | None = None) -> types_pb2.Posterior:
        request = messages.encode(self._generation, width, height, mask)
        encode = self._services.vae.Encode
        encoded = await self._again(lambda: encode(request, timeout=self._left(), metadata=outgoing()))
        return encoded.posterior

    async def _denoise(self, index: int, request: unet_pb2.DenoiseRequest) -> tuple[types_pb2.Latents, list[str]]:
        denoise = self._services.unet.Denoise
        answers = self._services.retries.stream(lambda: denoise(request, timeout=self._left(), metadata=outgoing()))
        result = None
        async with aclosing(answers):
            # Read the stream to its end, so that a finished call does not count as cancelled.
            async for answer in answers:
                if answer.WhichOneof("event") == "latents":
                    result = answer
                else:
                    self._steps.report(index, answer.progress)
        if result is None:
            raise InternalError("the denoising loop ended without a result; try again")
        return result.latents, list(result.notes)

    async def _decode(self, conditioning: types_pb2.Conditioning, latents: types_pb2.Latents) -> types_pb2.Image:
        request = messages.decode(self._generation, conditioning, latents)
        decode = self._services.vae.Decode
        decoded = await self._again(lambda: decode(request, timeout=self._left(), metadata=outgoing()))
        return decoded.images[0]

    async def _again(self, make: Callable[[], Awaitable[Answer]]) -> Answer:
        return await self._services.retries.call(make)

    def _left(self) -> float:
        return max(self._deadline - time.monotonic(), 0.001)


class _Steps:
    """Adds up the progress of pictures that are made concurrently."""

    def __init__(self, generation: Generation, progress: Progress) -> None:
        self._done = [0] * generation.samples
        # Some schedulers make more model calls than steps, a strength below 1 fewer; the first report corrects this.
        self._all = [generation.planned_steps] * generation.samples
        self._progress = progress

    def report(self, index: int, progress: unet_pb2.DenoiseProgress) -> None:
        self._done[index], self._all[index] = progress.step, progress.steps
        content = progress.preview.content
        preview = Preview(content, index, progress.step) if content else None
        self._progress(sum(self._done), sum(self._all), preview)
