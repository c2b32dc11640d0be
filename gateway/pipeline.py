"""The conductor: words and pictures in, conditioning, latents, pictures out. Services never call one another."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from controlmesh.v1 import preprocess_pb2, types_pb2, unet_pb2, vae_pb2
from gateway.generation import FORMATS, Control, Generation
from gateway.rooms import Rooms
from mesh.channels import call, outgoing, stream
from mesh.errors import DeadlineExceeded, InternalError

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Picture:
    """One finished picture: the encoded file, the seed that makes exactly it, and its size in pixels."""

    content: bytes = field(repr=False)
    seed: int
    width: int
    height: int


@dataclass(frozen=True)
class Outcome:
    """What a generation gives: its pictures in the order of their seeds, and remarks for the caller."""

    pictures: tuple[Picture, ...]
    notes: tuple[str, ...]


class Pipeline:
    """Walks generations through the mesh.

    Args:
        rooms: the three services.
        deadline_s: seconds that one generation may take; passed on to every call.
    """

    def __init__(self, rooms: Rooms, deadline_s: float) -> None:
        self._rooms = rooms
        self._deadline_s = deadline_s

    async def run(self, generation: Generation, progress: Progress) -> Outcome:
        """Make the pictures of `generation`, whose model and seed are set. Cancelling this stops every service.

        Args:
            generation: what to make.
            progress: called with steps done and steps in all, over all pictures.

        Raises:
            MeshError: the first one of any service; DeadlineExceeded after `deadline_s`.
        """
        deadline = time.monotonic() + self._deadline_s
        steps = _Steps(generation, progress)

        async def picture(index: int, seed: int) -> Picture:
            latents = await self._denoise(prepared.conditioning, generation, seed, deadline, steps.of(index))
            decoded = await self._decode(latents, generation, deadline)
            return Picture(decoded.content, seed, decoded.width, decoded.height)

        try:
            async with asyncio.timeout(self._deadline_s):
                prepared = await self._prepare(generation, deadline)
                pictures = await _together([picture(*sample) for sample in enumerate(generation.seeds())])
        except TimeoutError:
            raise DeadlineExceeded(
                f"the pictures were not done after {self._deadline_s:g} seconds; ask for fewer steps or pictures"
            ) from None
        return Outcome(tuple(pictures), tuple(prepared.notes))

    async def _prepare(self, generation: Generation, deadline: float) -> preprocess_pb2.PrepareResponse:
        request = preprocess_pb2.PrepareRequest(
            model=generation.model or "",
            prompt=generation.prompt,
            negative_prompt=generation.negative_prompt,
            guidance=generation.guidance_scale > 1,
            controls=[_control(control) for control in generation.controls],
            width=generation.width or 0,
            height=generation.height or 0,
            clip_skip=generation.clip_skip,
        )
        return await call(self._rooms.preprocess.Prepare(request, timeout=_left(deadline), metadata=outgoing()))

    async def _denoise(
        self,
        conditioning: types_pb2.Conditioning,
        generation: Generation,
        seed: int,
        deadline: float,
        progress: Progress,
    ) -> types_pb2.Latents:
        request = unet_pb2.DenoiseRequest(
            conditioning=conditioning,
            scheduler=generation.scheduler or "",
            steps=generation.steps,
            guidance_scale=generation.guidance_scale,
            seed=seed,
        )
        messages = self._rooms.unet.Denoise(request, timeout=_left(deadline), metadata=outgoing())
        latents = None
        try:
            # Read to the end, so that a finished loop does not count as cancelled.
            async for message in stream(aiter(messages)):
                if message.WhichOneof("event") == "latents":
                    latents = message.latents
                else:
                    progress(message.progress.step, message.progress.steps)
        finally:
            messages.cancel()
        if latents is None:
            raise InternalError("the denoising loop ended without a result; try again")
        return latents

    async def _decode(self, latents: types_pb2.Latents, generation: Generation, deadline: float) -> types_pb2.Image:
        request = vae_pb2.DecodeRequest(latents=latents, format=FORMATS[generation.format])
        decoded = await call(self._rooms.vae.Decode(request, timeout=_left(deadline), metadata=outgoing()))
        return decoded.images[0]


class _Steps:
    """Adds up the progress of pictures that are made side by side."""

    def __init__(self, generation: Generation, progress: Progress) -> None:
        self._done = [0] * generation.samples
        # Some schedulers make more model calls than steps; the loop's first report corrects this.
        self._all = [generation.steps] * generation.samples
        self._progress = progress

    def of(self, index: int) -> Progress:
        def report(step: int, steps: int) -> None:
            self._done[index], self._all[index] = step, steps
            self._progress(sum(self._done), sum(self._all))

        return report


async def _together(makings: Iterable[Awaitable[Picture]]) -> list[Picture]:
    """Await all; the first failure cancels the others and is raised as it is, not in a group."""
    tasks = [asyncio.ensure_future(making) for making in makings]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _control(control: Control) -> types_pb2.Control:
    return types_pb2.Control(
        kind=control.kind,
        image=types_pb2.Image(content=control.image),
        auto_hint=control.auto_hint,
        weight=control.weight,
        start=control.start,
        end=control.end,
        parameters=control.parameters,
    )


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.001)
